//! Members that are behind fetch certified blocks, and nothing else (R12).

use std::time::Duration;

use quorate_engine::{Event, FetchId, FetchRequest, FetchResponse, Fetched, Notice, serve_range};
use quorate_ledger::{Height, ReplicaId};
use quorate_store::{ForgetfulDisk, Ledger};

use super::{answer, check, run_from, run_of, status};
use crate::net::{Net, Parcel, id};

#[test]
fn a_late_member_fetches_the_whole_chain() {
    let mut net = Net::of(4);
    net.power_loss(3);
    net.commit_each(0..20);
    net.open(3);
    net.deliver_all();
    net.pass(Duration::from_secs(3));
    assert_eq!(net.ids(3), net.ids(0));
    let stands = net.overview(3);
    assert_eq!((stands.counters.caught_up, stands.durable), (20, Height(20)));
    assert!(!stands.catching_up);
    net.commit_each(20..21);
    assert_eq!(net.height(3), 21, "and takes part again");
}

/// A chain of more blocks than one answer holds: a member requests blocks until it has them all.
#[test]
fn a_long_chain_is_served_in_several_ranges() {
    let net = Net::of(4);
    let blocks = net.chain_of(600);
    let mut ledger = Ledger::create_on(
        ForgetfulDisk::new().attach(),
        net.genesis.header(),
        &net.genesis.governance_state(),
    )
    .unwrap();
    for block in &blocks {
        ledger.append(std::slice::from_ref(block), &net.certificate(block)).unwrap();
    }
    let (reader, mut from, mut lengths) = (ledger.reader(), Height(1), Vec::new());
    while let FetchResponse::Blocks(run) = serve_range(&reader, from).unwrap() {
        from = from.plus(run.len() as u64);
        lengths.push(run.len());
        assert!(check(&net, run).is_ok());
    }
    assert_eq!(lengths, [256, 256, 88]);
    assert_eq!(
        serve_range(&reader, Height(0)).unwrap(),
        FetchResponse::Nothing,
        "every node has the genesis"
    );
}

/// A member that missed the end of its epoch hears nothing else in its epoch: it asks the member
/// whose STATUS is of a later one.
#[test]
fn a_status_of_a_later_epoch_causes_a_request_for_blocks() {
    let mut net = Net::of(4);
    net.log.clear();
    net.handle(3, [Event::Ahead { from: id(1), committed: Height(50) }]);
    let asked: Vec<_> = net
        .log
        .iter()
        .filter_map(|(_, to, parcel)| match parcel {
            Parcel::Ask(_, request) => Some((*to, request.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(id(1), FetchRequest::Blocks { from: Height(1) })]);
    let stands = net.overview(3);
    assert_eq!((stands.heads.get(&id(1)), stands.catching_up), (Some(&Height(50)), true));
    assert!(!net.engine(3).epoch_is_over());
}

/// R12b: a member that claims heights that it cannot prove is asked once for each claim.
#[test]
fn a_false_claim_costs_one_request() {
    let mut net = Net::of(4);
    net.log.clear();
    let message = status(&net, u64::MAX);
    net.handle(3, [Event::Consensus { from: id(1), message }]);
    net.pass(Duration::from_millis(900));
    let requests = |net: &Net| {
        net.log
            .iter()
            .filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. })))
            .count()
    };
    assert_eq!(requests(&net), 1);
    assert_eq!(net.overview(3).heads[&id(1)], Height(0));
    net.commit_each(0..2);
    assert_eq!(net.height(3), 2, "and ordering is not delayed");
    assert!(matches!(net.nodes[3].notices[0], Notice::CatchingUp { target: Height(u64::MAX), .. }));
}

