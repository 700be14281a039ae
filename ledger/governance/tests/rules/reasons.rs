//! Every reason for which an operation can fail, in the shortest chain that leads to it. A failed
//! operation changes nothing but the head.

use std::collections::BTreeSet;

use quorate_governance::{Change, Operation, ParameterName, ProposalId, Quota, Reason, Submit};
use quorate_ledger::{BlockHash, Height, PublicKey};

use crate::network::{
    EXECUTED, K, Network, W, add, add_client, failed, gov, key, name, remove, secret, set, settings, vote,
};

/// A key with the right first byte that is no point of the curve: no point has x = 5.
fn nowhere() -> PublicKey {
    let mut bytes = [0; 33];
    (bytes[0], bytes[32]) = (2, 5);
    PublicKey::from_bytes(bytes).unwrap()
}

/// A network, and the sender and the operation that fail in its next block.
type Case = (Network, PublicKey, Operation);

fn propose(changes: Vec<Change>) -> Operation {
    Operation::Propose { changes }
}

fn of_members(reason: Reason) -> Case {
    let four = Network::of(4);
    let changes = match reason {
        Reason::UnknownMember => vec![remove(9)],
        Reason::NameTaken => {
            vec![Change::AddMember { name: name(1), consensus_key: vote(9), governance_key: gov(9) }]
        }
        Reason::KeyInUse => {
            vec![Change::AddMember { name: name(9), consensus_key: gov(2), governance_key: gov(9) }]
        }
        Reason::BadKey => {
            vec![Change::AddMember { name: name(9), consensus_key: vote(9), governance_key: nowhere() }]
        }
        Reason::CommitteeTooLarge => return (Network::of(31), gov(0), propose(vec![add(31)])),
        Reason::CommitteeTooSmall => vec![remove(3)],
        Reason::TooManyMembersChange => vec![add(9), remove(3)],
        Reason::ConflictingChanges => vec![remove(3), remove(3)],
        Reason::NoChange => {
            vec![Change::ReplaceKeys { name: name(2), consensus_key: None, governance_key: None }]
        }
        other => panic!("no case for {other:?}"),
    };
    (four, gov(0), propose(changes))
}

fn of_epochs(reason: Reason) -> Case {
    let mut network = Network::of(4);
    match reason {
        Reason::OneAtATime => {
            assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
            (network, gov(2), Operation::Renew)
        }
        Reason::TooSoon => {
            assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
            network.run(16 * K - 2);
            (network, gov(1), Operation::Renew)
        }
        Reason::BadPossession => {
            let rotation = network.rotation(gov(2), &secret(300));
            (network, gov(1), rotation)
        }
        Reason::KeyRetired => {
            let rotation = network.rotation(gov(1), &secret(300));
            assert_eq!(network.one(gov(1), rotation), EXECUTED);
            network.settle();
            let rotation = network.rotation(gov(2), &secret(101));
            (network, gov(2), rotation)
        }
        other => panic!("no case for {other:?}"),
    }
}

fn of_readiness(reason: Reason) -> Case {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![add(4)]);
    network.run(W);
    let ready = |height: u64, block| Operation::Ready { height: Height(height), block };
    match reason {
        Reason::NotReady => {
            assert_eq!(network.approve(1, id), EXECUTED);
            (network, gov(2), Operation::Approve(id))
        }
        Reason::NotACandidate => {
            let block = network.hashes[&Height(2)];
            (network, vote(5), ready(2, block))
        }
        Reason::ReadyTooOld => {
            network.run(10);
            let old = network.height() - 2 * K;
            let block = network.hashes[&Height(old)];
            (network, vote(4), ready(old, block))
        }
        Reason::ReadyUnknownBlock => (network, vote(4), ready(2, BlockHash::from_bytes([7; 32]))),
        other => panic!("no case for {other:?}"),
    }
}

fn of_proposals(reason: Reason) -> Case {
    let mut network = Network::of(4);
    match reason {
        Reason::Malformed => (network, gov(0), propose(Vec::new())),
        Reason::NotAMember => (network, vote(0), Operation::Renew),
        Reason::UnknownProposal => (network, gov(0), Operation::Approve(ProposalId::from_bytes([1; 32]))),
        Reason::TooManyProposals => {
            network.propose(0, vec![add(9)]);
            network.propose(0, vec![add(8)]);
            (network, gov(0), propose(vec![add(7)]))
        }
        Reason::ParameterRange => (network, gov(0), propose(vec![set(ParameterName::Window, 0)])),
        Reason::ParameterRule => (network, gov(0), propose(vec![set(ParameterName::Window, K + 1)])),
        other => panic!("no case for {other:?}"),
    }
}

