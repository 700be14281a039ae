//! Writes a genesis file in which a comment explains each field.

use std::fmt::Write;

use quorate_ledger::ChainId;

use crate::FORMAT_VERSION;
use crate::draft::GenesisDraft;

/// The canonical file of a genesis with this content, and this chain id as a comment.
pub(crate) fn to_toml(chain_id: ChainId, content: &GenesisDraft) -> String {
    let mut file = File::default();
    file.comment(
        "What all nodes of this network agree on. The hash of this content is the chain id: a node with any\n\
         other value here is on another chain. Comments, order and omitted defaults do not affect the hash.",
    );
    file.comment(&format!("Chain id: {chain_id}"));
    file.line("");
    file.comment("Version of this file format.");
    file.line(&format!("version = {FORMAT_VERSION}"));
    file.comment("The name of the network.");
    file.line(&format!("name = \"{}\"", content.name));
    file.comment("Time of the genesis, in milliseconds since 1970. Every block has a later time.");
    file.line(&format!("genesis_time_ms = {}", content.genesis_time));
    let mut parameters = content.parameters;
    for section in parameters.sections() {
        file.line("");
        file.line(&format!("[{}]", section.name));
        for parameter in section.parameters {
            let (least, most) = parameter.range.into_inner();
            file.comment(&format!("{} From {least} to {most}.", parameter.meaning));
            file.line(&format!("{} = {}", parameter.name, parameter.value));
        }
    }
    file.line("");
    file.line("[clients]");
    file.comment("Whose transactions the network accepts. \"open\": those of every client that can sign.");
    file.line(&format!("submit = \"{}\"", parameters.clients.submit.as_str()));
    file.line("");
    file.comment(
        "The committee, in the order of public keys. A validator's position is its number in the protocol.",
    );
    for validator in &content.validators {
        file.line("[[validators]]");
        file.line(&format!("name = \"{}\"", validator.name));
        file.line(&format!("public_key = \"{}\"", validator.public_key));
        file.line("");
    }
    file.finish()
}

#[derive(Default)]
struct File(String);

impl File {
    fn line(&mut self, text: &str) {
        writeln!(self.0, "{text}").expect("writing to a string cannot fail");
    }

    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.line(&format!("# {line}"));
        }
    }

    fn finish(self) -> String {
        format!("{}\n", self.0.trim_end())
    }
}
