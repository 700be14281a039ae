//! How values are written in JSON: hex, objects only, and short texts.

pub(crate) mod excerpt;
pub(crate) mod hex;
pub(crate) mod invalid;
pub(crate) mod object;
