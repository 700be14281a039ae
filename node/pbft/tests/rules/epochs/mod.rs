//! Epochs: their ends, the heights between decision and end, and the begin of the next ones (R26).

mod boundaries;
mod faulty_members;
mod judging;
mod random_epochs;
mod restarts_between_epochs;
