//! The dry run of a proposal.

use quorate_governance::{Obstacle, Preview};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::governance::status::Arithmetic;

/// What keeps a proposal from being decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProposalObstacle")]
pub struct ObstacleJson {
    /// The code of the reason, as in outcomes.
    pub reason: String,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl From<&Obstacle> for ObstacleJson {
    fn from(obstacle: &Obstacle) -> Self {
        use quorate_governance::{ParameterError, Reason};
        let reason = match obstacle {
            Obstacle::Reason(reason) => *reason,
            Obstacle::Parameter(ParameterError::Range { .. }) => Reason::ParameterRange,
            Obstacle::Parameter(ParameterError::Rule(_)) => Reason::ParameterRule,
            Obstacle::NotReady(_) => Reason::NotReady,
        };
        ObstacleJson { reason: reason.code().to_owned(), message: obstacle.to_string() }
    }
}

/// The result of `governance_preview`: what a proposal would do if the next block decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Preview")]
pub struct PreviewJson {
    /// The changes in words.
    pub changes: Vec<String>,
    /// The approvals that it needs.
    pub approvals_needed: u32,
    /// The first height that it would judge.
    pub effective_from: u64,
    /// Whether it would start a new epoch.
    pub starts_epoch: bool,
    /// The arithmetic after everything that is scheduled.
    pub before: Arithmetic,
    /// The arithmetic with the proposal; null if no such committee is possible.
    pub after: Option<Arithmetic>,
    /// Whether it would be decided now, given the approvals.
    pub can_be_decided: bool,
    /// What is in its way.
    pub obstacles: Vec<ObstacleJson>,
    /// Consequences for the number of members that may fail, the most severe one last.
    pub warnings: Vec<String>,
}

impl PreviewJson {
    /// The obstacles that make a node refuse the proposal itself. A candidate that is not ready, or
    /// another epoch change that is scheduled, only delays its decision.
    pub fn refusals(&self) -> impl Iterator<Item = &ObstacleJson> {
        use quorate_governance::Reason;
        let delays = [Reason::NotReady.code(), Reason::OneAtATime.code()];
        self.obstacles.iter().filter(move |obstacle| !delays.contains(&obstacle.reason.as_str()))
    }

    /// The JSON of a preview of the changes with these words.
    pub fn of(preview: &Preview, changes: Vec<String>) -> Self {
        PreviewJson {
            changes,
            approvals_needed: u32::try_from(preview.approvals_needed).expect("a committee is small"),
            effective_from: preview.effective_from.0,
            starts_epoch: preview.starts_epoch,
            before: preview.before.into(),
            after: preview.after.map(Arithmetic::from),
            can_be_decided: preview.can_be_decided(),
            obstacles: preview.obstacles.iter().map(ObstacleJson::from).collect(),
            warnings: preview.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}
