//! The timers of a view, and the timeouts in force (R15a to R15c).

pub(crate) mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};

use crate::config::Config;
use crate::step::Cause;
use crate::time::Moment;

/// What the mempool holds for the next block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// No transaction.
    #[default]
    Nothing,
    /// Only expired transactions. Their clients wait for a block that proves it (R17).
    Expired,
    /// Transactions that a block can contain.
    Timely,
}

/// In status intervals: a member that sent nothing for this long is not recently heard from (R15d).
/// STATUS comes every interval.
pub const SILENT_INTERVALS: u32 = 3;

/// The timeouts are halved after this many request timeouts of progress without a failed view
/// (R15a).
const CALM_TIMEOUTS: u32 = 10;

/// The timers of a replica. Each runs from the moment at which it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Work is pending, and nothing was committed since (R15b).
    Work,
    /// Work is pending that a block can contain now, and nothing was committed since.
    TimelyWork,
    /// The replica has left, a quorum has sent VIEW-CHANGE for its view or a later one, and no
    /// NEW-VIEW has arrived (R15c).
    NewView,
    /// The primary of a view that has not begun waits for VIEW-CHANGEs of more members (R20e).
    Opening,
    /// Since the view began, or since the timeouts were last halved (R15a).
    Calm,
}

/// The timers of a view, and the timeouts in force.
#[derive(Debug)]
pub(crate) struct ViewTimers {
    request_timeout: Duration,
    new_view_timeout: Duration,
    cap: Duration,
    /// How many times the timeouts are doubled at present, 0 to 31.
    doublings: u32,
    /// When each running timer was started.
    started: BTreeMap<Timer, Moment>,
    work: Work,
    /// Whether a block was committed in this view.
    progressed: bool,
    /// T has ended, and the replica does not leave because it lacks messages from a quorum (R15d,
    /// case 3).
    awaiting_contact: bool,
}

impl ViewTimers {
    pub(crate) fn new(config: &Config) -> Self {
        ViewTimers {
            request_timeout: config.request_timeout,
            new_view_timeout: config.new_view_timeout,
            cap: config.timeout_cap,
            doublings: 0,
            started: BTreeMap::new(),
            work: Work::Nothing,
            progressed: false,
            awaiting_contact: false,
        }
    }

    /// Starts a timer unless it runs. Returns the moment at which it was started.
    pub(crate) fn start(&mut self, timer: Timer, now: Moment) -> Moment {
        *self.started.entry(timer).or_insert(now)
    }

    fn restart(&mut self, timer: Timer, now: Moment) {
        self.started.insert(timer, now);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.started.remove(&timer);
    }

    /// The moment at which a timer was started; `None` if it does not run.
    pub(crate) fn started(&self, timer: Timer) -> Option<Moment> {
        self.started.get(&timer).copied()
    }

    fn stop_work(&mut self) {
        self.stop(Timer::Work);
        self.stop(Timer::TimelyWork);
    }

    fn scaled(&self, timeout: Duration) -> Duration {
        timeout.saturating_mul(1 << self.doublings).min(self.cap.max(timeout))
    }

    /// T: how long work may be pending without a commit (R15a).
    pub(crate) fn request_timeout(&self) -> Duration {
        self.scaled(self.request_timeout)
    }

    /// The new-view timeout in force (R15a).
    pub(crate) fn new_view_timeout(&self) -> Duration {
        self.scaled(self.new_view_timeout)
    }

    /// The number of doublings after which both timeouts are at the cap. Further ones would make no
    /// timeout longer, and each would need ten timeouts of progress to be undone.
    fn doublings_max(&self) -> u32 {
        let shorter = self.request_timeout.min(self.new_view_timeout);
        (0..31).find(|doublings| shorter.saturating_mul(1 << doublings) >= self.cap).unwrap_or(31)
    }

    /// Notes what the mempool holds for the next block.
    pub(crate) fn set_work(&mut self, work: Work) {
        self.work = work;
    }

    pub(crate) fn work(&self) -> Work {
        self.work
    }

    pub(crate) fn set_awaiting_contact(&mut self, awaiting: bool) {
        self.awaiting_contact = awaiting;
    }

    /// A block was committed. Stops the work timers, and halves the timeouts after 10 T of progress
    /// in an active view (R15a, R15b).
    pub(crate) fn committed(&mut self, now: Moment, active: bool) {
        self.stop_work();
        self.progressed = true;
        let calm = now.since(self.start(Timer::Calm, now));
        let halves = calm >= self.request_timeout().saturating_mul(CALM_TIMEOUTS);
        if active && self.doublings > 0 && halves && !is(Mutant::TimeoutNeverHalved) {
            self.doublings -= 1;
            self.restart(Timer::Calm, now);
        }
    }

