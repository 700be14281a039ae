//! Proofs that a third party can verify: certificates of a quorum, receipts and finality proofs.

pub(crate) mod certificate;
pub(crate) mod proof;
