#![allow(clippy::unwrap_used)]
use quorate_governance::clients_root;
use quorate_ledger::HexError;

use super::*;
use crate::{Genesis, TestNetwork};

/// The validators of a seeded network, each with one key for both purposes.
fn genesis_with_single_keys() -> Genesis {
    let mut draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    for validator in &mut draft.validators {
        validator.governance_key = validator.public_key;
    }
    draft.check().unwrap()
}

/// The shortest possible file with four validators.
fn shortest() -> String {
    let network = TestNetwork::seeded(4, 1);
    let mut text = String::from("version = 2\nname = \"seeded-1\"\ngenesis_time_ms = 1700000000000\n");
    for validator in network.genesis().validators().iter().rev() {
        text += &format!(
            "[[validators]]\npublic_key = \"{}\"\nname = \"{}\"\n",
            validator.public_key, validator.name
        );
    }
    text
}

fn errors(text: &str) -> Vec<GenesisError> {
    Genesis::parse(text).unwrap_err().errors().to_vec()
}

fn kind(field: &str, expected: &'static str, found: &str) -> GenesisError {
    GenesisError::Kind { field: field.to_owned(), expected, found: found.to_owned() }
}

#[test]
fn everything_else_has_a_default_and_order_does_not_count() {
    let genesis = Genesis::parse(&shortest()).unwrap();
    assert_eq!(genesis, genesis_with_single_keys());
}

#[test]
fn governance_keys_are_read() {
    let validators = TestNetwork::seeded(4, 1).genesis().validators().to_vec();
    let mut text = shortest();
    for validator in &validators {
        let name = format!("name = \"{}\"\n", validator.name);
        let with_key = format!("{name}governance_key = \"{}\"\n", validator.governance_key);
        text = text.replace(&name, &with_key);
    }
    assert_eq!(&Genesis::parse(&text).unwrap(), TestNetwork::seeded(4, 1).genesis());
    let first = text.replacen("governance_key = \"0x", "governance_key = \"", 1);
    let field = "validators[0].governance_key".to_owned();
    assert_eq!(errors(&first), [GenesisError::Key { field, reason: HexError::Prefix }]);
    let number = text.replacen("governance_key = \"", "governance_key = 5 #", 1);
    assert_eq!(errors(&number), [kind("validators[0].governance_key", "a text in quotes", "5")]);
}

/// The default quotas are parts of the blocks that the file chooses.
#[test]
fn omitted_quotas_follow_the_blocks() {
    let text = format!("{}[block]\nmax_transactions = 3\nmax_transaction_bytes = 1000000\n", shortest());
    let governance = Genesis::parse(&text).unwrap().settings().governance;
    assert_eq!((governance.max_transactions_per_member, governance.max_bytes_per_member), (1, 1_000_000));
    let lower = format!("{text}[governance]\nmax_bytes_per_member = 999999\n");
    assert_eq!(errors(&lower).len(), 1);
    let invalid = format!("{}[block]\nmax_body_bytes = 999999999\n", shortest());
    assert_eq!(errors(&invalid).len(), 1, "and nothing about a quota that is not in the file");
}

#[test]
fn every_number_is_read_from_its_own_field() {
    let mut defaults = Settings::default();
    for (section, part) in defaults.sections().into_iter().enumerate() {
        for (index, parameter) in part.parameters.into_iter().enumerate() {
            // Read without the checks, so any value is possible.
            let text = format!("[{}]\n{} = 77", part.name, parameter.name);
            let read = Reader::default().settings(&mut text.parse().unwrap());
            let mut expected = Settings::default();
            *expected.sections()[section].parameters[index].value = 77;
            if part.name != "governance" {
                expected.governance = GovernanceParameters::for_blocks(&expected.parameters.block);
            }
            assert_eq!(read, expected, "{}", parameter.name);
        }
    }
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    let places = [
        ("", "nme", "version, name"),
        ("[block]\n", "block.nme", "max_transactions, max_body_bytes"),
        ("[consensus]\n", "consensus.nme", "window, checkpoint_interval"),
        ("[mempool]\n", "mempool.nme", "max_transactions, max_bytes"),
        ("[governance]\n", "governance.nme", "max_clients, proposal_lifetime"),
        ("[clients]\n", "clients.nme", "submit"),
        ("[predecessor]\n", "predecessor.nme", "chain_id, height, block, epoch"),
        ("[[validators]]\n", "validators[4].nme", "name, public_key, governance_key"),
    ];
    for (heading, field, known) in places {
        let line = "nme = 1\n";
        let text = if heading.is_empty() {
            format!("{line}{}", shortest())
        } else {
            format!("{}{heading}{line}", shortest())
        };
        let unknown = errors(&text)
            .into_iter()
            .find(|error| matches!(error, GenesisError::Unknown { .. }))
            .unwrap()
            .to_string();
        assert!(
            unknown.starts_with(&format!("{field} is not a field of a genesis: use one of {known}")),
            "{unknown}"
        );
    }
}

