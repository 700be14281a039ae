//! Files that are older than the signed statements, and two processes with one key (R24).

use quorate_ledger::{Ballot, Height, SignedError, View};
use quorate_pbft::{
    ChainEnd, HighWaterMark, Input, Message, Prepare, Record, Rejected, Replica, Request, Schedule, Seen,
    Signer, SigningStatus, Work,
};

use crate::net::{Envelope, Net, STATUS, TIMEOUT, ballot, block, id};

fn order(net: &mut Net, names: &[&str]) {
    for name in names {
        net.propose(name);
        net.deliver_all();
    }
}

/// How many records in a journal belong to a signed statement.
fn signed(net: &Net, node: usize) -> usize {
    let records = net.nodes[node].journal.iter().filter(|record| {
        matches!(
            record,
            Record::Accepted(_) | Record::Prepared(_) | Record::ViewChange(_) | Record::Checkpoint(_)
        )
    });
    records.count()
}

/// R24c: an old copy of the files replaces those of replica 2, so it has lost records of its
/// statements. It learns this from SEEN of the others and reports it. It follows the chain, and
/// signs neither votes nor VIEW-CHANGEs any more.
#[test]
fn a_member_with_an_old_journal_never_votes_again() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let old = net.nodes[2].files();
    order(&mut net, &["B", "C"]);
    net.crash(2);
    net.put_back(2, old);
    net.restart(2);
    net.deliver_all();
    assert!(matches!(net.signing(2), SigningStatus::Recovering { .. }), "{:?}", net.signing(2));
    let reported = net.requests(2).iter().any(|request| {
        matches!(request, Request::Recovering { seen, remembered }
        if seen.accepted == (View(0), Height(3)) && remembered.accepted == (View(0), Height(1)))
    });
    assert!(reported, "{:?}", net.requests(2));
    let before = signed(&net, 2);
    order(&mut net, &["D"]);
    net.all_have_work(Work::Timely);
    net.crash(0);
    net.pass(3 * TIMEOUT);
    net.restart(0);
    net.pass(4 * TIMEOUT);
    assert_eq!(signed(&net, 2), before);
    assert_eq!(net.chain(2), ["A", "B", "C", "D"], "it follows the chain");
    assert!(net.nodes[2].replica().proposal_parent().is_none());
}

/// R24c, R24e: the replica records that its files are old. A restart among members that received
/// less does not enable signing again. The newest journal does.
#[test]
fn an_old_journal_stays_old_until_the_newest_is_put_back() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let old = net.nodes[2].files();
    order(&mut net, &["B", "C"]);
    net.crash(2);
    let newest = net.nodes[2].files();
    net.put_back(2, old);
    net.restart(2);
    net.deliver_all();
    net.crash(2);
    net.links.lose(|envelope| matches!(envelope.message, Message::Seen(_)));
    net.restart(2);
    net.deliver_all();
    assert!(matches!(net.signing(2), SigningStatus::Recovering { .. }), "{:?}", net.signing(2));
    net.crash(2);
    net.links.heal();
    net.put_back(2, newest);
    net.restart(2);
    net.pass(STATUS);
    assert_eq!(net.signing(2), SigningStatus::Voting);
}

/// R24a: lost records of statements that no member received do no harm. An old copy that lacks only
/// those is as good as a crash before the write.
#[test]
fn a_member_whose_lost_records_were_never_sent_may_sign() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let old = net.nodes[2].files();
    net.links.lose(|envelope| envelope.from == id(2));
    net.catching_up = false;
    order(&mut net, &["B"]);
    net.crash(2);
    net.links.heal();
    net.put_back(2, old);
    net.restart(2);
    net.deliver_all();
    assert_eq!(net.signing(2), SigningStatus::Voting);
}

/// R24d: the ledger is an old copy, and the journal is the newest. The journal has collected the
/// records of the heights between. So the replica signs nothing until the chain has reached those
/// heights.
#[test]
fn a_member_with_an_old_ledger_signs_nothing_until_it_has_caught_up() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let old = net.nodes[2].files();
    order(&mut net, &["B", "C"]);
    net.crash(2);
    net.put_back_ledger(2, old);
    net.catching_up = false;
    net.restart(2);
    net.deliver_all();
    let expected = SigningStatus::Probing { answered: 3, needed: 2, through: Some(Height(3)) };
    assert_eq!((net.height(2), net.signing(2)), (1, expected));
    let before = signed(&net, 2);
    net.input(2, Input::Censored);
    net.pass(STATUS);
    assert_eq!(signed(&net, 2), before);
    net.catching_up = true;
    net.pass(2 * STATUS);
    assert_eq!((net.height(2), net.signing(2)), (3, SigningStatus::Voting));
    net.crash(3);
    order(&mut net, &["D"]);
    net.assert_chain(&["A", "B", "C", "D"]);
}

