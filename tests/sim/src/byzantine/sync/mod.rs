//! Attacks on requests: wrong responses about blocks and transactions.

mod lie_sync;
mod strip;

pub(super) use lie_sync::LieInAnswers;
pub(super) use strip::Strip;
