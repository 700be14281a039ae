//! The committed chain as far as this replica knows it (R12).

use quorate_ledger::{BlockHash, CommitCertificate, Header, Height, Verified, View};

/// The end of the committed chain, and the height that others have provably committed.
#[derive(Debug)]
pub(crate) struct Chain {
    tip: Header,
    tip_hash: BlockHash,
    /// For the last block; `None` for the root of the epoch, which has none of this epoch.
    certificate: Option<Verified<CommitCertificate>>,
    /// The highest height that a certificate proves committed. It may be above the last block here.
    target: Height,
}

impl Chain {
    /// A chain that ends in this block, with its certificate unless it is the root of the epoch.
    pub(crate) fn new(tip: Header, certificate: Option<Verified<CommitCertificate>>) -> Self {
        Chain { target: tip.height, tip_hash: tip.hash(), tip, certificate }
    }

    /// The last committed block.
    pub(crate) fn tip(&self) -> &Header {
        &self.tip
    }

    /// The hash of the last committed block.
    pub(crate) fn hash(&self) -> BlockHash {
        self.tip_hash
    }

    /// The height of the last committed block.
    pub(crate) fn height(&self) -> Height {
        self.tip.height
    }

    /// The commit certificate of the last block; `None` for the root of the epoch.
    pub(crate) fn certificate(&self) -> Option<&Verified<CommitCertificate>> {
        self.certificate.as_ref()
    }

    /// The view of the last block's certificate; `None` for the root of the epoch.
    pub(crate) fn certified_in(&self) -> Option<View> {
        self.certificate.as_ref().map(|certificate| certificate.ballot().view)
    }

    /// Advances the chain to this block. The certificate is for it.
    pub(crate) fn advance(&mut self, tip: Header, certificate: Verified<CommitCertificate>) {
        self.target = self.target.max(tip.height);
        (self.tip_hash, self.tip, self.certificate) = (tip.hash(), tip, Some(certificate));
    }

    /// Notes that a certificate proves this height committed. `true` if it is higher than all
    /// before.
    pub(crate) fn raise_target(&mut self, height: Height) -> bool {
        let higher = height > self.target;
        self.target = self.target.max(height);
        higher
    }

    /// Whether a certificate proves that others have committed more than this replica.
    pub(crate) fn is_behind(&self) -> bool {
        self.target > self.tip.height
    }
}
