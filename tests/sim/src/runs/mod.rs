//! The second half of a seeded run, scripted runs, and the long run without faults.

mod settle;

pub mod script;
pub mod soak;
