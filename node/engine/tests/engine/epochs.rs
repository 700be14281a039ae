//! Epochs end and begin while the network runs (R26).

use std::time::Duration;

use quorate_engine::{Notice, Submission};
use quorate_governance::{Change, Name, Operation, ParameterName, Possession};
use quorate_ledger::{Epoch, Height, NotPermitted, Payload, SecretKey, Transaction, TransactionId};
use quorate_pbft::SigningStatus;
use quorate_store::Ledger;

use crate::net::{Crash, Net, id};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Submits the renewal of a member at a node.
fn renew(net: &mut Net, member: usize, at: usize, nonce: u64) -> TransactionId {
    let key = net.governance[member].clone();
    let operation = net.operation(&key, nonce, &Operation::Renew);
    assert_eq!(net.submit(at, &operation), Ok(Submission::Pending));
    operation.id()
}

fn assert_all_in(net: &Net, epoch: u64) {
    for member in (0..net.nodes.len()).filter(|member| net.nodes[*member].engine.is_some()) {
        assert_eq!(net.epoch(member), epoch, "member {member}");
    }
}

/// R26c: the operation is in block 1, so the epoch ends with block 1 + W = 9. Nothing else is
/// pending, so the primary fills the heights, and then the network is silent.
#[test]
fn an_idle_network_completes_a_change_and_is_silent_again() {
    let mut net = Net::of(4);
    renew(&mut net, 2, 1, 1);
    net.pass(seconds(1));
    assert_all_in(&net, 1);
    for member in 0..4 {
        assert_eq!(net.height(member), 9);
        let entered = |notice: &&Notice| matches!(notice, Notice::EnteredEpoch { .. });
        let notices: Vec<_> = net.nodes[member].notices.iter().filter(entered).collect();
        assert_eq!(notices, [&Notice::EnteredEpoch { epoch: Epoch(1), start: Height(10) }]);
        assert_eq!(net.departures(member), [], "no view failed");
    }
    let sent = net.log.len();
    net.pass(seconds(60));
    assert_eq!(net.log.len(), sent, "nothing but STATUS is sent");
    assert_eq!(net.height(0), 9);
    net.commit_each(10..12);
    assert_eq!(net.height(3), 11);
}

/// Transactions arrive all the time. None is lost or repeated, and none waits for longer than the
/// request timeout.
#[test]
fn under_load_every_transaction_is_ordered_once() {
    let mut net = Net::of(4);
    let mut submitted = Vec::new();
    for nonce in 0..300 {
        let transaction = net.transaction(1000 + nonce);
        let at = usize::try_from(nonce % 4).unwrap();
        assert_eq!(net.submit(at, &transaction), Ok(Submission::Pending));
        submitted.push(transaction.id());
        if nonce == 50 {
            submitted.push(renew(&mut net, 0, 3, 1));
        }
        if nonce == 150 {
            submitted.push(renew(&mut net, 1, 2, 1));
        }
        net.pass(Duration::from_millis(10));
        let oldest = net.overview(at).oldest_waiting;
        assert!(oldest.is_none_or(|since| net.wall().0 - since.0 < 2000), "it waits since {oldest:?}");
    }
    net.pass(seconds(1));
    assert_all_in(&net, 2);
    submitted.sort_unstable();
    for member in 0..4 {
        let mut ids = net.ids(member);
        ids.sort_unstable();
        assert_eq!(ids, submitted, "member {member}");
        assert_eq!(net.departures(member), []);
    }
}

/// R24c, R26e: an old journal makes a member recovering. The next epoch ends that.
#[test]
fn a_recovering_member_votes_again_in_the_next_epoch() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let [_, old] = net.copy_of_files(2);
    net.commit_each(2..4);
    net.power_loss(2);
    net.nodes[2].journal = old;
    net.open(2);
    net.pass(seconds(2));
    assert!(matches!(net.overview(2).pbft.signing, SigningStatus::Recovering { .. }));
    renew(&mut net, 2, 0, 1);
    net.pass(seconds(2));
    assert_all_in(&net, 1);
    net.pass(seconds(2));
    assert_eq!(net.overview(2).pbft.signing, SigningStatus::Voting);
    // Its vote is needed.
    net.power_loss(3);
    net.commit_each(10..12);
    assert!(net.height(2) > net.engine(2).network().epoch_start().0);
    assert_eq!(net.overview(2).pbft.signing, SigningStatus::Voting);
}

