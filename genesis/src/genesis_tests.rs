#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use proptest::prelude::*;
use quorate_governance::{GovernanceParameters, Submit, clients_root};
use quorate_ledger::{BlockHash, Body, Epoch, Hash, Height, PublicKey, to_hex};

use super::*;
use crate::{MAX_FILE_BYTES, MAX_GENESIS_TIME_MS, MAX_NETWORK_NAME, MAX_VALIDATOR_NAME, TestNetwork};

/// The chain that a network continues.
fn predecessor() -> Predecessor {
    Predecessor {
        chain_id: ChainId::from_bytes([1; 32]),
        height: Height(149),
        block: BlockHash::from_bytes([2; 32]),
        epoch: Epoch(3),
        state_root: Hash::from_bytes([4; 32]),
        clients: 12,
        clients_root: Hash::from_bytes([5; 32]),
    }
}

/// If this value changes, every chain id changes: that needs a new format version, and is never a
/// correction.
#[test]
fn the_chain_id_of_a_fixed_genesis() {
    let network = TestNetwork::seeded(4, 1);
    let bytes = network.genesis().content_bytes();
    assert_eq!(bytes.len(), 2 + 12 + 8 + (4 + 4 * (15 + 2 * 33)) + 18 * 8 + 1 + 4 * 8);
    assert_eq!(
        network.genesis().chain_id().to_string(),
        "0x2f3706f7a9156e4eca96702b9b5bc43c82192f0f093e166ccc8fac9a5f9137bb"
    );
}

/// The content that the chain id is computed from, encoded by hand.
#[test]
fn the_content_bytes_are_as_documented() {
    let network = TestNetwork::seeded(1, 1);
    let genesis = network.genesis();
    let mut bytes = 2_u16.to_le_bytes().to_vec();
    bytes.extend([8, 0, 0, 0]);
    bytes.extend(b"seeded-1");
    bytes.extend(1_700_000_000_000_u64.to_le_bytes());
    bytes.extend([1, 0, 0, 0, 11, 0, 0, 0]);
    bytes.extend(b"validator-0");
    bytes.extend(network.keys()[0].public().as_bytes());
    bytes.extend(network.governance_key(ReplicaId(0)).public().as_bytes());
    let numbers: [u64; 18] = [
        1000, 1_048_576, 262_144, 120_000, 10_000, // block
        8, 128, 512, 2000, 2000, 30_000, 1000, 500, 10, // consensus
        50_000, 67_108_864, 5000, 8_388_608, // mempool
    ];
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    for number in [100_000_u64, 100_000, 250, 262_144] {
        bytes.extend(number.to_le_bytes());
    }
    assert_eq!(to_hex(&genesis.content_bytes()), to_hex(&bytes));
    assert_eq!(genesis.chain_id(), ChainId(tagged_hash(Domain::Genesis, &[&bytes])));
}

/// A network that continues no chain has the content of programs that know no predecessor.
#[test]
fn a_predecessor_is_appended_to_the_content() {
    let genesis = TestNetwork::seeded(1, 1).genesis().clone();
    let draft = GenesisDraft { predecessor: Some(predecessor()), ..genesis.to_draft() };
    let mut bytes = genesis.content_bytes();
    bytes.extend([1; 32]);
    bytes.extend(149_u64.to_le_bytes());
    bytes.extend([2; 32]);
    bytes.extend(3_u64.to_le_bytes());
    bytes.extend([4; 32]);
    bytes.extend(12_u64.to_le_bytes());
    bytes.extend([5; 32]);
    assert_eq!(to_hex(&content_bytes(&draft)), to_hex(&bytes));
}

