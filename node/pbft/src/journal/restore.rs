//! A replica that remembers what it promised (R13).

use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Commit, CommitCertificate, Header, Height, Outline, Verified, View};

use crate::chain::Chain;
use crate::config::Config;
use crate::journal::record::Record;
use crate::messages::{CheckedProposal, PrePrepare, Prepare};
use crate::replica::Replica;
use crate::signing::SigningState;
use crate::signing::signer::Signer;
use crate::step::{Request, Step};
use crate::time::Now;
use crate::votes::prepared::PreparedCertificate;
use crate::votes::slot::{Slot, Stage};

/// Where a chain ends, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// The last block.
    pub tip: Header,
    /// Proof of it; `None` for the genesis.
    pub certificate: Option<Verified<CommitCertificate>>,
    /// The last block at a checkpoint height, if there is one.
    pub checkpoint: Option<Header>,
    /// The journal gave up its records up to this height, because the ledger was durable up to there. If the
    /// ledger is lower now, it is an old copy, and promises are missing until it has been caught up (R24).
    pub forgotten_through: Height,
}

/// A replica as it was when its last record became durable.
#[derive(Debug)]
pub struct Restored {
    /// Ready to step. What it promised is sent again as others turn out to lack it. It signs nothing new until a
    /// quorum less one of others have said that they have seen no more than it remembers (R24).
    pub replica: Replica,
    /// The accepted, uncommitted blocks whose bodies the engine must hold, ascending.
    pub accepted: Vec<Outline>,
}

/// Why records cannot have been written by this replica on this chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A certificate without the proposal that had to be recorded before it.
    #[error(
        "the record of a prepared block at height {0} has no accepted proposal: the journal is incomplete"
    )]
    Incomplete(Height),
    /// A certificate for another block than the one that was accepted.
    #[error("the records at height {0} speak of two blocks: the journal is damaged or of two nodes")]
    Mismatch(Height),
    /// A proposal of a view that was never entered.
    #[error(
        "a block at height {0} was accepted in view {1}, which was not entered: the journal is incomplete"
    )]
    NotEntered(Height, View),
}

impl Replica {
    /// Puts back together what the records say, in whatever order they come, on a chain that ends here. Records
    /// of committed heights are ignored.
    ///
    /// # Errors
    /// [`RestoreError`]: the journal is damaged, and this replica must not vote.
    ///
    /// # Panics
    /// If the certificate is not for the last block: a VIEW-CHANGE without it would lose what is final.
    pub fn restore(
        config: Config,
        signer: Signer,
        end: ChainEnd,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Restored, RestoreError> {
        let certified = end.certificate.as_ref().map(|certificate| certificate.ballot().block);
        assert!(
            end.tip.height == Height(0) || certified == Some(end.tip.hash()),
            "a chain ends in a certified block"
        );
        let mut replica = Replica::on(Chain::new(end.tip, end.certificate), config, signer);
        let mut accepted: BTreeMap<(Height, View), CheckedProposal> = BTreeMap::new();
        let mut prepared: Vec<Verified<PreparedCertificate>> = Vec::new();
        let mut promised = Height(0);
        for record in records {
            promised = promised.max(record.height().unwrap_or_default());
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
        let left = replica.views.change_of(replica.signing.replica()).map_or(View(0), |own| own.view());
        let left = if is(Mutant::ViewRegresses) { View(0) } else { left };
        replica.views.resume(left);
        replica.signing.leave_below(replica.views.view());
        if replica.views.is_active() && replica.is_primary() {
            for (_, vote) in replica.views.entered().cloned().iter().flat_map(|entered| entered.chain()) {
                replica.signing.sign(vote.body);
            }
        }
        replica.restored = true;
        for proposal in accepted.into_values() {
            replica.take_back(proposal)?;
        }
        for certificate in prepared {
            replica.take_back_certificate(certificate)?;
        }
        if let Some(header) = &end.checkpoint {
            let signed =
                replica.checkpoints.of(replica.signing.replica()).last().map(|vote| vote.body.height);
            if signed < Some(header.height) {
                replica.checkpoints.reached(replica.config.checkpoint_interval, header);
            }
        }
        // R7: a promise at this height was given when the ledger ended at most 2 W below. A ledger that ends lower is an
        // old copy, and what this replica knows to be prepared would lie beyond the window above its base (R19).
        let ledger_had = Height(promised.0.saturating_sub(2 * replica.config.window));
        replica.signing.start_probing(end.forgotten_through.max(ledger_had));
        replica.try_enable_signing();
        let proposals = replica.log.slots().filter_map(|(_, _, slot)| slot.accepted());
        let accepted = proposals.map(|proposal| proposal.outline().clone()).collect();
        Ok(Restored { replica, accepted })
    }

    /// What a step alone can do: ask for the blocks that the view began with and that were not accepted before, and
    /// say that the files are old, which was found out in an earlier life.
    pub(crate) fn begin_again(&mut self, now: Now, step: &mut Step) {
        if self.views.is_active() {
            self.place_again(now, step);
        }
        if let SigningState::Recovering { seen } = *self.signing.state() {
            step.requests.push(Request::Recovering { seen, remembered: self.signing.mark() });
        }
    }

    /// Takes back a record that is about no height.
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
            Record::Mark(mark) => self.signing.restore_mark(mark),
            Record::Recovering(seen) => self.signing.restore_recovering(seen),
            Record::Heard(replica, seen) => self.signing.restore_seen(replica, *seen),
            Record::Evidence(evidence) => self.faults.restore(&evidence),
            // The engine has appended what was finalised, and deleted what was dropped, before it calls this.
            Record::Finalised(_) | Record::Dropped { .. } => {}
            Record::Accepted(_) | Record::Prepared(_) => unreachable!("these are about a height"),
        }
    }

    fn take_back(&mut self, proposal: CheckedProposal) -> Result<(), RestoreError> {
        let ballot = *proposal.ballot();
        let mut slot = Slot::default();
        if ballot.view > self.views.view() {
            return Err(RestoreError::NotEntered(ballot.height, ballot.view));
        }
        // What was promised in a view that was left is said no more; the block may still be needed.
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
        // What was prepared in an earlier view may have been accepted again in this one.
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