/// The disk of a member is lost, both files. After a renewal it votes with empty ones.
#[test]
fn a_member_without_files_votes_again_after_a_renewal() {
    let mut net = Net::of(4);
    net.commit_each(0..4);
    net.power_loss(1);
    net.create_files(1);
    net.open(1);
    net.pass(seconds(2));
    renew(&mut net, 1, 1, 1);
    net.pass(seconds(4));
    assert_all_in(&net, 1);
    assert_eq!(net.overview(1).pbft.signing, SigningStatus::Voting);
    assert_eq!(net.ids(1), net.ids(0));
    net.power_loss(2);
    net.commit_each(10..12);
    assert_eq!(net.ids(1), net.ids(0));
}

/// R26e: every member loses power at every call around the boundary, once each.
#[test]
fn a_power_loss_at_any_call_of_the_change_loses_nothing() {
    for member in 0..4 {
        for calls in 0..60 {
            for messages_left in [false, true] {
                let mut net = Net::of(4);
                net.crash = Some(Crash { member, calls, messages_left });
                renew(&mut net, 0, (member + 1) % 4, 1);
                net.pass(seconds(6));
                net.crash = None;
                assert_all_in(&net, 1);
                let transaction = net.transaction(77);
                net.submit((member + 1) % 4, &transaction).unwrap();
                net.pass(seconds(3));
                for other in 0..4 {
                    assert!(net.ids(other).contains(&transaction.id()), "{member} {calls} {other}");
                }
            }
        }
    }
}

#[test]
fn a_power_loss_of_all_members_in_a_change_loses_nothing() {
    for pause_ms in [0, 5, 10, 20, 40, 60, 80, 100, 150, 200] {
        let mut net = Net::of(4);
        let operation = renew(&mut net, 0, 1, 1);
        net.deliver_all();
        net.pass(Duration::from_millis(pause_ms));
        for member in 0..4 {
            net.power_loss(member);
        }
        net.queue.clear();
        for member in 0..4 {
            net.open(member);
        }
        net.pass(seconds(8));
        if !net.ids(0).contains(&operation) {
            continue; // no member had it in its journal
        }
        assert_all_in(&net, 1);
        net.commit_each(50..52);
        assert_eq!(net.ids(2), net.ids(0));
    }
}

/// A member that was away for several epochs fetches them, and votes in the present one.
#[test]
fn a_member_that_missed_epochs_catches_up_and_votes() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    net.power_loss(3);
    for member in 0..3 {
        renew(&mut net, member, 0, 1);
        net.pass(seconds(1));
    }
    net.commit_each(10..13);
    net.open(3);
    net.pass(seconds(5));
    assert_all_in(&net, 3);
    assert_eq!(net.ids(3), net.ids(0));
    assert_eq!(net.overview(3).pbft.signing, SigningStatus::Voting);
    net.power_loss(0);
    let transaction = net.transaction(99);
    net.submit(1, &transaction).unwrap();
    net.pass(seconds(8));
    assert!(net.ids(3).contains(&transaction.id()), "three of four order without the fourth");
}

/// R24d: only the ledger of a member was restored, to a copy from an earlier epoch. It fetches the
/// blocks, and keeps what it has signed in the epoch of its journal.
#[test]
fn an_old_ledger_of_an_earlier_epoch_loses_no_record() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let [old, _] = net.copy_of_files(2);
    renew(&mut net, 0, 1, 1);
    net.pass(seconds(1));
    net.commit_each(2..5);
    // The others have received statements of the present epoch.
    net.power_loss(2);
    net.nodes[2].ledger = old;
    net.open(2);
    assert_eq!(net.epoch(2), 0);
    net.pass(seconds(5));
    assert_all_in(&net, 1);
    assert_eq!(net.overview(2).pbft.signing, SigningStatus::Voting, "its journal has all statements");
    assert_eq!(net.ids(2), net.ids(0));
    // Its vote is needed.
    net.power_loss(3);
    let transaction = net.transaction(60);
    net.submit(0, &transaction).unwrap();
    net.pass(seconds(8));
    assert!(net.ids(2).contains(&transaction.id()));
}