/// Votes that waited for a block of the range finalise the blocks above it before the range reaches
/// them.
#[test]
fn votes_and_a_range_may_finalise_the_same_blocks() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    // Member 3 has all proposals but the first, all transactions, and all COMMITs of the others.
    let transactions: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.body().transactions())
        .map(|transaction| transaction.verify(&net.genesis.chain_id()).unwrap())
        .collect();
    let mut events = vec![Event::Gossiped(transactions)];
    for block in &blocks[1..6] {
        events.push(Event::Consensus { from: id(0), message: net.proposal(block) });
        for member in 0..3 {
            let message = net.check(id(member), net.commit_vote(member, block));
            events.push(Event::Consensus { from: id(member), message });
        }
    }
    net.handle(3, events);
    assert_eq!(net.height(3), 0);
    let run = run_of(&net, &blocks);
    let committed = answer(&mut net, 12, run).unwrap();
    assert_eq!(committed, blocks, "each once and in order");
    assert_eq!(net.height(3), 12);
}

/// R13c: a record of a block that becomes final on top of a fetched range is written only when the
/// range is durable in the ledger, since the journal does not contain fetched blocks. Otherwise the
/// journal would refer to blocks whose parents are lost. Here the disk fails in between.
#[test]
fn fetched_blocks_are_durable_before_records_that_depend_on_them() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    let transactions: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.body().transactions())
        .map(|transaction| transaction.verify(&net.genesis.chain_id()).unwrap())
        .collect();
    let mut events = vec![Event::Gossiped(transactions)];
    for block in &blocks[1..6] {
        events.push(Event::Consensus { from: id(0), message: net.proposal(block) });
        for member in 0..3 {
            let message = net.check(id(member), net.commit_vote(member, block));
            events.push(Event::Consensus { from: id(member), message });
        }
    }
    net.handle(3, events);
    let run = check(&net, run_of(&net, &blocks)).unwrap();
    net.nodes[3].ledger.fail_sync_after(0);
    let answer = Event::Answered { fetch: FetchId(99), from: id(0), answer: Some(Fetched::Range(run)) };
    assert!(net.try_handle(3, [answer]).is_err(), "the disk fails, so the node stops");
    net.power_loss(3);
    net.open(3);
    let stands = net.overview(3);
    assert_eq!((net.height(3), stands.in_flight), (0, 0), "no record depends on lost blocks");
}

/// A fetched block may contain transactions that a member still has in its pool or in a proposal.
#[test]
fn fetched_transactions_leave_the_pool_and_the_requests() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    let first = blocks[0].body().transaction(0).unwrap().verify(&net.genesis.chain_id()).unwrap();
    net.handle(3, [Event::Gossiped(vec![first.clone()])]);
    let other = net.block_on(net.genesis.header(), &[first, net.transaction(5)]);
    let message = net.proposal(&other);
    net.handle(3, [Event::Consensus { from: id(0), message }]);
    assert_eq!(net.overview(3).examining, 1);
    let run = run_of(&net, &blocks);
    answer(&mut net, 12, run).unwrap();
    let stands = net.overview(3);
    assert_eq!((stands.examining, stands.in_flight, stands.mempool.transactions), (0, 0, 0));
}

/// A member with a slow clock holds a proposal that the others commit. Its process is paused until
/// its clock accepts the proposal. Then it first reads a range with that block and the next one.
/// Both are appended, in order.
#[test]
fn a_range_is_appended_above_a_held_block_that_becomes_final() {
    let mut net = Net::of(4);
    net.nodes[3].ahead_ms = -2000;
    net.submit(0, &net.transaction(1)).unwrap();
    net.deliver_all();
    assert_eq!((net.height(0), net.height(3)), (1, 0));
    net.lose(|_, to, _| to == id(3));
    net.pass(Duration::from_millis(100));
    net.submit(0, &net.transaction(2)).unwrap();
    net.deliver_all();
    assert_eq!((net.height(0), net.height(3)), (2, 0));
    let run = run_from(&net, 0, 1);
    net.now += Duration::from_secs(2);
    net.handle(3, [Event::Answered { fetch: FetchId(99), from: id(0), answer: Some(Fetched::Range(run)) }]);
    assert_eq!(net.ids(3), net.ids(0));
}

