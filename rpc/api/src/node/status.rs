//! A node's reports about the chain, the network and itself. None of them is proven; proofs are in
//! `proof`.

use quorate_ledger::{BlockHash, ChainId, Hash, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::node::candidacy::Candidacy;
use crate::node::consensus::ValidatorSigningState;

/// The newest committed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChainHead {
    /// Its height; 0 is the genesis.
    pub height: u64,
    /// Its hash.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub hash: BlockHash,
    /// Its agreed time, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

/// A member of the committee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Validator")]
pub struct ValidatorJson {
    /// Position in the committee, as in `proposer` and `signers`.
    pub index: u16,
    /// Its name.
    pub name: String,
    /// Its key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub public_key: PublicKey,
}

/// The committee at a height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValidatorSet {
    /// Number of the committee.
    pub epoch: u64,
    /// Its hash, as in headers.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub committee: Hash,
    /// How many signatures a certificate has.
    pub quorum: u32,
    /// Most members that may be faulty (Byzantine) at once.
    pub faults_tolerated: u32,
    /// The members in order.
    pub validators: Vec<ValidatorJson>,
}

/// The genesis of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkGenesis {
    /// Hash of the genesis. Compare it with one that you got another way before you trust the rest.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub chain_id: ChainId,
    /// The network's name.
    pub name: String,
    /// The genesis file in its canonical form; parsing it gives the chain id.
    pub toml: String,
    /// The chain that this network continues, as the file says; absent if it continues none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<PredecessorJson>,
}

/// A chain whose validators lost their quorum, and that another network continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Predecessor")]
pub struct PredecessorJson {
    /// Its chain id.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub chain_id: ChainId,
    /// Height of its last block.
    pub height: u64,
    /// Hash of this block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub block: BlockHash,
    /// Epoch of this block.
    pub epoch: u64,
    /// Root of its governance state after this block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub state_root: Hash,
    /// Number of clients that the network took over from it.
    pub clients: u64,
}

/// The role of a node in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// A member of the committee: proposes and votes.
    Validator,
    /// Follows the chain and serves reads, without a vote.
    Observer,
}

/// Whether the key of a node that was configured to vote is in the committee in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// The key is in the committee: the node proposes and votes.
    Member,
    /// The key is not in the committee, is not in the genesis, and has not left the committee in the
    /// last 64 epochs. The node follows the chain without a vote until the members add it.
    NotYetMember,
    /// The key was in the committee, in the genesis or in one of the last 64 epochs, and is no longer.
    /// The node follows the chain without a vote.
    Removed,
}

/// A node's summary of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// The network's name.
    pub network: String,
    /// The chain.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub chain_id: ChainId,
    /// The epoch of the committee in force. All indices of members in the reports of a node belong
    /// to this committee.
    pub epoch: u64,
    /// The node's name, if it is a member.
    pub name: Option<String>,
    /// Its index in the committee, for a validator.
    pub index: Option<u16>,
    /// Its role at present.
    pub role: NodeRole,
    /// Whether its key is in the committee, for a node that was configured as a validator.
    pub membership: Option<Membership>,
    /// What it still lacks to become a member, for a node that was configured as a validator and is
    /// not a member.
    pub candidacy: Option<Candidacy>,
    /// Whether it may vote at present, for a validator.
    pub signing_state: Option<ValidatorSigningState>,
    /// Its key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub public_key: PublicKey,
    /// Version of the program.
    pub version: String,
    /// The newest committed block it holds.
    pub head: ChainHead,
    /// The lowest height whose block it holds.
    pub earliest_height: u64,
    /// Whether it knows of certified blocks that it does not hold yet.
    pub syncing: bool,
    /// Number of authenticated connections.
    pub peers_connected: u32,
    /// Transactions in its pool.
    pub mempool_transactions: u64,
    /// Time since its start, milliseconds.
    pub uptime_ms: u64,
    /// The time by this node's clock, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// How long ago the ordering thread made the report that this status is derived from,
    /// milliseconds. The thread reports every two seconds even when it is idle, so more than six
    /// seconds mean that it is stuck.
    pub snapshot_age_ms: u64,
}

/// The side that opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerDirection {
    /// The peer did.
    Inbound,
    /// This node did.
    Outbound,
}

/// Another node as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Peer")]
pub struct PeerJson {
    /// Its name, if it is a member.
    pub name: Option<String>,
    /// Its index in the committee, if it is a member.
    pub index: Option<u16>,
    /// Its key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub public_key: PublicKey,
    /// The network identity derived from its key.
    pub peer_id: String,
    /// Whether an authenticated connection is open.
    pub connected: bool,
    /// The side that opened it, while connected.
    pub direction: Option<PeerDirection>,
    /// How long it has been open, milliseconds, while connected.
    pub connected_ms: Option<u64>,
    /// Round trip of the last heartbeat, microseconds, once measured.
    pub round_trip_us: Option<u64>,
    /// The height that it last reported as committed.
    pub committed_height: Option<u64>,
    /// Its known addresses.
    pub addresses: Vec<String>,
    /// This node's clock minus its clock, milliseconds, measured by proposals of the last two
    /// minutes that came directly from it; their time in transit is included. Only primaries
    /// propose, so it is known for few peers.
    pub clock_ahead_ms: Option<i64>,
    /// How many blocks it was behind this node when it last reported its height.
    pub blocks_behind: Option<u64>,
    /// Name and version of the program that it claimed to run when it was last connected; not
    /// verified.
    pub program: Option<String>,
    /// Why the last connection ended or the last attempt failed, since this node started.
    pub last_error: Option<String>,
    /// Addresses of `p2p.bootstrap` at which this node did not reach it at the last attempt. While
    /// it is not connected, failed addresses without a peer id are included, since they may be its
    /// addresses.
    pub failed_addresses: Vec<FailedAddress>,
}

/// An address at which no validator was reached at the last attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedAddress {
    /// The address as written in the configuration.
    pub address: String,
    /// Why not.
    pub reason: String,
}

/// How full the pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MempoolStatus {
    /// Transactions in the pool.
    pub transactions: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// Of these, transactions in proposed blocks.
    pub in_flight: u64,
    /// Number of different senders.
    pub senders: u64,
    /// Most transactions that the pool accepts.
    pub max_transactions: u64,
    /// Most bytes that the pool accepts.
    pub max_bytes: u64,
    /// How long the oldest waiting transaction has waited, milliseconds.
    pub oldest_waiting_ms: Option<u64>,
}

/// The program that a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionInfo {
    /// Name of the program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the rules that blocks follow.
    pub protocol_version: u16,
    /// The source it was built from, where known.
    pub commit: Option<String>,
}

/// One condition of being ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessCheck {
    /// The name of the check.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// Why, for people.
    pub detail: String,
}

/// Whether the node can do its work. `/readyz` answers 200 exactly if all checks hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Every condition.
    pub checks: Vec<ReadinessCheck>,
}

impl Readiness {
    /// Whether all checks hold.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}
