//! Resending lost messages (R14).

pub(crate) mod peers;
pub(crate) mod retransmit;
