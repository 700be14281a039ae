//! The blocks of a deposed primary are kept, proposed again or dropped. No transaction is lost or
//! ordered twice (R16, R19, R20).

use std::time::Duration;

use quorate_engine::{Event, FetchRequest, FetchResponse, Fetched, Submission};
use quorate_ledger::{Height, ReplicaId, TransactionId, VerifiedTransaction, View};
use quorate_pbft::{Cause, Phase, SigningStatus};

use crate::net::{Net, Parcel, id};

/// The request timeout of the default genesis.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A committee whose members from 1 on hold the first transaction in an accepted block of view 0,
/// prepared or not. Then the primary dies. Their votes of view 0 for the block do not arrive.
fn with_a_block_in_flight(prepared: bool) -> (Net, VerifiedTransaction) {
    let mut net = Net::of(4);
    net.lose(move |_, _, parcel| if prepared { parcel.is_old_commit() } else { parcel.is_old_vote() });
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    for member in 1..4 {
        let phase = if prepared { Phase::Prepared } else { Phase::PrePrepared };
        assert_eq!(net.overview(member).pbft.slots[0].phase, phase, "member {member}");
        assert_eq!(net.overview(member).mempool.in_flight, 1, "the block reserves it");
    }
    net.power_loss(0);
    (net, transaction)
}

fn ordered_once(net: &Net, members: std::ops::Range<usize>, expected: &[TransactionId]) {
    for member in members {
        let mut ids = net.ids(member);
        ids.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(ids, expected, "member {member}");
        let stands = net.overview(member);
        assert_eq!(
            (stands.mempool.transactions, stands.in_flight),
            (0, 0),
            "member {member}: nothing is left"
        );
        assert_eq!(stands.pbft_counters.contradictions, 0, "member {member}");
    }
}

/// R20a: the VIEW-CHANGEs of the quorum carry the certificate, so the new view proposes the block
/// again.
#[test]
fn a_prepared_block_of_a_dead_primary_is_proposed_again_and_ordered_once() {
    let (mut net, transaction) = with_a_block_in_flight(true);
    let block = net.overview(1).pbft.slots[0].block;
    net.pass(TIMEOUT + Duration::from_millis(100));
    ordered_once(&net, 1..4, &[transaction.id()]);
    assert_eq!(net.departures(2), [(View(1), Cause::NoProgress)]);
    let committed = &net.nodes[2].committed[0];
    assert_eq!(Some(committed.hash()), block, "the same block");
    assert_eq!(committed.header().proposer, id(0), "the header names the first proposer");
    assert!(
        !net.log.iter().any(|(.., parcel)| matches!(parcel, Parcel::Ask(..))),
        "all of them held it, so no member requested anything"
    );
    net.submit(2, &net.transaction(2)).unwrap();
    net.pass(Duration::from_secs(1));
    assert_eq!(net.ids(3).len(), 2, "and the view continues with fresh blocks");
}

/// R20a: a block that no VIEW-CHANGE shows as prepared cannot be final, and the new view does not
/// propose it again.
#[test]
fn transactions_of_a_block_that_lost_its_place_are_ordered_in_another_one() {
    let (mut net, transaction) = with_a_block_in_flight(false);
    let block = net.overview(1).pbft.slots[0].block;
    net.pass(TIMEOUT + Duration::from_millis(100));
    ordered_once(&net, 1..4, &[transaction.id()]);
    let committed = &net.nodes[2].committed[0];
    assert_ne!(Some(committed.hash()), block);
    assert_eq!(committed.header().proposer, id(1));
}

/// R19: the view is left and the next one does not begin. In-flight transactions return to the
/// pool, and the replicas resend them to others.
#[test]
fn in_flight_transactions_return_to_the_pool_when_the_view_is_left() {
    let (mut net, transaction) = with_a_block_in_flight(false);
    net.lose(|_, _, parcel| parcel.is_old_vote() || parcel.is_view_change());
    net.log.clear();
    net.pass(TIMEOUT + Duration::from_millis(100));
    for member in 1..4 {
        assert!(!net.overview(member).pbft.active, "member {member}");
        assert_eq!(net.overview(member).mempool.in_flight, 0, "member {member}");
        assert!(net.engine(member).is_pending(&transaction.id()));
    }
    net.pass(TIMEOUT);
    assert!(net.log.iter().any(|(from, _, parcel)| *from == id(3) && parcel.is_transactions()));
    net.lose_nothing();
    net.pass(TIMEOUT * 2);
    ordered_once(&net, 1..4, &[transaction.id()]);
}

