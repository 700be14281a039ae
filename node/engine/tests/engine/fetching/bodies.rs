//! A member requests the transactions that gossip did not bring (R5, R12c).

use std::time::Duration;

use quorate_engine::{Event, FetchRequest, FetchResponse, Fetched};
use quorate_ledger::{BlockHash, ReplicaId, VerifiedTransaction};

use crate::net::{Net, Parcel, id};

const GRACE: Duration = Duration::from_millis(50);

/// The first wait for an answer: a quarter of the status interval in a committee of four.
const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// The requests for transactions so far: from, to.
fn requests(net: &Net) -> Vec<(ReplicaId, ReplicaId)> {
    let asks = net
        .log
        .iter()
        .filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, FetchRequest::Transactions { .. })));
    asks.map(|(from, to, _)| (*from, *to)).collect()
}

#[test]
fn a_member_that_missed_the_gossip_asks_the_primary_after_a_grace() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| parcel.is_gossip() && to == id(3));
    let transaction = net.transaction(1);
    net.submit(1, &transaction).unwrap();
    net.deliver_all();
    assert_eq!(net.overview(3).examining, 1);
    assert_eq!(requests(&net), [], "gossip may still bring it");
    net.pass(GRACE);
    assert_eq!(requests(&net), [(id(3), id(0))]);
    assert_eq!(net.ids(3), [transaction.id()]);
    assert_eq!(net.overview(3).counters.bodies_asked, 1);
}

#[test]
fn late_gossip_or_a_submission_completes_a_proposal_without_a_request() {
    for by_client in [false, true] {
        let mut net = Net::of(4);
        net.lose(|_, to, parcel| parcel.is_gossip() && to == id(3));
        let transaction = net.transaction(1);
        net.submit(1, &transaction).unwrap();
        net.deliver_all();
        assert_eq!(net.overview(3).examining, 1);
        if by_client {
            net.submit(3, &transaction).unwrap();
        } else {
            net.handle(3, [Event::Gossiped(vec![transaction.clone()])]);
        }
        assert_eq!(net.overview(3).examining, 0);
        net.pass(Duration::from_secs(2));
        assert_eq!(net.ids(3), [transaction.id()]);
        assert_eq!(requests(&net), []);
    }
}

#[test]
fn after_an_empty_answer_the_next_member_is_asked_at_once() {
    let mut net = Net::of(4);
    let transaction = net.transaction(1);
    let block = net.block_on(net.genesis.header(), std::slice::from_ref(&transaction));
    // The primary withholds the body, and no other member has it. SEEN is lost: it would stop
    // member 0 as a second instance, since the test signed with its key.
    net.lose(|_, _, parcel| parcel.is_seen());
    let message = net.proposal(&block);
    net.handle(1, [Event::Consensus { from: id(0), message }]);
    net.pass(GRACE);
    assert_eq!(requests(&net), [(id(1), id(0)), (id(1), id(2)), (id(1), id(3))]);
    // No member has it: the next round of requests waits for a pause.
    net.pass(Duration::from_millis(900));
    assert_eq!(requests(&net).len(), 3);
    net.pass(Duration::from_millis(200));
    assert_eq!(requests(&net).len(), 6);
    // Member 2 receives it at last, and can serve it to the others.
    let message = net.proposal(&block);
    let id_of_it = transaction.id();
    net.handle(2, [Event::Gossiped(vec![transaction]), Event::Consensus { from: id(0), message }]);
    net.pass(Duration::from_secs(5));
    // Both vote for it now, and relay the proposal to the third.
    assert_eq!(net.ids(1), [id_of_it]);
}

#[test]
fn without_an_answer_the_next_member_is_asked_after_the_wait() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| {
        (parcel.is_gossip() && to == id(3)) || matches!(parcel, Parcel::FetchResponse(..) if to == id(3))
    });
    net.submit(1, &net.transaction(1)).unwrap();
    net.deliver_all();
    net.pass(GRACE);
    net.pass(ANSWER_WAIT - Duration::from_millis(1));
    assert_eq!(requests(&net), [(id(3), id(0))]);
    net.pass(Duration::from_millis(1));
    assert_eq!(requests(&net), [(id(3), id(0)), (id(3), id(1))]);
    // Each member that does not answer makes the wait for the next one longer.
    net.pass(2 * ANSWER_WAIT - Duration::from_millis(1));
    assert_eq!(requests(&net).len(), 2);
    net.pass(Duration::from_millis(1));
    assert_eq!(requests(&net)[2..], [(id(3), id(2))]);
}

