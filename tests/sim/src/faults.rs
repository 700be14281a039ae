//! What chance does to the network in the first half of a run.

use std::time::Duration;

use quorate_ledger::ReplicaId;

use crate::member::{Crash, Speech};
use crate::world::{Occurrence, World};

impl World {
    /// Lets one thing go wrong, and plans the next.
    pub(crate) fn fault(&mut self) {
        if self.healed {
            return;
        }
        let gap = self.random.millis(10, self.knobs.fault_gap_ms.max(20));
        self.agenda.after(gap, Occurrence::Fault);
        let up = self.up();
        if up.is_empty() {
            return;
        }
        let victim = *self.random.choose(&up);
        match self.random.between(0, 99) {
            0..=19 => self.crash_any(victim),
            20..=29 => {
                let speech = *self.random.choose(&[Speech::Before, Speech::Amid]);
                self.member(victim).crash_when_speaking = Some(speech);
            }
            30..=44 => self.doom(victim),
            45..=47 => self.black_out(&up),
            48..=62 => self.partition(),
            63..=77 => self.break_connection(victim),
            78..=89 => self.jump_clock(victim),
            _ => {
                let slowness = *self.random.choose(&[1, 1, 10, 50]);
                self.member(victim).slowness = slowness;
            }
        }
    }

    /// Lets a disk fail at one of its next syncs.
    pub(crate) fn doom(&mut self, victim: ReplicaId) {
        let syncs = self.random.between(0, 5);
        let (cut, of_journal) = (self.random.permille(500), self.random.permille(700));
        let member = self.member(victim);
        member.doomed = true;
        let disk = if of_journal { &member.journal } else { &member.ledger };
        if cut {
            disk.cut_power_after(syncs);
        } else {
            disk.fail_sync_after(syncs);
        }
        self.note(format_args!("{victim} will fail after {syncs} syncs"));
    }

    /// All machines lose power at the same moment.
    fn black_out(&mut self, up: &[ReplicaId]) {
        self.coverage.saw("a power loss of all members at once");
        for member in up {
            self.crash_machine(*member);
            self.revive_later(*member);
        }
    }

    fn partition(&mut self) {
        let members: Vec<ReplicaId> = self.genesis.committee().replicas().collect();
        let one_way = self.random.permille(400);
        self.coverage.saw(if one_way { "a one-way partition" } else { "a partition" });
        let apart: Vec<bool> = members.iter().map(|_| self.random.permille(400)).collect();
        for from in &members {
            for to in &members {
                let crosses = apart[from.index()] && !apart[to.index()];
                let back = !apart[from.index()] && apart[to.index()];
                if crosses || (back && !one_way) {
                    self.net.block(*from, *to);
                }
            }
        }
        self.note(format_args!("partition {apart:?}, one way: {one_way}"));
        let end = self.random.millis(50, 3000);
        self.agenda.after(end, Occurrence::Unblock);
    }

    fn break_connection(&mut self, victim: ReplicaId) {
        let other = self.random.choose(&self.members).replica;
        if other == victim || !self.net.is_connected(victim, other) {
            return;
        }
        self.coverage.saw("a connection that broke");
        self.note(format_args!("{victim} - {other} break"));
        self.net.disconnect(victim, other);
        let again = self.random.millis(0, 1500);
        self.agenda.after(again, Occurrence::Connect(victim, other));
    }

    fn jump_clock(&mut self, victim: ReplicaId) {
        if self.knobs.skew_ms == 0 {
            return;
        }
        let skew = i64::try_from(self.knobs.skew_ms).expect("a skew of seconds");
        let ahead = i64::try_from(self.random.between(0, 2 * self.knobs.skew_ms)).expect("of seconds") - skew;
        self.coverage.saw("a clock that jumped");
        self.note(format_args!("the clock of {victim} jumps to {ahead} ms ahead"));
        self.member(victim).clock.ahead_ms = ahead;
    }

    /// The end of all faults: a quorum with the primary is made whole, and some others stay dead for ever.
    pub(crate) fn heal(&mut self) {
        self.note(format_args!("healing"));
        self.healed = true;
        self.net.heal();
        let mut spare = self.knobs.tolerated() - self.knobs.silent;
        let members: Vec<ReplicaId> = self.genesis.committee().replicas().collect();
        for replica in members {
            let member = &mut self.members[replica.index()];
            member.slowness = 1;
            member.crash_when_speaking = None;
            member.clock.drift_ppm = 0;
            let (doomed, up) = (member.doomed, member.is_up());
            if up || member.is_down() {
                // The first view's primary must be there, until views change.
                if replica != ReplicaId(0) && spare > 0 && self.random.permille(300) {
                    spare -= 1;
                    self.bury(replica);
                    continue;
                }
                let tolerance = i64::try_from(self.knobs.clock_tolerance_ms).expect("a tolerance of seconds");
                self.members[replica.index()].clock.ahead_ms =
                    self.members[replica.index()].clock.ahead_ms.clamp(-tolerance / 2, tolerance / 2);
                if doomed {
                    self.crash(replica, Crash::PowerLoss);
                }
                self.agenda.after(Duration::ZERO, Occurrence::Revive(replica));
            }
        }
        let up = self.up();
        for a in &up {
            for b in up.iter().filter(|b| a < *b) {
                let delay = self.random.millis(0, 100);
                self.agenda.after(delay, Occurrence::Connect(*a, *b));
            }
        }
    }

    fn bury(&mut self, replica: ReplicaId) {
        self.coverage.saw("members that stay dead");
        self.buried.push(replica);
        if self.members[replica.index()].is_up() {
            self.crash(replica, Crash::PowerLoss);
        }
    }
}
