//! How far a node is on its way into the committee.

use std::fmt;

use quorate_ledger::TransactionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;

/// What a node waits for that was configured as a validator and is not a member. If several states
/// apply, the one that must end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CandidacyState {
    /// Its key left the committee in one of the last 64 epochs, so the members cannot add it again.
    KeyRetired,
    /// It has recently heard from f or fewer validators, so it may not know the newest blocks.
    NoContact,
    /// It fetches blocks that the validators have.
    Behind,
    /// No open proposal adds its key.
    NotProposed,
    /// A proposal adds its key, and its READY does not count yet.
    Proposed,
    /// It has sent READY, and no block contains it yet.
    SendingReady,
    /// Its READY counts, and the proposal waits for approvals.
    Ready,
    /// The members have decided that it becomes a member.
    Decided,
}

impl CandidacyState {
    /// All of them.
    pub const ALL: [CandidacyState; 8] = [
        CandidacyState::KeyRetired,
        CandidacyState::NoContact,
        CandidacyState::Behind,
        CandidacyState::NotProposed,
        CandidacyState::Proposed,
        CandidacyState::SendingReady,
        CandidacyState::Ready,
        CandidacyState::Decided,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            CandidacyState::KeyRetired => "key_retired",
            CandidacyState::NoContact => "no_contact",
            CandidacyState::Behind => "behind",
            CandidacyState::NotProposed => "not_proposed",
            CandidacyState::Proposed => "proposed",
            CandidacyState::SendingReady => "sending_ready",
            CandidacyState::Ready => "ready",
            CandidacyState::Decided => "decided",
        }
    }
}

impl fmt::Display for CandidacyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a node still lacks to become a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidacy {
    /// What it waits for.
    pub state: CandidacyState,
    /// The open proposal that adds its key; the oldest one if there are several.
    #[serde(with = "hex::option")]
    #[schemars(with = "Option<Hex<32>>")]
    pub proposal: Option<TransactionId>,
    /// Height of the block in its newest READY, while the chain has one that counts.
    pub ready_height: Option<u64>,
    /// The last height at which this READY counts.
    pub ready_until: Option<u64>,
    /// The first height at which it is a member, once that is decided.
    pub member_from: Option<u64>,
    /// All of this in a sentence.
    pub text: String,
    /// What its operator or the members should do; none if it goes on by itself.
    pub action: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Programs compare these words, so they never change.
    #[test]
    fn words_are_stable() {
        let words = [
            "key_retired",
            "no_contact",
            "behind",
            "not_proposed",
            "proposed",
            "sending_ready",
            "ready",
            "decided",
        ];
        assert_eq!(json!(CandidacyState::ALL), json!(words));
        assert_eq!(CandidacyState::ALL.map(CandidacyState::name), words);
    }
}
