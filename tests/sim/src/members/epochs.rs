//! Members go from one epoch to the next one (R26).

use std::time::Duration;

use quorate_engine::{Effects, Engine, EpochRole, Event, Fatal};
use quorate_ledger::{Epoch, ReplicaId, SecretKey};
use quorate_pbft::{Now, SigningStatus};

use crate::members::{Process, Slot, Speech};
use crate::oracle::{Check, Violation, failed, require};
use crate::world::{Occurrence, World};

/// When a new member tries again to get a ledger.
const RETRY: Duration = Duration::from_millis(200);

/// Crashes in an epoch change, per thousand.
const CRASHES: u64 = 200;

/// What has become of a member at the end of its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Its epoch goes on.
    None,
    /// It is in another epoch.
    Begun,
    /// It had to stop.
    Stopped,
}

impl Process {
    /// The process with the engine of the next epoch.
    fn in_next_epoch(self, keys: &[SecretKey], now: Now) -> Result<(Option<Process>, Effects), Fatal> {
        let (next, effects) = self.engine.next_epoch(keys, now)?;
        let EpochRole::Member(engine) = next else { return Ok((None, effects)) };
        Ok((Some(Process { engine, position: None, screens: Default::default(), ..self }), effects))
    }
}

impl World {
    /// Begins the next epoch at a member whose epoch is over.
    pub(super) fn change_epoch(
        &mut self,
        replica: ReplicaId,
        effects: &mut Effects,
    ) -> Result<Change, Violation> {
        let mut change = Change::None;
        while self.members[replica.index()].engine().is_some_and(Engine::epoch_is_over) {
            let next = Epoch(self.epoch_of(replica).0 + 1);
            self.learn_epoch(replica, next)?;
            if self.seat_in(next, replica).is_none() {
                self.member(replica).leaving = true;
                break;
            }
            let voted = self.is_voting(replica);
            let more = match self.take_next_engine(replica) {
                Ok(more) => more,
                Err(fatal) => {
                    self.stopped(replica, &fatal)?;
                    return Ok(Change::Stopped);
                }
            };
            if self.members[replica.index()].adversary.is_none() {
                self.commits(replica, &more)?;
            }
            effects.committed.extend(more.committed);
            effects.ended.extend(more.ended);
            effects.notices.extend(more.notices);
            require(self.epoch_of(replica) == next, "one epoch follows the other", || {
                format!("member {replica} enters epoch {}, not {next}", self.epoch_of(replica))
            })?;
            self.enter_epoch(replica, voted)?;
            change = Change::Begun;
        }
        if change == Change::Begun {
            // No engine waits for the answers any more.
            effects.asks.clear();
            self.crash_in_change(replica);
        }
        Ok(change)
    }

    fn is_voting(&self, replica: ReplicaId) -> bool {
        let stands = self.members[replica.index()].overview(self.agenda.now());
        stands.is_some_and(|stands| stands.pbft.signing == SigningStatus::Voting)
    }

    fn take_next_engine(&mut self, replica: ReplicaId) -> Result<Effects, Fatal> {
        let now = self.agenda.now();
        let member = self.member(replica);
        let time = member.now(now);
        let Slot::Correct(slot) = &mut member.slot else { unreachable!("its engine runs") };
        let process = slot.take().expect("its engine runs");
        let (next, more) = process.in_next_epoch(&member.keys, time)?;
        let next = next.expect("one of its keys is that of a member");
        member.epoch = next.engine.epoch();
        *slot = Some(Box::new(next));
        Ok(more)
    }

    /// A member is in another epoch. `voted` is true if it could sign at the end of the epoch before.
    fn enter_epoch(&mut self, replica: ReplicaId, voted: bool) -> Check {
        let epoch = self.epoch_of(replica);
        self.note(format_args!("{replica} enters epoch {epoch}"));
        self.coverage.saw("an epoch that began at a member");
        self.watch.enter_epoch(replica);
        self.epochs.forget(self.members[replica.index()].identity);
        if self.epochs.newest() > epoch {
            self.coverage.saw("a member that missed an epoch");
        }
        if voted {
            let seat = self.seat_of(replica);
            self.epochs.of_mut(epoch).heard.continues(seat);
        }
        if let Some(certificate) = self.members[replica.index()].engine().and_then(|engine| {
            let reader = engine.reader();
            let head = reader.head().ok()?;
            reader.certificate(head.height).ok()?
        }) {
            self.learn_certificate(replica, &certificate);
        }
        if self.members[replica.index()].adversary.is_some() {
            self.collusion_enters(epoch);
        }
        self.enter_again(replica)
    }

    /// A correct member with an old ledger comes back to an epoch in which it was before. Its journal has
    /// what it signed there.
    fn enter_again(&mut self, replica: ReplicaId) -> Check {
        let epoch = self.epoch_of(replica);
        let again = self.is_correct(replica) && self.epochs.has_begun(replica, epoch);
        let Some(stands) = self.members[replica.index()].overview(self.agenda.now()).filter(|_| again) else {
            return Ok(());
        };
        if epoch < self.epochs.begun_by(replica) {
            // Its journal is of a later epoch, so it signs nothing in this one and forgot its views.
            self.coverage.saw("an old ledger of an earlier epoch");
            self.epochs.of_mut(epoch).votes.mark_faulty(stands.replica);
            return Ok(());
        }
        self.coverage.saw("an epoch that a member enters again");
        let top = self.watch.top_of(replica).max(stands.pbft.committed);
        self.epochs.of_mut(epoch).votes.reopened(stands.replica, &stands.pbft, top)
    }

