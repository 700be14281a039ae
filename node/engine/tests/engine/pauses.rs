//! A replica whose process was paused does not blame others for what it did not receive (R15e).

use std::time::Duration;

use quorate_ledger::View;

use crate::net::Net;

#[test]
fn after_a_pause_a_member_does_not_leave_the_view() {
    for pause_ms in [300, 1500, 2500, 10_000] {
        for before_ms in [0, 400, 900, 1300] {
            let mut net = Net::of(4);
            net.commit_each(0..2);
            // The replica has pending work, and has received no votes for a while.
            let silent = before_ms > 0;
            net.lose(move |_, to, parcel| silent && to.index() == 1 && parcel.is_vote());
            net.submit(1, &net.transaction(5)).unwrap();
            net.pass(Duration::from_millis(before_ms));
            net.lose_nothing();
            net.stop(1);
            net.submit(2, &net.transaction(6)).unwrap();
            net.pass(Duration::from_millis(pause_ms));
            net.go_on();
            net.pass(Duration::from_secs(3));
            for member in 0..4 {
                let what = format!("member {member}, a pause of {pause_ms} ms after {before_ms} ms");
                assert_eq!(net.departures(member), [], "{what}");
                assert_eq!((net.overview(member).pbft.view, net.height(member)), (View(0), 4), "{what}");
            }
        }
    }
}

/// A suspended host: all members on it wake up late, with pending work.
#[test]
fn after_a_pause_of_all_members_no_view_is_left() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    net.submit(1, &net.transaction(5)).unwrap();
    net.now += Duration::from_secs(10);
    for member in 0..4 {
        net.handle(member, []);
    }
    net.pass(Duration::from_secs(3));
    for member in 0..4 {
        assert_eq!((net.departures(member), net.height(member)), (vec![], 3), "member {member}");
    }
}

/// A pause postpones the deadlines once, not for ever.
#[test]
fn a_dead_primary_is_still_left_after_a_pause() {
    let mut net = Net::of(4);
    net.power_loss(0);
    net.submit(1, &net.transaction(5)).unwrap();
    net.pass(Duration::from_secs(1));
    net.stop(1);
    net.pass(Duration::from_millis(700));
    net.go_on();
    net.pass(Duration::from_secs(3));
    assert_eq!(net.overview(1).pbft.view, View(1));
    assert_eq!(net.height(1), 1);
}
