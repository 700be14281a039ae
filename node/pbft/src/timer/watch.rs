//! How long a view may take (R15).

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{ReplicaId, View};

use crate::replica::Replica;
use crate::step::{Cause, Step};
use crate::time::{Moment, Now};

/// What waits for a next block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    #[default]
    Nothing,
    /// Only transactions that no block can contain any more, and whose senders wait to hear it from one (R17).
    Expired,
    /// Transactions that a block can contain.
    Timely,
}

/// STATUS comes every interval; whoever was not heard of for so many is not in contact (R15).
pub const SILENT_INTERVALS: u32 = 3;

/// This many timeouts of progress on end halve the timeout again.
const CALM: u32 = 10;

/// What a replica waits for, and since when.
#[derive(Debug, Default)]
pub(crate) struct ViewTimer {
    pub(crate) work: Work,
    /// Since when work is pending and nothing was committed.
    pub(crate) pending_since: Option<Moment>,
    /// Since when some of it can be committed at once.
    timely_since: Option<Moment>,
    /// The view would be left if a quorum were heard of.
    unheard: bool,
    /// When the wait for a NEW-VIEW is over; `None` until a quorum waits.
    pub(crate) new_view_due: Option<Moment>,
    /// Until when the primary of a view that has not begun waits for the VIEW-CHANGEs of more members (R20).
    pub(crate) open_due: Option<Moment>,
    /// How often the timeouts were doubled.
    pub(crate) doublings: u32,
    /// Whether anything was committed in this view.
    progressed: bool,
    /// Since when views have not failed and the timeout was not halved.
    calm_since: Option<Moment>,
}

impl ViewTimer {
    pub(crate) fn committed(&mut self, moment: Moment, active: bool, timeout: Duration) {
        (self.pending_since, self.timely_since) = (None, None);
        self.progressed = true;
        let calm = moment.since(*self.calm_since.get_or_insert(moment));
        let halves = calm >= timeout.saturating_mul(CALM) && !is(Mutant::TimeoutNeverHalved);
        if active && self.doublings > 0 && halves {
            self.doublings -= 1;
            self.calm_since = Some(moment);
        }
    }

    /// A view is left. The timeouts are doubled at most `most` times.
    pub(crate) fn left(&mut self, was_active: bool, cause: Cause, most: u32) {
        let failed = was_active && !self.progressed || cause == Cause::NoNewView;
        if failed && !is(Mutant::TimeoutNeverDoubled) {
            self.doublings = (self.doublings + 1).min(most);
        }
        (self.pending_since, self.timely_since) = (None, None);
        (self.new_view_due, self.open_due, self.calm_since) = (None, None, None);
    }

    /// A view begins.
    pub(crate) fn entered(&mut self, moment: Moment) {
        (self.pending_since, self.timely_since) = (None, None);
        (self.new_view_due, self.open_due) = (None, None);
        self.progressed = false;
        self.calm_since = Some(moment);
    }

    /// The process stood still: what it did not see happen is not held against anybody.
    pub(crate) fn put_off(&mut self, lateness: Duration) {
        for moment in [
            &mut self.pending_since,
            &mut self.timely_since,
            &mut self.new_view_due,
            &mut self.open_due,
            &mut self.calm_since,
        ] {
            *moment = moment.map(|moment| moment.after(lateness));
        }
    }
}

impl Replica {
    fn scaled(&self, base: Duration) -> Duration {
        base.saturating_mul(1 << self.timer.doublings).min(self.config.timeout_cap.max(base))
    }

    /// The doublings after which both timeouts are at the cap. Further ones would make no timeout longer, and each would
    /// take 10 T of progress to be taken back.
    pub(crate) fn doublings_max(&self) -> u32 {
        let shorter = self.config.request_timeout.min(self.config.new_view_timeout);
        let reaches = |doublings: &u32| shorter.saturating_mul(1 << doublings) >= self.config.timeout_cap;
        (0..31).find(reaches).unwrap_or(31)
    }

    /// T: how long pending work may go without a commit, and a transaction without its turn, in this view.
    pub fn request_timeout(&self) -> Duration {
        self.scaled(self.config.request_timeout)
    }

    fn new_view_timeout(&self) -> Duration {
        self.scaled(self.config.new_view_timeout)
    }

    /// R15: whether a quorum, we included, was heard of lately. Without one no view can begin, so leaving ours would
    /// only mean to be mute in it when contact comes back.
    pub fn is_in_contact(&self, now: Now) -> bool {
        self.contacts(now).count() + 1 >= self.config.committee.quorum() || is(Mutant::LeavesWithoutContact)
    }

    /// The members that were heard of lately.
    pub(crate) fn contacts(&self, now: Now) -> impl Iterator<Item = ReplicaId> {
        let limit = self.config.status_interval * SILENT_INTERVALS;
        let lately = self.peers.last_heard.iter().filter(move |(_, last)| now.moment.since(**last) <= limit);
        lately.map(|(replica, _)| *replica)
    }