    /// Learns the blocks up to this epoch from the ledger of a member, if no member was in it before.
    pub(crate) fn learn_epoch(&mut self, replica: ReplicaId, epoch: Epoch) -> Check {
        if epoch <= self.epochs.newest() {
            return Ok(());
        }
        let reader = self.members[replica.index()].engine().expect("it runs").reader();
        let head = reader.head().map_err(|error| failed(replica, &error))?;
        self.learn_blocks(replica, &reader, head.height)?;
        require(epoch <= self.epochs.newest(), "epochs follow from the chain", || {
            format!("member {replica} comes to epoch {epoch}, the chain in epoch {}", self.epochs.newest())
        })
    }

    /// Begins the epochs that the chain has reached.
    pub(crate) fn follow_chain(&mut self) {
        while let Some(root) = self.chain.root_of(Epoch(self.epochs.count() as u64)) {
            let network = self.chain.config(root.height.next()).expect("the block below is known");
            self.epochs.begin(&self.knobs, network, root);
            for identity in self.epochs.of(self.epochs.newest()).members().to_vec() {
                if matches!(self.members[identity.index()].slot, Slot::Outside) {
                    let delay = self.operators.random.millis(0, 400);
                    self.agenda.after(delay, Occurrence::Join(identity));
                }
            }
        }
    }

    /// A new member starts, with a copy of the ledger of another one.
    pub(crate) fn join(&mut self, replica: ReplicaId) {
        let newest = self.epochs.newest();
        let is_new = matches!(self.members[replica.index()].slot, Slot::Outside);
        if !is_new || self.seat_in(newest, replica).is_none() {
            return;
        }
        let donor = self.members.iter().find(|member| member.is_up() && member.epoch == newest);
        let Some(ledger) = donor.map(|member| member.ledger.copy()) else {
            self.agenda.after(RETRY, Occurrence::Join(replica));
            return;
        };
        self.note(format_args!("{replica} joins"));
        self.coverage.saw("a member that was added");
        self.member(replica).join(ledger);
        if self.healed {
            self.core.insert(replica);
        }
        self.agenda.after(Duration::ZERO, Occurrence::Revive(replica));
    }

    /// A member that was removed stops: its messages were sent.
    pub(crate) fn retire(&mut self, replica: ReplicaId) -> Check {
        let now = self.agenda.now();
        self.count_life(replica);
        self.note(format_args!("{replica} is no member any more"));
        self.coverage.saw("a member that was removed");
        for other in self.net.isolate(replica) {
            self.notify_disconnected(other, replica);
        }
        self.core.remove(&replica);
        self.epochs.forget(self.members[replica.index()].identity);
        let member = self.member(replica);
        let time = member.is_up().then(|| member.now(now));
        let before = std::mem::replace(&mut member.slot, Slot::Outside);
        let (Slot::Correct(Some(process)), Some(time)) = (before, time) else { return Ok(()) };
        match process.engine.next_epoch(&member.keys, time) {
            Ok((EpochRole::Follower(_), _)) => Ok(()),
            Ok((EpochRole::Member(_), _)) => Err(failed(replica, &"it is no member and goes on")),
            Err(fatal) => require(member.doomed, "members stop only for a reason", || fatal.to_string()),
        }
    }

    /// Reports its connections to a member in a new epoch.
    pub(super) fn report_peers(&mut self, replica: ReplicaId) {
        let others: Vec<ReplicaId> = self.members.iter().map(|member| member.replica).collect();
        for other in others.into_iter().filter(|other| *other != replica) {
            if self.net.is_connected(replica, other)
                && let Some(peer) = self.seat_in(self.epoch_of(replica), other)
            {
                self.give(replica, Event::PeerUp(peer));
            }
        }
    }

    /// Sometimes the ledger of a removed member fails with the last block of its epoch, which its journal
    /// has then.
    pub(super) fn crash_when_leaving(&mut self, replica: ReplicaId) {
        let newest = self.epochs.newest();
        let faults = !self.healed && self.knobs.fault_gap_ms > 0;
        let leaves = self.epoch_of(replica) < newest && self.seat_in(newest, replica).is_none();
        if faults && leaves && self.is_correct(replica) && self.operators.random.permille(CRASHES) {
            let member = self.member(replica);
            member.doomed = true;
            member.ledger.cut_power_after(0);
        }
    }

    /// Sometimes a member crashes before its journal shows the new epoch, or while it writes that.
    fn crash_in_change(&mut self, replica: ReplicaId) {
        let faults = !self.healed && self.knobs.fault_gap_ms > 0;
        if !faults || !self.operators.random.permille(CRASHES) {
            return;
        }
        self.coverage.saw("a crash in an epoch change");
        if self.operators.random.permille(500) {
            self.member(replica).crash_when_speaking = Some(Speech::Before);
            return;
        }
        let (syncs, cut) = (self.operators.random.between(0, 2), self.operators.random.permille(500));
        let member = self.member(replica);
        member.doomed = true;
        if cut {
            member.journal.cut_power_after(syncs);
        } else {
            member.journal.fail_sync_after(syncs);
        }
    }
}
