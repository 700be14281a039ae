//! Governance: outcomes, operations, and the state that they change.

pub(crate) mod change;
pub(crate) mod history;
pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod preview;
pub(crate) mod query;
pub(crate) mod status;