/// Only the dead primary had the transaction from its client: gossip lost it, and the block brought
/// it.
#[test]
fn transactions_that_only_a_block_brought_return_when_it_loses_its_place() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_transactions() || parcel.is_old_vote());
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.pass(Duration::from_millis(100));
    net.power_loss(0);
    for member in 1..4 {
        assert_eq!(net.overview(member).in_flight, 1, "member {member} has fetched the body");
        assert!(!net.engine(member).is_pending(&transaction.id()));
    }
    net.lose(|_, _, parcel| parcel.is_old_vote());
    net.pass(TIMEOUT * 2);
    ordered_once(&net, 1..4, &[transaction.id()]);
}

/// Only one member accepted a block of view 0, and the others hold other transactions. Whatever the
/// new view orders, each transaction is in the chain once.
#[test]
fn old_and_new_blocks_with_the_same_transactions_order_them_once() {
    for prepared_by_others in [true, false] {
        let mut net = Net::of(4);
        net.lose(move |_, to, parcel| {
            parcel.is_old_commit() || (!prepared_by_others && to != id(3) && parcel.is_old_vote())
        });
        let transactions: Vec<_> = (0..6).map(|nonce| net.transaction(nonce)).collect();
        for (member, transaction) in transactions.iter().enumerate() {
            net.submit(member % 4, transaction).unwrap();
            net.pass(Duration::from_millis(30));
        }
        net.power_loss(0);
        net.pass(Duration::from_secs(8));
        let ids: Vec<_> = transactions.iter().map(VerifiedTransaction::id).collect();
        ordered_once(&net, 1..4, &ids);
        net.open(0);
        net.pass(Duration::from_secs(5));
        ordered_once(&net, 0..4, &ids);
    }
}

/// R13b: only the journals contain the block, its body and its certificate.
#[test]
fn a_block_is_proposed_again_from_the_journal_after_all_members_restarted() {
    let (mut net, transaction) = with_a_block_in_flight(true);
    for member in 1..4 {
        net.power_loss(member);
    }
    for member in 1..4 {
        net.open(member);
        assert_eq!(net.overview(member).in_flight, 1, "member {member}");
    }
    net.pass(TIMEOUT + Duration::from_secs(1));
    ordered_once(&net, 1..4, &[transaction.id()]);
    assert_eq!(net.nodes[1].committed.last().unwrap().header().proposer, id(0));
}

/// Three of four members are left and all of them are needed, but one has never received the block.
fn with_a_member_that_never_saw_the_block() -> (Net, VerifiedTransaction) {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| parcel.is_old_commit() || to == id(3));
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    assert_eq!(net.overview(1).pbft.slots[0].phase, Phase::Prepared);
    assert_eq!(net.overview(3).pbft.slots, []);
    net.power_loss(0);
    // No member relays the block or the transaction to member 3.
    net.lose(|_, to, parcel| {
        parcel.is_old_commit()
            || to == id(3) && (parcel.is_proposal_at(Height(1)) || parcel.is_transactions())
    });
    // Member 3 has other work.
    net.submit(3, &net.transaction(2)).unwrap();
    (net, transaction)
}

fn requests(net: &Net, wanted: impl Fn(&FetchRequest) -> bool) -> Vec<ReplicaId> {
    let asks = net.log.iter().filter(|(from, ..)| *from == id(3));
    asks.filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, ask) if wanted(ask)))
        .map(|(_, to, _)| *to)
        .collect()
}

/// R20c: it learns the header of the block from the NEW-VIEW. Then it requests the ids and the
/// transactions from other members.
#[test]
fn a_member_that_never_received_a_block_that_is_proposed_again_fetches_it() {
    let (mut net, transaction) = with_a_member_that_never_saw_the_block();
    net.pass(TIMEOUT + Duration::from_secs(1));
    assert_eq!(
        requests(&net, |ask| matches!(ask, FetchRequest::Ids { .. })),
        [id(1)],
        "the new primary, once"
    );
    assert_eq!(requests(&net, |ask| matches!(ask, FetchRequest::Transactions { .. })), [id(1)]);
    for member in 1..4 {
        assert_eq!(net.ids(member)[0], transaction.id(), "member {member}");
        assert_eq!(net.ids(member).len(), 2, "member {member}");
    }
}

