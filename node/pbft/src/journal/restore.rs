//! Restoring a replica from its journal (R13b).

use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{BlockSkeleton, Commit, CommitCertificate, Epoch, Hash, Header, Height, Verified, View};

use crate::chain::Chain;
use crate::config::Config;
use crate::epoch::schedule::Schedule;
use crate::journal::record::Record;
use crate::messages::proposal::{CheckedProposal, PrePrepare, Prepare};
use crate::replica::{FirstStep, Replica};
use crate::signing::SigningState;
use crate::signing::signer::Signer;
use crate::step::{Request, Step};
use crate::time::Now;
use crate::votes::prepared::PreparedCertificate;
use crate::votes::slot::{Slot, Stage};

/// The end of the chain in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// The last block.
    pub tip: Header,
    /// The certificate of the last block. The replica does not use that of the root of its epoch,
    /// which the epoch before certifies.
    pub certificate: Option<Verified<CommitCertificate>>,
    /// The last block at a checkpoint height, if there is one, and the root of the state after it.
    pub checkpoint: Option<(Header, Hash)>,
    /// The journal has collected its records up to this height, because the ledger was durable
    /// there (R13c). If the ledger ends lower now, it is an old copy, and records are missing
    /// (R24d).
    pub forgotten_through: Height,
}

impl ChainEnd {
    /// The chain of a replica of this epoch. The root has no certificate of its epoch.
    pub(crate) fn chain(&self, config: &Config) -> Chain {
        let root = config.context.root;
        assert!(self.tip.height >= root.height, "R26: the ledger ends below the root of the epoch");
        if self.tip.height == root.height {
            root.assert_is(&self.tip);
            let next = self.tip.next_committee;
            assert_eq!(next, config.context.committee.hash(), "R26: another committee follows this block");
            return Chain::new(self.tip.clone(), None);
        }
        let certified = self.certificate.as_ref().map(|certificate| certificate.ballot().block);
        assert_eq!(certified, Some(self.tip.hash()), "the last block of the ledger must be certified");
        Chain::new(self.tip.clone(), self.certificate.clone())
    }
}

/// A replica in the state of its last durable record.
#[derive(Debug)]
pub struct Restored {
    /// Ready to step. It resends its statements as others turn out to lack them (R13b). It signs
    /// nothing new until q - 1 others have sent SEEN that goes no further than its journal (R24a).
    pub replica: Replica,
    /// The accepted, uncommitted blocks, ascending by height. The engine must hold their bodies.
    pub accepted: Vec<BlockSkeleton>,
}

/// Why this replica cannot have written the records on this chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A prepared certificate without the proposal that had to be recorded before it.
    #[error(
        "the record of a prepared block at height {0} has no accepted proposal: the journal is incomplete"
    )]
    Incomplete(Height),
    /// A prepared certificate for another block than the accepted one.
    #[error("the records at height {0} name two blocks: the journal is damaged, or mixed from two nodes")]
    Mismatch(Height),
    /// A proposal of a view that the replica has not entered.
    #[error(
        "a block at height {0} was accepted in view {1}, which was never entered: the journal is incomplete"
    )]
    NotEntered(Height, View),
    /// A record of another epoch.
    #[error(
        "the journal has records of epoch {found}, but the ledger is in epoch {of}: the two files do not belong together, or one of them is an old copy"
    )]
    Epoch {
        /// The epoch of the record.
        found: Epoch,
        /// The epoch to restore.
        of: Epoch,
    },
    /// Records of an epoch after the first, without the one that comes before all others.
    #[error("the journal has no record of the start of epoch {0}: the journal is incomplete")]
    NotStarted(Epoch),
}

