//! The governance state, as `governance_status` and the lists of proposals and clients show it.

use std::collections::BTreeMap;

use quorate_governance::{Client, QuorumArithmetic};
use quorate_ledger::{Hash, PublicKey, TransactionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::governance::change::{DescribedChange, SubmitMode};
use crate::governance::operation::QuotaJson;
use crate::governance::preview::ObstacleJson;

/// How many members decide, and how many may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arithmetic {
    /// n.
    pub members: u32,
    /// f: members that may be faulty in any way.
    pub faults_tolerated: u32,
    /// q: votes or approvals that decide.
    pub quorum: u32,
    /// n - q: members that may be down while the others order blocks.
    pub may_be_down: u32,
}

impl From<QuorumArithmetic> for Arithmetic {
    fn from(of: QuorumArithmetic) -> Self {
        let small = |count: usize| u32::try_from(count).expect("a committee is small");
        Arithmetic {
            members: small(of.members),
            faults_tolerated: small(of.faults),
            quorum: small(of.quorum),
            may_be_down: small(of.may_be_down),
        }
    }
}

/// A member of the committee in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Member")]
pub struct MemberJson {
    /// Position in the committee of this epoch, as in `proposer` and `signers`.
    pub index: u16,
    /// Its name, which identifies it in all epochs.
    pub name: String,
    /// The key with which it signs votes.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub consensus_key: PublicKey,
    /// The key with which it signs governance operations.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub governance_key: PublicKey,
    /// Its registered clients, including revoked ones.
    pub clients: u64,
    /// Height of its last rotation or renewal, if it had one.
    pub renewed_at: Option<u64>,
}

/// A decided change that has not taken effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Scheduled")]
pub struct ScheduledJson {
    /// The first height that the change judges.
    pub effective_from: u64,
    /// Whether it starts a new epoch.
    pub starts_epoch: bool,
    /// The change in words.
    pub text: String,
    /// The proposal, if a quorum decided the change.
    #[serde(with = "hex::option")]
    #[schemars(with = "Option<Hex<32>>")]
    pub proposal: Option<TransactionId>,
}

/// The configuration in force at the next height, and what is scheduled to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GovernanceStatus {
    /// Height of the last executed block: all of this is the state after it.
    pub height: u64,
    /// Root of the governance state.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub state_root: Hash,
    /// The epoch of the next height.
    pub epoch: u64,
    /// The first height of this epoch; 0 in epoch 0.
    pub epoch_start: u64,
    /// The members, in the order of the committee.
    pub members: Vec<MemberJson>,
    /// How many of them decide.
    pub arithmetic: Arithmetic,
    /// Whose transactions the network accepts.
    pub submit_mode: SubmitMode,
    /// All parameters by section and name, as in `consensus.window`.
    pub parameters: BTreeMap<String, u64>,
    /// The decided changes that have not taken effect: at most 256, those of clients last.
    pub scheduled: Vec<ScheduledJson>,
    /// Number of all decided changes that have not taken effect.
    pub scheduled_count: u64,
    /// Number of clients in the registry, including revoked ones.
    pub clients: u64,
    /// Number of open proposals.
    pub open_proposals: u64,
}

/// A key that a proposal would make a consensus key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Candidate")]
pub struct CandidateJson {
    /// The name of the member that the key is for.
    pub name: String,
    /// The key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub key: PublicKey,
    /// Whether its READY is recent enough for a decision in the next block.
    pub ready: bool,
    /// Height of the block in its newest READY, if it sent one.
    pub ready_height: Option<u64>,
}

/// An open proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Proposal")]
pub struct ProposalJson {
    /// Its id: that of the transaction that made it.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub id: TransactionId,
    /// The name of the member that made it.
    pub proposer: String,
    /// Height of the block with this transaction.
    pub height: u64,
    /// The last height at which it can be approved.
    pub expires: u64,
    /// The changes, which take effect together.
    pub changes: Vec<DescribedChange>,
    /// Whether they start a new epoch.
    pub starts_epoch: bool,
    /// The names of the members that approve it.
    pub approvals: Vec<String>,
    /// The names of the other members.
    pub not_approved: Vec<String>,
    /// How many more approvals decide it.
    pub approvals_missing: u32,
    /// The keys that would become consensus keys.
    pub candidates: Vec<CandidateJson>,
    /// What keeps it from being decided in the next block, besides missing approvals.
    pub obstacles: Vec<ObstacleJson>,
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Client")]
pub struct ClientJson {
    /// The key that signs its transactions.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub key: PublicKey,
    /// The name that people use for it.
    pub name: String,
    /// The name of the member that added it.
    pub member: String,
    /// Its own limit in addition to that of the member, if it has one.
    pub quota: Option<QuotaJson>,
    /// Whether a quorum of members revoked it, which is final.
    pub revoked: bool,
}

impl From<&Client> for ClientJson {
    fn from(client: &Client) -> Self {
        ClientJson {
            key: client.key,
            name: client.name.to_string(),
            member: client.member.to_string(),
            quota: client.quota.map(QuotaJson::from),
            revoked: client.revoked,
        }
    }
}

/// The result of `governance_clients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clients {
    /// In ascending order of their keys.
    pub clients: Vec<ClientJson>,
    /// Whether there are more after the last one.
    pub more: bool,
}
