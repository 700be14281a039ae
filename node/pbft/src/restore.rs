//! A replica that remembers what it promised (R13).

use quorate_ledger::{Commit, Header, Height, Outline};

use crate::config::Config;
use crate::messages::{PrePrepare, Prepare};
use crate::replica::Replica;
use crate::signer::Signer;
use crate::slot::{Slot, Stage};
use crate::step::Record;

/// A replica as it was when its last record became durable.
#[derive(Debug)]
pub struct Restored {
    /// Ready to step. What it promised is sent again as others turn out to lack it.
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
}

impl Replica {
    /// Puts back together what the records say, on a chain that ends in `tip`. Records of committed heights
    /// are ignored; within a height, `Accepted` must come before `Prepared`.
    ///
    /// # Errors
    /// [`RestoreError`]: the journal is damaged, and this replica must not vote.
    pub fn restore(
        config: Config,
        signer: Signer,
        tip: Header,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Restored, RestoreError> {
        let mut replica = Replica::new(config, signer, tip);
        for record in records {
            if record.height() <= replica.tip.height {
                continue;
            }
            let key = (record.height(), record.view());
            match record {
                Record::Accepted(proposal) => {
                    let ballot = *proposal.ballot();
                    let mut slot = Slot::default();
                    let primary = replica.config.committee.primary(ballot.epoch, ballot.view);
                    if primary == replica.signer.replica() {
                        replica.signer.vote::<PrePrepare>(ballot);
                    } else {
                        slot.prepares.record(replica.signer.vote::<Prepare>(ballot));
                    }
                    slot.stage = Stage::Accepted { proposal };
                    replica.slots.insert(key, slot);
                }
                Record::Prepared(certificate) => {
                    let ballot = certificate.ballot();
                    let vote = replica.signer.vote::<Commit>(ballot);
                    let slot = replica.slots.get_mut(&key).ok_or(RestoreError::Incomplete(key.0))?;
                    let Stage::Accepted { proposal } = &slot.stage else {
                        return Err(RestoreError::Incomplete(key.0));
                    };
                    if proposal.ballot().block != ballot.block {
                        return Err(RestoreError::Mismatch(key.0));
                    }
                    slot.stage =
                        Stage::Prepared { proposal: proposal.clone(), certificate: Box::new(certificate) };
                    slot.commits.record(vote);
                }
                // The engine has appended what was finalised before it calls this.
                Record::Finalised(_) => {}
            }
        }
        let proposals = replica.slots.values().filter_map(|slot| slot.accepted());
        let accepted = proposals.map(|proposal| proposal.outline().clone()).collect();
        Ok(Restored { replica, accepted })
    }
}
