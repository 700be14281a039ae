//! The state of a node, as its status pages, metrics and readiness checks report it.

pub(crate) mod disk;
pub(crate) mod node;
pub(crate) mod observer;
pub(crate) mod ordering;
pub(crate) mod peer_lag;
pub(crate) mod progress;
pub(crate) mod snapshot;
pub(crate) mod validator;
