//! Members whose files are older than what they signed (R12, R24).

use std::time::Duration;

use quorate_engine::{Event, Fatal, Notice, Submission};
use quorate_ledger::{Height, View};
use quorate_pbft::{Cause, CheckedContent, SigningStatus};

use crate::net::{Net, Parcel, id};

/// A committee in which member 3 has signed since its files were copied. Member 3 is off now.
fn with_a_copy() -> (Net, [quorate_store::ForgetfulDisk; 2]) {
    let mut net = Net::with(4, |parameters| {
        parameters.consensus.checkpoint_interval = 8;
        parameters.consensus.log_window = 16;
    });
    net.commit_each(0..3);
    net.pass(Duration::from_secs(2));
    let copy = net.copy_of_files(3);
    net.commit_each(10..25);
    net.power_loss(3);
    (net, copy)
}

fn signed_by_3(net: &Net) -> usize {
    net.log.iter().filter(|(from, _, parcel)| *from == id(3) && parcel.is_signed_by(id(3))).count()
}

/// R24c: a correct member with an old journal could vote twice without knowing it.
#[test]
fn a_member_with_an_old_journal_follows_and_never_signs() {
    for both in [false, true] {
        let (mut net, [ledger, journal]) = with_a_copy();
        net.nodes[3].journal = journal;
        if both {
            net.nodes[3].ledger = ledger;
        }
        for start in 0..2 {
            net.log.clear();
            net.open(3);
            net.pass(Duration::from_secs(3));
            assert_eq!(net.height(3), net.height(0), "it has caught up");
            let signing = net.overview(3).pbft.signing;
            assert!(matches!(signing, SigningStatus::Recovering { .. }), "start {start}: {signing:?}");
            let told = |notice: &&Notice| matches!(notice, Notice::Recovering { .. });
            let times = net.nodes[3].notices.iter().filter(told).count();
            assert_eq!(times, start + 1, "it stays recovering, and reports that once after each start");
            net.commit_each(100 + 10 * start as u64..105 + 10 * start as u64);
            net.pass(Duration::from_secs(3));
            assert_eq!(net.ids(3), net.ids(0), "it follows by certified blocks");
            assert_eq!(signed_by_3(&net), 0);
            net.power_loss(3);
        }
    }
}

/// R24c: it sends no VIEW-CHANGE either, and follows the others into the next view.
#[test]
fn a_recovering_member_follows_into_the_next_view_and_signs_nothing() {
    let (mut net, [_, journal]) = with_a_copy();
    net.nodes[3].journal = journal;
    net.open(3);
    net.pass(Duration::from_secs(2));
    net.power_loss(0);
    net.log.clear();
    net.submit(1, &net.transaction(200)).unwrap();
    net.submit(3, &net.transaction(201)).unwrap();
    net.pass(Duration::from_secs(6));
    assert_eq!(net.height(1), 18, "two members that may sign are no quorum");
    assert_eq!(net.departures(3), []);
    net.open(0);
    net.pass(Duration::from_secs(6));
    for member in 0..4 {
        assert_eq!(net.ids(member).len(), 20, "member {member}");
    }
    assert_eq!(net.overview(3).pbft.view, net.overview(1).pbft.view);
    assert_eq!(signed_by_3(&net), 0);
}

/// R24d: the ledger may be copied, restored and pruned.
#[test]
fn an_old_ledger_alone_is_caught_up() {
    let (mut net, [ledger, _]) = with_a_copy();
    net.nodes[3].ledger = ledger;
    net.log.clear();
    net.lose(|_, _, parcel| matches!(parcel, Parcel::Ask(..)));
    net.open(3);
    assert_eq!(net.height(3), 3);
    net.deliver_all();
    // The others have answered, but no file has its records above its ledger any more.
    let signing = net.overview(3).pbft.signing;
    assert!(
        matches!(signing, SigningStatus::Probing { answered: 2.., needed: 2, through: Some(Height(8..=18)) }),
        "{signing:?}"
    );
    net.pass(Duration::from_secs(5));
    assert_eq!(signed_by_3(&net), 0);
    net.lose_nothing();
    // The wait for the lost request takes this long.
    net.pass(Duration::from_secs(8));
    assert_eq!(net.ids(3), net.ids(0));
    assert_eq!(net.overview(3).pbft.signing, SigningStatus::Voting);
    net.log.clear();
    net.power_loss(2);
    net.commit_each(100..103);
    assert_eq!(net.height(0), 21, "its vote counts again");
    assert!(signed_by_3(&net) > 0);
    assert_eq!(net.overview(0).pbft_counters.contradictions, 0);
}

/// R24c: a copy that runs beside the original stops the original, as soon as another member sends
/// SEEN with a statement that the original never signed.
#[test]
fn a_second_instance_with_the_same_key_is_found_out() {
    let mut net = Net::of(4);
    net.commit_each(0..3);
    let tip = net.engine(0).reader().header(Height(3)).unwrap().unwrap();
    let block = net.block_on(&tip, &[]);
    let message = net.check(id(3), net.prepare_vote(3, &block));
    net.handle(0, [Event::Consensus { from: id(3), message }]);
    // The original sends STATUS, and receives SEEN with what others have received from it.
    net.handle(3, [Event::PeerUp(id(0))]);
    net.now += Duration::from_millis(300);
    let mut shown = None;
    while let Some((from, to, parcel)) = net.queue.pop_front() {
        let Parcel::Consensus(message) = parcel else { continue };
        let message = net.check(from, message);
        if let CheckedContent::Seen(Some(_)) = message.content()
            && (from, to) == (id(0), id(3))
        {
            shown = Some(message);
        } else if (from, to) == (id(3), id(0)) {
            net.handle(0, [Event::Consensus { from, message }]);
        }
    }
    let shown = Event::Consensus { from: id(0), message: shown.expect("SEEN is sent") };
    assert!(matches!(net.try_handle(3, [shown]), Err(Fatal::SecondInstance)));
}

#[test]
fn a_restart_with_current_files_votes_again() {
    let mut net = Net::of(4);
    net.commit_each(0..5);
    for member in 0..4 {
        net.power_loss(member);
        net.open(member);
        net.pass(Duration::from_secs(2));
        assert_eq!(net.overview(member).pbft.signing, SigningStatus::Voting, "member {member}");
        assert_eq!(net.submit(member, &net.transaction(50 + member as u64)), Ok(Submission::Pending));
        net.pass(Duration::from_secs(1));
    }
    assert_eq!(net.height(0), 9);
    for member in 0..4 {
        assert!(
            net.departures(member)
                .iter()
                .all(|(view, cause)| *view == View(1) && *cause == Cause::NoProgress)
        );
    }
}