#[test]
fn after_a_false_answer_for_ids_the_next_member_is_asked() {
    let lies: [fn(Vec<TransactionId>) -> FetchResponse; 4] = [
        |ids| FetchResponse::Ids(vec![TransactionId::from_bytes([9; 32]); ids.len()]),
        |ids| FetchResponse::Ids([&ids[..], &ids[..]].concat()),
        |_| FetchResponse::Ids(Vec::new()),
        |_| FetchResponse::Nothing,
    ];
    for lie in lies {
        let (mut net, transaction) = with_a_member_that_never_saw_the_block();
        let tell = move |_: &FetchRequest, answer| match answer {
            FetchResponse::Ids(ids) => lie(ids),
            correct => correct,
        };
        net.faulty = Some((1, Box::new(tell)));
        net.pass(TIMEOUT + Duration::from_secs(2));
        assert_eq!(requests(&net, |ask| matches!(ask, FetchRequest::Ids { .. })), [id(1), id(2)]);
        assert_eq!(net.ids(3)[0], transaction.id());
    }
}

/// R12c, R20c: the wait for a member that does not answer a request for ids is short, and its late
/// answer is used.
#[test]
fn without_an_answer_for_ids_the_next_member_is_asked() {
    let (mut net, transaction) = with_a_member_that_never_saw_the_block();
    net.lose(|_, to, parcel| {
        let is_kept = parcel.is_proposal_at(Height(1)) || parcel.is_transactions();
        parcel.is_old_commit() || to == id(3) && (is_kept || matches!(parcel, Parcel::FetchResponse(..)))
    });
    net.pass(TIMEOUT + Duration::from_millis(400));
    assert_eq!(requests(&net, |ask| matches!(ask, FetchRequest::Ids { .. })), [id(1), id(2)]);
    let first = net.log.iter().find_map(|(from, _, parcel)| match parcel {
        Parcel::Ask(fetch, FetchRequest::Ids { .. }) if *from == id(3) => Some(*fetch),
        _ => None,
    });
    let answer = Some(Fetched::Ids(vec![transaction.id()]));
    net.lose_nothing();
    net.handle(3, [Event::Answered { fetch: first.unwrap(), from: id(1), answer }]);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.ids(3)[0], transaction.id());
    assert_eq!(
        requests(&net, |ask| matches!(ask, FetchRequest::Ids { .. })).len(),
        2,
        "no further request is sent"
    );
}

/// R20c: after a restart in between, the replica requests again what it still lacks.
#[test]
fn a_restarted_member_asks_again_for_what_the_view_began_with() {
    let (mut net, transaction) = with_a_member_that_never_saw_the_block();
    net.faulty = Some((1, Box::new(|_, _| FetchResponse::Nothing)));
    net.pass(TIMEOUT + Duration::from_millis(40));
    assert_eq!(net.overview(3).pbft.view, View(1));
    assert_eq!(
        requests(&net, |ask| matches!(ask, FetchRequest::Ids { .. })),
        [],
        "the primary may still send the block skeleton"
    );
    net.power_loss(3);
    net.faulty = None;
    net.open(3);
    let stands = net.overview(3).pbft;
    assert_eq!((stands.view, stands.active), (View(1), true), "the NEW-VIEW is in the journal");
    net.pass(Duration::from_secs(1));
    assert_eq!(net.ids(3)[0], transaction.id());
}

/// R13, R19, R20: a member loses power at every boundary of a view change: when it leaves, waits,
/// enters the view, and orders its first blocks. Its messages leave before, or not.
#[test]
fn a_crash_at_any_moment_of_a_view_change_loses_nothing_and_contradicts_nothing() {
    for member in [1, 2] {
        for messages_left in [false, true] {
            let mut seen = std::collections::BTreeSet::new();
            for calls in (0..60).step_by(2) {
                let (mut net, transaction) = with_a_block_in_flight(true);
                let second = net.transaction(2);
                net.submit(3, &second).unwrap();
                net.crash = Some(crate::net::Crash { member, calls, messages_left });
                net.pass(TIMEOUT * 4);
                let stands = net.overview(member).pbft;
                seen.insert((stands.view, net.crash.is_none()));
                assert_eq!(stands.signing, SigningStatus::Voting, "member {member} after {calls} calls");
                ordered_once(&net, 1..4, &[transaction.id(), second.id()]);
            }
            assert!(seen.iter().any(|(_, crashed)| *crashed), "it did crash");
        }
    }
}

