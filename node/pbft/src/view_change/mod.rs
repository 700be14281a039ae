//! Leaving a view and beginning the next one (R19, R20).

pub(crate) mod change;
pub(crate) mod messages;
pub(crate) mod open;
pub(crate) mod selection;
pub(crate) mod state;
pub(crate) mod statements;
