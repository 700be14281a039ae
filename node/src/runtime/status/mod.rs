//! The state of a node, for status pages, metrics and readiness.

pub(crate) mod disk;
pub(crate) mod observing;
pub(crate) mod ordering;
pub(crate) mod peer_lag;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod snapshot;
