//! The results and errors of the methods.

pub(crate) mod admin;
pub(crate) mod conformance;
pub(crate) mod damage;
pub(crate) mod errors;
pub(crate) mod governance;
pub(crate) mod metrics;
pub(crate) mod results;
