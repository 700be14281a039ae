//! Dropping useless messages before their signatures are verified (R25).

pub(crate) mod admit;
pub(crate) mod position;
