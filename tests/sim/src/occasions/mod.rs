//! The conditions of a run: its parameters, the scenario for which it is shaped, and the fault of
//! the production code that it hunts.

pub mod knobs;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod scenario;
