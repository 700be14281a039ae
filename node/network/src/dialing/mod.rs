//! Which members and addresses this node dials, and when.

pub(crate) mod addresses;
pub(crate) mod bootstrap;
pub(crate) mod failures;
pub(crate) mod names;
pub(crate) mod schedule;