#[test]
fn every_value_changes_the_chain_id() {
    let mut original = TestNetwork::seeded(4, 1).genesis().to_draft();
    let mut ids = BTreeSet::from([chain_id_of(&original)]);
    let mut changes = 0;
    let mut differs = |draft: &GenesisDraft| {
        changes += 1;
        assert!(ids.insert(chain_id_of(draft)), "change {changes} has its own chain id");
    };
    for section in 0..4 {
        for index in 0..original.settings.sections()[section].parameters.len() {
            let mut draft = original.clone();
            *draft.settings.sections()[section].parameters[index].value += 1;
            differs(&draft);
        }
    }
    let others: [fn(&mut GenesisDraft); 9] = [
        |draft| draft.name.push('x'),
        |draft| draft.genesis_time.0 += 1,
        |draft| draft.validators[0].name.push('x'),
        |draft| draft.validators[0].public_key = draft.validators[1].public_key,
        |draft| draft.validators[0].governance_key = draft.validators[1].governance_key,
        |draft| draft.validators[0].governance_key = draft.validators[0].public_key,
        |draft| draft.settings.parameters.clients.submit = Submit::Registry,
        |draft| draft.validators.truncate(3),
        |draft| draft.validators.swap(0, 1),
    ];
    for change in others {
        let mut draft = original.clone();
        change(&mut draft);
        differs(&draft);
    }
    let predecessors: [fn(&mut Predecessor); 8] = [
        |_| {},
        |predecessor| predecessor.chain_id = ChainId::from_bytes([9; 32]),
        |predecessor| predecessor.height = Height(9),
        |predecessor| predecessor.block = BlockHash::from_bytes([9; 32]),
        |predecessor| predecessor.epoch = Epoch(9),
        |predecessor| predecessor.state_root = Hash::from_bytes([9; 32]),
        |predecessor| predecessor.clients = 9,
        |predecessor| predecessor.clients_root = Hash::from_bytes([9; 32]),
    ];
    for change in predecessors {
        let mut predecessor = predecessor();
        change(&mut predecessor);
        differs(&GenesisDraft { predecessor: Some(predecessor), ..original.clone() });
    }
    original.validators.clear();
    differs(&original);
    assert_eq!(changes, 22 + 9 + 8 + 1);
}

#[test]
fn the_genesis_header_is_as_documented() {
    let network = TestNetwork::seeded(4, 1);
    let genesis = network.genesis();
    let header = genesis.header();
    assert_eq!((header.height, header.epoch), (Height(0), Epoch(0)));
    assert_eq!(header.parent, BlockHash(Hash::ZERO));
    assert_eq!(header.chain_id, genesis.chain_id());
    assert_eq!(header.timestamp, genesis.time());
    assert_eq!(header.committee, genesis.committee().hash());
    assert_eq!(genesis.anchor().newest(), genesis.committee());
    assert_eq!(genesis.anchor().chain_id(), genesis.chain_id());
    let first = Header::after(header, &Body::of(&[]), Timestamp(0), ReplicaId(1));
    first.check_follows(header).unwrap();
}

#[test]
fn limits_for_the_ledger_are_the_files_numbers() {
    let limits = TestNetwork::seeded(4, 1).genesis().block_limits();
    assert_eq!((limits.max_transactions, limits.max_body_bytes), (1000, 1 << 20));
    assert_eq!(limits.transaction.max_bytes, 256 << 10);
    assert_eq!(limits.transaction.max_lifetime_ms, 120_000);
    assert_eq!(limits.empty_block_gap_ms, 10_000);
}

#[test]
fn the_governance_state_begins_with_the_members_and_settings_of_the_genesis() {
    let mut draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    draft.settings.governance.max_clients = 1234;
    draft.settings.parameters.clients.submit = Submit::Registry;
    let genesis = draft.check().unwrap();
    let state = genesis.governance_state();
    assert_eq!((state.chain(), state.height()), (genesis.chain_id(), Height(0)));
    let config = state.config(Height(1)).unwrap();
    assert_eq!((config.committee(), config.settings()), (genesis.committee(), genesis.settings()));
    assert_eq!(config.submit_mode(), Submit::Registry);
    for (member, validator) in config.members().iter().zip(genesis.validators()) {
        assert_eq!(member.name.as_str(), validator.name);
        assert_eq!(member.consensus_key, validator.public_key);
        assert_eq!(member.governance_key, validator.governance_key);
    }
    assert_eq!(state.root(), genesis.governance_state().root(), "it is a function of the genesis");
    for size in [1, 3, 31] {
        let genesis = TestNetwork::seeded(size, 1).genesis().clone();
        assert_eq!(genesis.governance_state().config(Height(1)).unwrap().committee().size(), size);
    }
}

#[test]
fn the_order_of_validators_in_the_file_is_free() {
    let genesis = TestNetwork::seeded(4, 1).genesis().clone();
    let mut draft = genesis.to_draft();
    draft.validators.reverse();
    assert_eq!(draft.check().unwrap(), genesis);
}