/// R24d: the journal is of a later epoch, so statements of an earlier one that others show do not make
/// the member recovering.
#[test]
fn statements_of_an_epoch_before_the_journal_say_nothing() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let [old, _] = net.copy_of_files(2);
    net.lose(|from, to, _| from == id(3) || to == id(3));
    renew(&mut net, 0, 1, 1);
    net.pass(seconds(1));
    assert_eq!((net.epoch(2), net.epoch(3)), (1, 0));
    net.power_loss(2);
    net.nodes[2].ledger = old;
    net.lose(|from, to, _| from.index() < 2 || to.index() < 2);
    net.open(2);
    net.pass(seconds(2));
    assert_eq!(net.epoch(2), 0, "only the third member answers");
    assert!(!net.nodes[2].notices.iter().any(|notice| matches!(notice, Notice::Recovering { .. })));
    net.lose_nothing();
    net.pass(seconds(5));
    assert_all_in(&net, 1);
    assert_eq!(net.overview(2).pbft.signing, SigningStatus::Voting);
}

/// R24d: a member with an old ledger comes to the epoch of its journal, which has final blocks above
/// the ledger. They are final for its pool, too.
#[test]
fn blocks_of_the_journal_are_final_when_its_epoch_is_reached() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let [old, _] = net.copy_of_files(2);
    renew(&mut net, 0, 1, 1);
    net.pass(seconds(1));
    net.power_loss(3);
    net.commit_each(2..4);
    let before = net.ids(2);
    net.power_loss(2);
    net.nodes[2].ledger = old;
    net.nodes[2].committed.clear();
    net.open(2);
    net.pass(seconds(5));
    assert_eq!(net.epoch(2), 1);
    assert_eq!(net.ids(2), before);
    let heights: Vec<u64> = net.nodes[2].committed.iter().map(|block| block.height().0).collect();
    assert_eq!(heights, (1..=net.height(2)).collect::<Vec<_>>(), "every block is reported once");
}

/// A member that receives nothing while the epoch ends learns it from the STATUS of the next one.
#[test]
fn a_member_that_missed_the_end_follows() {
    let mut net = Net::of(4);
    net.lose(|_, to, _| to == id(3));
    renew(&mut net, 0, 0, 1);
    net.pass(seconds(1));
    assert_eq!((net.epoch(0), net.epoch(3)), (1, 0));
    net.lose_nothing();
    net.pass(seconds(3));
    assert_all_in(&net, 1);
    assert_eq!(net.height(3), net.height(0));
}

/// The primary dies while the epoch ends. The others end it in a later view.
#[test]
fn a_view_change_in_the_last_blocks_of_an_epoch() {
    for loses_at in 2..=9 {
        let mut net = Net::of(4);
        renew(&mut net, 1, 1, 1);
        net.lose(move |from, _, parcel| {
            from == id(0) && (loses_at..=9).any(|height| parcel.is_proposal_at(Height(height)))
        });
        net.pass(seconds(12));
        assert_all_in(&net, 1);
        assert_eq!(net.height(2), 9);
        assert!(!net.departures(1).is_empty(), "primary 0 proposed nothing from {loses_at} on");
    }
}

/// Members approve another window. It is in force after the change, and later blocks obey it.
#[test]
fn a_quorum_changes_parameters() {
    let mut net = Net::of(4);
    let changes = vec![Change::SetParameter { parameter: ParameterName::Window, value: 2 }];
    let keys = net.governance.clone();
    let proposal = net.operation(&keys[0], 1, &Operation::Propose { changes });
    net.submit(0, &proposal).unwrap();
    net.pass(seconds(1));
    assert_all_in(&net, 0);
    for member in [1, 2] {
        let approval = net.operation(&keys[member], 1, &Operation::Approve(proposal.id()));
        net.submit(member, &approval).unwrap();
    }
    net.pass(seconds(1));
    assert_all_in(&net, 1);
    for member in 0..4 {
        assert_eq!(net.engine(member).config().pbft.context.window, 2);
    }
    net.commit_each(10..20);
    assert_eq!(net.ids(3), net.ids(0));
}

