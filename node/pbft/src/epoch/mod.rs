//! Epochs: the constant configuration of a replica, the end of its epoch, and the begin of the next
//! one (R26).

pub(crate) mod begin;
pub(crate) mod schedule;
