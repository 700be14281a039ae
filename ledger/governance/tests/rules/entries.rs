//! The state as single entries.

use std::collections::BTreeMap;

use quorate_governance::{Change, EntryKey, Operation, State};
use quorate_ledger::encode;

use crate::network::{Network, add, add_client, gov, key, name, remove};

/// A state with entries of all kinds.
fn network() -> Network {
    let mut network = Network::of(5);
    assert_eq!(network.decide(vec![remove(4)]), crate::network::EXECUTED);
    network.settle();
    network.block(&[(gov(0), add_client(300)), (gov(1), Operation::Renew)]);
    network.settle();
    network.propose(0, vec![add(7)]);
    network.run(crate::network::W);
    network.ready(add(7).candidate().unwrap());
    network.block(&[(gov(2), add_client(301))]);
    network
}

fn kinds(state: &State) -> usize {
    let kinds: std::collections::BTreeSet<u8> = state.entries().keys().map(|key| key[0]).collect();
    kinds.len()
}

#[test]
fn a_state_is_rebuilt_from_entries_of_all_kinds() {
    let network = network();
    assert_eq!(kinds(&network.state), 10);
    let rebuilt = State::from_entries(network.state.entries()).unwrap();
    assert_eq!(rebuilt.to_bytes(), network.state.to_bytes());
    assert_eq!(rebuilt.entries(), network.state.entries());
    // In any order.
    let reversed: Vec<_> = network.state.entries().into_iter().rev().collect();
    assert_eq!(State::from_entries(reversed).unwrap().root(), network.state.root());
}

#[test]
fn a_block_without_operations_changes_the_head_only() {
    let mut network = Network::of(4);
    network.run(3);
    let before = network.state.clone();
    network.run(1);
    let changes = network.state.changes_since(&before);
    assert_eq!(changes, BTreeMap::from([(encode(&EntryKey::Head), Some(encode(network.state.head())))]));
    assert!(before.changes_since(&before).is_empty());
}

#[test]
fn added_and_removed_clients_are_changes() {
    let mut network = Network::of(4);
    network.block(&[(gov(0), add_client(300)), (gov(0), add_client(301))]);
    network.settle();
    let before = network.state.clone();
    network.block(&[(gov(0), Operation::RemoveClient { key: key(300) }), (gov(1), add_client(302))]);
    network.settle();
    let changes = network.state.changes_since(&before);
    let of = |number| changes.get(&encode(&EntryKey::Client(key(number))));
    assert_eq!(of(300), Some(&None));
    assert_eq!(of(301), None);
    let client = network.state.next_config().client(&key(302)).unwrap();
    assert_eq!(of(302), Some(&Some(encode(client))));
}

/// The clients of a member go with it: every one is a removed entry.
#[test]
fn a_removed_member_takes_its_clients_along() {
    let mut network = Network::of(5);
    let operations: Vec<_> = (0..20).map(|number| (gov(4), add_client(300 + number))).collect();
    network.block(&operations);
    network.block(&[(gov(0), add_client(400))]);
    network.settle();
    let before = network.state.clone();
    network.decide(vec![remove(4)]);
    network.settle();
    let changes = network.state.changes_since(&before);
    let removed =
        (0..20).filter(|number| changes.get(&encode(&EntryKey::Client(key(300 + number)))) == Some(&None));
    assert_eq!(removed.count(), 20);
    assert_eq!(changes.get(&encode(&EntryKey::Member(name(4)))), Some(&None));
}

fn refused(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> String {
    State::from_entries(entries).unwrap_err().to_string()
}

#[test]
fn other_entries_than_those_of_one_state_are_refused() {
    let network = network();
    let entries = network.state.entries();
    for gone in entries.keys() {
        let mut rest = entries.clone();
        rest.remove(gone);
        // Without a READY, a retired key, a renewal or a client, it is another possible state.
        let optional = gone[0] >= 5;
        let read = State::from_entries(rest);
        assert!(read.is_err() || (optional && read.unwrap() != network.state), "without {gone:?}");
    }
    for (key, value) in &entries {
        let repeated = entries.clone().into_iter().chain([(key.clone(), value.clone())]);
        assert!(refused(repeated).contains("it repeats"), "{key:?} twice");
        let longer = [value.as_slice(), &[0]].concat();
        let mut changed = entries.clone();
        changed.insert(key.clone(), longer);
        refused(changed);
    }
    let mut renamed = entries.clone();
    let member = renamed.remove(&encode(&EntryKey::Member(name(0)))).unwrap();
    renamed.insert(encode(&EntryKey::Member(name(9))), member);
    assert!(refused(renamed).contains("another name"));
    let mut moved = entries.clone();
    let client = moved.remove(&encode(&EntryKey::Client(key(300)))).unwrap();
    moved.insert(encode(&EntryKey::Client(key(999))), client);
    assert!(refused(moved).contains("another key"));
    let mut unknown = entries;
    unknown.insert(vec![77], Vec::new());
    refused(unknown);
}

/// Sets are sorted in the canonical encoding, but decode in any order.
#[test]
fn approvals_in_another_order_are_refused() {
    let mut network = Network::of(5);
    let id = network.propose(0, vec![Change::RemoveMember { name: name(4) }]);
    network.approve(1, id);
    let mut entries = network.state.entries();
    let proposal = entries.get_mut(&encode(&EntryKey::Proposal(id))).unwrap();
    let keys = proposal.len() - 66;
    proposal[keys..].rotate_left(33);
    assert!(refused(entries).contains("canonical"));
}
