//! The rules that every run must keep, one per file, each with its own computations.

mod notices;
mod restarts;

pub mod accepted;
pub mod answers;
pub mod asked;
pub mod chain;
pub mod checkpoints;
pub mod coverage;
pub mod epochs;
pub mod finality;
pub mod journal;
pub mod locks;
pub mod received;
pub mod votes;
pub mod waits;
pub mod watch;

use std::fmt;

use quorate_ledger::ReplicaId;

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the rule.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Whether a rule holds.
pub type Check = Result<(), Violation>;

/// Reports that a rule is broken unless the condition is true.
///
/// # Errors
/// The violation.
pub fn require(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// The rule about requests between correct members.
pub(crate) const ANSWERS: &str = "responses of correct members are valid";

/// Something failed that cannot fail between correct members.
pub(crate) fn failed(replica: ReplicaId, reason: &impl fmt::Display) -> Violation {
    Violation { rule: ANSWERS, what: format!("member {replica}: {reason}") }
}