/// A pooled transaction may be larger than the limits of the next epoch. No primary proposes it.
#[test]
fn transactions_above_the_new_limits_leave_the_pool() {
    let mut net = Net::with(4, |parameters| parameters.block.max_transaction_bytes = 2000);
    net.lose(|_, _, parcel| parcel.is_transactions());
    let (chain, until) = (net.genesis.chain_id(), net.wall().plus_ms(60_000));
    let payload = Payload::Data(vec![7; 1500]);
    let large = Transaction::sign(&chain, &net.client, 1, until, payload).verify(&chain).unwrap();
    // Only member 1 has it, the primary of view 0 in the next epoch.
    assert_eq!(net.submit(1, &large), Ok(Submission::Pending));
    let parameter = ParameterName::BlockMaxTransactionBytes;
    net.decide(1, vec![Change::SetParameter { parameter, value: 1000 }]);
    assert_all_in(&net, 1);
    assert_eq!(net.nodes[1].rejected, [(large.id(), NotPermitted::AboveQuota)]);
    net.lose_nothing();
    let transaction = net.transaction(9);
    net.submit(1, &transaction).unwrap();
    net.pass(seconds(1));
    assert!(net.ids(0).contains(&transaction.id()));
    assert_eq!(net.departures(0), [], "no proposal was refused");
}

/// A member gets a new consensus key. Its votes are signed with it, and the order of the members
/// may change.
#[test]
fn a_member_rotates_its_key() {
    for seed in [40, 41, 42] {
        let mut net = Net::of(4);
        let old = net.keys[1].clone();
        let new = rotate(&mut net, 1, seed);
        net.pass(seconds(3));
        assert_all_in(&net, 1);
        let committee = net.engine(0).network().committee().clone();
        assert!(committee.index_of(&old.public()).is_none());
        assert_eq!(Some(net.engine(1).replica()), committee.index_of(&new.public()));
        // Its vote is needed.
        net.power_loss(3);
        let transaction = net.transaction(5);
        net.submit(1, &transaction).unwrap();
        net.pass(seconds(8));
        assert!(net.ids(1).contains(&transaction.id()));
        // It starts again with the new key.
        net.power_loss(1);
        net.open(1);
        net.pass(seconds(5));
        assert_eq!(net.overview(1).pbft.signing, SigningStatus::Voting);
    }
}

/// Submits the rotation of a member to a new key, which the member's node has beside the old one.
/// Returns it.
fn rotate(net: &mut Net, member: usize, seed: u8) -> SecretKey {
    let new = SecretKey::from_bytes(&[seed; 32]).unwrap();
    let governance = net.governance[member].clone();
    net.nodes[member].keys.push(new.clone());
    let possession = Possession::sign(&net.genesis.chain_id(), governance.public(), &new, Epoch(0));
    let rotate = Operation::Rotate { consensus_key: new.public(), possession };
    let operation = net.operation(&governance, 1, &rotate);
    net.submit(0, &operation).unwrap();
    new
}

/// R26e: the journal may have the end of the epoch when the ledger has not. The member then starts
/// with its key of the next epoch.
#[test]
fn a_power_loss_at_any_call_of_a_rotation_loses_nothing() {
    let rotated = |calls: u32| {
        let mut net = Net::of(4);
        net.crash = Some(Crash { member: 1, calls, messages_left: calls.is_multiple_of(2) });
        let new = rotate(&mut net, 1, 40);
        (net, new)
    };
    let (mut net, _) = rotated(u32::MAX);
    while net.epoch(1) == 0 {
        net.pass(Duration::from_millis(1));
    }
    let calls = u32::MAX - net.crash.unwrap().calls;
    for calls in calls.saturating_sub(30)..calls + 10 {
        let (mut net, new) = rotated(calls);
        net.pass(seconds(6));
        assert!(net.crash.is_none(), "it has lost power");
        assert_all_in(&net, 1);
        let committee = net.engine(0).network().committee();
        assert_eq!(Some(net.engine(1).replica()), committee.index_of(&new.public()));
        assert_eq!(net.overview(1).pbft.signing, SigningStatus::Voting, "after {calls} calls");
        assert_eq!(net.ids(1), net.ids(0));
    }
}

