//! Cheap checks before expensive ones (R25).

pub(crate) mod admit;
pub(crate) mod position;
