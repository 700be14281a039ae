//! CHECKPOINT: what members sign about the state at every K-th height (R23).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, CertificateError, ChainId, Domain, Epoch, Hash, Header, Height, ReplicaId, Signable,
    Signature, SignatureSet, Signed, Verifiable, Verified, VerifySignatures,
};

/// States that its signer has the chain up to this block durably, and that this is the state after
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// The epoch.
    pub epoch: Epoch,
    /// A multiple of the checkpoint interval.
    pub height: Height,
    /// The block at that height.
    pub block: BlockHash,
    /// The root of the governance state after that block. The state contains the chain id, the
    /// block, the epoch and the members too, so it is all that a new member needs besides the chain.
    pub state_root: Hash,
}

impl Signable for Checkpoint {
    const DOMAIN: Domain = Domain::Checkpoint;
}

impl Checkpoint {
    /// The checkpoint of the block with this header, after which the state has this root.
    pub fn of(header: &Header, state_root: Hash) -> Self {
        Checkpoint { epoch: header.epoch, height: header.height, block: header.hash(), state_root }
    }
}

/// Exactly a quorum of CHECKPOINTs: the checkpoint is stable (R23).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CheckpointCertificate {
    checkpoint: Checkpoint,
    votes: SignatureSet,
}

/// Only this module can make it, so only this module seals checkpoint certificates.
#[derive(Debug)]
pub struct CheckpointSeal(());

impl Verifiable for CheckpointCertificate {
    type Seal = CheckpointSeal;
}

impl CheckpointCertificate {
    /// Joins verified CHECKPOINTs of exactly `count` members for this checkpoint; `None` if fewer
    /// of these votes are for it.
    pub(crate) fn assemble<'a>(
        checkpoint: Checkpoint,
        votes: impl IntoIterator<Item = &'a Verified<Signed<Checkpoint>>>,
        count: usize,
    ) -> Option<Verified<Self>> {
        let votes: BTreeMap<ReplicaId, Signature> = votes
            .into_iter()
            .filter(|vote| vote.body == checkpoint)
            .map(|vote| (vote.signer, vote.signature))
            .collect();
        let votes = SignatureSet::first(count, &votes)?;
        Some(Verified::sealed(CheckpointCertificate { checkpoint, votes }, CheckpointSeal(())))
    }

    /// Verifies a claimed certificate: q signatures.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(
        self,
        chain: &ChainId,
        verifier: &impl VerifySignatures,
    ) -> Result<Verified<Self>, CertificateError> {
        self.votes.check(chain, verifier, &self.checkpoint, verifier.committee().quorum())?;
        Ok(Verified::sealed(self, CheckpointSeal(())))
    }

    /// The stable checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signers and their signatures.
    pub fn votes(&self) -> &SignatureSet {
        &self.votes
    }
}