#[test]
fn small_committees_and_early_times_cause_warnings() {
    let warnings = |size, time| {
        let network = TestNetwork::generate(size, "small", Timestamp(time)).unwrap();
        network.genesis().warnings(Timestamp(YEAR_2020_MS))
    };
    for validators in 1..4 {
        assert_eq!(warnings(validators, YEAR_2020_MS), [Warning::NoFaultTolerated { validators }]);
    }
    assert_eq!(warnings(4, YEAR_2020_MS), []);
    assert_eq!(warnings(4, YEAR_2020_MS - 1), [Warning::EarlyTime(YEAR_2020_MS - 1)]);
}

#[test]
fn a_time_ahead_of_the_clock_causes_a_warning_with_the_time_at_which_ordering_begins() {
    let network = TestNetwork::generate(4, "ahead", Timestamp(1_700_000_000_000)).unwrap();
    let genesis = network.genesis();
    let possible_at = Timestamp(1_700_000_000_001 - genesis.consensus().clock_tolerance_ms);
    assert_eq!(genesis.next_block_possible_at(genesis.time()), possible_at);
    assert_eq!(genesis.warnings(possible_at), []);
    let warnings = genesis.warnings(possible_at.minus_ms(1));
    assert_eq!(warnings, [Warning::AheadOfClock { genesis_time: genesis.time(), possible_at }]);
    let text = warnings[0].to_string();
    assert!(text.contains("before 2023-11-14T22:13:19.501Z"), "{text}");
}

#[test]
fn the_largest_genesis_fits_its_file() {
    let mut draft = TestNetwork::seeded(31, 1).genesis().to_draft();
    draft.name = "n".repeat(MAX_NETWORK_NAME);
    draft.genesis_time = Timestamp(MAX_GENESIS_TIME_MS);
    for (index, validator) in draft.validators.iter_mut().enumerate() {
        validator.name = format!("{index:0>MAX_VALIDATOR_NAME$}");
    }
    draft.settings.parameters.clients.submit = Submit::Registry;
    let (height, epoch) = (Height((1 << 53) - 1), Epoch((1 << 53) - 1));
    draft.predecessor = Some(Predecessor { height, epoch, clients: 1_000_000, ..predecessor() });
    let genesis = draft.check().unwrap();
    let text = genesis.to_toml();
    assert!(text.len() < MAX_FILE_BYTES / 4, "{} bytes", text.len());
    assert_eq!(genesis.content_bytes().len(), 3573);
    assert_eq!(Genesis::parse(&text).unwrap(), genesis);
}

#[test]
fn the_file_explains_every_field_on_lines_of_at_most_120_characters() {
    let text = TestNetwork::seeded(4, 1).genesis().to_toml();
    let draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    let continuing = GenesisDraft { predecessor: Some(predecessor()), ..draft }.check().unwrap().to_toml();
    assert!(continuing.lines().all(|line| line.len() <= 120), "{continuing}");
    let lines: Vec<&str> = text.lines().collect();
    let numbers = lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#'));
    let mut fields = 0;
    for (index, line) in numbers.filter(|(_, line)| !line.contains("_key = ") && !line.contains("validator-"))
    {
        fields += 1;
        assert!(lines[index - 1].starts_with("# "), "{line:?} has a comment");
    }
    assert_eq!(fields, 3 + 22 + 1);
    assert!(lines.iter().all(|line| line.len() <= 120), "{text}");
}

fn within(range: std::ops::RangeInclusive<u64>, draw: u64) -> u64 {
    let (least, most) = range.into_inner();
    least + draw % (most - least + 1)
}

