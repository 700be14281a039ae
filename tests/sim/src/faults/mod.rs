//! Random faults in the first half of a run.

mod planned;

use std::time::Duration;

use quorate_ledger::{Epoch, ReplicaId};

use crate::members::{Crash, Member, Slot, Speech};
use crate::world::{Occurrence, World};

impl World {
    /// Injects one fault, and plans the next.
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
        if self.knobs.old_images > 0 && self.random.permille(150) {
            return self.put_back_disks(victim);
        }
        match self.random.between(0, 99) {
            0..=16 => self.crash_any(victim),
            17..=19 => self.put_back_disks(victim),
            20..=29 => {
                let speech = *self.random.choose(&[Speech::Before, Speech::Amid]);
                self.member(victim).crash_when_speaking = Some(speech);
            }
            30..=44 => self.plan_disk_failure(victim),
            45..=47 => self.cut_all_power(&up),
            48..=62 => self.partition(),
            63..=77 => self.break_connection(victim),
            78..=84 => self.jump_clock(victim),
            85..=89 => self.member(victim).copy_disks(),
            _ => {
                let slowness = *self.random.choose(&[1, 1, 10, 50]);
                self.member(victim).slowness = slowness;
            }
        }
    }

    /// Makes a disk fail at one of its next syncs.
    pub(crate) fn plan_disk_failure(&mut self, victim: ReplicaId) {
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

    /// Cuts the power of all machines at the same moment.
    fn cut_all_power(&mut self, up: &[ReplicaId]) {
        self.coverage.saw("a power loss of all members at once");
        self.watch.cut_all_power(up);
        for member in up {
            self.crash_machine(*member);
            self.revive_later(*member);
        }
    }

    fn partition(&mut self) {
        let members: Vec<ReplicaId> = self.members.iter().map(|member| member.replica).collect();
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
        self.notify_disconnected(victim, other);
        self.notify_disconnected(other, victim);
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

    /// Restores old disks of a member: only the ledger, or both, as long as at most f members are
    /// faulty.
    fn put_back_disks(&mut self, victim: ReplicaId) {
        // Others must be able to order again what only the lost ledger contained, so such a member
        // also counts as faulty.
        // No member is left in the epochs in which a member lost statements, once all are in later ones.
        let alive = self.members.iter().filter(|member| matches!(member.slot, Slot::Correct(_)));
        let oldest = alive.map(|member| member.epoch).min().unwrap_or_default();
        let old = |member: &&Member| {
            member.tainted.is_some_and(|through| oldest <= through) || member.behind.is_some()
        };
        let spent = self.members.iter().filter(old).count() >= self.knobs.old_images;
        let both = self.random.permille(700);
        let member = &mut self.members[victim.index()];
        if spent || !member.is_correct() {
            return;
        }
        if member.image.is_none() {
            return member.copy_disks();
        }
        self.exchange_disks(victim, both);
        self.revive_later(victim);
    }

    /// Cuts the power of a member and restores its old disks: only the ledger, or both.
    pub(crate) fn exchange_disks(&mut self, victim: ReplicaId, both: bool) {
        self.crash(victim, Crash::PowerLoss);
        let (begun, newest) = (self.epochs.begun_by(victim), self.epochs.newest());
        let member = self.member(victim);
        member.put_back(both);
        if both {
            let through = begun.max(member.epoch);
            member.tainted = Some(through);
            for epoch in (0..=through.min(newest).0).map(Epoch) {
                if let Some(seat) = self.seat_in(epoch, victim) {
                    self.epochs.of_mut(epoch).votes.mark_faulty(seat);
                }
            }
        } else {
            let top = self.watch.top_of(victim);
            self.member(victim).behind = Some(top);
        }
        self.note(format_args!("{victim} gets old disks, its journal too: {both}"));
        self.coverage.saw(if both { "old disks restored" } else { "an old ledger restored" });
    }

    /// Makes some links lossy from the start.
    pub(crate) fn spoil_links(&mut self) {
        let members: Vec<ReplicaId> = self.members.iter().map(|member| member.replica).collect();
        for from in &members {
            for to in &members {
                if self.random.permille(self.knobs.lossy_links) {
                    self.coverage.saw("a lossy link");
                    self.net.make_lossy(*from, *to);
                }
            }
        }
    }

    /// Ends all faults: at least a quorum of correct members is healed. Others stay dead, or cut
    /// off in one direction, for ever; Byzantine members stay Byzantine.
    pub(crate) fn heal(&mut self) {
        self.note(format_args!("healing"));
        self.healed = true;
        self.net.heal();
        self.filter = None;
        let newest = self.epochs.of(self.epochs.newest());
        let is_member = |member: &&Member| {
            matches!(member.slot, Slot::Correct(_)) && newest.seat(member.identity).is_some()
        };
        let members = self.members.iter().filter(is_member);
        let correct: Vec<ReplicaId> =
            members.filter(|member| member.is_correct()).map(|member| member.replica).collect();
        let mut spare = correct.len().saturating_sub(newest.knobs.quorum());
        if self.members.iter().any(|member| member.behind.is_some()) {
            spare = 0; // others must have the blocks that it lost
        }
        if !self.may_replace() {
            spare = 0; // the next committee may have another quorum
        }
        let tolerated = newest.knobs.tolerated();
        let mut cuttable = tolerated.saturating_sub(self.faulty_in(self.epochs.newest()).len());
        self.core = correct.iter().copied().collect();
        for replica in correct {
            if spare == 0 || self.knobs.calm || !self.random.permille(300) {
                continue;
            }
            spare -= 1;
            self.core.remove(&replica);
            if cuttable > 0 && self.random.permille(400) {
                cuttable -= 1;
                self.cut_off(replica);
            } else {
                self.leave_dead(replica);
            }
        }
        for machine in 0..self.members.len() {
            self.restore_member(machine);
        }
        let up = self.up();
        for a in &up {
            for b in up.iter().filter(|b| a < *b) {
                let delay = self.random.millis(0, 100);
                self.agenda.after(delay, Occurrence::Connect(*a, *b));
            }
        }
    }

    fn restore_member(&mut self, machine: usize) {
        let member = &mut self.members[machine];
        let replica = member.replica;
        member.slowness = 1;
        member.crash_when_speaking = None;
        member.clock.drift_ppm = 0;
        let tolerance = i64::try_from(self.knobs.clock_tolerance_ms).expect("a tolerance of seconds");
        member.clock.ahead_ms = member.clock.ahead_ms.clamp(-tolerance / 2, tolerance / 2);
        let (doomed, up, lies) = (member.doomed, member.is_up(), member.adversary.is_some());
        self.outsiders |= member.tainted.is_some() && !member.is_correct();
        if self.buried.contains(&replica) || !(up || member.is_down()) {
            return;
        }
        if lies && self.random.permille(200) {
            return self.leave_dead(replica);
        }
        if lies {
            self.coverage.saw("a Byzantine member at the end");
            self.outsiders = true;
        }
        if doomed {
            self.crash(replica, Crash::PowerLoss);
        }
        self.agenda.after(Duration::ZERO, Occurrence::Revive(replica));
    }

    /// Blocks all messages to a member, or all messages from it, permanently.
    fn cut_off(&mut self, replica: ReplicaId) {
        self.coverage.saw("a member cut off on one side for good");
        let deaf = self.random.permille(500);
        self.outsiders |= deaf;
        self.severed.push(replica);
        self.note(format_args!("{replica} is cut off, deaf: {deaf}"));
        for other in 0..self.members.len() {
            let other = self.members[other].replica;
            if deaf {
                self.net.sever(other, replica);
            } else {
                self.net.sever(replica, other);
            }
        }
    }

    fn leave_dead(&mut self, replica: ReplicaId) {
        self.coverage.saw("members that stay dead");
        self.buried.push(replica);
        if self.members[replica.index()].is_up() {
            self.crash(replica, Crash::PowerLoss);
        }
    }
}
