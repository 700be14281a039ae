//! A header together with the transactions that it commits to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::blocks::body::Body;
use crate::blocks::header::{BlockError, BlockLimits, Header};
use crate::hash::{BlockHash, Hash, TransactionId};
use crate::merkle::merkle_root;
use crate::transaction::VerifiedTransaction;
use crate::units::{Height, ReplicaId, Timestamp};

/// A header with the transaction ids that it commits to (a block skeleton). A proposal carries
/// these.
///
/// The constructor checks that the two match. Building the Merkle tree is the costly part of
/// checking a block, so it is done only once, here, and the type carries the result. Clones share
/// the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSkeleton {
    header: Arc<Header>,
    hash: BlockHash,
    ids: Arc<[TransactionId]>,
}

impl BlockSkeleton {
    /// Joins a header and the ids that it is claimed to commit to.
    ///
    /// # Errors
    /// [`BlockError::Body`] and [`BlockError::Repeated`] unless the header commits to exactly these
    /// ids, in this order, each once.
    pub fn new(header: Header, ids: impl Into<Arc<[TransactionId]>>) -> Result<Self, BlockError> {
        let ids = ids.into();
        if u32::try_from(ids.len()) != Ok(header.transaction_count) {
            return Err(BlockError::Body { field: "transaction_count" });
        }
        if merkle_root(&ids) != header.transactions_root {
            return Err(BlockError::Body { field: "transactions_root" });
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(BlockError::Repeated(*id));
        }
        Ok(BlockSkeleton { hash: header.hash(), header: Arc::new(header), ids })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash of the header, computed once.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The ids in order.
    pub fn ids(&self) -> &Arc<[TransactionId]> {
        &self.ids
    }

    /// Position in the chain.
    pub fn height(&self) -> Height {
        self.header.height
    }

    /// Makes the block of a proposal from its transactions, and checks these (R5). It does not check
    /// whether an ancestor contains one of them (R16): only a node that knows the chain can do so.
    ///
    /// # Errors
    /// Those of [`BlockError`] that concern transactions.
    pub fn fill(
        &self,
        transactions: &[VerifiedTransaction],
        limits: &BlockLimits,
    ) -> Result<Block, BlockError> {
        if !transactions.iter().map(VerifiedTransaction::id).eq(self.ids.iter().copied()) {
            return Err(BlockError::Body { field: "transactions_root" });
        }
        let bytes: u64 = transactions.iter().map(|transaction| u64::from(transaction.bytes())).sum();
        if bytes != u64::from(self.header.body_bytes) {
            return Err(BlockError::Body { field: "body_bytes" });
        }
        for transaction in transactions {
            self.header.check_transaction(transaction, limits)?;
        }
        Ok(Block { skeleton: self.clone(), body: Body::of(transactions) })
    }
}

/// A header with the transactions that it commits to. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    skeleton: BlockSkeleton,
    body: Body,
}

impl Block {
    /// Joins a header and a body.
    ///
    /// # Errors
    /// [`BlockError::Body`] and [`BlockError::Repeated`] if the header does not commit to this
    /// body.
    pub fn new(header: Header, body: Body) -> Result<Self, BlockError> {
        if body.transaction_bytes() != header.body_bytes {
            return Err(BlockError::Body { field: "body_bytes" });
        }
        let skeleton = BlockSkeleton::new(header, body.ids())?;
        Ok(Block { skeleton, body })
    }

    /// A new block on `parent` with this body; see [`Header::after`].
    ///
    /// # Errors
    /// [`BlockError::Repeated`].
    pub fn after(
        parent: &Header,
        body: Body,
        now: Timestamp,
        proposer: ReplicaId,
    ) -> Result<Self, BlockError> {
        Block::new(Header::after(parent, &body, now, proposer), body)
    }

    /// Like [`Block::after`], with this committee for the block above. If it differs from the
    /// committee of this block, the block ends its epoch.
    ///
    /// # Errors
    /// [`BlockError::Repeated`].
    pub fn proposed(
        parent: &Header,
        body: Body,
        now: Timestamp,
        proposer: ReplicaId,
        next_committee: Hash,
    ) -> Result<Self, BlockError> {
        let header = Header { next_committee, ..Header::after(parent, &body, now, proposer) };
        Block::new(header, body)
    }

    /// Header and ids.
    pub fn skeleton(&self) -> &BlockSkeleton {
        &self.skeleton
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.skeleton.header()
    }

    /// The hash of the header, computed once.
    pub fn hash(&self) -> BlockHash {
        self.skeleton.hash()
    }

    /// The transactions.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Position in the chain.
    pub fn height(&self) -> Height {
        self.skeleton.height()
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
