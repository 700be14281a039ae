//! How long a view may take (R15).

pub(crate) mod watch;

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};

use crate::config::Config;
use crate::step::Cause;
use crate::time::Moment;

/// What waits for a next block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    #[default]
    Nothing,
    /// Only transactions that no block can contain any more. Their clients wait for the block that proves it (R17).
    Expired,
    /// Transactions that a block can contain.
    Timely,
}

/// STATUS is sent every interval. A member that was silent for so many is not recently heard from (R15).
pub const SILENT_INTERVALS: u32 = 3;

/// This many timeouts of progress without a failed view halve the timeout again.
const CALM_TIMEOUTS: u32 = 10;

/// The waits of a replica. Each runs from the moment at which it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Work is pending, and nothing was committed since.
    Work,
    /// Some of that work can be committed at once.
    TimelyWork,
    /// A quorum has left for this view, and its NEW-VIEW has not come.
    NewView,
    /// The primary of a view that has not begun waits for the VIEW-CHANGEs of more members (R20).
    Opening,
    /// No view failed, and the timeout was not halved.
    Calm,
}

const TIMERS: usize = Timer::Calm as usize + 1;

/// The timers of a view, and the timeouts in force.
#[derive(Debug)]
pub(crate) struct ViewTimers {
    request_timeout: Duration,
    new_view_timeout: Duration,
    cap: Duration,
    /// How often the timeouts were doubled.
    doublings: u32,
    started: [Option<Moment>; TIMERS],
    work: Work,
    /// Whether anything was committed in this view.
    progressed: bool,
    /// The view timer has expired, and the replica stays because it has not heard from a quorum.
    awaiting_contact: bool,
}

impl ViewTimers {
    pub(crate) fn new(config: &Config) -> Self {
        ViewTimers {
            request_timeout: config.request_timeout,
            new_view_timeout: config.new_view_timeout,
            cap: config.timeout_cap,
            doublings: 0,
            started: [None; TIMERS],
            work: Work::Nothing,
            progressed: false,
            awaiting_contact: false,
        }
    }

    /// Starts a timer unless it runs. The moment at which it was started.
    pub(crate) fn start(&mut self, timer: Timer, now: Moment) -> Moment {
        *self.started[timer as usize].get_or_insert(now)
    }

    fn restart(&mut self, timer: Timer, now: Moment) {
        self.started[timer as usize] = Some(now);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.started[timer as usize] = None;
    }

    /// The moment at which a timer was started; `None` if it does not run.
    pub(crate) fn started(&self, timer: Timer) -> Option<Moment> {
        self.started[timer as usize]
    }

    fn stop_work(&mut self) {
        self.stop(Timer::Work);
        self.stop(Timer::TimelyWork);
    }

    fn scaled(&self, timeout: Duration) -> Duration {
        timeout.saturating_mul(1 << self.doublings).min(self.cap.max(timeout))
    }

    /// T: how long pending work may wait for a commit in this view.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.scaled(self.request_timeout)
    }

    /// How long a quorum that has left waits for the NEW-VIEW.
    pub(crate) fn new_view_timeout(&self) -> Duration {
        self.scaled(self.new_view_timeout)
    }

    /// The doublings after which both timeouts are at the cap. Further ones would make no timeout longer, and each would
    /// take ten timeouts of progress to be taken back.
    fn doublings_max(&self) -> u32 {
        let shorter = self.request_timeout.min(self.new_view_timeout);
        (0..31).find(|doublings| shorter.saturating_mul(1 << doublings) >= self.cap).unwrap_or(31)
    }

    /// The engine says what waits for a next block.
    pub(crate) fn set_work(&mut self, work: Work) {
        self.work = work;
    }

    pub(crate) fn work(&self) -> Work {
        self.work
    }

    pub(crate) fn set_awaiting_contact(&mut self, awaiting: bool) {
        self.awaiting_contact = awaiting;
    }

    /// A block was committed, in a view that has begun or not.
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

    /// A view is left. It has failed if nothing was committed in it, or if it never began.
    pub(crate) fn left(&mut self, was_active: bool, cause: Cause) {
        let failed = was_active && !self.progressed || cause == Cause::NoNewView;
        if failed && !is(Mutant::TimeoutNeverDoubled) {
            self.doublings = (self.doublings + 1).min(self.doublings_max());
        }
        self.started = [None; TIMERS];
    }

    /// A view begins.
    pub(crate) fn entered(&mut self, now: Moment) {
        self.started = [None; TIMERS];
        self.progressed = false;
        self.restart(Timer::Calm, now);
    }

    /// The process stood still for so long. All timers go on from where they were: the other members could not be heard
    /// meanwhile.
    pub(crate) fn put_off(&mut self, lateness: Duration) {
        for started in &mut self.started {
            *started = started.map(|started| started.after(lateness));
        }
    }

    /// When work has waited for too long: all of it, or the part that can be committed at once. Work that has only
    /// expired waits for `gap` as well, the time between a block and an empty one.
    pub(crate) fn progress_due(&self, gap: Duration) -> Option<Moment> {
        let timeout = self.request_timeout();
        let any = self.started(Timer::Work)?.after(timeout).after(gap);
        let timely = self.started(Timer::TimelyWork).map(|started| started.after(timeout));
        Some(timely.map_or(any, |timely| timely.min(any)))
    }

    /// The next moment at which a view that has begun may be left; `None` while the replica waits for contact.
    pub(crate) fn progress_deadline(&self, gap: Duration) -> Option<Moment> {
        self.progress_due(gap).filter(|_| !self.awaiting_contact)
    }

    /// When the wait for the NEW-VIEW is over; `None` until a quorum waits.
    pub(crate) fn new_view_due(&self) -> Option<Moment> {
        Some(self.started(Timer::NewView)?.after(self.new_view_timeout()))
    }

    /// R20: until when the primary of a view that has not begun puts a doubtful beginning off: half of the time after
    /// which the others leave the view.
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
            started: [None; TIMERS],
            work: Work::Nothing,
            progressed: false,
            awaiting_contact: false,
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    /// R15: failures double both timeouts up to the cap, and failures at the cap are not counted.
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

    /// R15: a view in which something was committed has not failed.
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

    /// R17: expired work may wait for the gap of an empty block too; timely work may not.
    #[test]
    fn timely_work_does_not_wait_for_the_gap() {
        let (mut timers, gap) = (timers(), Duration::from_secs(9));
        timers.start(Timer::Work, at(0));
        assert_eq!(timers.progress_due(gap), Some(at(13)));
        timers.start(Timer::TimelyWork, at(2));
        assert_eq!(timers.progress_due(gap), Some(at(6)));
    }
}
