//! When a replica leaves its view by itself (R15, R21).

use std::time::Duration;

use quorate_ledger::View;
use quorate_ledger::mutant::{Mutant, is};

use crate::replica::Replica;
use crate::step::{Cause, Step};
use crate::time::{Moment, Now};
use crate::timer::{SILENT_INTERVALS, Timer, Work};

impl Replica {
    /// T: how long pending work may wait for a commit in this view, and a transaction for its turn.
    pub fn request_timeout(&self) -> Duration {
        self.timers.request_timeout()
    }

    /// R15: whether this replica recently heard from a quorum, itself included. Without one no view can begin: a replica that
    /// left would only be excluded from its view when the connections come back.
    pub fn is_in_contact(&self, now: Now) -> bool {
        self.recently_heard(now).count() + 1 >= self.config.committee.quorum()
            || is(Mutant::LeavesWithoutContact)
    }

    /// The members that were recently heard from.
    pub(crate) fn recently_heard(&self, now: Now) -> impl Iterator<Item = quorate_ledger::ReplicaId> {
        self.peers.heard_within(now.moment, self.config.status_interval * SILENT_INTERVALS)
    }

    /// Whether others have surely committed more: a certificate proves it, or f + 1 members claim it, of which one at least
    /// is correct. The blocks are fetched then, and the primary is not to blame.
    fn is_behind(&self) -> bool {
        let ahead = self.peers.ahead_of(self.chain.height());
        (self.chain.is_behind() || ahead >= self.config.committee.one_honest())
            && !is(Mutant::LeavesWhileBehind)
    }

    /// Whether this replica heard from a quorum, itself included, within little more than the time in which STATUS comes. A
    /// replica that was cut off a moment after a commit has heard nothing for most of T, and must not leave alone.
    fn hears_quorum(&self, now: Now) -> bool {
        let limit = (self.config.status_interval * 5 / 4).min(self.request_timeout());
        let heard = self.peers.heard_within(now.moment, limit).count();
        heard + 1 >= self.config.committee.quorum() || is(Mutant::LeavesWithoutContact)
    }

    /// Leaves the view if it takes too long (R15). Whether it did.
    pub(crate) fn watch_progress(&mut self, now: Now, step: &mut Step) -> bool {
        if !self.signing.is_enabled() {
            return false;
        }
        if self.views.is_active() { self.watch_primary(now, step) } else { self.watch_new_view(now, step) }
    }

    fn watch_primary(&mut self, now: Now, step: &mut Step) -> bool {
        self.timers.set_awaiting_contact(false);
        let busy = self.timers.work() != Work::Nothing || self.has_open_proposal();
        // A replica that knows that it is behind fetches blocks: the primary need not do anything for it.
        if !busy || self.is_behind() || !self.is_in_contact(now) {
            self.timers.stop(Timer::Work);
            self.timers.stop(Timer::TimelyWork);
            return false;
        }
        self.timers.start(Timer::Work, now.moment);
        if self.timers.work() == Work::Timely || self.has_open_proposal() {
            self.timers.start(Timer::TimelyWork, now.moment);
        } else {
            self.timers.stop(Timer::TimelyWork);
        }
        if self.timers.progress_due(self.empty_block_gap()).is_none_or(|due| now.moment < due) {
            return false;
        }
        if !self.hears_quorum(now) {
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
        // VIEW-CHANGEs for later views count too: only the latest one of each member is kept.
        let counts = |view: View| {
            let current = self.views.view();
            if is(Mutant::NewViewTimerExact) { view == current } else { view >= current }
        };
        let left = self.views.changes().filter(|change| counts(change.view())).count();
        if left < self.config.committee.quorum() {
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

    /// Whether this replica may leave its view for what it alone observed (R15): it is in the view, knows of no blocks that
    /// it lacks, and heard from a quorum just now. The engine keeps a complaint of R21 until this is so.
    pub fn may_leave(&self, now: Now) -> bool {
        self.votes() && !self.is_behind() && self.hears_quorum(now)
    }

    /// R21: the engine saw that the primary censors transactions.
    pub(crate) fn on_starved(&mut self, now: Now, step: &mut Step) {
        if self.may_leave(now) && !is(Mutant::CensorshipIgnored) {
            self.counters.censorship += 1;
            self.leave(self.views.view().next(), Cause::Censorship, step);
        }
    }

    /// When [`Replica::watch_progress`] must be called next. Without contact it waits for a message, which wakes the
    /// replica by itself.
    pub(crate) fn view_deadline(&self) -> Option<Moment> {
        if !self.signing.is_enabled() {
            return None;
        }
        if self.views.is_active() {
            self.timers.progress_deadline(self.empty_block_gap())
        } else {
            self.timers.new_view_due().into_iter().chain(self.timers.opening_due()).min()
        }
    }
}
