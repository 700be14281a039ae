//! Starts and stops members.

use std::time::Duration;

use quorate_engine::Event;
use quorate_ledger::ReplicaId;

use crate::members::Crash;
use crate::oracle::{Check, require};
use crate::world::{Occurrence, World};

impl World {
    /// Connects two members, if both run.
    pub(crate) fn connect(&mut self, a: ReplicaId, b: ReplicaId) {
        let (one, other) = (&self.members[a.index()], &self.members[b.index()]);
        let acquainted = one.knows(b) && other.knows(a) && one.identity != other.identity;
        if acquainted && one.is_up() && other.is_up() && self.net.connect(a, b) {
            self.note(format_args!("{a} - {b} connect"));
            for (to, peer) in [(a, b), (b, a)] {
                if let Some(peer) = self.seat_in(self.epoch_of(to), peer) {
                    self.give(to, Event::PeerUp(peer));
                }
            }
        }
    }

    /// Notifies a machine that its connection to another one is closed.
    pub(crate) fn notify_disconnected(&mut self, machine: ReplicaId, gone: ReplicaId) {
        if let Some(peer) = self.seat_in(self.epoch_of(machine), gone) {
            self.give(machine, Event::PeerDown(peer));
        }
    }

    /// Ends the process of a member, with all its connections.
    pub(crate) fn crash(&mut self, replica: ReplicaId, crash: Crash) {
        self.count_life(replica);
        self.epochs.forget(self.members[replica.index()].identity);
        self.note(format_args!("{replica} crashes: {crash:?}"));
        self.coverage.saw(match crash {
            Crash::Killed => "a process killed",
            Crash::PowerLoss => "a power loss",
            Crash::Torn => "a torn power loss",
        });
        // The peers notice the end of a process, but not always the power loss of a machine.
        let heard = crash == Crash::Killed || self.random.permille(500);
        for other in self.net.isolate(replica) {
            if heard {
                self.notify_disconnected(other, replica);
            }
        }
        let random = &mut self.random;
        self.members[replica.index()].crash(crash, random);
    }

    /// Cuts the power of a member's machine.
    pub(crate) fn crash_machine(&mut self, replica: ReplicaId) {
        let torn = self.knobs.torn && self.random.permille(600);
        self.crash(replica, if torn { Crash::Torn } else { Crash::PowerLoss });
    }

    /// Counts the situations of a process.
    pub(crate) fn count_life(&mut self, replica: ReplicaId) {
        let now = self.agenda.now();
        let Some(stands) = self.members[replica.index()].overview(now) else { return };
        let met = [
            ("a vote or proposal retransmitted", stands.pbft_counters.repaired),
            ("transactions of a proposal requested", stands.counters.bodies_asked),
            ("a certified block range applied", stands.counters.caught_up),
        ];
        for (situation, count) in met {
            if count > 0 {
                self.coverage.saw(situation);
            }
        }
    }

    /// Starts a member that is down with its files.
    pub(crate) fn revive(&mut self, replica: ReplicaId) -> Check {
        if !self.members[replica.index()].is_down() || self.buried.contains(&replica) {
            return Ok(());
        }
        let now = self.agenda.now();
        let memo = self.epochs.memo();
        let opened = self.members[replica.index()].open(memo, &self.genesis, now, &mut self.random);
        let found = match opened {
            Ok(Some(found)) => found,
            Ok(None) => {
                let removed = self.seat_in(self.epochs.newest(), replica).is_none();
                require(removed, "members start again", || {
                    format!("member {replica} is none in the epoch of its ledger")
                })?;
                self.coverage.saw("a removed member whose journal had the end of its epoch");
                return self.retire(replica);
            }
            Err(reason) => {
                self.note(format_args!("{replica} does not open: {reason}"));
                require(self.members[replica.index()].doomed, "members start again", || {
                    format!("member {replica}: {reason}")
                })?;
                self.coverage.saw("a crash while opening");
                self.crash_machine(replica);
                self.revive_later(replica);
                return Ok(());
            }
        };
        self.learn_epoch(replica, self.epoch_of(replica))?;
        if self.members[replica.index()].adversary.is_none() {
            self.check_opened(replica, found)?;
        } else {
            self.collusion_enters(self.epoch_of(replica));
        }
        self.plan_wake(replica, now);
        for other in self.up() {
            if other != replica {
                let delay = self.random.millis(0, 50);
                self.agenda.after(delay, Occurrence::Connect(replica, other));
            }
        }
        Ok(())
    }

    /// Restarts a member, at once or after a while.
    pub(crate) fn revive_later(&mut self, replica: ReplicaId) {
        let delay = if self.random.permille(300) { Duration::ZERO } else { self.random.millis(1, 3000) };
        self.agenda.after(delay, Occurrence::Revive(replica));
    }

    /// Crashes a member in a random way, and plans its restart.
    pub(crate) fn crash_any(&mut self, replica: ReplicaId) {
        if self.random.permille(400) {
            self.crash(replica, Crash::Killed);
        } else {
            self.crash_machine(replica);
        }
        self.revive_later(replica);
    }
}
