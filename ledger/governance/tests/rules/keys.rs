//! Keys are rotated, renewed and replaced, and never used twice.

use quorate_governance::{Change, InitialState, Member, Operation, Possession, Reason, State, limits};
use quorate_ledger::{BlockHash, ChainId, Epoch};

use crate::network::{
    CHAIN, EXECUTED, K, Network, add, failed, gov, key, name, remove, secret, settings, vote,
};

#[test]
fn a_member_rotates_its_consensus_key_and_keeps_its_governance_key() {
    let mut network = Network::of(4);
    let rotation = network.rotation(gov(1), &secret(300));
    assert_eq!(network.one(gov(1), rotation), EXECUTED);
    network.settle();
    let member = network.state.next_config().member(&name(1)).unwrap().clone();
    assert_eq!((member.consensus_key, member.governance_key), (key(300), gov(1)));
    assert_eq!(network.epoch(), Epoch(1));
    assert_eq!(network.state.retired()[&vote(1)], Epoch(1));
}

#[test]
fn a_member_with_one_key_for_both_purposes_rotates_both() {
    let members = (0..4).map(|index| Member {
        name: name(index),
        consensus_key: vote(index),
        governance_key: vote(index),
    });
    let block = BlockHash::from_bytes([0; 32]);
    let (settings, clients) = (settings(), Vec::new());
    let initial = InitialState { chain: CHAIN, block, members: members.collect(), settings, clients };
    let mut network = Network::of(4);
    network.state = State::initial(initial).unwrap();
    let rotation = network.rotation(vote(1), &secret(300));
    assert_eq!(network.one(vote(1), rotation), EXECUTED);
    network.settle();
    assert_eq!(network.one(vote(1), Operation::Renew), failed(Reason::NotAMember), "the stolen key is void");
    let member = network.state.next_config().member(&name(1)).unwrap().clone();
    assert_eq!((member.consensus_key, member.governance_key), (key(300), key(300)));
}

#[test]
fn a_rotation_needs_the_signature_of_the_new_key_for_this_chain_member_and_epoch() {
    let mut network = Network::of(4);
    let new = secret(300);
    let wrong = [
        Possession::sign(&ChainId::from_bytes([1; 32]), gov(1), &new, Epoch(0)),
        Possession::sign(&CHAIN, gov(2), &new, Epoch(0)),
        Possession::sign(&CHAIN, gov(1), &new, Epoch(1)),
        Possession::sign(&CHAIN, gov(1), &secret(301), Epoch(0)),
    ];
    for possession in wrong {
        let rotation = Operation::Rotate { consensus_key: new.public(), possession };
        assert_eq!(network.one(gov(1), rotation), failed(Reason::BadPossession));
    }
}

#[test]
fn one_rotation_or_renewal_of_a_member_in_16_k_heights() {
    let mut network = Network::of(4);
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    let first = network.height();
    network.settle();
    assert_eq!(network.one(gov(2), Operation::Renew), EXECUTED, "another member may");
    network.settle();
    let rotation = network.rotation(gov(1), &secret(300));
    assert_eq!(network.one(gov(1), rotation), failed(Reason::TooSoon));
    while network.height() + 1 < first + 16 * K {
        network.run(1);
    }
    let rotation = network.rotation(gov(1), &secret(300));
    assert_eq!(network.one(gov(1), rotation), EXECUTED);
    assert_eq!(network.state.renewals()[&name(1)].0, first + 16 * K);
}

#[test]
fn a_renewal_starts_an_epoch_with_the_same_keys() {
    let mut network = Network::of(4);
    let before = network.state.next_config().committee().clone();
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    network.settle();
    let after = network.state.next_config().committee();
    assert_eq!((network.epoch(), after), (Epoch(1), &before.in_epoch(Epoch(1))));
    assert_ne!(after.hash(), before.hash(), "its first header shows that the epoch began");
    assert!(network.state.retired().is_empty());
}

