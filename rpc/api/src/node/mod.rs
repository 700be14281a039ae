//! What a node reports about itself: its status, the state of ordering, and why it is so.

pub(crate) mod candidacy;
pub(crate) mod consensus;
pub(crate) mod explanation;
pub(crate) mod pending;
pub(crate) mod status;
