//! The values that are read when a client requests metrics.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_api::{
    ConsensusState, MempoolStatus, NodeStatus, PeerJson, PendingChange, ProgressState, Readiness,
};
use quorate_ledger::{Height, Timestamp};
use quorate_network::{NetworkCounters, PeerStatus};
use quorate_rpc::NodeReport;

use crate::logging;
use crate::runtime::status::node::NodeView;
use crate::runtime::status::snapshot::{Snapshot, ValidatorSnapshot};

/// A node at one moment.
pub(crate) struct Facts {
    pub(crate) status: NodeStatus,
    pub(crate) consensus: ConsensusState,
    pub(crate) pool: MempoolStatus,
    pub(crate) peers: Vec<PeerJson>,
    pub(crate) readiness: Readiness,
    pub(crate) state: ProgressState,
    /// What is proposed and decided.
    pub(crate) changes: Arc<[PendingChange]>,
    /// Facts that only a validator has.
    pub(crate) validator: Option<ValidatorFacts>,
    pub(crate) durable: Height,
    /// Blocks fetched from other nodes.
    pub(crate) fetched: u64,
    pub(crate) traffic: NetworkCounters,
    /// Traffic over the connections of each member, by name.
    pub(crate) links: Vec<(String, PeerStatus)>,
    /// Names of all members, in committee order.
    pub(crate) names: Vec<String>,
    /// Pieces of work that wait for the ordering thread.
    pub(crate) inbox: usize,
    /// Jobs that wait for a verification thread.
    pub(crate) checking: usize,
    pub(crate) files: Vec<(&'static str, u64)>,
    pub(crate) free: Option<u64>,
    pub(crate) log_lines_lost: u64,
    /// Reads of the ledger that failed because of damage.
    pub(crate) damaged_reads: u64,
    /// When ordering becomes possible, if that is in the future.
    pub(crate) possible_at: Option<Timestamp>,
}

/// What only a validator has.
pub(crate) struct ValidatorFacts {
    pub(crate) snapshot: Arc<ValidatorSnapshot>,
    /// Messages of members that were dropped unchecked, by reason.
    pub(crate) not_checked: [(&'static str, u64); 3],
}

impl Facts {
    /// The facts of an observer. A validator adds what only it has. `inbox`: pieces of work that wait
    /// for the ordering thread.
    pub(crate) fn of(node: &NodeView, snapshot: &impl Snapshot, report: NodeReport, inbox: usize) -> Self {
        let state = quorate_rpc::explain(&report).state;
        let NodeReport { config: _, status, peers, consensus, mempool: pool, readiness, damage, changes } =
            report;
        Facts {
            status,
            consensus,
            pool,
            peers,
            readiness,
            state,
            changes,
            validator: None,
            durable: snapshot.durable(),
            fetched: snapshot.fetched(),
            traffic: node.network.counters(),
            links: node.links(snapshot),
            names: snapshot.epoch().members.names().to_vec(),
            inbox,
            checking: 0,
            files: sizes(&node.files),
            free: node.disk.room().free(),
            log_lines_lost: logging::lost_lines(),
            damaged_reads: damage.map_or(0, |damage| damage.failed_reads),
            possible_at: node.possible_at(snapshot),
        }
    }

    /// The snapshot that only a validator has.
    pub(crate) fn ordering(&self) -> Option<&ValidatorSnapshot> {
        self.validator.as_ref().map(|validator| &*validator.snapshot)
    }

    /// Other validators.
    pub(crate) fn validators(&self) -> impl Iterator<Item = (&str, &PeerJson)> {
        self.peers.iter().filter_map(|peer| Some((peer.name.as_deref()?, peer)))
    }

    /// Whether a member is not this node.
    pub(crate) fn is_other(&self, index: u16) -> bool {
        self.status.index != Some(index)
    }
}

/// The sizes of files that exist.
fn sizes(files: &[(&'static str, PathBuf)]) -> Vec<(&'static str, u64)> {
    let size = |(name, path): &(&'static str, PathBuf)| Some((*name, std::fs::metadata(path).ok()?.len()));
    files.iter().filter_map(size).collect()
}