    /// The replica leaves a view. The view failed if nothing was committed in it, or if its
    /// NEW-VIEW did not arrive in time (R15a).
    pub(crate) fn left(&mut self, was_active: bool, cause: Cause) {
        let failed = was_active && !self.progressed || cause == Cause::NoNewView;
        if failed && !is(Mutant::TimeoutNeverDoubled) {
            self.doublings = (self.doublings + 1).min(self.doublings_max());
        }
        self.started.clear();
    }

    /// The replica enters a view.
    pub(crate) fn entered(&mut self, now: Moment) {
        self.started.clear();
        self.progressed = false;
        self.restart(Timer::Calm, now);
    }

    /// The process was paused for this long. Postpones all timers by as much: no message could
    /// arrive meanwhile (R15e).
    pub(crate) fn put_off(&mut self, lateness: Duration) {
        for started in self.started.values_mut() {
            *started = started.after(lateness);
        }
    }

    /// When T ends for the pending work. Work that a block can contain waits for T from its own
    /// start. Work that has only expired waits for `gap` as well, the minimum time from a block to
    /// an empty one (R15b).
    pub(crate) fn progress_due(&self, gap: Duration) -> Option<Moment> {
        let timeout = self.request_timeout();
        let any = self.started(Timer::Work)?.after(timeout).after(gap);
        let timely = self.started(Timer::TimelyWork).map(|started| started.after(timeout));
        Some(timely.map_or(any, |timely| timely.min(any)))
    }

    /// When a replica leaves an active view. `None` while it waits for messages from a quorum
    /// (R15d, case 3).
    pub(crate) fn progress_deadline(&self, gap: Duration) -> Option<Moment> {
        self.progress_due(gap).filter(|_| !self.awaiting_contact)
    }

    /// When the new-view timeout ends; `None` until a quorum has left (R15c).
    pub(crate) fn new_view_due(&self) -> Option<Moment> {
        Some(self.started(Timer::NewView)?.after(self.new_view_timeout()))
    }

    /// R20e: how long the primary postpones a beginning that contains a certificate of a suspected
    /// member. It is half of the time after which the others leave the view.
    pub(crate) fn opening_due(&self) -> Option<Moment> {
        Some(self.started(Timer::Opening)?.after(self.new_view_timeout() / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> ViewTimers {
        let seconds = Duration::from_secs;
        ViewTimers {
            request_timeout: seconds(4),
            new_view_timeout: seconds(3),
            cap: seconds(20),
            doublings: 0,
            started: BTreeMap::new(),
            work: Work::Nothing,
            progressed: false,
            awaiting_contact: false,
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    /// R15a: failures double both timeouts up to the cap, and failures at the cap do not count.
    #[test]
    fn timeouts_double_up_to_the_cap() {
        let mut timers = timers();
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push((timers.request_timeout().as_secs(), timers.new_view_timeout().as_secs()));
            timers.left(false, Cause::NoNewView);
        }
        assert_eq!(seen, [(4, 3), (8, 6), (16, 12), (20, 20), (20, 20), (20, 20)]);
        assert_eq!(timers.doublings, 3);
    }

    /// R15a: a view in which a block was committed has not failed.
    #[test]
    fn a_view_with_a_commit_has_not_failed() {
        let mut timers = timers();
        timers.entered(at(0));
        timers.committed(at(1), true);
        timers.left(true, Cause::NoProgress);
        assert_eq!(timers.doublings, 0);
        timers.entered(at(2));
        timers.left(true, Cause::NoProgress);
        assert_eq!(timers.doublings, 1);
    }

    #[test]
    fn a_pause_puts_every_timer_off() {
        let mut timers = timers();
        timers.start(Timer::Work, at(1));
        timers.start(Timer::NewView, at(2));
        timers.put_off(Duration::from_secs(5));
        assert_eq!(timers.progress_due(Duration::ZERO), Some(at(10)));
        assert_eq!(timers.new_view_due(), Some(at(10)));
        assert_eq!(timers.opening_due(), None);
        timers.stop(Timer::NewView);
        assert_eq!(timers.new_view_due(), None);
    }

    /// R15b: expired work waits for the gap of an empty block as well; work that a block can
    /// contain does not.
    #[test]
    fn timely_work_does_not_wait_for_the_gap() {
        let (mut timers, gap) = (timers(), Duration::from_secs(9));
        timers.start(Timer::Work, at(0));
        assert_eq!(timers.progress_due(gap), Some(at(13)));
        timers.start(Timer::TimelyWork, at(2));
        assert_eq!(timers.progress_due(gap), Some(at(6)));
    }
}