    /// Whether others have surely committed more: a certificate says so, or f + 1 members do, one of them at least
    /// correct. What is missing here is fetched then, and the primary of the view is not to blame.
    fn is_behind(&self) -> bool {
        let ahead = self.peers.heads.values().filter(|head| **head > self.chain.tip.height).count();
        (self.chain.behind > self.chain.tip.height || ahead >= self.config.committee.one_honest())
            && !is(Mutant::LeavesWhileBehind)
    }

    /// Whether a quorum, we included, was heard of just now: within the time in which STATUS comes and a little more.
    /// Whoever lost contact a moment after a commit has heard nothing for most of T, and must not leave alone.
    fn hears_quorum(&self, now: Now) -> bool {
        let limit = (self.config.status_interval * 5 / 4).min(self.request_timeout());
        let heard = self.peers.last_heard.values().filter(|last| now.moment.since(**last) <= limit).count();
        heard + 1 >= self.config.committee.quorum() || is(Mutant::LeavesWithoutContact)
    }

    /// Leaves the view if it takes too long (R15). Whether it did.
    pub(crate) fn watch_progress(&mut self, now: Now, step: &mut Step) -> bool {
        if !self.signing.state.is_free() {
            return false;
        }
        if self.views.active { self.watch_primary(now, step) } else { self.watch_new_view(now, step) }
    }

    fn watch_primary(&mut self, now: Now, step: &mut Step) -> bool {
        self.timer.unheard = false;
        let busy = self.timer.work != Work::Nothing || self.has_open_proposal();
        // Whoever knows that others are further is fetching blocks, and has nothing to complain about.
        if !busy || self.is_behind() || !self.is_in_contact(now) {
            (self.timer.pending_since, self.timer.timely_since) = (None, None);
            return false;
        }
        self.timer.pending_since.get_or_insert(now.moment);
        if self.timer.work == Work::Timely || self.has_open_proposal() {
            self.timer.timely_since.get_or_insert(now.moment);
        } else {
            self.timer.timely_since = None;
        }
        if self.progress_due().is_none_or(|due| now.moment < due) {
            return false;
        }
        if !self.hears_quorum(now) {
            self.timer.unheard = true;
            return false;
        }
        self.counters.no_progress += 1;
        self.leave(self.views.view.next(), Cause::NoProgress, step);
        true
    }

    fn progress_due(&self) -> Option<Moment> {
        let timeout = self.request_timeout();
        let gap = Duration::from_millis(self.config.limits.empty_block_gap_ms);
        let at_all = self.timer.pending_since?.after(timeout).after(gap);
        let at_once = self.timer.timely_since.map(|since| since.after(timeout));
        Some(at_once.map_or(at_all, |at_once| at_once.min(at_all)))
    }

    fn watch_new_view(&mut self, now: Now, step: &mut Step) -> bool {
        // Counted whatever view they want beyond this one: each member is remembered with its latest alone.
        let counts = |view: View| {
            if is(Mutant::NewViewTimerExact) { view == self.views.view } else { view >= self.views.view }
        };
        let left = self.views.changes.values().filter(|change| counts(change.view())).count();
        if left < self.config.committee.quorum() {
            return false;
        }
        let wait = self.new_view_timeout();
        let due = *self.timer.new_view_due.get_or_insert(now.moment.after(wait));
        if now.moment < due {
            return false;
        }
        self.counters.no_new_view += 1;
        self.leave(self.views.view.next(), Cause::NoNewView, step);
        true
    }

    /// R20: until when a primary with a doubtful beginning waits for the VIEW-CHANGEs of more members: half of the time
    /// after which others give the view up.
    pub(crate) fn opening_due(&mut self, now: Now) -> Moment {
        let wait = self.new_view_timeout() / 2;
        *self.timer.open_due.get_or_insert(now.moment.after(wait))
    }

    /// Whether this replica may leave its view for what it alone saw (R15): it is in the view, knows of no blocks that
    /// it misses, and heard a quorum just now. The engine keeps a complaint of R21 until this is so.
    pub fn may_leave(&self, now: Now) -> bool {
        self.votes() && !self.is_behind() && self.hears_quorum(now)
    }

    /// R21: the engine saw that transactions are passed over.
    pub(crate) fn on_starved(&mut self, now: Now, step: &mut Step) {
        if self.may_leave(now) && !is(Mutant::CensorshipIgnored) {
            self.counters.censorship += 1;
            self.leave(self.views.view.next(), Cause::Censorship, step);
        }
    }

    pub(crate) fn patience_deadline(&self) -> Option<Moment> {
        if !self.signing.state.is_free() {
            return None;
        }
        // What somebody says is waited for, and wakes us by itself.
        if self.views.active {
            self.progress_due().filter(|_| !self.timer.unheard)
        } else {
            self.timer.new_view_due.into_iter().chain(self.timer.open_due).min()
        }
    }
}
