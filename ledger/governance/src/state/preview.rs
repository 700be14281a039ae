//! The dry run of a proposal: what it would change, and what is in its way.

use std::fmt;

use quorate_ledger::{Height, PublicKey};

use super::State;
use crate::config::QuorumArithmetic;
use crate::limits::READY_INTERVALS;
use crate::operations::Change;
use crate::outcome::Reason;
use crate::parameters::{ParameterError, Settings};

/// What a proposal would do if the next block decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The approvals that it needs, in the committee of the next height.
    pub approvals_needed: usize,
    /// The first height that it would judge.
    pub effective_from: Height,
    /// Whether it would start a new epoch.
    pub starts_epoch: bool,
    /// The arithmetic after all scheduled changes.
    pub before: QuorumArithmetic,
    /// The arithmetic with the proposal; `None` if no such committee is possible.
    pub after: Option<QuorumArithmetic>,
    /// What keeps it from being decided now.
    pub obstacles: Vec<Obstacle>,
}

/// What keeps a proposal from being decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It would fail for this reason.
    Reason(Reason),
    /// A parameter would be invalid.
    Parameter(ParameterError),
    /// This candidate is not ready.
    NotReady(PublicKey),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Reason(reason) => reason.fmt(f),
            Obstacle::Parameter(error) => error.fmt(f),
            Obstacle::NotReady(key) => {
                write!(f, "candidate {key} is not ready: start its node and wait until it has caught up")
            }
        }
    }
}

/// A consequence that an operator should want before approving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PreviewWarning {
    /// Fewer members may be down than before.
    #[error("members that may be down: {after} instead of {before}; add a member to keep the difference")]
    FewerMayBeDown {
        /// How many may be down now.
        before: usize,
        /// How many may be down afterwards.
        after: usize,
    },
    /// Fewer members may be faulty than before.
    #[error("members that may be faulty: {after} instead of {before}; use at least 3 f + 1 members")]
    FewerFaults {
        /// How many may be faulty now.
        before: usize,
        /// How many may be faulty afterwards.
        after: usize,
    },
    /// The network stops when one member is down.
    #[error(
        "all {members} members are needed: the network stops when one is down, and no vote can then remove it; use at least 3"
    )]
    NoneMayBeDown {
        /// Number of members.
        members: usize,
    },
    /// No member may be faulty.
    #[error(
        "{members} members tolerate no faulty one: the network can stop or fork if one is; use at least 4"
    )]
    NoFaultTolerated {
        /// Number of members.
        members: usize,
    },
}

impl Preview {
    /// Whether q approvals would decide it now.
    pub fn can_be_decided(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// The consequences of fewer or more members, the most severe one last.
    pub fn warnings(&self) -> Vec<PreviewWarning> {
        let Some(after) = self.after else { return Vec::new() };
        let (before, members) = (self.before, after.members);
        let mut warnings = Vec::new();
        if after == before {
            return warnings;
        }
        if after.may_be_down < before.may_be_down {
            let (before, after) = (before.may_be_down, after.may_be_down);
            warnings.push(PreviewWarning::FewerMayBeDown { before, after });
        }
        if after.faults < before.faults {
            let (before, after) = (before.faults, after.faults);
            warnings.push(PreviewWarning::FewerFaults { before, after });
        }
        if after.faults == 0 {
            warnings.push(PreviewWarning::NoFaultTolerated { members });
        }
        if after.may_be_down == 0 {
            warnings.push(PreviewWarning::NoneMayBeDown { members });
        }
        warnings
    }
}

impl State {
    /// What these changes would do if a proposal with them were decided in the next block.
    pub fn preview(&self, changes: &[Change]) -> Preview {
        let in_force = self.in_force();
        let next_height = self.head.height.next();
        let before = QuorumArithmetic::of(self.latest_config().committee());
        let starts_epoch = changes.iter().any(Change::starts_epoch);
        let mut obstacles = Vec::new();
        let after = match self.check_changes(changes) {
            Ok(config) => Some(QuorumArithmetic::of(config.committee())),
            Err(Reason::ParameterRange | Reason::ParameterRule) => {
                obstacles.extend(self.parameter_errors(changes).into_iter().map(Obstacle::Parameter));
                None
            }
            Err(reason) => {
                obstacles.push(Obstacle::Reason(reason));
                None
            }
        };
        if starts_epoch && let Err(reason) = self.check_one_at_a_time() {
            obstacles.push(Obstacle::Reason(reason));
        }
        let age = in_force.intervals(READY_INTERVALS);
        let is_ready =
            |key: &PublicKey| self.ready.get(key).is_some_and(|height| height.plus(age) >= next_height);
        let candidates = changes.iter().filter_map(Change::candidate);
        obstacles.extend(candidates.filter(|key| !is_ready(key)).map(Obstacle::NotReady));
        Preview {
            approvals_needed: in_force.committee().quorum(),
            effective_from: self.horizon().next(),
            starts_epoch,
            before,
            after,
            obstacles,
        }
    }

    /// All errors of the parameters that these changes would set.
    fn parameter_errors(&self, changes: &[Change]) -> Vec<ParameterError> {
        let mut settings: Settings = self.latest_config().settings;
        for change in changes {
            if let Change::SetParameter { parameter, value } = change {
                *parameter.of(&mut settings) = *value;
            }
        }
        settings.errors()
    }
}