#[test]
fn the_others_replace_a_lost_governance_key_and_its_approvals_lapse() {
    let mut network = Network::of(4);
    let other = network.propose(3, vec![add(9)]);
    assert_eq!(network.approve(1, other), EXECUTED);
    let keys = Change::ReplaceKeys { name: name(3), consensus_key: None, governance_key: Some(key(300)) };
    assert_eq!(network.decide(vec![keys]), EXECUTED);
    network.settle();
    assert_eq!(network.one(gov(3), Operation::Renew), failed(Reason::NotAMember));
    assert_eq!(network.one(key(300), Operation::Renew), EXECUTED);
    let approvals = &network.state.proposals()[&other].approvals;
    assert_eq!(approvals.iter().collect::<Vec<_>>(), [&gov(1)], "a thief may have given the other one");
}

#[test]
fn a_replaced_consensus_key_must_be_ready() {
    let mut network = Network::of(4);
    let keys = Change::ReplaceKeys { name: name(3), consensus_key: Some(key(300)), governance_key: None };
    let id = network.propose(0, vec![keys]);
    network.run(3);
    assert_eq!(network.approve(1, id), EXECUTED);
    assert_eq!(network.approve(2, id), failed(Reason::NotReady));
    assert_eq!(network.ready(key(300)), EXECUTED);
    assert_eq!(network.approve(2, id), EXECUTED);
}

/// substrate#11175: duplicate keys must not enter a committee.
#[test]
fn no_key_of_a_member_is_accepted_for_another_purpose() {
    let network = Network::of(7);
    let added = |consensus_key, governance_key| {
        vec![Change::AddMember { name: name(9), consensus_key, governance_key }]
    };
    let replaced = |consensus_key, governance_key| {
        vec![Change::ReplaceKeys { name: name(1), consensus_key, governance_key }]
    };
    let mut swapped = replaced(None, Some(gov(2)));
    swapped.push(remove(2));
    let mut twins = added(vote(9), gov(9));
    twins.push(Change::ReplaceKeys { name: name(1), consensus_key: Some(vote(9)), governance_key: None });
    for changes in [
        added(vote(3), gov(9)),
        added(gov(3), gov(9)),
        added(vote(9), vote(3)),
        added(vote(9), gov(3)),
        replaced(Some(vote(1)), None),
        replaced(Some(gov(1)), None),
        replaced(None, Some(vote(1))),
        replaced(Some(vote(2)), None),
        swapped,
        twins,
    ] {
        let (_, outcome) = network.clone().try_propose(0, changes.clone());
        assert_eq!(outcome, failed(Reason::KeyInUse), "{changes:?}");
    }
}

/// M81: a key that left the committee does not come back for 64 epochs.
#[test]
fn keys_of_earlier_epochs_are_not_accepted_again() {
    let mut network = Network::of(5);
    assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
    network.settle();
    let retired = |network: &mut Network| network.clone().try_propose(0, vec![add(4)]).1;
    assert_eq!(retired(&mut network), failed(Reason::KeyRetired));
    let epochs = u64::from(limits::KEY_HISTORY_EPOCHS);
    while network.epoch() < Epoch(epochs) {
        let index = u16::try_from(network.epoch().0 % 4).unwrap();
        network.run(16 * K);
        assert_eq!(network.one(gov(index), Operation::Renew), EXECUTED);
        assert_eq!(retired(&mut network), failed(Reason::KeyRetired), "epoch {}", network.epoch());
        network.settle();
    }
    let rotation = network.rotation(gov(0), &secret(104));
    assert_eq!(network.clone().one(gov(0), rotation), failed(Reason::KeyRetired));
    network.run(16 * K);
    assert_eq!(network.one(gov(0), Operation::Renew), EXECUTED);
    network.settle();
    assert!(network.state.retired().is_empty());
    assert_eq!(retired(&mut network), EXECUTED);
}