/// R24b: old files are also detected when all members restart at the same time, since the
/// high-water marks are in the files of the others.
#[test]
fn an_old_journal_is_detected_after_a_restart_of_all_members() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let old = net.nodes[2].files();
    order(&mut net, &["B", "C"]);
    for node in 0..4 {
        net.crash(node);
    }
    net.put_back(2, old);
    for node in 0..4 {
        net.restart(node);
    }
    net.deliver_all();
    assert!(matches!(net.signing(2), SigningStatus::Recovering { .. }), "{:?}", net.signing(2));
    assert!([0, 1, 3].iter().all(|node| net.signing(*node) == SigningStatus::Voting));
}

/// R24a: after a restart, the replica signs nothing new before q − 1 other members have sent SEEN.
#[test]
fn a_restarted_member_votes_when_a_quorum_has_answered() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    net.crash(3);
    net.crash(1);
    net.links.hold(|envelope| envelope.is_seen() && envelope.from == id(2));
    net.restart(1);
    net.deliver_all();
    assert_eq!(net.signing(1), SigningStatus::Probing { answered: 1, needed: 2, through: None });
    net.propose("B");
    net.deliver_all();
    assert_eq!((net.height_records(1).len(), net.height(0)), (3, 1), "nothing about B");
    net.pass(2 * STATUS);
    assert_eq!(
        net.signing(1),
        SigningStatus::Probing { answered: 1, needed: 2, through: None },
        "the same answer counts once"
    );
    net.links.release();
    net.pass(STATUS);
    assert_eq!(net.signing(1), SigningStatus::Voting);
    net.assert_chain(&["A", "B"]);
}

/// R24a: replicas that are probing also answer with SEEN. So all members may start at once, even
/// while a view has not begun.
#[test]
fn all_members_restart_at_once() {
    for leaving in [false, true] {
        let mut net = Net::of(4);
        order(&mut net, &["A"]);
        net.links.lose(|envelope| envelope.is_commit());
        net.propose("B");
        net.deliver_all();
        if leaving {
            net.links.lose(Envelope::is_view_change);
            net.all_report_censorship();
        }
        for node in 0..4 {
            net.crash(node);
        }
        net.links.heal();
        for node in 0..4 {
            net.restart(node);
        }
        net.pass(4 * STATUS);
        net.assert_view(u64::from(leaving));
        net.assert_chain(&["A", "B"]);
        order(&mut net, &["C"]);
        net.assert_chain(&["A", "B", "C"]);
    }
}

/// R24a: in a committee of one, the replica needs no answers.
#[test]
fn a_single_member_starts_at_once() {
    let mut net = Net::of(1);
    order(&mut net, &["A"]);
    net.crash(0);
    net.restart(0);
    assert_eq!(net.signing(0), SigningStatus::Voting);
    order(&mut net, &["B"]);
    net.assert_chain(&["A", "B"]);
}

/// R24c: another process signs with the key of a running replica. The others send what they
/// received, and the process must stop.
#[test]
fn a_second_instance_is_noticed() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    let skeleton = block(net.nodes[1].tip(), "B", net.now(1).wall, id(0));
    let elsewhere = net.prepare(2, ballot(&skeleton, 0));
    net.inject(2, 1, elsewhere);
    net.pass(2 * STATUS);
    assert!(net.requests(2).contains(&Request::SecondInstance));
}