#[test]
fn errors_of_an_empty_file_name_the_missing_fields() {
    assert_eq!(
        Genesis::parse("").unwrap_err().to_string(),
        "version is missing: give the version of this format, 2\n\
         name is missing: give the network a name\n\
         genesis_time_ms is missing: give the time of the genesis in milliseconds since 1970\n\
         there are 0 validators: a network has 1 to 31, and needs 4 to tolerate a faulty one"
    );
}

#[test]
fn values_of_another_kind() {
    let text = "version = 2\nname = 5\ngenesis_time_ms = \"now\"\nvalidators = 3\nblock = []\nclients = true\n\
                [consensus]\nwindow = -1\nlog_window = 1.5\nbatch_delay_ms = \"10\"\n[mempool]\nmax_bytes = {}\n";
    let number = "a whole number, not negative";
    assert_eq!(
        errors(text),
        [
            kind("name", "a text in quotes", "5"),
            kind("genesis_time_ms", number, "of type string"),
            kind("validators", "an array of tables [[validators]]", "3"),
            kind("block", "a table", "of type array"),
            kind("consensus.window", number, "-1"),
            kind("consensus.log_window", number, "1.5"),
            kind("consensus.batch_delay_ms", number, "of type string"),
            kind("mempool.max_bytes", number, "of type table"),
            kind("clients", "a table", "true"),
        ]
    );
}

#[test]
fn validators_that_cannot_be_read() {
    let text = format!(
        "{}[[validators]]\nname = \"no-key\"\n[[validators]]\npublic_key = \"0x02\"\n\
         [[validators]]\nname = 1\npublic_key = \"key\"\n",
        shortest()
    );
    let key =
        |index: usize, reason| GenesisError::Key { field: format!("validators[{index}].public_key"), reason };
    assert_eq!(
        errors(&text),
        [
            GenesisError::Missing {
                field: "validators[4].public_key".to_owned(),
                what: "the validator's public key as 0x hex",
            },
            GenesisError::Missing { field: "validators[5].name".to_owned(), what: "the validator a name" },
            key(5, HexError::Length { expected: 33, found: 1 }),
            kind("validators[6].name", "a text in quotes", "1"),
            key(6, HexError::Prefix),
        ]
    );
    let no_table = "version = 2\nname = \"a\"\ngenesis_time_ms = 1\nvalidators = [1]";
    assert_eq!(
        errors(no_table),
        [kind("validators[0]", "a table with name and public_key", "1")],
        "and no error about the number of validators"
    );
}

