use std::sync::Arc;
use std::time::Duration;

use quorate_ledger::mutant::Mutant;
use quorate_ledger::{
    BlockHash, BlockLimits, ChainId, Committee, Epoch, Hash, Header, Height, MAX_DESCENDANTS, ReplicaId,
    Signable, Signature, SignatureMemo, Signed, SignedError, Verified, VerifySignatures,
};

/// Largest window W (R7). A STATUS and a finality proof have room for twice as many heights.
pub const MAX_WINDOW: u64 = 32;
const _: () = assert!(MAX_DESCENDANTS as u64 == 2 * MAX_WINDOW, "every block in flight can be proven");

/// The block below the first block of an epoch: the genesis in epoch 0, otherwise the last block of
/// the epoch before (R26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochRoot {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub block: BlockHash,
}

impl EpochRoot {
    /// The root of the epoch above the block with this header.
    pub fn of(header: &Header) -> Self {
        EpochRoot { height: header.height, block: header.hash() }
    }

    /// # Panics
    /// If this is the header of another block.
    pub(crate) fn assert_is(&self, header: &Header) {
        assert_eq!(*self, EpochRoot::of(header), "R26: another block than the root of the epoch");
    }
}

/// What the messages of an epoch are checked against. All of it but the memo follows from the chain
/// up to the root, so the result of a check is the same at all replicas.
#[derive(Debug, Clone)]
pub struct EpochContext {
    /// The id of the chain.
    pub chain: ChainId,
    /// The epoch, and the members that order the chain in it.
    pub committee: Committee,
    /// The block below the first block of the epoch. A VIEW-CHANGE without a certificate has it as
    /// its committed anchor (R19a).
    pub root: EpochRoot,
    /// W, in heights, 1 to [`MAX_WINDOW`]. A primary proposes up to W above its last committed
    /// block. A backup accepts up to 2 W above its own, which may lag behind the primary's (R7).
    pub window: u64,
    /// The signatures that this node has verified or made. Without a memo, it verifies every
    /// signature each time.
    pub memo: Option<Arc<SignatureMemo>>,
}

impl EpochContext {
    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.committee.epoch()
    }

    /// Verifies a signed statement of a member.
    pub(crate) fn verify<S: Signable>(&self, signed: Signed<S>) -> Result<Verified<Signed<S>>, SignedError> {
        signed.verify(&self.chain, self)
    }

    /// Like [`EpochContext::verify`], unless the deliberate fault skips that.
    pub(crate) fn verify_unless<S: Signable>(
        &self,
        fault: Mutant,
        signed: Signed<S>,
    ) -> Result<Verified<Signed<S>>, SignedError> {
        Verified::unless(fault, signed, |signed| self.verify(signed))
    }
}

impl VerifySignatures for EpochContext {
    fn committee(&self) -> &Committee {
        &self.committee
    }

    fn verifies(&self, replica: ReplicaId, hash: &Hash, signature: &Signature) -> bool {
        match &self.memo {
            Some(memo) => memo.verifies(&self.committee, replica, hash, signature),
            None => self.committee.verifies(replica, hash, signature),
        }
    }
}

/// The parameters of a replica, constant in its epoch. All of them but the memo follow from the
/// chain up to the root, so they are the same at all replicas.
#[derive(Debug, Clone)]
pub struct Config {
    /// The epoch: what messages are checked against, and the committee and W of the replica.
    pub context: EpochContext,
    /// Limits of blocks and transactions.
    pub limits: BlockLimits,
    /// How far the time of a fresh block may be ahead of the wall clock (R6).
    pub clock_tolerance: Duration,
    /// The request timeout before doublings: how long work may be pending without a commit before
    /// the replica leaves the view (R15a).
    pub request_timeout: Duration,
    /// The new-view timeout before doublings: how long a replica waits for a NEW-VIEW once a quorum
    /// has left the views below (R15c).
    pub new_view_timeout: Duration,
    /// Doublings make no timeout longer than this. For progress, messages must arrive within it
    /// (R15a).
    pub timeout_cap: Duration,
    /// K, in heights: members sign a CHECKPOINT at every multiple of it (R23).
    pub checkpoint_interval: u64,
    /// L, in heights: replicas accept proposals up to this far above the stable checkpoint. At
    /// least 2 K (R23).
    pub log_window: u64,
    /// How often a replica sends STATUS, also when idle (R14a).
    pub status_interval: Duration,
}