/// R19: a restart between two views, with the VIEW-CHANGE in the journal, when the VIEW-CHANGEs of
/// the others are lost.
#[test]
fn a_member_that_restarts_between_two_views_stays_there() {
    let (mut net, transaction) = with_a_block_in_flight(true);
    net.lose(|_, _, parcel| parcel.is_view_change() || parcel.is_old_commit());
    net.pass(TIMEOUT + Duration::from_millis(100));
    let before = net.overview(2).pbft;
    assert_eq!((before.view, before.active), (View(1), false));
    net.power_loss(2);
    net.open(2);
    net.deliver_all();
    let after = net.overview(2).pbft;
    assert_eq!((after.view, after.active, after.signing), (View(1), false, SigningStatus::Voting));
    assert_eq!(net.overview(2).mempool.in_flight, 0, "no view proposes the block now");
    net.lose(|_, _, parcel| parcel.is_old_commit());
    net.pass(Duration::from_secs(2));
    ordered_once(&net, 1..4, &[transaction.id()]);
}

/// R24a: the replica signs nothing before others have answered, however often the process starts.
#[test]
fn a_member_that_restarts_while_probing_keeps_probing() {
    let mut net = Net::of(4);
    net.commit_each(0..3);
    let transaction = net.transaction(9);
    net.power_loss(2);
    net.power_loss(3);
    for _ in 0..3 {
        net.power_loss(1);
        net.log.clear();
        net.open(1);
        assert_eq!(net.submit(0, &transaction), Ok(Submission::Pending));
        net.pass(Duration::from_secs(3));
        let signing = net.overview(1).pbft.signing;
        assert!(matches!(signing, SigningStatus::Probing { answered: 1, needed: 2, .. }), "{signing:?}");
        assert!(!net.log.iter().any(|(from, _, parcel)| *from == id(1) && parcel.is_signed_by(id(1))));
    }
    net.open(2);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.overview(1).pbft.signing, SigningStatus::Voting);
    assert_eq!((net.height(1), net.height(2)), (4, 4));
}

/// R20d: many views fail, one after the other, and the memory for them stays bounded.
#[test]
fn rows_and_blocks_stay_bounded_over_many_failing_views() {
    let mut net = Net::with(4, |parameters| {
        parameters.consensus.timeout_cap_ms = 2000;
        parameters.consensus.window = 2;
    });
    net.lose(|_, _, parcel| parcel.is_vote());
    for nonce in 0..4 {
        let transaction = net.transaction_until(nonce, net.wall().plus_ms(119_000));
        assert_eq!(net.submit(0, &transaction), Ok(Submission::Pending));
    }
    let (mut rows, mut held, mut views) = (0, 0, 0);
    for _ in 0..50 {
        net.pass(Duration::from_secs(2));
        let stands = net.overview(2);
        (rows, held) = (rows.max(stands.journal_rows), held.max(stands.in_flight));
        views = stands.pbft.view.0;
        let stuck = stands.mempool.transactions - stands.mempool.in_flight;
        assert!(stuck <= 4, "{stands:?}");
    }
    assert!(views >= 20, "{views} views");
    // Of views that were left 8 full windows of 2 W blocks, and W in the current one: a proposal
    // and a body each. Further rows are the last VIEW-CHANGE and NEW-VIEW, the own high-water mark
    // and those of three others.
    let most = 8 * 4 + 2;
    assert!(held <= most && rows <= 2 * most as u64 + 6, "{held} blocks, {rows} rows");
    assert!(held > 30, "{held} blocks: the limit was reached");
    println!("{views} views failed: at most {rows} rows and {held} blocks were held");
    net.lose_nothing();
    net.pass(Duration::from_secs(10));
    assert_eq!(net.ids(2).len(), 4, "and none of them was lost or ordered twice");
    let stands = net.overview(2);
    assert_eq!((stands.mempool.transactions, stands.in_flight), (0, 0));
}
