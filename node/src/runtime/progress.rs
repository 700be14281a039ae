use std::time::Duration;

use quorate_ledger::{Height, View};
use quorate_pbft::{Moment, Overview};

/// How long there has been something to wait for without a commit, across views: each view has patience of its
/// own, but who waits for a transaction does not care in which view it is ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    committed: Height,
    wait: Option<Wait>,
}

/// Work is pending, or a view is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    since: Moment,
    /// The view at that time.
    view: View,
}

impl Progress {
    /// What was known before, and where the replica stands now. `pooled`: transactions are waiting here. The
    /// replica itself does not wait for them while it can do nothing about it, such as without contact.
    #[must_use]
    pub(crate) fn next(self, pbft: &Overview, pooled: bool, now: Moment) -> Self {
        let committed = pbft.committed;
        let waits = pooled || pbft.pending_since.is_some() || !pbft.active;
        let before = self.wait.filter(|_| committed == self.committed);
        let new = || Wait { since: pbft.pending_since.unwrap_or(now), view: pbft.view };
        Progress { committed, wait: waits.then(|| before.unwrap_or_else(new)) }
    }

    /// How long there has been something to wait for; `None` while there is nothing.
    pub(crate) fn waiting(self, now: Moment) -> Option<Duration> {
        self.wait.map(|wait| now.since(wait.since))
    }

    /// Whether the node gets on, and a sentence about it.
    ///
    /// One view change is part of normal operation. A second one without a commit is not, and neither is a wait
    /// for twice the request timeout in force, in whichever views; an empty block may take its gap longer (R17).
    pub(crate) fn check(self, pbft: &Overview, now: Moment) -> (bool, String) {
        let Some(Wait { since, view }) = self.wait else {
            return (true, "no work has been waiting without a commit".to_owned());
        };
        let waiting = now.since(since);
        let of_view = pbft.leaves_at.zip(pbft.pending_since).map(|(end, start)| end.since(start));
        let patience = pbft.request_timeout + of_view.unwrap_or(pbft.request_timeout);
        let ok = waiting < patience && pbft.view <= view.next();
        let (since, present) = (waiting.as_millis(), pbft.view);
        let text = if pbft.active {
            format!("work has been waiting for {since} ms without a commit, from view {view} to {present}")
        } else {
            format!("view {present} has not begun; nothing was committed for {since} ms, since view {view}")
        };
        (ok, text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use quorate_ledger::{Epoch, ReplicaId};
    use quorate_pbft::Standing;

    use super::*;

    const TIMEOUT_MS: u64 = 1000;

    pub(crate) fn at(milliseconds: u64) -> Moment {
        Moment(Duration::from_millis(milliseconds))
    }

    pub(crate) fn overview(view: u64, active: bool, committed: u64, pending_since: Option<u64>) -> Overview {
        Overview {
            epoch: Epoch(0),
            view: View(view),
            active,
            standing: Standing::Voting,
            primary: ReplicaId(0),
            committed: Height(committed),
            slots: Vec::new(),
            pending_since: pending_since.map(at),
            request_timeout: Duration::from_millis(TIMEOUT_MS),
            leaves_at: None,
            contacts: Vec::new(),
            departed: Vec::new(),
            stable: Height(0),
            checkpoint_due: None,
        }
    }

    #[test]
    fn one_view_change_is_progress_and_two_without_a_commit_are_not() {
        let mut progress = Progress::default();
        let mut is_ok = |now, overview: Overview| {
            progress = progress.next(&overview, false, at(now));
            progress.check(&overview, at(now)).0
        };
        assert!(is_ok(0, overview(0, true, 5, None)));
        assert!(is_ok(100, overview(0, true, 5, Some(100))));
        assert!(is_ok(1100, overview(1, false, 5, None)), "the wait goes on in the next view");
        assert!(is_ok(1200, overview(1, true, 5, Some(1200))));
        assert!(!is_ok(1300, overview(2, false, 5, None)));
        assert!(!is_ok(1400, overview(2, true, 5, Some(1400))));
        assert!(is_ok(1500, overview(2, true, 6, Some(1500))), "a commit ends the wait");
        assert!(is_ok(1600, overview(3, false, 6, None)));
        assert!(is_ok(1700, overview(3, true, 6, None)), "nothing is waiting");
        assert_eq!(progress.waiting(at(1800)), None);
    }

    #[test]
    fn a_wait_lasts_no_longer_than_twice_the_timeout_in_force() {
        let waiting = overview(0, true, 5, Some(100));
        let progress = Progress::default().next(&waiting, false, at(100));
        assert!(progress.check(&waiting, at(2099)).0);
        assert_eq!(progress.waiting(at(2100)), Some(Duration::from_secs(2)));
        let (ok, text) = progress.check(&waiting, at(2100));
        assert!(!ok && text.contains("2000 ms"), "{text}");
        let patient = Overview { request_timeout: Duration::from_secs(2), ..waiting };
        assert!(progress.check(&patient, at(2100)).0, "views that failed make a node patient");
        let empty = Overview { leaves_at: Some(at(11_100)), ..overview(0, true, 5, Some(100)) };
        assert!(progress.check(&empty, at(12_099)).0, "an empty block takes its time");
        assert!(!progress.check(&empty, at(12_100)).0);
    }

    #[test]
    fn transactions_that_nobody_can_order_are_waiting() {
        let alone = overview(0, true, 5, None);
        let progress = Progress::default().next(&alone, true, at(100)).next(&alone, true, at(1000));
        assert!(progress.check(&alone, at(2099)).0);
        assert!(!progress.check(&alone, at(2100)).0);
        assert!(progress.next(&alone, false, at(2100)).check(&alone, at(2100)).0, "they expired");
    }

    #[test]
    fn a_view_that_does_not_begin_is_a_wait_without_work() {
        let changing = overview(1, false, 5, None);
        let progress = Progress::default().next(&changing, false, at(100));
        assert!(progress.check(&changing, at(200)).0);
        let (ok, text) = progress.next(&changing, false, at(2100)).check(&changing, at(2100));
        assert!(!ok && text.contains("view 1 has not begun"), "{text}");
    }
}
