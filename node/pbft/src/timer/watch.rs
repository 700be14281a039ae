//! When a replica leaves its view because of its own timers or its censorship watch (R15, R21).

use std::time::Duration;

use quorate_ledger::View;
use quorate_ledger::mutant::{Mutant, is};

use crate::replica::Replica;
use crate::step::{Cause, Step};
use crate::time::{Moment, Now};
use crate::timer::{SILENT_INTERVALS, Timer, Work};

impl Replica {
    /// T: how long work may be pending without a commit, and the unit of the censorship watch
    /// (R15a, R21c).
    pub fn request_timeout(&self) -> Duration {
        self.timers.request_timeout()
    }

    /// R15d, case 2: whether this replica recently heard from a quorum, itself included. Without a
    /// quorum no view can begin, and a replica that leaves alone is excluded from its view when
    /// contact comes back.
    pub fn is_in_contact(&self, now: Now) -> bool {
        self.recently_heard(now).count() + 1 >= self.config.context.committee.quorum()
            || is(Mutant::LeavesWithoutContact)
    }

    /// The members that this replica recently heard from (R15d).
    pub(crate) fn recently_heard(&self, now: Now) -> impl Iterator<Item = quorate_ledger::ReplicaId> {
        self.peers.heard_within(now.moment, self.config.status_interval * SILENT_INTERVALS)
    }

    /// R15d, case 1: whether others have committed more. A certificate proves it, or the STATUS of
    /// f + 1 members claims it, at least one of them correct. The replica fetches the blocks then;
    /// the primary is not at fault.
    fn is_behind(&self) -> bool {
        let ahead = self.peers.ahead_of(self.chain.height());
        (self.chain.is_behind() || ahead >= self.config.context.committee.weak_quorum())
            && !is(Mutant::LeavesWhileBehind)
    }

    /// R15d, case 3: whether messages of a quorum, this replica included, arrived within 5 / 4
    /// status intervals, or within T if that is shorter. A replica that lost contact a moment after
    /// a commit has received nothing for most of T, and must not leave alone.
    fn quorum_in_contact(&self, now: Now) -> bool {
        let limit = (self.config.status_interval * 5 / 4).min(self.request_timeout());
        let heard = self.peers.heard_within(now.moment, limit).count();
        heard + 1 >= self.config.context.committee.quorum() || is(Mutant::LeavesWithoutContact)
    }

    /// Leaves the view if its timer has ended (R15b, R15c). `true` if it left.
    pub(crate) fn watch_progress(&mut self, now: Now, step: &mut Step) -> bool {
        if !self.may_sign() {
            return false;
        }
        if self.views.is_active() { self.watch_primary(now, step) } else { self.watch_new_view(now, step) }
    }

    fn watch_primary(&mut self, now: Now, step: &mut Step) -> bool {
        self.timers.set_awaiting_contact(false);
        // R26c: a height that must be filled needs no new transaction, and no gap.
        let timely = self.timers.work() == Work::Timely || self.has_open_proposal() || self.needs_filler();
        let busy = self.timers.work() != Work::Nothing || timely;
        // R15d: the replica fetches blocks, or lacks contact. T begins anew when that ends.
        if !busy || self.is_behind() || !self.is_in_contact(now) {
            self.timers.stop(Timer::Work);
            self.timers.stop(Timer::TimelyWork);
            return false;
        }
        self.timers.start(Timer::Work, now.moment);
        // R15b: a block in flight needs no new block, so it does not wait for `empty_block_gap`.
        if timely {
            self.timers.start(Timer::TimelyWork, now.moment);
        } else {
            self.timers.stop(Timer::TimelyWork);
        }
        if self.timers.progress_due(self.empty_block_gap()).is_none_or(|due| now.moment < due) {
            return false;
        }
        if !self.quorum_in_contact(now) {
            // R15d, case 3: leave upon the missing messages, not at a later deadline.
            self.timers.set_awaiting_contact(true);
            return false;
        }
        self.counters.no_progress += 1;
        self.leave(self.views.view().next(), Cause::NoProgress, step);
        true
    }

    fn empty_block_gap(&self) -> Duration {
        Duration::from_millis(self.config.limits.empty_block_gap_ms)
    }

    fn watch_new_view(&mut self, now: Now, step: &mut Step) -> bool {
        // R15c: later views count too, because only the latest VIEW-CHANGE of each member is kept.
        let counts = |view: View| {
            let current = self.views.view();
            if is(Mutant::NewViewTimerExact) { view == current } else { view >= current }
        };
        let left = self.views.changes().filter(|change| counts(change.view())).count();
        if left < self.config.context.committee.quorum() {
            return false;
        }
        self.timers.start(Timer::NewView, now.moment);
        if self.timers.new_view_due().is_none_or(|due| now.moment < due) {
            return false;
        }
        self.counters.no_new_view += 1;
        self.leave(self.views.view().next(), Cause::NoNewView, step);
        true
    }

    /// Whether this replica may leave its view for what it alone observed (R15d, R21d). It votes in
    /// the view, knows of no blocks that it lacks, and received messages from a quorum just now.
    /// The engine keeps a complaint of R21d until then.
    pub fn may_leave(&self, now: Now) -> bool {
        self.votes() && !self.is_behind() && self.quorum_in_contact(now)
    }

    /// Upon a censorship watch that timed out: leaves the view if permitted (R21d).
    pub(crate) fn on_censored(&mut self, now: Now, step: &mut Step) {
        if self.may_leave(now) && !is(Mutant::CensorshipIgnored) {
            self.counters.censorship += 1;
            self.leave(self.views.view().next(), Cause::Censorship, step);
        }
    }

    /// When to call [`Replica::watch_progress`] or [`Replica::open_view`] next. A replica that waits
    /// for messages from a quorum needs no deadline, because each message is a step.
    pub(crate) fn view_deadline(&self) -> Option<Moment> {
        let opens = self.timers.opening_due().filter(|_| self.may_sign() && !self.views.is_active());
        self.leaves_at().into_iter().chain(opens).min()
    }

    /// When this replica leaves its view unless a block is committed, or the view begins, before
    /// that (R15b, R15c).
    pub(crate) fn leaves_at(&self) -> Option<Moment> {
        if !self.may_sign() {
            return None;
        }
        if self.views.is_active() {
            self.timers.progress_deadline(self.empty_block_gap())
        } else {
            self.timers.new_view_due()
        }
    }
}
