//! One redb file of this crate: creating and opening it, its tables, its transactions, its failures.

pub(crate) mod file;
pub(crate) mod panics;
pub(crate) mod storage;
pub(crate) mod tables;