impl Replica {
    /// Restores a replica from its records of one epoch, in any order, on a chain that ends at
    /// `end`. Ignores records about committed heights. `schedule` is that of the governance state
    /// which is known here (R26).
    ///
    /// A node whose journal has no record of an epoch after the first calls [`Replica::begin`]
    /// instead.
    ///
    /// # Errors
    /// [`RestoreError`]: the journal is damaged or incomplete, and this replica must not vote.
    ///
    /// # Panics
    /// If the certificate is not for the last block. The replica's VIEW-CHANGE would lack its
    /// committed anchor then. And if the chain ends below the root of the epoch.
    pub fn restore(
        config: Config,
        signer: Signer,
        end: ChainEnd,
        schedule: Schedule,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Restored, RestoreError> {
        let epoch = config.context.epoch();
        let mut started = epoch == Epoch(0);
        let mut replica = Replica::on(end.chain(&config), config, signer, schedule);
        let ChainEnd { checkpoint, forgotten_through, .. } = end;
        let mut accepted: BTreeMap<(Height, View), CheckedProposal> = BTreeMap::new();
        let mut prepared: Vec<Verified<PreparedCertificate>> = Vec::new();
        let mut highest = Height(0);
        for record in records {
            let found = record.epoch().unwrap_or(epoch);
            if found != epoch && !is(Mutant::OldEpochRestored) {
                return Err(RestoreError::Epoch { found, of: epoch });
            }
            started |= matches!(record, Record::EpochStart(_));
            // Also of committed heights: R24d needs the highest one.
            highest = highest.max(record.height().unwrap_or_default());
            if record.height().is_some_and(|height| height <= replica.chain.height()) {
                continue;
            }
            match record {
                Record::Accepted(proposal) => {
                    let ballot = *proposal.ballot();
                    accepted.insert((ballot.height, ballot.view), proposal);
                }
                Record::Prepared(certificate) => prepared.push(certificate),
                other => replica.remember(other),
            }
        }
        if !started {
            return Err(RestoreError::NotStarted(epoch));
        }
        replica.resume_view();
        replica.first_step = FirstStep::Restores;
        for proposal in accepted.into_values() {
            replica.take_back(proposal)?;
        }
        for certificate in prepared {
            replica.take_back_certificate(certificate)?;
        }
        if let Some((header, state_root)) = &checkpoint {
            replica.resume_checkpoint(header, *state_root);
        }
        // R24d: a record at this height was written when the ledger ended at most 2 W below it
        // (R7). A ledger that ends lower is an old copy. A VIEW-CHANGE from there would contain
        // prepared certificates beyond 2 W above its anchor, which others refuse (R19b).
        let ledger_had = Height(highest.0.saturating_sub(2 * replica.config.context.window));
        replica.signing.start_probing(forgotten_through.max(ledger_had));
        replica.try_enable_signing();
        let proposals = replica.log.slots().filter_map(|(_, _, slot)| slot.accepted());
        let accepted = proposals.map(|proposal| proposal.skeleton().clone()).collect();
        Ok(Restored { replica, accepted })
    }

    /// Returns to the view that the records name, and to what this replica has signed in it.
    fn resume_view(&mut self) {
        let left = self.views.change_of(self.signing.replica()).map_or(View(0), |own| own.view());
        let left = if is(Mutant::ViewRegresses) { View(0) } else { left };
        self.views.resume(left);
        self.signing.leave_below(self.views.view());
        // A primary has signed a PRE-PREPARE for each block of its NEW-VIEW, also for those without
        // a record here. Signing them again makes the signer know them (R4).
        if self.views.is_active() && self.is_primary() {
            for (_, vote) in self.views.entered().cloned().iter().flat_map(|entered| entered.chain()) {
                self.signing.sign(vote.body);
            }
        }
    }

    /// Signs the CHECKPOINT of the ledger's last checkpoint height, if no record contains it: the
    /// ledger may have reached this height before the CHECKPOINT was recorded.
    pub(crate) fn resume_checkpoint(&mut self, header: &Header, state_root: Hash) {
        let signed = self.checkpoints.of(self.signing.replica()).last().map(|vote| vote.body.height);
        if signed < Some(header.height) {
            self.checkpoints.reached(self.config.checkpoint_interval, header);
            self.checkpoints.executed(header.height, state_root);
        }
    }

    /// The part of a restart that needs a step: requests the blocks that the view proposes again
    /// and that were not accepted before, and reports that the files are old if the journal says
    /// so.
    pub(crate) fn begin_again(&mut self, now: Now, step: &mut Step) {
        if self.views.is_active() {
            self.place_again(now, step);
        }
        if let SigningState::Recovering { seen } = *self.signing.state() {
            step.requests.push(Request::Recovering { seen, remembered: self.signing.mark() });
        }
    }

    /// Restores a record that is about no height.
    fn remember(&mut self, record: Record) {
        match record {
            Record::ViewChange(change) => {
                self.signing.sign(change.vote().body);
                self.views.keep_change(change);
            }
            Record::NewView(new_view) => {
                if new_view.vote().signer == self.signing.replica() {
                    self.signing.sign(new_view.vote().body);
                }
                self.views.restore_entered(new_view);
            }
            Record::Checkpoint(vote) => {
                self.signing.sign(vote.body);
                self.checkpoints.record(vote);
            }
            Record::Stable(certificate) => self.checkpoints.adopt(certificate),
            Record::Mark(_, mark) => self.signing.restore_mark(mark),
            Record::Recovering(_, seen) => self.signing.restore_recovering(seen),
            Record::Heard(replica, seen) => self.signing.restore_seen(replica, *seen),
            Record::Evidence(evidence) => self.faults.restore(&evidence),
            // Nothing to do: before this call, the engine has appended the finalised blocks and
            // deleted the dropped ones.
            Record::Finalised(_) | Record::Dropped { .. } | Record::EpochStart(_) => {}
            Record::Accepted(_) | Record::Prepared(_) => unreachable!("these are about a height"),
        }
    }

    fn take_back(&mut self, proposal: CheckedProposal) -> Result<(), RestoreError> {
        let ballot = *proposal.ballot();
        let mut slot = Slot::default();
        if ballot.view > self.views.view() {
            return Err(RestoreError::NotEntered(ballot.height, ballot.view));
        }
        // In a view that the replica has left, it does not sign again. It keeps the block, because
        // a later view may need it (R20d).
        if ballot.view == self.views.view() && self.views.is_active() {
            if self.is_primary() {
                self.signing.sign(PrePrepare(ballot));
            } else {
                slot.prepares.record(self.signing.sign(Prepare(ballot)));
            }
        }
        slot.stage = Stage::Accepted { proposal };
        self.log.restore(ballot.height, ballot.view, slot);
        Ok(())
    }

    fn take_back_certificate(
        &mut self,
        certificate: Verified<PreparedCertificate>,
    ) -> Result<(), RestoreError> {
        let ballot = certificate.ballot();
        let key = (ballot.height, ballot.view);
        // A certificate of a view that was left. If the present view has accepted the block again,
        // the copy of that earlier view was dropped, so a copy of any view will do.
        if ballot.view < self.views.view() || !self.views.is_active() {
            let held = self.log.accepted_block(ballot.height, &ballot.block).is_some();
            self.log.keep_prepared(certificate);
            return if held { Ok(()) } else { Err(RestoreError::Incomplete(key.0)) };
        }
        let slot = self.log.slot_mut(key.0, key.1).ok_or(RestoreError::Incomplete(key.0))?;
        let Stage::Accepted { proposal } = &slot.stage else { return Err(RestoreError::Incomplete(key.0)) };
        if proposal.ballot().block != ballot.block {
            return Err(RestoreError::Mismatch(key.0));
        }
        let proposal = proposal.clone();
        slot.stage = Stage::Prepared { proposal, certificate: Box::new(certificate.clone()) };
        slot.commits.record(self.signing.sign(Commit(ballot)));
        self.log.keep_prepared(certificate);
        Ok(())
    }
}