/// R24a: a claim alone does not disable a replica. SEEN without valid signatures of one member is
/// refused. SEEN with statements of another member says nothing about this replica, and does not
/// count as an answer.
#[test]
fn a_forged_seen_changes_nothing() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    net.crash(2);
    net.links.hold(|envelope| envelope.is_seen() && envelope.to == id(2));
    net.restart(2);
    net.deliver_all();
    let far = Ballot { view: View(9), height: Height(9), ..*net.nodes[2].certificates[&Height(1)].ballot() };
    let of_another = Seen { prepare: Some(net.sign(3, Prepare(far))), ..Seen::default() };
    net.receive(Envelope { from: id(3), to: id(2), message: Message::Seen(of_another.clone()) }).unwrap();
    assert_eq!(net.signing(2), SigningStatus::Probing { answered: 0, needed: 2, through: None });

    let mut refused = |seen: Seen| {
        net.receive(Envelope { from: id(3), to: id(2), message: Message::Seen(seen) }).unwrap_err()
    };
    let mut forged = of_another.clone();
    forged.prepare.as_mut().unwrap().signer = id(2);
    assert_eq!(refused(forged), Rejected::Signature(SignedError::BadSignature(id(2))));
    let own = Net::of(4).sign(2, quorate_ledger::Commit(far));
    let mixed = Seen { commit: Some(own), ..of_another };
    assert_eq!(refused(mixed), Rejected::Evidence);

    net.links.release();
    net.deliver_all();
    assert_eq!(net.signing(2), SigningStatus::Voting);
    assert!(!net.requests(2).iter().any(|request| matches!(request, Request::Recovering { .. })));
}

/// R24b: a high-water mark goes further than another if any kind of statement in it does. Each kind
/// is compared for itself.
#[test]
fn marks_are_compared_kind_by_kind() {
    let at = |view, height| (View(view), Height(height));
    let mark = HighWaterMark { accepted: at(1, 5), committed: at(1, 4), left: View(1), opened: View(0) };
    assert!(!mark.exceeds(&mark));
    let others = [
        HighWaterMark { accepted: at(1, 6), ..mark },
        HighWaterMark { accepted: at(2, 1), ..mark },
        HighWaterMark { committed: at(1, 5), ..mark },
        HighWaterMark { left: View(2), ..mark },
        HighWaterMark { opened: View(1), ..mark },
    ];
    for other in others {
        assert!(other.exceeds(&mark) && !mark.exceeds(&other));
        assert_eq!(mark.max(other), other);
    }
    let crossed = HighWaterMark { accepted: at(9, 9), committed: at(0, 0), ..mark };
    assert!(crossed.exceeds(&mark) && mark.exceeds(&crossed));
}

/// R24a: a probing primary offers no parent to propose on, so its engine cannot make it propose.
#[test]
fn a_restarted_primary_proposes_when_a_quorum_has_answered() {
    let mut net = Net::of(4);
    order(&mut net, &["A"]);
    net.crash(0);
    net.links.hold(|envelope| envelope.is_seen());
    net.restart(0);
    net.deliver_all();
    assert_eq!(net.proposer(), None);
    net.input(0, Input::Censored);
    assert_eq!(net.departures(0), [], "it does not leave the view: a VIEW-CHANGE is a statement, too");
    net.links.release();
    net.deliver_all();
    order(&mut net, &["B"]);
    net.assert_chain(&["A", "B"]);
}

/// R19b, R24d: the ledger is an old copy, and the journal has records far above its end. Blocks
/// prepared there would lie beyond the window above the anchor, and every VIEW-CHANGE would be
/// refused. So the replica signs nothing until the ledger is near enough.
#[test]
fn records_far_above_an_old_ledger_disable_signing() {
    let mut net = Net::with(4, |config| config.context.window = 1);
    order(&mut net, &["A", "B", "C", "D"]);
    net.links.lose(|envelope| envelope.is_commit());
    order(&mut net, &["E"]);
    let highest = net.height_records(2).iter().filter_map(Record::height).max();
    assert_eq!(highest, Some(Height(5)), "E is prepared");
    let chain = net.nodes[2].chain.clone();
    let certificate = |height: usize| net.nodes[2].certificates[&Height(height as u64)].clone();
    let end = ChainEnd {
        tip: chain[1].clone(),
        certificate: Some(certificate(1)),
        checkpoint: None,
        forgotten_through: Height(1),
    };
    let signer = Signer::new(&net.config.context, net.keys[2].clone(), id(2));
    let journal = net.nodes[2].journal.clone();
    let mut replica =
        Replica::restore(net.config.clone(), signer, end, Schedule::FIXED, journal).unwrap().replica;
    let now = net.now(2);
    for from in [0, 1] {
        let message = Message::Seen(Seen::default()).check(id(from), &net.config.context).unwrap();
        drop(replica.step(now, Input::Received { from: id(from), message }));
    }
    for height in [2, 3] {
        let signing = replica.overview(now).signing;
        assert!(matches!(signing, SigningStatus::Probing { .. }), "below height {height}: {signing:?}");
        let headers = vec![chain[height].clone()];
        drop(replica.step(now, Input::CaughtUp { headers, certificate: certificate(height) }));
    }
    assert_eq!(replica.overview(now).signing, SigningStatus::Voting);
}
