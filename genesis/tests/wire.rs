//! Compares `WIRE.md`'s description of the genesis with the public API: its vectors, its file, its
//! numbers and its rules.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use quorate_genesis::{
    Bound, Genesis, GenesisDraft, GenesisError, ParameterError, Predecessor, TestNetwork, clients_to_text,
    parse_clients,
};
use quorate_governance::{Client, clients_root};
use quorate_ledger::{BlockHash, ChainId, Domain, Epoch, Hash, Height, encode, tagged_hash};

use vectors::{DOCUMENT, Vectors};

#[path = "../../ledger/tests/vectors/mod.rs"]
mod vectors;

/// The genesis of the document. Its last validator has no governance key of its own.
fn genesis() -> Genesis {
    let mut draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    draft.validators[3].governance_key = draft.validators[3].public_key;
    draft.check().unwrap()
}

#[test]
fn every_vector_is_what_the_code_computes() {
    let genesis = genesis();
    let content = genesis.content_bytes();
    let mut vectors = Vectors::parse(DOCUMENT, "genesis");
    vectors.check("genesis_content", &content);
    vectors.check("genesis_chain_id", genesis.chain_id().as_bytes());
    vectors.check("genesis_header", &encode(genesis.header()));
    vectors.check("genesis_block_hash", genesis.header().hash().as_bytes());
    let continuing = continuing();
    vectors.check("genesis_predecessor", &continuing.content_bytes()[content.len()..]);
    vectors.check("genesis_continued_chain_id", continuing.chain_id().as_bytes());
    vectors.check("genesis_clients_root", clients_root(clients()).as_bytes());
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));

    assert_eq!(genesis.chain_id(), ChainId(tagged_hash(Domain::Genesis, &[&content])));
}

#[test]
fn the_file_of_the_document_is_this_genesis() {
    let (_, rest) = DOCUMENT.split_once("\n```toml\n").unwrap();
    let (file, _) = rest.split_once("```\n").unwrap();
    assert_eq!(Genesis::parse(file).unwrap(), genesis());
}

/// The clients of the document.
fn clients() -> Vec<Client> {
    parse_clients(&block("text", "\n0x", "\n```")).unwrap()
}

/// The genesis of the document with its table of the predecessor.
fn continuing() -> Genesis {
    let clients = clients();
    let predecessor = Predecessor {
        chain_id: ChainId::from_bytes([0x11; 32]),
        height: Height(149),
        block: BlockHash::from_bytes([0x22; 32]),
        epoch: Epoch(3),
        state_root: Hash::from_bytes([0x33; 32]),
        clients: clients.len() as u64,
        clients_root: clients_root(clients),
    };
    GenesisDraft { predecessor: Some(predecessor), ..genesis().to_draft() }.check().unwrap()
}

/// A piece of the section on predecessors: the text from a mark on, before another one.
fn block(kind: &str, from: &str, to: &str) -> String {
    let (_, section) = DOCUMENT.split_once("### A network that continues another one").unwrap();
    let (_, rest) = section.split_once(&format!("\n```{kind}{from}")).unwrap();
    let (text, _) = rest.split_once(to).unwrap();
    format!("{}{text}\n", from.trim_start())
}

#[test]
fn the_predecessor_and_the_clients_of_the_document_are_read() {
    let (_, rest) = DOCUMENT.split_once("\n```toml\n").unwrap();
    let (file, _) = rest.split_once("```\n").unwrap();
    let table = block("toml", "\n[predecessor]", "\n```");
    assert_eq!(Genesis::parse(&format!("{file}{table}")).unwrap(), continuing());
    let written = clients_to_text(&continuing(), &clients());
    assert!(written.ends_with(&block("text", "\n0x", "\n```")), "{written}");
    assert!(continuing().initial_state(clients()).is_ok());
}

/// A parameter of the genesis, as the document and the canonical file describe it.
#[derive(Debug, PartialEq, Eq)]
struct Number {
    /// `section.name`
    field: String,
    default: u64,
    least: u64,
    most: u64,
}

/// The cells of the document's table rows that begin with a field of a section.
fn rows() -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let sections = ["| `block.", "| `consensus.", "| `mempool.", "| `governance."];
    DOCUMENT
        .lines()
        .filter(|line| sections.iter().any(|section| line.starts_with(section)))
        .map(cells)
        .collect()
}

fn is_rule(row: &[String]) -> bool {
    matches!(&*row[1], "at most" | "at least")
}

fn documented() -> Vec<Number> {
    let number = |text: &str| text.replace(',', "").parse().unwrap();
    rows()
        .iter()
        .filter(|row| !is_rule(row))
        .map(|row| {
            let (least, most) = row[2].split_once(" to ").unwrap();
            Number {
                field: row[0].trim_matches('`').to_owned(),
                default: number(&row[1]),
                least: number(least),
                most: number(most),
            }
        })
        .collect()
}

/// The parameters with their ranges, in the order of the canonical file of a genesis with defaults.
fn declared() -> Vec<Number> {
    let text = genesis().to_toml();
    let (mut section, mut range, mut numbers) = (String::new(), None, Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((_, found)) = line.strip_suffix('.').and_then(|line| line.rsplit_once(" From ")) {
            range = found.split_once(" to ");
        } else if let (Some((name, value)), Some((least, most))) = (line.split_once(" = "), range.take()) {
            numbers.push(Number {
                field: format!("{section}.{name}"),
                default: value.parse().unwrap(),
                least: least.parse().unwrap(),
                most: most.parse().unwrap(),
            });
        }
    }
    numbers
}

/// The order is that of the content that the chain id is computed from.
#[test]
fn every_number_is_documented_with_its_default_and_range() {
    let declared = declared();
    assert_eq!(declared.len(), 22);
    assert_eq!(documented(), declared);
}

/// The rules that a genesis with this value breaks: field, bound, and the limit in words.
fn broken_by(field: &str, value: u64) -> Vec<[&'static str; 3]> {
    let (section, name) = field.split_once('.').unwrap();
    let mut file: toml::Table = genesis().to_toml().parse().unwrap();
    file[section][name] = i64::try_from(value).unwrap().into();
    let errors = Genesis::parse(&file.to_string()).err();
    let rule = |error: &GenesisError| match error {
        GenesisError::Parameter(ParameterError::Rule(rule)) => Some(match rule.bound {
            Bound::AtMost => [rule.field, "at most", rule.meaning],
            Bound::AtLeast => [rule.field, "at least", rule.meaning],
        }),
        _ => None,
    };
    errors.iter().flat_map(|errors| errors.errors()).filter_map(rule).collect()
}

/// One end of some parameter's range breaks each rule, while all other parameters keep their
/// defaults.
#[test]
fn every_rule_between_numbers_is_documented() {
    let numbers = declared();
    let ends = numbers.iter().flat_map(|number| [(number, number.least), (number, number.most)]);
    let broken: BTreeSet<[String; 3]> = ends
        .flat_map(|(number, end)| broken_by(&number.field, end))
        .map(|rule| rule.map(str::to_owned))
        .collect();
    let rows = rows();
    let rules: Vec<[String; 3]> = rows
        .iter()
        .filter(|row| is_rule(row))
        .map(|row| [0, 1, 2].map(|cell: usize| row[cell].replace('`', "")))
        .collect();
    assert_eq!(rules.iter().cloned().collect::<BTreeSet<_>>(), broken);
    assert_eq!(rules.len(), broken.len(), "no rule is listed twice");
}