/// A disconnected member does not answer: the next member that is ahead is asked at once.
#[test]
fn a_request_for_blocks_to_a_disconnected_member_goes_to_the_next() {
    let mut net = Net::of(4);
    let asked = |net: &Net| -> Vec<_> {
        let asks = net
            .queue
            .iter()
            .filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. })));
        asks.map(|(_, to, _)| *to).collect()
    };
    let events = [1, 2].map(|from| Event::Consensus { from: id(from), message: status(&net, 100) });
    net.handle(3, events);
    assert_eq!(asked(&net), [id(1)]);
    net.handle(3, [Event::PeerDown(id(1))]);
    assert_eq!(asked(&net), [id(1), id(2)]);
    assert!(!net.overview(3).heads.contains_key(&id(1)), "its claim counts again when it is back");
}

/// R12b: the quorum may need this member, and this member may need the missing block. So f members
/// that do not answer must not delay it, whether the gap is short or long, and whatever they claim.
#[test]
fn members_that_do_not_answer_are_not_waited_for() {
    for (size, blocks) in [(4, 1), (7, 1), (10, 1), (4, 20), (7, 20), (10, 20)] {
        let mut net = Net::of(size);
        let late = id(size - 1);
        let faults = u16::try_from(net.genesis.committee().faults()).unwrap();
        net.lose(move |_, to, parcel| {
            let silent = to.0 < faults && matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. }));
            silent || to == late && !parcel.is_status() && !matches!(parcel, Parcel::FetchResponse(..))
        });
        net.pass(Duration::from_secs(1));
        net.commit_each(0..blocks);
        assert_eq!(net.height(size - 1), 0);
        for faulty in 0..faults {
            let message = status(&net, u64::MAX);
            net.handle(size - 1, [Event::Consensus { from: ReplicaId(faulty), message }]);
        }
        let interval = Duration::from_millis(net.genesis.consensus().status_interval_ms);
        // It learns of the blocks by the next STATUS, and waits an interval before it asks for a
        // short gap.
        net.pass(2 * interval + interval * u32::from(faults) / 2);
        assert_eq!(net.height(size - 1), blocks, "{size} members");
    }
}

/// R12b: over a slow connection a member does not request the same blocks for ever. Each request
/// that expires gives the next one more time.
#[test]
fn requests_that_expire_lengthen_the_wait() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| matches!(parcel, Parcel::Ask(..) | Parcel::Consensus(..)));
    let events = [0, 1, 2].map(|from| Event::Consensus { from: id(from), message: status(&net, 100) });
    net.handle(3, events);
    let mut asked = Vec::new();
    for _ in 0..25_000 {
        net.now += Duration::from_millis(10);
        let before = net.nodes[3].notices.len();
        net.handle(3, []);
        net.queue.clear();
        asked.extend(net.nodes[3].notices[before..].iter().map(|_| net.now));
    }
    let waits: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted() && waits[0] < Duration::from_millis(600), "{waits:?}");
    assert_eq!(waits.last(), Some(&Duration::from_secs(10)), "never more");
}

/// A fetched block replaces a block that was in flight here. It is later than the last time at
/// which the dropped transactions may be ordered. So they expire at once, without a further block.
#[test]
fn a_returned_transaction_that_is_too_late_expires_at_once() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_old_vote());
    let hurried = net.transaction_until(1, net.wall().plus_ms(500));
    net.submit(0, &hurried).unwrap();
    net.deliver_all();
    assert_eq!(net.overview(3).mempool.in_flight, 1);
    net.power_loss(0);
    net.open(0);
    net.lose(|from, to, parcel| from == id(3) || to == id(3) || parcel.is_old_vote());
    net.submit(1, &net.transaction(2)).unwrap();
    net.pass(Duration::from_secs(8));
    assert_eq!((net.height(1), net.height(3)), (1, 0));
    let run = run_from(&net, 1, 1);
    net.handle(3, [Event::Answered { fetch: FetchId(99), from: id(1), answer: Some(Fetched::Range(run)) }]);
    assert_eq!(net.nodes[3].ended, [hurried.id()]);
    assert_eq!(net.overview(3).mempool.transactions, 0);
}
