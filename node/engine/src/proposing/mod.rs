//! Proposals of this node, blocks in flight, and the watch over the primary.

pub(crate) mod fairness;
pub(crate) mod flight;
pub(crate) mod propose;
