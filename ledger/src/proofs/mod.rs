//! Proofs that a third party can verify: certificates of a quorum, receipts, finality proofs and
//! epoch proofs.

pub(crate) mod anchor;
pub(crate) mod certificate;
pub(crate) mod epochs;
pub(crate) mod proof;
