//! Proposals of this node, blocks in flight, and the censorship watch.

pub(crate) mod censorship;
pub(crate) mod flight;
pub(crate) mod propose;
