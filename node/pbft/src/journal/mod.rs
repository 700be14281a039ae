//! Journal records, and the restart from them (R13).

pub(crate) mod record;
pub(crate) mod restore;