fn of_clients(reason: Reason) -> Case {
    let mut settings = settings();
    settings.governance.max_clients = 62;
    let mut network = Network::with(4, settings);
    assert_eq!(network.one(gov(0), add_client(400)), EXECUTED);
    let quota = Some(Quota { transactions: 251, bytes: 1 });
    let (sender, operation) = match reason {
        Reason::ClientExists => (gov(1), add_client(400)),
        Reason::UnknownClient => (gov(0), Operation::RemoveClient { key: key(401) }),
        Reason::NotYourClient => (gov(1), Operation::RemoveClient { key: key(400) }),
        Reason::ClientRevoked => {
            assert_eq!(network.decide(vec![Change::RevokeClient { key: key(400) }]), EXECUTED);
            (gov(0), Operation::RemoveClient { key: key(400) })
        }
        Reason::ClientLimit => {
            assert_eq!(network.one(gov(0), add_client(401)), EXECUTED, "62 / 31");
            (gov(0), add_client(402))
        }
        Reason::QuotaAboveMember => (gov(0), Operation::SetClientQuota { key: key(400), quota }),
        Reason::ScheduleFull => {
            let quota = Operation::SetClientQuota { key: key(400), quota: None };
            let many = vec![(gov(0), quota.clone()); 255];
            assert!(network.block(&many).iter().all(|outcome| *outcome == EXECUTED));
            (gov(0), quota)
        }
        Reason::MemberLeaves => {
            let mut network = Network::of(5);
            assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
            return (network, gov(4), add_client(400));
        }
        other => panic!("no case for {other:?}"),
    };
    (network, sender, operation)
}

fn case(reason: Reason) -> Case {
    use Reason as R;
    match reason {
        R::UnknownMember | R::NameTaken | R::KeyInUse | R::BadKey | R::CommitteeTooLarge => {
            of_members(reason)
        }
        R::CommitteeTooSmall | R::TooManyMembersChange | R::ConflictingChanges | R::NoChange => {
            of_members(reason)
        }
        R::OneAtATime | R::TooSoon | R::BadPossession | R::KeyRetired => of_epochs(reason),
        R::NotReady | R::NotACandidate | R::ReadyTooOld | R::ReadyUnknownBlock => of_readiness(reason),
        R::Malformed | R::NotAMember | R::UnknownProposal | R::TooManyProposals => of_proposals(reason),
        R::ParameterRange | R::ParameterRule => of_proposals(reason),
        _ => of_clients(reason),
    }
}

#[test]
fn every_reason_is_reached_and_leaves_everything_but_the_head_unchanged() {
    let mut seen = BTreeSet::from([Reason::Repeated]);
    for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::Repeated) {
        let (network, sender, operation) = case(*reason);
        let (mut with, mut without) = (network.clone(), network);
        assert_eq!(with.one(sender, operation), failed(*reason));
        without.run(1);
        assert_eq!(with.state, without.state, "{reason:?} changed nothing");
        seen.insert(*reason);
    }
    assert_eq!(seen.len(), Reason::ALL.len());
}

#[test]
fn a_second_proposal_with_the_id_of_an_open_one_is_refused() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![add(4)]);
    let twin = (id, gov(1), propose(vec![add(5)]).to_bytes());
    assert_eq!(network.execute(&[twin])[0], failed(Reason::Repeated));
}

#[test]
fn repeated_parameters_clients_and_modes_conflict() {
    let mode = Change::SetSubmitMode { mode: Submit::Registry };
    let revoke = Change::RevokeClient { key: key(400) };
    let delay = set(ParameterName::BatchDelay, 20);
    for change in [mode, revoke, delay] {
        let mut network = Network::of(4);
        let twice = propose(vec![change.clone(), change]);
        assert_eq!(network.one(gov(0), twice), failed(Reason::ConflictingChanges));
    }
}

#[test]
fn values_that_hold_already_are_no_change() {
    let mut network = Network::of(4);
    let mode = Change::SetSubmitMode { mode: Submit::Open };
    for change in [mode, set(ParameterName::Window, W)] {
        assert_eq!(network.one(gov(0), propose(vec![change])), failed(Reason::NoChange));
    }
}
