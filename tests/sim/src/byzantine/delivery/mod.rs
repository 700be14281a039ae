//! Attacks on delivery: transactions and messages that are left out, or sent again.

mod censor;
mod replay;
mod withhold;

pub(super) use censor::Censor;
pub(super) use replay::Replay;
pub(super) use withhold::Withhold;
