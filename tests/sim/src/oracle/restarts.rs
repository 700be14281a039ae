//! Checks a member that has started again: its files contain everything that it has sent.

use quorate_engine::Overview;
use quorate_ledger::{Height, ReplicaId, View};
use quorate_pbft::Phase;
use quorate_store::{Head, LedgerReader};

use crate::oracle::{Check, failed, require};
use crate::world::World;

impl World {
    /// A member has opened its files, in which its ledger reached the height `found`.
    pub(crate) fn check_opened(&mut self, replica: ReplicaId, found: Height) -> Check {
        let member = &self.members[replica.index()];
        let reader = member.engine().expect("it was just opened").reader();
        let stands = member.overview(self.agenda.now()).expect("it was just opened");
        let (epoch, tainted) = (member.epoch, !member.is_correct());
        let head = reader.head().map_err(|error| failed(replica, &error))?;
        self.check_ledger(replica, &reader, head, found, &stands)?;
        if tainted {
            let top = self.watch.top_of(replica);
            let all = self.epochs.of_mut(epoch).votes.is_remembered(stands.replica, &stands.pbft, top);
            self.coverage.saw(match all {
                true => "old disks that lacked nothing",
                false => "old disks that lacked statements",
            });
            return Ok(());
        }
        self.check_journal(replica, &reader, head, found, &stands)?;
        self.cover_restart(&stands, found < head.height);
        Ok(())
    }

    /// The ledger of a member continues the chain.
    fn check_ledger(
        &mut self,
        replica: ReplicaId,
        reader: &LedgerReader,
        head: Head,
        found: Height,
        stands: &Overview,
    ) -> Check {
        let certificate = reader.certificate(head.height).map_err(|error| failed(replica, &error))?;
        if let Some(certificate) = certificate {
            self.learn_certificate(replica, &certificate);
        }
        self.note(format_args!("{replica} starts at {} {}, found {found}", head.height, head.hash));
        // Blocks that were final when it crashed, before it could notify any other member.
        self.learn_blocks(replica, reader, head.height)?;
        self.chain.opened(replica, head.height, head.hash)?;
        let (ids, remembered) = (self.chain.recent_ids(head.height), stands.remembered_ids);
        require(remembered >= ids, "ids of one lifetime are kept", || {
            format!("member {replica} starts at {} with {remembered} of {ids} ids", head.height)
        })
    }

    /// Learns the blocks of a member's ledger that no other member has committed.
    pub(crate) fn learn_blocks(&mut self, replica: ReplicaId, reader: &LedgerReader, head: Height) -> Check {
        for height in (self.chain.height().0 + 1..=head.0).map(Height) {
            let block = reader.block(height).map_err(|error| failed(replica, &error))?;
            let block = block.ok_or_else(|| failed(replica, &format!("no block at height {height}")))?;
            self.chain.learn(&block, &self.orders)?;
            self.follow_chain();
        }
        Ok(())
    }

    /// The journal of a correct member contains its statements.
    fn check_journal(
        &mut self,
        replica: ReplicaId,
        reader: &LedgerReader,
        head: Head,
        found: Height,
        stands: &Overview,
    ) -> Check {
        // A failed call leaves traces only in the files: its own COMMITs are written, but no other
        // member has received them.
        let known = self.watch.top_of(replica).min(found);
        for height in (known.0 + 1..=head.height.0).map(Height) {
            let certificate = reader.certificate(height).map_err(|error| failed(replica, &error))?;
            if let Some(certificate) = certificate {
                let epoch = certificate.ballot().epoch;
                if let Some(seat) = self.seat_in(epoch, replica) {
                    self.epochs.of_mut(epoch).votes.found(seat, &certificate)?;
                }
                self.is_certified(&certificate)?;
            }
        }
        let member = &self.members[replica.index()];
        let (behind, answered) = (member.behind, member.answered);
        let top = behind.unwrap_or(head.height).max(head.height);
        if behind.is_none() {
            self.answers.reopened(replica, answered, head.height)?;
        }
        let epoch = self.epoch_of(replica);
        self.epochs.reopened(replica, epoch, behind.is_some())?;
        // With an old ledger, it may follow an epoch in which it signs nothing any more.
        if epoch >= self.epochs.begun_by(replica) {
            let rules = self.epochs.of_mut(epoch);
            rules.votes.reopened(stands.replica, &stands.pbft, top)?;
            rules.checkpoints.reopened(stands, &rules.knobs);
        } else {
            self.coverage.saw("an old ledger of an earlier epoch");
            self.epochs.of_mut(epoch).votes.mark_faulty(stands.replica);
        }
        if behind.is_some() {
            self.member(replica).answered = head.height;
        }
        Ok(())
    }

    /// Counts the situations of a restart. `replayed`: the journal had a block that the ledger
    /// lacked.
    fn cover_restart(&mut self, stands: &Overview, replayed: bool) {
        match (stands.pbft.view, stands.pbft.active) {
            (View(0), true) => {}
            (_, true) => self.coverage.saw("a restart in a later view"),
            (_, false) => self.coverage.saw("a restart while a view changes"),
        }
        if replayed {
            self.coverage.saw("a block that only the journal contained");
        }
        for slot in &stands.pbft.slots {
            match slot.phase {
                Phase::PrePrepared => self.coverage.saw("a restart with an accepted block"),
                Phase::Prepared => self.coverage.saw("a restart with a prepared block"),
                _ => {}
            }
        }
    }
}
