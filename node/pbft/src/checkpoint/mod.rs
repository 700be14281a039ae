//! Checkpoints, and which of them are stable (R23).

pub(crate) mod certificate;
pub(crate) mod stable;