#[test]
fn unreadable_and_invalid_fields_are_reported_together() {
    let text = format!("{}[consensus]\nwindow = 99\nwindwo = 1\n[block]\nmax_transactions = 0", shortest());
    let errors = errors(&text);
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn syntax_errors_name_the_line() {
    let [GenesisError::Syntax { line, column, message }] = &errors("name = \"a\"\n\nwindow == 3\n")[..]
    else {
        panic!("one error");
    };
    assert_eq!((*line, *column), (3, 9));
    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    assert!(matches!(errors("name = \"a\"\nname = \"b\"")[..], [GenesisError::Syntax { line: 2, .. }]));
    assert!(matches!(
        errors("[consensus]\nwindow = 99999999999999999999999")[..],
        [GenesisError::Syntax { line: 2, .. }]
    ));
}

#[test]
fn files_of_other_versions_are_not_checked() {
    for version in [0, 1, 3] {
        let text = format!("version = {version}\nnew_field = 1");
        assert_eq!(errors(&text), [GenesisError::Version(version)]);
    }
    let text = errors("version = 1")[0].to_string();
    assert!(text.contains("`quorate genesis new`") && text.contains("another chain id"), "{text}");
    let text = errors("version = 3")[0].to_string();
    assert!(text.contains("use that program"), "{text}");
    assert_eq!(
        errors(&shortest().replace("version = 2", "version = \"2\"")),
        [kind("version", "a whole number, not negative", "of type string")]
    );
}

/// In version 1, the field had a default. The chain id of such a file would silently be another
/// one.
#[test]
fn a_file_without_a_version_is_refused() {
    let text = shortest().replace("version = 2\n", "");
    let what = "the version of this format, 2";
    assert_eq!(errors(&text), [GenesisError::Missing { field: "version".to_owned(), what }]);
}

#[test]
fn the_submit_mode_is_open_or_registry() {
    let text = |value| format!("{}[clients]\nsubmit = \"{value}\"", shortest());
    for submit in Submit::ALL {
        let genesis = Genesis::parse(&text(submit.as_str())).unwrap();
        assert_eq!(genesis.parameters().clients.submit, submit);
    }
    assert_eq!(errors(&text("closed")), [GenesisError::Submit("closed".to_owned())]);
}

#[test]
fn a_file_of_any_size_is_handled() {
    let text = shortest();
    let filled = format!("{text}#{}", " ".repeat(MAX_FILE_BYTES - text.len() - 1));
    assert!(Genesis::parse(&filled).is_ok());
    assert_eq!(errors(&format!("{filled} ")), [GenesisError::TooLarge(MAX_FILE_BYTES + 1)]);
    let nested = "a = ".to_owned() + &"[".repeat(MAX_FILE_BYTES - 4);
    assert!(matches!(errors(&nested)[..], [GenesisError::Syntax { .. }]));
}

const PREDECESSOR: [(&str, &str); 7] = [
    ("chain_id", "\"0x1111111111111111111111111111111111111111111111111111111111111111\""),
    ("height", "149"),
    ("block", "\"0x2222222222222222222222222222222222222222222222222222222222222222\""),
    ("epoch", "3"),
    ("state_root", "\"0x3333333333333333333333333333333333333333333333333333333333333333\""),
    ("clients", "12"),
    ("clients_root", "\"0x4444444444444444444444444444444444444444444444444444444444444444\""),
];

/// The shortest file with a predecessor, in which one field has another value or is missing.
fn continuing(changed: &str, value: Option<&str>) -> String {
    let mut text = format!("{}[predecessor]\n", shortest());
    for (field, usual) in PREDECESSOR {
        if let Some(value) = if field == changed { value } else { Some(usual) } {
            text += &format!("{field} = {value}\n");
        }
    }
    text
}

#[test]
fn a_predecessor_is_read() {
    let genesis = Genesis::parse(&continuing("", None)).unwrap();
    let predecessor = Predecessor {
        chain_id: ChainId::from_bytes([0x11; 32]),
        height: Height(149),
        block: BlockHash::from_bytes([0x22; 32]),
        epoch: Epoch(3),
        state_root: Hash::from_bytes([0x33; 32]),
        clients: 12,
        clients_root: Hash::from_bytes([0x44; 32]),
    };
    assert_eq!(genesis.predecessor(), Some(&predecessor));
    assert_eq!(Genesis::parse(&shortest()).unwrap().predecessor(), None);
}

#[test]
fn every_field_of_a_predecessor_is_required_and_checked() {
    for (field, usual) in PREDECESSOR {
        let path = format!("predecessor.{field}");
        let missing = errors(&continuing(field, None));
        assert!(
            matches!(missing.as_slice(), [GenesisError::Missing { field, .. }] if *field == path),
            "{missing:?}"
        );
        let of_hash = usual.starts_with('"');
        let (expected, other) =
            if of_hash { ("a text in quotes", "5") } else { ("a whole number, not negative", "-5") };
        assert_eq!(errors(&continuing(field, Some(other))), [kind(&path, expected, other)]);
        if of_hash {
            let reason = HexError::Length { expected: 32, found: 1 };
            assert_eq!(
                errors(&continuing(field, Some("\"0x11\""))),
                [GenesisError::Hash { field: path, reason }]
            );
        }
    }
    let no_table = format!("predecessor = 5\n{}", shortest());
    assert_eq!(errors(&no_table), [kind("predecessor", "a table", "5")]);
    assert_eq!(errors(&format!("{}[predecessor]\n", shortest())).len(), PREDECESSOR.len());
}

#[test]
fn an_impossible_predecessor_is_refused() {
    let range = |field: &str, value, min, max| {
        let field = format!("predecessor.{field}");
        GenesisError::from(quorate_governance::ParameterError::Range { field, value, min, max })
    };
    let most = 9_007_199_254_740_991;
    assert_eq!(errors(&continuing("height", Some("0"))), [range("height", 0, 1, most)]);
    for (field, min) in [("height", 1), ("epoch", 0)] {
        let above = most + 1;
        assert_eq!(errors(&continuing(field, Some(&above.to_string()))), [range(field, above, min, most)]);
        assert!(Genesis::parse(&continuing(field, Some(&most.to_string()))).is_ok());
    }
    let clients = range("clients", 1_000_001, 0, 1_000_000);
    assert_eq!(errors(&continuing("clients", Some("1000001"))), [clients]);
    assert_eq!(errors(&continuing("clients", Some("0"))), [GenesisError::ClientsRoot { clients: 0 }]);
    let none = format!("\"{}\"", clients_root(Vec::new()));
    let contradicts = errors(&continuing("clients_root", Some(&none)));
    assert_eq!(contradicts, [GenesisError::ClientsRoot { clients: 12 }]);
    assert!(contradicts[0].to_string().contains("quorate genesis continue"));
}
