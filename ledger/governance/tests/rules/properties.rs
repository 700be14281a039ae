//! Random chains of operations by random keys: nothing panics, and the invariants hold after every
//! block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestCaseResult;
use quorate_governance::{
    Change, Config, Operation, Outcome, ParameterName, Possession, ProposalId, Quota, State, Submit, limits,
};
use quorate_ledger::{BlockHash, Committee, Epoch, Height, PublicKey, SecretKey, TransactionId};

use crate::network::{CHAIN, Network, name, settings};

/// Keys 0 to 11 are consensus keys, 12 to 23 governance keys of members 0 to 11, the others free.
const KEYS: u16 = 40;
const MEMBERS: u16 = 12;

static SECRETS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
    let number = |at: u16| match at {
        0..12 => 100 + at,
        12..24 => 188 + at,
        _ => 300 + at,
    };
    (0..KEYS).map(|at| crate::network::secret(number(at))).collect()
});

fn key(at: u16) -> PublicKey {
    SECRETS[usize::from(at)].public()
}

/// An operation before the state fills in what it refers to.
#[derive(Debug, Clone)]
enum Draft {
    Propose(Vec<Change>),
    /// Approves or withdraws the open proposal with this number, modulo their count.
    Approve(usize),
    Withdraw(usize),
    /// READY for a block so many heights below the last one.
    Ready(u64),
    /// Rotation to this key, signed for the epoch in force or, if false, for another.
    Rotate(u16, bool),
    Plain(Operation),
    Bytes(Vec<u8>),
}

fn any_key() -> impl Strategy<Value = PublicKey> {
    (0..KEYS).prop_map(key)
}

fn change() -> impl Strategy<Value = Change> {
    let parameter = (0..ParameterName::ALL.len(), prop_oneof![0_u64..40, any::<u64>()]);
    prop_oneof![
        4 => (0..MEMBERS).prop_map(|at| Change::AddMember {
            name: name(at), consensus_key: key(at), governance_key: key(12 + at),
        }),
        4 => (0..MEMBERS).prop_map(|at| Change::RemoveMember { name: name(at) }),
        1 => (0..MEMBERS, any_key(), any_key()).prop_map(|(at, one, two)| Change::AddMember {
            name: name(at), consensus_key: one, governance_key: two,
        }),
        1 => (0..MEMBERS, proptest::option::of(any_key()), proptest::option::of(any_key())).prop_map(
            |(at, consensus_key, governance_key)| Change::ReplaceKeys { name: name(at), consensus_key, governance_key }
        ),
        1 => any_key().prop_map(|key| Change::RevokeClient { key }),
        2 => parameter.prop_map(|(at, value)| Change::SetParameter { parameter: ParameterName::ALL[at], value }),
        // W, so that it grows and shrinks often.
        2 => (1_u64..5).prop_map(|value| Change::SetParameter { parameter: ParameterName::Window, value }),
        1 => any::<bool>().prop_map(|open| Change::SetSubmitMode {
            mode: if open { Submit::Open } else { Submit::Registry },
        }),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let quota = proptest::option::of((0_u64..300, 0_u64..300_000));
    prop_oneof![
        6 => vec(change(), 1..4).prop_map(Draft::Propose),
        20 => (0_usize..8).prop_map(Draft::Approve),
        1 => (0_usize..8).prop_map(Draft::Withdraw),
        8 => (0_u64..12).prop_map(Draft::Ready),
        1 => (0..KEYS, any::<bool>()).prop_map(|(at, right)| Draft::Rotate(at, right)),
        1 => Just(Draft::Plain(Operation::Renew)),
        3 => any_key().prop_map(|key| Draft::Plain(Operation::AddClient { name: name(1), key })),
        1 => any_key().prop_map(|key| Draft::Plain(Operation::RemoveClient { key })),
        1 => (any_key(), quota).prop_map(|(key, quota)| Draft::Plain(Operation::SetClientQuota {
            key,
            quota: quota.map(|(transactions, bytes)| Quota { transactions, bytes }),
        })),
        1 => vec(any::<u8>(), 0..60).prop_map(Draft::Bytes),
    ]
}

/// The operation of a draft in this state, with the sender of that number.
fn payload(network: &Network, sender: PublicKey, draft: &Draft) -> Vec<u8> {
    let ids: Vec<ProposalId> = network.state.proposals().keys().copied().collect();
    let id = |at: usize| ids.get(at % ids.len().max(1)).copied().unwrap_or(ProposalId::from_bytes([9; 32]));
    let operation = match draft {
        Draft::Propose(changes) => Operation::Propose { changes: changes.clone() },
        Draft::Approve(at) => Operation::Approve(id(*at)),
        Draft::Withdraw(at) => Operation::Withdraw(id(*at)),
        Draft::Ready(below) => {
            let height = Height(network.height().saturating_sub(*below));
            Operation::Ready { height, block: network.hashes[&height] }
        }
        Draft::Rotate(at, right) => {
            let epoch = Epoch(network.epoch().0 + u64::from(!right));
            let possession = Possession::sign(&CHAIN, sender, &SECRETS[usize::from(*at)], epoch);
            Operation::Rotate { consensus_key: key(*at), possession }
        }
        Draft::Plain(operation) => operation.clone(),
        Draft::Bytes(bytes) => return bytes.clone(),
    };
    operation.to_bytes()
}

/// What a configuration says, to compare two of them.
fn summary(config: &Config) -> (Epoch, Vec<PublicKey>, String, BTreeSet<PublicKey>) {
    let clients: Vec<String> = config.clients().iter().map(|client| format!("{client:?}")).collect();
    let members = config.committee().members().to_vec();
    (config.epoch(), members, format!("{:?} {clients:?}", config.settings()), config.candidates().clone())
}

/// The rules of one configuration, in arithmetic of its own.
fn check_config(config: &Config) -> TestCaseResult {
    let members = config.members();
    prop_assert!((1..=31).contains(&members.len()));
    let mut owners: BTreeMap<PublicKey, usize> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        for key in [member.consensus_key, member.governance_key] {
            prop_assert_eq!(*owners.entry(key).or_insert(at), at, "a key has one owner");
        }
    }
    let keys: Vec<PublicKey> = members.iter().map(|member| member.consensus_key).collect();
    prop_assert!(keys.is_sorted());
    prop_assert_eq!(&keys, config.committee().members());
    prop_assert!(config.settings().errors().is_empty());
    for client in config.clients() {
        prop_assert!(config.member(&client.member).is_some());
    }
    Ok(())
}

