//! The committed chain as far as this replica knows it (R12).

use quorate_ledger::{BlockHash, CommitCertificate, Header, Height, Verified};

/// The end of the committed chain, and how far others have surely committed.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) tip: Header,
    pub(crate) tip_hash: BlockHash,
    pub(crate) certificate: Option<Verified<CommitCertificate>>,
    pub(crate) behind: Height,
}

impl Chain {
    /// A chain that ends in its genesis, or in a block that the journal's owner vouches for.
    pub(crate) fn new(root: Header) -> Self {
        Chain { behind: root.height, tip_hash: root.hash(), tip: root, certificate: None }
    }
}
