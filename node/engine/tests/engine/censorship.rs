//! A primary that leaves transactions out is deposed; a primary that has too much to do is not
//! (R15, R17, R21).

use std::time::Duration;

use quorate_engine::{Event, Submission};
use quorate_ledger::{Block, Header, Payload, Refusal, SecretKey, Transaction, VerifiedTransaction, View};
use quorate_pbft::Cause;

use crate::net::{Net, id};

/// T: the request timeout of the default genesis.
const TIMEOUT: Duration = Duration::from_secs(2);

/// R21e: within this time a transaction is ordered, or the view is left. Its censorship watch is
/// the k-th after the one that runs when it arrives.
fn bound(turns: u32) -> Duration {
    TIMEOUT * (9 + 3 * turns)
}

fn sender(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

/// A faulty primary: its engine is off, and the test signs proposals with its key.
struct Crooked {
    parent: Header,
}

impl Crooked {
    fn instead_of_member_0(net: &mut Net) -> Self {
        net.power_loss(0);
        // Its channels stay up.
        Crooked { parent: net.genesis.header().clone() }
    }

    fn order(&mut self, net: &mut Net, transactions: &[VerifiedTransaction]) -> Block {
        let block = net.block_on(&self.parent, transactions);
        for member in 1..4 {
            let message = net.proposal(&block);
            net.handle(member, [Event::Consensus { from: id(0), message }]);
        }
        net.deliver_all();
        self.parent = block.header().clone();
        block
    }
}

fn give_to_backups(net: &mut Net, transactions: &[VerifiedTransaction]) {
    for member in 1..4 {
        net.handle(member, [Event::Gossiped(transactions.to_vec())]);
    }
}

/// The primary orders some transactions of all other senders, and none of one sender. Returns how
/// long it keeps its view after that sender's submission.
fn censored_for(others: u64, per_block: usize, victim_after: Duration) -> Duration {
    let mut net = Net::of(4);
    let mut primary = Crooked::instead_of_member_0(&mut net);
    let valid_until = net.wall().plus_ms(119_000);
    let mut queue: Vec<_> = (0..others)
        .map(|nonce| net.transaction_of(&sender(10 + (nonce % 20) as u8), nonce, valid_until))
        .collect();
    give_to_backups(&mut net, &queue);
    let victim = net.transaction_of(&sender(9), 0, valid_until);
    let mut submitted = None;
    let (start, mut fresh) = (net.now, others);
    loop {
        if submitted.is_none() && net.now - start >= victim_after {
            assert_eq!(net.submit(1, &victim), Ok(Submission::Pending));
            submitted = Some(net.now);
        }
        if !net.departures(2).is_empty() {
            break;
        }
        assert!(net.now - start < bound(1) * 2, "it is deposed within twice the bound");
        // Others keep submitting, so there is always a transaction to order.
        let another = net.transaction_of(&sender(30), fresh, valid_until);
        fresh += 1;
        give_to_backups(&mut net, std::slice::from_ref(&another));
        queue.push(another);
        let taken: Vec<_> = queue.drain(..per_block.min(queue.len())).collect();
        primary.order(&mut net, &taken);
        net.pass(Duration::from_millis(500));
    }
    let censored = net.now - submitted.expect("the primary is not deposed before the submission");
    for member in 1..4 {
        let first = net.departures(member)[0];
        assert!(matches!(first, (View(1), Cause::Censorship | Cause::Joined)), "{first:?}");
    }
    net.pass(Duration::from_secs(2));
    for member in 1..4 {
        assert!(net.ids(member).contains(&victim.id()), "member {member}: the next primary orders it");
        assert_eq!(net.departures(member).len(), 1);
    }
    censored
}

#[test]
fn a_primary_that_leaves_out_one_sender_is_deposed_within_the_bound() {
    let mut longest = Duration::ZERO;
    for (others, per_block) in [(0, 10), (60, 10), (2000, 10)] {
        for victim_after in [0, 1, 5] {
            let censored = censored_for(others, per_block, Duration::from_secs(victim_after));
            println!(
                "{others} before it, {per_block} a block, after {victim_after} s: deposed in {censored:?}"
            );
            assert!(censored <= bound(1), "{censored:?}");
            longest = longest.max(censored);
        }
    }
    assert!(longest > TIMEOUT * 4, "with others in front, the primary has more time: {longest:?}");
}

/// R21: a hundred transactions wait, each of another sender, and a block holds ten. The primary
/// orders blocks of these sizes. Returns when its view is left, if that is before all are ordered.
fn left_after(blocks: &[usize], interval: Duration) -> Option<Duration> {
    let mut net = Net::with(4, |parameters| parameters.block.max_transactions = 10);
    let mut primary = Crooked::instead_of_member_0(&mut net);
    let valid_until = net.wall().plus_ms(119_000);
    let queue: Vec<_> =
        (0..100).map(|number| net.transaction_of(&sender(10 + number), 0, valid_until)).collect();
    give_to_backups(&mut net, &queue);
    let mut sizes = blocks.iter().cycle();
    let (start, mut rest) = (net.now, &queue[..]);
    while !rest.is_empty() {
        let (taken, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        primary.order(&mut net, taken);
        rest = left;
        let next = net.now + interval;
        while net.now < next {
            net.pass(Duration::from_millis(100));
            if !net.departures(1).is_empty() {
                for member in 1..4 {
                    let first = net.departures(member)[0];
                    assert!(matches!(first, (View(1), Cause::Censorship | Cause::Joined)), "{first:?}");
                }
                return Some(net.now - start);
            }
        }
    }
    None
}

/// R21c: the watches of one view are limited together, so a long queue gives a primary no more time
/// for each of them. A primary that orders a block's worth every 3 T keeps its view. A slower one
/// is left exactly at the bound.
#[test]
fn a_primary_that_is_slow_with_a_long_queue_is_deposed_within_the_bound() {
    // One transaction every 1.6 s: the first watch takes 8 T, so the second must end within 12 T.
    assert_eq!(left_after(&[1], Duration::from_millis(1600)), Some(bound(1)));
    // A watch every 4.75 T: the limit of 9 T, and 3 T for each watch after the first, is used up in
    // the fourth.
    assert_eq!(left_after(&[2], Duration::from_millis(1900)), Some(bound(3)));
    assert_eq!(left_after(&[4, 3, 3], Duration::from_millis(1900)), None);
    assert_eq!(left_after(&[10], Duration::from_millis(1900)), None);
}

/// R21d: a watch that times out while the replica knows that others are ahead keeps its complaint
/// until the replica has caught up. Dropping the complaint would begin a new watch.
#[test]
fn a_complaint_is_kept_while_the_replica_is_behind() {
    let mut net = Net::of(4);
    net.commit_each(0..1);
    // No other replica receives this transaction.
    net.lose(|from, _, parcel| from == id(3) && parcel.is_transactions());
    let lonely = net.transaction(1000);
    net.submit(3, &lonely).unwrap();
    net.pass(TIMEOUT / 2);
    net.commit_each(1..2);
    net.pass(TIMEOUT * 5 / 8);
    // The transaction was sent to all, and as many others as waited then are ordered: its watch
    // times out after a timeout.
    net.commit_each(2..3);
    // Member 3 receives only STATUS, so it does not learn what the others order meanwhile.
    net.lose(|from, to, parcel| {
        let transactions = from == id(3) && parcel.is_transactions();
        transactions || to == id(3) && !parcel.is_status()
    });
    for nonce in 3..6 {
        net.submit(0, &net.transaction(nonce)).unwrap();
        net.pass(TIMEOUT / 2);
        assert_eq!(net.departures(3), [], "it knows that others are ahead");
    }
    assert!(net.height(3) < net.height(0));
    net.lose(|from, _, parcel| from == id(3) && parcel.is_transactions());
    let healed = net.now;
    while net.height(3) < net.height(0) {
        assert!(net.now - healed < TIMEOUT, "it catches up before another watch could time out");
        net.pass(Duration::from_millis(10));
    }
    assert_eq!(net.departures(3), [(View(1), Cause::Censorship)], "its watch timed out long ago");
}

/// A hundred transactions a second fit into blocks, and a thousand wait: the primary leaves none
/// out.
#[test]
fn an_overloaded_but_fair_primary_is_not_deposed() {
    assert_fair_under_overload(|_, _| {});
}

/// R21: such a primary is not deposed either when transactions of others reach it late and in
/// bursts. Then the oldest transactions elsewhere are young in its own queue.
#[test]
fn an_overloaded_but_fair_primary_that_receives_late_is_not_deposed() {
    assert_fair_under_overload(|net, round| match round % 8 {
        0 => net.lose_nothing(),
        1 => net.lose(|_, to, parcel| to == id(0) && parcel.is_transactions()),
        _ => {}
    });
}

/// R21: such a primary is not deposed either when a member's transactions reach the others only by
/// direct resends.
#[test]
fn an_overloaded_but_fair_primary_is_not_deposed_by_a_member_whose_gossip_is_lost() {
    assert_fair_under_overload(|net, _| net.lose(|from, _, parcel| from == id(1) && parcel.is_gossip()));
}

fn assert_fair_under_overload(disturb: impl Fn(&mut Net, u32)) {
    let mut net = Net::with(4, |parameters| {
        parameters.block.max_transaction_bytes = 256;
        parameters.block.max_body_bytes = 10 * 126;
        parameters.block.max_transactions = 10_000;
        parameters.consensus.batch_delay_ms = 100;
        parameters.consensus.window = 1;
    });
    let valid_until = net.wall().plus_ms(100_000);
    let mut nonce = 0;
    let mut submit = |net: &mut Net, count: u64| {
        for _ in 0..count {
            let who = (nonce % 7) as u8;
            let transaction = net.transaction_of(&sender(10 + who), nonce, valid_until);
            let member = usize::from(who) % 4;
            assert_eq!(net.submit(member, &transaction), Ok(Submission::Pending));
            nonce += 1;
        }
    };
    submit(&mut net, 1000);
    for round in 0..60 {
        disturb(&mut net, round);
        net.pass(Duration::from_millis(500));
        submit(&mut net, 50);
    }
    let waiting = net.overview(1).mempool.transactions;
    assert!(waiting >= 900, "{waiting} wait: the network orders as many in ten seconds");
    for member in 0..4 {
        assert_eq!(net.departures(member), [], "member {member}");
    }
}

/// R21: one block of one transaction, a little before each timeout, does not count as progress.
#[test]
fn a_primary_that_orders_one_transaction_per_timeout_is_deposed() {
    let mut net = Net::of(4);
    let mut primary = Crooked::instead_of_member_0(&mut net);
    let valid_until = net.wall().plus_ms(119_000);
    let queue: Vec<_> = (0..200).map(|nonce| net.transaction_of(&sender(9), nonce, valid_until)).collect();
    give_to_backups(&mut net, &queue);
    let start = net.now;
    for transaction in &queue {
        if !net.departures(1).is_empty() {
            break;
        }
        assert!(net.now - start <= bound(0), "it is deposed within the bound");
        primary.order(&mut net, std::slice::from_ref(transaction));
        net.pass(TIMEOUT - Duration::from_millis(100));
    }
    assert!(net.height(1) >= 8, "it committed a block in every timeout");
    assert!(matches!(net.departures(1)[..], [(View(1), Cause::Censorship | Cause::Joined)]));
    net.pass(Duration::from_secs(2));
    assert_eq!(net.ids(2).len(), 200, "the next primary orders all of them");
}

/// R17: the senders of expired transactions still get their proof, by the block of another primary.
#[test]
fn a_dead_primary_with_only_expired_work_is_deposed_after_the_timeout_and_the_gap() {
    let gap = Duration::from_secs(3);
    let mut net = Net::with(4, |parameters| parameters.block.empty_block_gap_ms = 3000);
    net.power_loss(0);
    let transaction = net.transaction_until(1, net.wall().plus_ms(300));
    net.submit(1, &transaction).unwrap();
    net.pass(TIMEOUT + gap - Duration::from_millis(1));
    assert_eq!(net.departures(1), []);
    net.pass(Duration::from_millis(300));
    assert_eq!(net.departures(1), [(View(1), Cause::NoProgress)]);
    for member in 1..4 {
        assert_eq!(net.height(member), 1, "an empty block");
    }
    assert_eq!(net.nodes[1].ended, [transaction.id()]);
    assert!(net.engine(1).has_expired(&transaction.id()));
}

/// R21a: no view is left for transactions that no primary may order: too late, too early, too
/// large.
#[test]
fn transactions_that_cannot_be_ordered_cause_no_view_change() {
    let mut net = Net::with(4, |parameters| parameters.block.max_transaction_bytes = 1000);
    let lifetime = 120_000;
    // This member admits transactions that are too early for the others.
    net.nodes[1].ahead_ms = 400;
    for round in 0..60 {
        let now = net.wall();
        let nonce = 10 * round;
        let late = net.transaction_until(nonce, now.plus_ms(450));
        let early = net.transaction_until(nonce + 1, now.plus_ms(lifetime + 390));
        let chain = net.genesis.chain_id();
        let payload = Payload::Data(vec![0; 2000]);
        let large = Transaction::sign(&chain, &net.client, nonce + 2, now.plus_ms(1000), payload);
        let large = large.verify(&chain).unwrap();
        // The primary receives the late transaction only after it has expired.
        net.lose(|_, to, parcel| to == id(0) && parcel.is_transactions());
        assert_eq!(net.submit(1, &late), Ok(Submission::Pending));
        assert!(matches!(net.submit(1, &large), Err(Refusal::Invalid(_))));
        net.handle(2, [Event::Gossiped(vec![large])]);
        net.pass(Duration::from_millis(500));
        net.lose_nothing();
        assert_eq!(net.submit(1, &early), Ok(Submission::Pending));
        net.submit(2, &net.transaction(nonce + 3)).unwrap();
        net.pass(Duration::from_millis(500));
    }
    for member in 0..4 {
        assert_eq!(net.departures(member), [], "member {member}");
    }
    assert!(net.ids(3).len() >= 110, "while everything else is ordered: {}", net.ids(3).len());
}

/// R21d: a replica's messages do not arrive, and then it receives none. It does not complain that
/// the primary did not order what the primary could not have. Otherwise it would leave the view
/// alone once it is back, and be excluded from the view.
#[test]
fn a_replica_that_was_cut_off_does_not_complain_about_its_own_transactions() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    net.lose(|from, _, _| from == id(3));
    for nonce in 100..110 {
        net.submit(3, &net.transaction(nonce)).unwrap();
    }
    // It resends its transactions to all members before the channels turn out to be dead. Others'
    // transactions are ordered meanwhile.
    for nonce in 2..5 {
        net.pass(TIMEOUT / 3);
        net.commit_each(nonce..nonce + 1);
    }
    net.pass(TIMEOUT / 10);
    net.lose(|from, to, _| from == id(3) || to == id(3));
    for other in 0..3 {
        net.handle(3, [Event::PeerDown(id(other))]);
        net.handle(other, [Event::PeerDown(id(3))]);
    }
    net.commit_each(10..40);
    net.pass(2 * TIMEOUT);
    net.lose_nothing();
    for other in 0..3 {
        net.handle(3, [Event::PeerUp(id(other))]);
        net.handle(other, [Event::PeerUp(id(3))]);
    }
    net.pass(Duration::from_secs(3));
    for member in 0..4 {
        assert_eq!((net.departures(member), net.ids(member).len()), (vec![], 45), "member {member}");
    }
}