/// R12c: the connection to the first member is slow. The next one is asked as well, and the answer
/// of the first is used when it arrives.
#[test]
fn an_answer_that_comes_late_is_used() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| {
        (parcel.is_gossip() && to == id(3)) || matches!(parcel, Parcel::FetchResponse(..) if to == id(3))
    });
    let transaction = net.transaction(1);
    net.submit(1, &transaction).unwrap();
    net.deliver_all();
    net.pass(GRACE + ANSWER_WAIT);
    assert_eq!(requests(&net), [(id(3), id(0)), (id(3), id(1))]);
    let first = net.log.iter().find_map(|(from, _, parcel)| match parcel {
        Parcel::Ask(fetch, FetchRequest::Transactions { .. }) if *from == id(3) => Some(*fetch),
        _ => None,
    });
    let answer = Some(Fetched::Transactions(vec![transaction.clone()]));
    net.handle(3, [Event::Answered { fetch: first.unwrap(), from: id(0), answer }]);
    net.deliver_all();
    assert_eq!(net.overview(3).examining, 0);
    assert_eq!(net.ids(3), [transaction.id()]);
}

/// R12c: other transactions, or an answer of another kind, close the request. The next member is
/// asked at once.
#[test]
fn an_answer_with_something_else_counts_as_none() {
    for of_another_kind in [false, true] {
        let mut net = Net::of(4);
        let (transaction, other) = (net.transaction(1), net.transaction(2));
        let block = net.block_on(net.genesis.header(), &[transaction]);
        let message = net.proposal(&block);
        net.handle(1, [Event::Consensus { from: id(0), message }]);
        net.queue.clear();
        net.now += GRACE;
        net.handle(1, []);
        let Some((_, to, Parcel::Ask(fetch, _))) = net.queue.pop_front() else { panic!("no request") };
        assert_eq!(to, id(0));
        let answer = match of_another_kind {
            true => Fetched::Ids(vec![other.id()]),
            false => Fetched::Transactions(vec![other]),
        };
        net.handle(1, [Event::Answered { fetch, from: to, answer: Some(answer) }]);
        let Some((_, next, Parcel::Ask(..))) = net.queue.pop_front() else { panic!("no further request") };
        assert_eq!(next, id(2));
    }
}

fn serve(net: &mut Net, block: BlockHash, indices: &[u32]) -> FetchResponse {
    put(net, &FetchRequest::Transactions { block, indices: indices.to_vec() })
}

fn put(net: &mut Net, ask: &FetchRequest) -> FetchResponse {
    let ticket = net.ticket();
    let effects = net.outcome(2, [Event::Asked { ticket, ask: ask.clone() }]);
    let [(answered, answer)] = <[_; 1]>::try_from(effects.answers).unwrap();
    assert_eq!(answered, ticket);
    net.or_committed(2, answer, ask)
}

#[test]
fn bodies_are_served_while_in_flight_and_when_committed() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_commit());
    let transactions: Vec<_> = (0..3).map(|nonce| net.transaction(nonce)).collect();
    net.handle(0, [Event::Gossiped(transactions.clone())]);
    net.handle(2, [Event::Gossiped(transactions.clone())]);
    net.deliver_all();
    let block = net.overview(2).pbft.slots[0].block.unwrap();
    let wanted = FetchResponse::Transactions(vec![
        transactions[0].transaction().clone(),
        transactions[2].transaction().clone(),
    ]);
    assert_eq!(serve(&mut net, block, &[0, 2]), wanted, "in flight");
    let ids = FetchResponse::Ids(transactions.iter().map(VerifiedTransaction::id).collect());
    assert_eq!(put(&mut net, &FetchRequest::Ids { block }), ids, "in flight");
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.height(2), 1);
    assert_eq!(serve(&mut net, block, &[0, 2]), wanted, "committed");
    assert_eq!(put(&mut net, &FetchRequest::Ids { block }), ids, "committed");
    assert_eq!(serve(&mut net, block, &[0, 3, 2, u32::MAX]), wanted, "there is no fourth");
    assert_eq!(serve(&mut net, block, &[u32::MAX]), FetchResponse::Nothing);
    assert_eq!(serve(&mut net, BlockHash::from_bytes([1; 32]), &[0]), FetchResponse::Nothing);
    assert_eq!(
        put(&mut net, &FetchRequest::Ids { block: BlockHash::from_bytes([1; 32]) }),
        FetchResponse::Nothing
    );
}

#[test]
fn a_request_for_transactions_to_a_disconnected_member_goes_to_the_next() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| {
        parcel.is_gossip() && to == id(3) || matches!(parcel, Parcel::FetchResponse(..))
    });
    net.submit(1, &net.transaction(1)).unwrap();
    net.deliver_all();
    net.pass(GRACE);
    assert_eq!(requests(&net), [(id(3), id(0))]);
    net.handle(3, [Event::PeerDown(id(0))]);
    net.deliver_all();
    assert_eq!(requests(&net), [(id(3), id(0)), (id(3), id(1))]);
}