/// Any two quorums of consecutive committees share a member that is correct if at most min(f, f')
/// members are faulty. The smallest possible overlap takes all members that one committee lacks.
fn check_neighbours(old: &Config, new: &Config) -> TestCaseResult {
    let two_thirds = |n: usize| (2 * n).div_ceil(3);
    let third = |n: usize| (n - 1) / 3;
    let (n, m) = (old.members().len(), new.members().len());
    let shared = old.members().iter().filter(|member| new.member(&member.name).is_some()).count();
    let from_old = two_thirds(n).saturating_sub(n - shared);
    let from_new = two_thirds(m).saturating_sub(m - shared);
    let overlap = (from_old + from_new).saturating_sub(shared);
    prop_assert!(overlap > third(n).min(third(m)), "{n} to {m} with {shared} in common");
    Ok(())
}

fn check_state(state: &State) -> TestCaseResult {
    let configs: Vec<(Height, &Config)> = state.configs().collect();
    for (_, config) in &configs {
        check_config(config)?;
    }
    for pair in configs.windows(2) {
        prop_assert!(pair[0].0 < pair[1].0);
        check_neighbours(pair[0].1, pair[1].1)?;
    }
    let epochs: BTreeSet<Epoch> = configs.iter().map(|(_, config)| config.epoch()).collect();
    prop_assert!(epochs.len() <= 2, "at most one epoch change is scheduled");
    let changes = state.scheduled().values().filter(|change| change.effect.starts_epoch()).count();
    prop_assert_eq!(changes + 1, epochs.len());
    prop_assert!(state.proposals().len() <= limits::MAX_OPEN_PROPOSALS as usize);
    for proposal in state.proposals().values() {
        let in_force = |key| state.next_config().member_of(key).is_some();
        prop_assert!(!proposal.approvals.is_empty() && proposal.approvals.iter().all(in_force));
    }
    let read = State::from_bytes(&state.to_bytes());
    let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(read.root(), state.root(), "incremental and from scratch");
    Ok(())
}

