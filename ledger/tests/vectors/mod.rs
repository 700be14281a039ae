//! Reads the test vectors of `WIRE.md` and compares them with the values that the code computes.
//!
//! Every crate whose formats are in the document recomputes its own vectors with this module, in
//! the blocks with its name. A vector that no test recomputes is an error, like one with a wrong
//! value.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{from_hex, to_hex};

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("../../WIRE.md");

/// Crates that may own vectors. No test would read a block with another name.
const OWNERS: [&str; 6] = ["engine", "genesis", "governance", "ledger", "pbft", "store"];

/// The vectors of one owner, and the problems found so far.
pub(crate) struct Vectors {
    unchecked: BTreeMap<String, Vec<u8>>,
    problems: Vec<String>,
}

impl Vectors {
    /// The vectors in the blocks opened by ```` ```vectors OWNER ````.
    ///
    /// Each begins with `name = 0x…`; indented lines continue it.
    pub(crate) fn parse(document: &str, owner: &str) -> Self {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let mut vectors: Vec<(&str, &str, String)> = Vec::new();
        let mut block: Option<&str> = None;
        for (line, number) in document.lines().zip(1..) {
            let mut problem = |what: &str| problems.push(format!("line {number}: {what}"));
            if let Some(label) = line.strip_prefix("```") {
                block = if block.is_some() { None } else { Some(label) };
                let stranger = label.strip_prefix("vectors").map(str::trim);
                if stranger.is_some_and(|name| !OWNERS.contains(&name)) {
                    problem("no test reads the vectors of this owner");
                }
                continue;
            }
            let entry = line.split_once(" = ").filter(|(name, _)| is_name(name));
            match (entry, block.and_then(|label| label.strip_prefix("vectors "))) {
                (Some((name, text)), Some(block_owner)) => {
                    if !names.insert(name) {
                        problem("this name was given before");
                    }
                    vectors.push((block_owner, name, text.to_owned()));
                }
                (Some((_, text)), None) if text.starts_with("0x") => problem("a vector outside of a block"),
                (None, Some(_)) if line.starts_with(' ') => match vectors.last_mut() {
                    Some((.., text)) => text.push_str(line.trim()),
                    None => problem("there is nothing to continue"),
                },
                (None, Some(_)) if !line.is_empty() => problem("neither `name = 0x…` nor its continuation"),
                _ => {}
            }
        }
        let mut unchecked = BTreeMap::new();
        for (_, name, text) in vectors.iter().filter(|(of, ..)| *of == owner) {
            match from_hex(text) {
                Ok(bytes) => _ = unchecked.insert((*name).to_owned(), bytes),
                Err(error) => problems.push(format!("{name}: {error}")),
            }
        }
        Vectors { unchecked, problems }
    }

    /// Compares one vector with the computed value.
    pub(crate) fn check(&mut self, name: &str, computed: &[u8]) {
        if self.unchecked.remove(name).as_deref() != Some(computed) {
            self.problems.push(format!("{name} = {}", to_hex(computed)));
        }
    }

    /// Returns the problems: each line names a vector with its right value, or one that was not
    /// recomputed.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        let forgotten = self.unchecked.keys().map(|name| format!("{name} is not recomputed by the test"));
        self.problems.extend(forgotten);
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.join("\n")) }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
