//! What the ledger returns to readers: plain values without access to the file.

use quorate_ledger::{Block, BlockHash, CommitCertificate, Header, Height, Timestamp, TransactionId};

/// The highest stored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its height; 0 if only the genesis header is stored.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub timestamp: Timestamp,
}

impl Head {
    /// That of the block with this header.
    pub fn of(header: &Header) -> Self {
        Head { height: header.height, hash: header.hash(), timestamp: header.timestamp }
    }
}

/// A stored block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Header and body.
    pub block: Block,
    /// Its own certificate; `None` for the genesis and for a block that only a later certificate
    /// finalises.
    pub certificate: Option<CommitCertificate>,
}

/// The transaction ids of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIds {
    /// Height of the block.
    pub height: Height,
    /// Time of the block.
    pub timestamp: Timestamp,
    /// The ids in order.
    pub ids: Vec<TransactionId>,
}