/// The changed entries of all blocks, written over those of the first state, are the entries of the
/// state, and an equal state can be made of them.
fn check_entries(entries: &mut BTreeMap<Vec<u8>, Vec<u8>>, before: &State, after: &State) -> TestCaseResult {
    for (key, value) in after.changes_since(before) {
        let known = match &value {
            Some(value) => entries.insert(key, value.clone()),
            None => entries.remove(&key),
        };
        prop_assert_ne!(known, value, "only what changed");
    }
    prop_assert_eq!(&*entries, &after.entries());
    let read = State::from_entries(&*entries).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(read.root(), after.root());
    prop_assert_eq!(read.to_bytes(), after.to_bytes());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_block(
        initial in 1_u16..9,
        blocks in vec(vec((0..KEYS, draft()), 0..10), 1..60),
    ) {
        let mut network = Network::with(initial, settings());
        // What each state said about each height.
        let mut known: BTreeMap<Height, _> = BTreeMap::new();
        let mut entries = network.state.entries();
        for block in blocks {
            let transactions: Vec<(TransactionId, PublicKey, Vec<u8>)> = block
                .iter()
                .map(|(sender, draft)| {
                    // Mostly members act, and candidates send READY.
                    let sender = match draft {
                        Draft::Ready(_) => key(*sender % MEMBERS),
                        _ if *sender % 5 == 0 => key(*sender),
                        _ => key(12 + *sender % MEMBERS),
                    };
                    (network.new_id(), sender, payload(&network, sender, draft))
                })
                .collect();
            let before = network.state.clone();
            let outcomes = network.execute(&transactions);
            check_entries(&mut entries, &before, &network.state)?;
            prop_assert_eq!(outcomes.len(), transactions.len());
            check_state(&network.state)?;
            for height in network.height() + 1..=network.state.horizon().0 {
                let config = summary(network.state.config(Height(height)).unwrap());
                let before = known.entry(Height(height)).or_insert_with(|| config.clone());
                prop_assert_eq!(&*before, &config, "config({}) never changes", height);
            }
            let window = network.state.next_config().parameters().consensus.window;
            prop_assert!(network.state.horizon().0 > network.height() + window);
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..300), at in 0_usize..2000, value in any::<u8>()) {
        let _ = Operation::decode(&bytes);
        let _ = State::from_bytes(&bytes);
        let mut network = Network::of(4);
        network.propose(0, vec![crate::network::add(4)]);
        let mut state = network.state.to_bytes();
        let length = state.len();
        state[at % length] = value;
        if let Ok(mut state) = State::from_bytes(&state) {
            // A state that was accepted can be continued.
            let height = state.height().next();
            let hash = BlockHash::from_bytes([3; 32]);
            let block = quorate_governance::ExecutedBlock { height, hash, transactions: &[] };
            let _ = state.apply(&block, &BTreeMap::new());
            let _ = state.preview(&[crate::network::add(5)]);
        }
    }
}

/// The random chains are worth something: they reach new epochs, and most reasons.
#[test]
fn random_chains_reach_decisions() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = vec(vec((0..KEYS, draft()), 6..10), 60);
    let (mut epochs, mut executed, mut reasons) = (0, 0, BTreeSet::new());
    for _ in 0..40 {
        let blocks: Vec<Vec<(u16, Draft)>> = strategy.new_tree(&mut runner).unwrap().current();
        let mut network = Network::of(5);
        for block in blocks {
            let transactions: Vec<_> = block
                .iter()
                .map(|(sender, draft)| {
                    let ready = matches!(draft, Draft::Ready(_));
                    let sender = key(if ready { *sender % MEMBERS } else { 12 + *sender % MEMBERS });
                    (network.new_id(), sender, payload(&network, sender, draft))
                })
                .collect();
            for outcome in network.execute(&transactions) {
                match outcome {
                    Outcome::Executed => executed += 1,
                    Outcome::Failed(reason) => _ = reasons.insert(reason),
                }
            }
        }
        epochs += network.epoch().0;
    }
    assert!(epochs > 40 && executed > 2000 && reasons.len() > 20, "{epochs} {executed} {}", reasons.len());
}

/// The smallest possible overlap of quorums, for every committee and every change that passes.
#[test]
fn quorums_of_consecutive_committees_share_a_correct_member() {
    for n in 1_u16..=31 {
        let network = Network::with(n, settings());
        for (added, removed) in (0..4).flat_map(|added| (0..4).map(move |removed| (added, removed))) {
            let mut changes: Vec<Change> = (0..added).map(|at| crate::network::add(40 + at)).collect();
            changes.extend((0..removed.min(n)).map(crate::network::remove));
            let Some(after) = network.state.preview(&changes).after else { continue };
            let before: &Committee = network.state.next_config().committee();
            let shared = usize::from(n - removed.min(n));
            let overlap =
                (before.quorum() + after.quorum + shared).saturating_sub(before.size() + after.members);
            assert!(overlap > before.faults().min(after.faults), "{n} +{added} -{removed}");
        }
    }
}
