//! Wakes members up: an engine handles the events that wait for it.

use std::time::Duration;

use quorate_engine::{Effects, Event, Fatal};
use quorate_ledger::ReplicaId;

use crate::members::epochs::Change;
use crate::oracle::{Check, require};
use crate::world::{Occurrence, World};

/// Consecutive wake-ups without effect, before a member counts as spinning.
const IDLE_WAKES_MAX: u32 = 3;

impl World {
    /// Passes an event to a running member.
    pub(crate) fn give(&mut self, to: ReplicaId, event: Event) {
        if !self.members[to.index()].is_up() {
            return;
        }
        let seat = self.seat_of(to);
        let rules = self.epochs.of_mut(self.members[to.index()].epoch);
        rules.heard.arrives(seat, &event);
        if let Event::PeerDown(peer) = event {
            rules.asked.lost(seat, peer);
        }
        let process = self.member(to).process().expect("it is up");
        process.inbox.push(event);
        let at = process.busy_until;
        self.plan_wake(to, at);
    }

    pub(crate) fn plan_wake(&mut self, replica: ReplicaId, at: Duration) {
        let at = at.max(self.agenda.now());
        let member = self.member(replica);
        let life = member.life;
        let Some(process) = member.process() else { return };
        if process.wake.is_none_or(|planned| at < planned) {
            process.wake = Some(at);
            self.agenda.at(at, Occurrence::Wake { member: replica, life });
        }
    }

    pub(crate) fn wake(&mut self, replica: ReplicaId, life: u64) -> Check {
        if !self.lives(replica, life) {
            return Ok(());
        }
        let now = self.agenda.now();
        let member = self.member(replica);
        let time = member.now(now);
        let process = member.process().expect("it lives");
        if process.wake != Some(now) {
            return Ok(()); // another wake-up came before this one
        }
        process.wake = None;
        if now < process.busy_until {
            let at = process.busy_until;
            self.plan_wake(replica, at);
            return Ok(());
        }
        self.crash_when_leaving(replica);
        let process = self.member(replica).process().expect("it lives");
        let events = std::mem::take(&mut process.inbox);
        let idle = events.is_empty();
        process.position = None;
        match process.engine.handle(time, events) {
            Ok(effects) => {
                let again_at_once =
                    process.engine.deadline(time).is_some_and(|deadline| deadline <= time.moment);
                process.idle_wakes = if idle && again_at_once { process.idle_wakes + 1 } else { 0 };
                let spins = process.idle_wakes > IDLE_WAKES_MAX;
                require(!spins, "deadlines lie ahead", || format!("member {replica} spins"))?;
                self.handled(replica, effects)
            }
            Err(fatal) => self.stopped(replica, &fatal),
        }
    }

    /// Handles the effects of a member: they are final for itself, but no other member has received
    /// its messages.
    fn handled(&mut self, replica: ReplicaId, mut effects: Effects) -> Check {
        if self.is_correct(replica) {
            self.examine(replica, &effects)?;
        } else {
            self.check_agreement_only(replica, &effects)?;
        }
        let change = self.change_epoch(replica, &mut effects)?;
        if change == Change::Stopped {
            return Ok(());
        }
        let now = self.agenda.now();
        let slowness = self.members[replica.index()].slowness;
        let pause = self.random.millis(0, self.knobs.disk_ms) * slowness;
        let member = self.member(replica);
        let life = member.life;
        member.process().expect("it just handled something").busy_until = now + pause;
        self.agenda.after(pause, Occurrence::Send { member: replica, life, effects: Box::new(effects) });
        if change == Change::Begun {
            self.report_peers(replica);
        }
        Ok(())
    }

    /// A member had to stop. That is correct if its disk failed, or if a second instance signs with
    /// its key.
    pub(super) fn stopped(&mut self, replica: ReplicaId, fatal: &Fatal) -> Check {
        self.note(format_args!("{replica} stops: {fatal}"));
        let correct = self.is_correct(replica);
        let planned = match fatal {
            Fatal::Storage(_) => self.member(replica).doomed,
            Fatal::SecondInstance => !correct,
            // A disk that fails may also hide the header that an operation names.
            Fatal::NotExecuted { .. } => self.member(replica).doomed,
            Fatal::Fork { .. } | Fatal::Contradiction(_) | Fatal::Journal(_) => false,
        };
        require(planned, "members stop only for a reason", || format!("member {replica}: {fatal}"))?;
        match fatal {
            Fatal::SecondInstance => self.coverage.saw("a second instance detected"),
            _ => self.coverage.saw("a sync that failed"),
        }
        self.crash_machine(replica);
        self.revive_later(replica);
        Ok(())
    }

    pub(crate) fn next_wake(&mut self, replica: ReplicaId) {
        let now = self.agenda.now();
        let member = self.member(replica);
        let time = member.now(now);
        let Some(process) = member.process() else { return };
        let deadline = process.engine.deadline(time).map(|moment| process.time_of(moment));
        let waiting = !process.inbox.is_empty();
        if let Some(deadline) = deadline {
            self.plan_wake(replica, deadline);
        }
        if waiting {
            self.plan_wake(replica, now);
        }
    }
}
