//! The values that are read when a client requests metrics.

use std::path::Path;
use std::sync::Arc;

use quorate_api::{ConsensusState, MempoolStatus, NodeStatus, PeerJson, ProgressState, Readiness};
use quorate_ledger::Timestamp;
use quorate_network::{NetworkCounters, PeerStatus};
use quorate_rpc::NodeReport;

use crate::logging;
use crate::runtime::serving::validator::Service;
use crate::runtime::status::snapshot::{Snapshot, ValidatorSnapshot};
use crate::runtime::validator::verify::Verifier;

/// The sizes of the ledger file and the journal file.
fn sizes(service: &Service) -> Vec<(&'static str, u64)> {
    let size = |(name, path): (&'static str, &Path)| Some((name, std::fs::metadata(path).ok()?.len()));
    service.files().filter_map(size).collect()
}

/// A node at one moment.
pub(crate) struct Facts {
    pub(crate) status: NodeStatus,
    pub(crate) consensus: ConsensusState,
    pub(crate) pool: MempoolStatus,
    pub(crate) peers: Vec<PeerJson>,
    pub(crate) readiness: Readiness,
    pub(crate) state: ProgressState,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) traffic: NetworkCounters,
    /// Traffic over the connections of each member, by name.
    pub(crate) links: Vec<(String, PeerStatus)>,
    /// Names of all members, in committee order.
    pub(crate) names: Vec<String>,
    /// Pieces of work that wait for the engine.
    pub(crate) inbox: usize,
    /// Jobs that wait for a verification thread.
    pub(crate) checking: usize,
    /// Messages of members that were dropped unchecked, by reason.
    pub(crate) not_checked: [(&'static str, u64); 3],
    pub(crate) files: Vec<(&'static str, u64)>,
    pub(crate) free: Option<u64>,
    pub(crate) log_lines_lost: u64,
    /// Reads of the ledger that failed because of damage.
    pub(crate) damaged_reads: u64,
    /// When ordering becomes possible, if that is in the future.
    pub(crate) possible_at: Option<Timestamp>,
}

impl Facts {
    pub(crate) fn of(service: &Service) -> Self {
        let snapshot = service.snapshot();
        let report = service.report_of(&snapshot);
        let possible_at = service.possible_at(&snapshot);
        let state = quorate_rpc::explain(&service.genesis, &report).state;
        let NodeReport { status, peers, consensus, mempool: pool, readiness, damage } = report;
        Facts {
            status,
            consensus,
            pool,
            peers,
            readiness,
            state,
            snapshot,
            traffic: service.network.counters(),
            links: service.links(),
            names: service.genesis.validators().iter().map(|validator| validator.name.clone()).collect(),
            inbox: service.inbox.max_capacity() - service.inbox.capacity(),
            checking: service.verifier.as_ref().map_or(0, Verifier::waiting),
            not_checked: service.not_checked.counts(),
            files: sizes(service),
            free: service.disk.room().free(),
            log_lines_lost: logging::lost_lines(),
            damaged_reads: damage.map_or(0, |damage| damage.failed_reads),
            possible_at,
        }
    }

    /// The values that only a validator has.
    pub(crate) fn ordering(&self) -> Option<&ValidatorSnapshot> {
        self.snapshot.ordering()
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
