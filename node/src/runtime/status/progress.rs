use std::time::Duration;

use quorate_ledger::{Height, View};
use quorate_pbft::{Moment, Overview};

/// How long this node has waited for a commit, across views. Each view has its own timer, but for a
/// client the view in which its transaction is ordered does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    committed: Height,
    wait: Option<Wait>,
}

/// Work is pending, or a view must begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    since: Moment,
    /// The view at that time.
    view: View,
}

impl Progress {
    /// Updates the state. `pooled`: the pool contains transactions. The replica itself does not
    /// count them as pending while it cannot order them, for example without a quorum in contact.
    #[must_use]
    pub(crate) fn next(self, pbft: &Overview, pooled: bool, now: Moment) -> Self {
        let committed = pbft.committed;
        let waits = pooled || pbft.pending_since.is_some() || !pbft.active;
        let before = self.wait.filter(|_| committed == self.committed);
        let new = || Wait { since: pbft.pending_since.unwrap_or(now), view: pbft.view };
        Progress { committed, wait: waits.then(|| before.unwrap_or_else(new)) }
    }

    /// How long work has waited; `None` if no work waits.
    pub(crate) fn waiting(self, now: Moment) -> Option<Duration> {
        self.wait.map(|wait| now.since(wait.since))
    }

    /// Whether the node makes progress, and a sentence about it.
    ///
    /// One view change is part of normal operation. A second one without a commit is not. Neither
    /// is a wait of twice the request timeout in force, in any number of views; an empty block may
    /// in addition wait for its gap (R17).
    pub(crate) fn check(self, pbft: &Overview, now: Moment) -> (bool, String) {
        let Some(Wait { since, view }) = self.wait else {
            return (true, "no work waits for a commit".to_owned());
        };
        let waiting = now.since(since);
        let of_view = pbft.leaves_at.zip(pbft.pending_since).map(|(end, start)| end.since(start));
        let limit = pbft.request_timeout + of_view.unwrap_or(pbft.request_timeout);
        let ok = waiting < limit && pbft.view <= view.next();
        let (since, present) = (waiting.as_millis(), pbft.view);
        let text = if pbft.active {
            format!(
                "work has waited for {since} ms without a commit, from view {view} to {present}; run `quorate explain`"
            )
        } else {
            format!(
                "view {present} has not begun; no block was committed for {since} ms, since view {view}; \
                 run `quorate explain`"
            )
        };
        (ok, text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use quorate_ledger::{Epoch, ReplicaId};
    use quorate_pbft::SigningStatus;

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
            signing: SigningStatus::Voting,
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
        assert!(progress.check(&patient, at(2100)).0, "failed views double the timeout");
        let empty = Overview { leaves_at: Some(at(11_100)), ..overview(0, true, 5, Some(100)) };
        assert!(progress.check(&empty, at(12_099)).0, "an empty block waits for its gap");
        assert!(!progress.check(&empty, at(12_100)).0);
    }

    #[test]
    fn pooled_transactions_count_as_waiting_even_without_contact() {
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