/// A member that is removed loses power at any of its last calls. It starts as a member or as a
/// follower, and in the end its ledger has the last block of its epoch.
#[test]
fn a_power_loss_of_a_removed_member_loses_no_block() {
    let remove = |calls: u32| {
        let mut net = Net::of(5);
        let name = net.engine(4).network().members()[4].name.clone();
        let proposal = net.propose(1, vec![Change::RemoveMember { name }]);
        net.crash = Some(Crash { member: 4, calls, messages_left: true });
        net.approve(1, proposal);
        net
    };
    let calls = u32::MAX - remove(u32::MAX).crash.unwrap().calls;
    let mut followers = 0;
    for earlier in 1..10 {
        let net = remove(calls - earlier);
        let node = &net.nodes[4];
        followers += usize::from(node.starts_as_follower);
        assert!(net.crash.is_none() && node.engine.is_none(), "it is no member any more");
        let ledger = Ledger::open_on(node.ledger.attach(), net.genesis.header()).unwrap();
        assert_eq!(ledger.governance().next_config().epoch(), Epoch(1), "{earlier} calls earlier");
    }
    assert_ne!(followers, 0, "no power loss fell between the last block and the next epoch");
}

/// A fifth node becomes a member: proposed, ready, approved. Its vote counts, and it serves blocks.
/// Then it is removed, and nothing that it signs counts.
#[test]
fn a_member_joins_and_leaves() {
    for seed in [50, 51, 52] {
        let mut net = Net::of(4);
        net.commit_each(0..3);
        let key = SecretKey::from_bytes(&[seed; 32]).unwrap();
        let fifth = net.add_node(key.clone());
        let name: Name = "bank-e".parse().unwrap();
        let (consensus_key, governance_key) = (key.public(), key.public());
        let add = Change::AddMember { name: name.clone(), consensus_key, governance_key };
        let keys = net.governance.clone();
        let proposal = net.operation(&keys[0], 1, &Operation::Propose { changes: vec![add] });
        net.submit(0, &proposal).unwrap();
        net.pass(seconds(1));
        for member in [1, 2] {
            // Without READY the decision fails, and the proposal stays open.
            let approval = net.operation(&keys[member], 1, &Operation::Approve(proposal.id()));
            net.submit(0, &approval).unwrap();
        }
        net.pass(seconds(1));
        assert_all_in(&net, 0);
        let head = net.engine(0).reader().head().unwrap();
        let ready = net.operation(&key, 1, &Operation::Ready { height: head.height, block: head.hash });
        net.submit(0, &ready).unwrap();
        net.pass(seconds(1));
        let approval = net.operation(&keys[2], 2, &Operation::Approve(proposal.id()));
        net.submit(0, &approval).unwrap();
        net.pass(seconds(1));
        assert_all_in(&net, 1);
        assert_eq!(net.engine(0).network().committee().size(), 5);
        // The new node has followed the chain.
        net.copy_ledger(0, fifth);
        net.open(fifth);
        net.pass(seconds(4));
        assert_eq!(net.overview(fifth).pbft.signing, SigningStatus::Voting);
        // Four of five order only with the fifth.
        net.power_loss(3);
        let transaction = net.transaction(70);
        net.submit(0, &transaction).unwrap();
        net.pass(seconds(12));
        assert!(net.ids(fifth).contains(&transaction.id()));
        net.open(3);
        net.pass(seconds(4));
        net.decide(9, vec![Change::RemoveMember { name }]);
        for member in 0..4 {
            assert_eq!(net.epoch(member), 2, "member {member}");
        }
        assert!(net.nodes[fifth].engine.is_none(), "it is no member any more");
        net.commit_each(80..83);
        assert_eq!(net.ids(3), net.ids(0));
    }
}
