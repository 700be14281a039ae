//! Writes a genesis file in which a comment explains each field.

use std::fmt::Write;

use crate::FORMAT_VERSION;
use crate::draft::GenesisDraft;
use crate::genesis::Genesis;
use crate::predecessor::Predecessor;

/// The canonical file of a genesis with this content. Comments have its chain id and its quorum.
pub(crate) fn to_toml(genesis: &Genesis, content: &GenesisDraft) -> String {
    let mut file = File::default();
    file.comment(
        "What all nodes of this network agree on. The hash of this content is the chain id: a node with any\n\
         other value here is on another chain. Comments, order and omitted defaults do not affect the hash.",
    );
    file.comment(&format!("Chain id: {}", genesis.chain_id()));
    file.line("");
    file.comment("Version of this file format.");
    file.line(&format!("version = {FORMAT_VERSION}"));
    file.comment("The name of the network.");
    file.line(&format!("name = \"{}\"", content.name));
    file.comment("Time of the genesis, in milliseconds since 1970. Every block has a later time.");
    file.line(&format!("genesis_time_ms = {}", content.genesis_time));
    if let Some(predecessor) = &content.predecessor {
        file.predecessor(predecessor);
    }
    let mut settings = content.settings;
    for section in settings.sections() {
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
    file.comment(
        "Whose transactions the network accepts. \"open\": those of every client that can sign. \"registry\": those of\n\
         clients that a validator has registered, within the quotas of [governance].",
    );
    file.line(&format!("submit = \"{}\"", settings.parameters.clients.submit.as_str()));
    file.line("");
    file.comment(
        "The first committee, in the order of public keys. A validator's position is its number in the protocol. Its\n\
         governance key approves changes of the network. If it has none of its own, the public key does. Keep the\n\
         secret of the governance key away from the validator's host.",
    );
    let committee = genesis.committee();
    file.comment(&format!(
        "{} of these {} are a quorum: they order blocks, and they approve changes. {} may be faulty, and {} may be down.",
        committee.quorum(),
        committee.size(),
        committee.faults(),
        committee.may_be_down(),
    ));
    for validator in &content.validators {
        file.line("[[validators]]");
        file.line(&format!("name = \"{}\"", validator.name));
        file.line(&format!("public_key = \"{}\"", validator.public_key));
        if validator.has_own_governance_key() {
            file.line(&format!("governance_key = \"{}\"", validator.governance_key));
        }
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

    fn predecessor(&mut self, predecessor: &Predecessor) {
        let Predecessor { chain_id, height, block, epoch, state_root, clients, clients_root } = predecessor;
        self.line("");
        self.line("[predecessor]");
        self.comment(
            "The chain that this network continues, and its last block: chain id, height, hash, epoch, and the root of\n\
             the governance state after it. With an export of that chain and its genesis, anyone can verify them.",
        );
        self.line(&format!("chain_id = \"{chain_id}\""));
        self.line(&format!("height = {height}"));
        self.line(&format!("block = \"{block}\""));
        self.line(&format!("epoch = {epoch}"));
        self.line(&format!("state_root = \"{state_root}\""));
        self.comment(
            "How many clients this network takes over, and the root of their tree. If there are any, they are in a file\n\
             beside this one, with the same name and the ending .clients. A node needs it at its first start.",
        );
        self.line(&format!("clients = {clients}"));
        self.line(&format!("clients_root = \"{clients_root}\""));
    }

    fn finish(self) -> String {
        format!("{}\n", self.0.trim_end())
    }
}
