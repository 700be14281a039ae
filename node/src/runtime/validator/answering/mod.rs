//! Answers requests of other nodes from the ledger.

pub(crate) mod observers;
pub(crate) mod places;