/// Parameters that satisfy all rules, from arbitrary numbers.
fn valid_settings(draw: [u64; 22]) -> Settings {
    let mut parameters = Parameters::default();
    let (block, consensus, mempool) =
        (&mut parameters.block, &mut parameters.consensus, &mut parameters.mempool);
    block.max_transactions = within(1..=10_000, draw[0]);
    consensus.window = within(1..=32, draw[5]);
    let run = quorate_ledger::MAX_RANGE_BYTES / (2 * consensus.window + 1);
    block.max_body_bytes = within(256..=run.min(4 << 20), draw[1]);
    block.max_transaction_bytes = within(256..=block.max_body_bytes.min(1 << 20), draw[2]);
    block.max_transaction_lifetime_ms = within(1000..=600_000, draw[3]);
    block.empty_block_gap_ms = within(1000..=600_000, draw[4]);
    consensus.checkpoint_interval = within(consensus.window..=2048, draw[6]);
    consensus.log_window = within(2 * consensus.checkpoint_interval..=4096, draw[7]);
    let quarter = block.max_transaction_lifetime_ms / 4;
    consensus.timeout_cap_ms = within(100..=quarter, draw[8]);
    let timeout = consensus.timeout_cap_ms.min(60_000);
    consensus.request_timeout_ms = within(100..=timeout, draw[9]);
    consensus.new_view_timeout_ms = within(100..=timeout, draw[10]);
    let shorter = consensus.request_timeout_ms.min(consensus.new_view_timeout_ms);
    consensus.status_interval_ms = within(50..=shorter, draw[11]);
    consensus.clock_tolerance_ms = within(1..=quarter.min(10_000), draw[12]);
    consensus.batch_delay_ms = within(0..=(consensus.request_timeout_ms / 4).min(1000), draw[13]);
    mempool.max_transactions = within(consensus.window * block.max_transactions..=1_000_000, draw[14]);
    mempool.max_bytes = within(consensus.window * block.max_body_bytes..=1 << 30, draw[15]);
    mempool.max_transactions_per_sender = within(1..=mempool.max_transactions, draw[16]);
    mempool.max_bytes_per_sender = within(block.max_transaction_bytes..=mempool.max_bytes, draw[17]);
    parameters.clients.submit = Submit::ALL[usize::try_from(draw[18] % 2).unwrap()];
    let governance = GovernanceParameters {
        max_clients: within(0..=1_000_000, draw[18]),
        proposal_lifetime: within(1..=10_000_000, draw[19]),
        max_transactions_per_member: within(1..=10_000, draw[20]),
        max_bytes_per_member: within(parameters.block.max_transaction_bytes..=4 << 20, draw[21]),
    };
    Settings { parameters, governance }
}

/// Public key and governance key of 31 validators. Each third one uses one key for both.
fn keys() -> Vec<(PublicKey, PublicKey)> {
    let network = TestNetwork::seeded(31, 9);
    let keys = |(index, validator): (usize, &Validator)| match index % 3 {
        0 => (validator.public_key, validator.public_key),
        _ => (validator.public_key, validator.governance_key),
    };
    network.genesis().validators().iter().enumerate().map(keys).collect()
}

proptest! {
    #[test]
    fn a_genesis_survives_its_file(
        name in "[a-z0-9-]{1,64}",
        time in 0..=MAX_GENESIS_TIME_MS,
        names in proptest::collection::btree_set("[a-z0-9-]{1,32}", 1..=31),
        draw in any::<[u64; 22]>(),
        rotate in 0_usize..31,
        clients in proptest::option::of(0_u64..=1_000_000),
    ) {
        let mut keys = keys();
        keys.rotate_left(rotate);
        let validators = names
            .into_iter()
            .zip(keys)
            .map(|(name, (public_key, governance_key))| Validator { name, public_key, governance_key })
            .collect();
        let mut draft = GenesisDraft::new(&name, Timestamp(time), validators);
        draft.settings = valid_settings(draw);
        draft.predecessor = clients.map(|clients| Predecessor {
            height: Height(within(1..=(1 << 53) - 1, draw[0])),
            clients,
            clients_root: if clients == 0 { clients_root(Vec::new()) } else { Hash::from_bytes([7; 32]) },
            ..predecessor()
        });
        let genesis = draft.check().unwrap();
        let read = Genesis::parse(&genesis.to_toml()).unwrap();
        prop_assert_eq!(read.chain_id(), genesis.chain_id());
        prop_assert_eq!(read.to_toml(), genesis.to_toml());
        prop_assert_eq!(read, genesis);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(name|version|block|validators|\\[|\\]|=|\"|\\n|[0-9]|é|\\.){0,60}") {
        // A random text is never a complete genesis.
        let errors = Genesis::parse(&text).unwrap_err();
        prop_assert!(!errors.errors().is_empty());
        prop_assert_eq!(errors.to_string().lines().count(), errors.errors().len());
    }
}
