//! A running node as its status reports see it, and the parts of the reports that validators and
//! observers share. Each report is derived from one snapshot of the ordering thread and includes its
//! age, so that its parts are consistent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    ChainHead, FailedAddress, NodeRole, NodeStatus, PeerDirection, PeerJson, ReadinessCheck,
    TransactionStatus, VersionInfo,
};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, PROTOCOL_VERSION, PublicKey, Timestamp, TransactionId};
use quorate_network::{Direction, Network, PeerStatus, peer_id_text};
use quorate_store::LedgerReader;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::Disk;
use super::ordering::milliseconds;
use super::snapshot::Snapshot;
use crate::runtime::clock::{Clock, wall};
use crate::runtime::inbox::HEARTBEAT;

/// The ordering thread takes a snapshot at every heartbeat, even when it is idle. After several
/// heartbeats without one, the thread is stuck, most likely in a disk write.
const SNAPSHOT_AGE_MAX: Duration = HEARTBEAT.saturating_mul(3);

/// The parts of a running node that reports of both roles are derived from.
pub(crate) struct NodeView {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) public_key: PublicKey,
    pub(crate) ledger: LedgerReader,
    pub(crate) network: Network,
    /// Height of the newest block in the ledger.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
    pub(crate) disk: Arc<Disk>,
    /// The files that the node writes, by name.
    pub(crate) files: Vec<(&'static str, PathBuf)>,
}

impl NodeView {
    pub(crate) fn version() -> VersionInfo {
        VersionInfo {
            name: "quorate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: PROTOCOL_VERSION,
            commit: option_env!("QUORATE_COMMIT").map(str::to_owned),
        }
    }

    /// The place of a transaction in the ledger. `None` also if the block cannot be read: the RPC
    /// interface distinguishes an unreadable transaction from a missing one.
    pub(crate) fn located(&self, id: &TransactionId) -> Option<TransactionStatus> {
        let (height, index) = self.ledger.locate(id).ok().flatten()?;
        Some(TransactionStatus::Committed { height: height.0, index })
    }

    /// Traffic over the connections of each other member, by name.
    pub(crate) fn links(&self, snapshot: &impl Snapshot) -> Vec<(String, PeerStatus)> {
        let members = &snapshot.epoch().members;
        let named = |peer: PeerStatus| Some((members.name(members.index(&peer.key)?).to_owned(), peer));
        self.network.peers().into_iter().filter_map(named).collect()
    }

    pub(crate) fn age_of(&self, snapshot: &impl Snapshot) -> Duration {
        self.clock.now().moment.since(snapshot.at().moment)
    }

    /// The status of an observer. A validator replaces what it has and an observer lacks.
    pub(crate) fn status(&self, snapshot: &impl Snapshot) -> NodeStatus {
        let head = snapshot.head();
        let connected = self.network.peers().iter().filter(|peer| peer.connected).count();
        NodeStatus {
            network: self.genesis.name().to_owned(),
            chain_id: self.genesis.chain_id(),
            epoch: snapshot.epoch().epoch().0,
            name: None,
            index: None,
            role: NodeRole::Observer,
            membership: snapshot.epoch().membership,
            candidacy: None,
            signing_state: None,
            public_key: self.public_key,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            head: ChainHead { height: head.height.0, hash: head.hash, timestamp_ms: head.timestamp.0 },
            earliest_height: self.ledger.earliest().map_or(0, |height| height.0),
            syncing: self.is_syncing(snapshot),
            peers_connected: u32::try_from(connected).unwrap_or(u32::MAX),
            mempool_transactions: 0,
            uptime_ms: milliseconds(self.started.elapsed()),
            time_ms: wall().0,
            snapshot_age_ms: milliseconds(self.age_of(snapshot)),
        }
    }

    pub(crate) fn peers(&self, snapshot: &impl Snapshot) -> Vec<PeerJson> {
        let all = self.network.peers().into_iter().chain(self.network.observers());
        let failed = self.network.failed_addresses();
        all.filter_map(|peer| self.peer(&peer, &failed, snapshot)).collect()
    }

    fn peer(
        &self,
        peer: &PeerStatus,
        failed: &[quorate_network::FailedAddress],
        snapshot: &impl Snapshot,
    ) -> Option<PeerJson> {
        let epoch = snapshot.epoch();
        let replica = epoch.members.index(&peer.key);
        Some(PeerJson {
            name: replica.map(|replica| epoch.members.name(replica).to_owned()),
            index: replica.map(|replica| replica.0),
            public_key: PublicKey::from_bytes(peer.key.0).ok()?,
            peer_id: peer_id_text(&peer.key).ok()?,
            connected: peer.connected,
            direction: peer.direction.map(|direction| match direction {
                Direction::Incoming => PeerDirection::Inbound,
                Direction::Outgoing => PeerDirection::Outbound,
            }),
            connected_ms: peer.since.and_then(|since| since.elapsed().ok()).map(milliseconds),
            round_trip_us: peer.round_trip.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
            committed_height: replica.and_then(|replica| snapshot.heads().get(&replica)).map(|head| head.0),
            addresses: peer.address.iter().cloned().collect(),
            clock_ahead_ms: replica.and_then(|it| epoch.peer_lag.ahead_ms(it, self.clock.now().moment)),
            blocks_behind: replica.and_then(|it| epoch.peer_lag.behind(it)),
            program: peer.program.clone(),
            last_error: peer.last_error.clone(),
            failed_addresses: failed
                .iter()
                .filter(|failed| match failed.member {
                    Some(member) => member == peer.key,
                    None => replica.is_some() && !peer.connected,
                })
                .map(|failed| FailedAddress {
                    address: failed.address.clone(),
                    reason: failed.reason.clone(),
                })
                .collect(),
        })
    }

    /// The readiness checks of every node.
    pub(crate) fn checks(&self, snapshot: &impl Snapshot) -> [ReadinessCheck; 2] {
        let (roomy, room) = self.disk.room().check();
        [engine_check(self.age_of(snapshot)), check("disk", roomy, room)]
    }

    /// When a block can be ordered that validators with this node's clock accept; `None` if that is
    /// not in the future.
    pub(crate) fn possible_at(&self, snapshot: &impl Snapshot) -> Option<Timestamp> {
        let possible_at = snapshot.config().next_block_possible_at(snapshot.head().timestamp);
        (possible_at > wall()).then_some(possible_at)
    }

    /// The highest block that some correct member has. Up to f members may report any height, so the
    /// f highest reports are ignored. `None` if at most f members have reported.
    pub(crate) fn credible_head(&self, snapshot: &impl Snapshot) -> Option<u64> {
        let mut heads: Vec<u64> = snapshot.heads().values().map(|head| head.0).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(snapshot.epoch().committee().faults()).copied()
    }

    pub(crate) fn is_syncing(&self, snapshot: &impl Snapshot) -> bool {
        let head = self.credible_head(snapshot).unwrap_or_default();
        head.saturating_sub(snapshot.committed().0) > snapshot.epoch().engine.pbft.context.window
    }
}

pub(crate) fn check(name: &str, ok: bool, detail: String) -> ReadinessCheck {
    ReadinessCheck { name: name.to_owned(), ok, detail }
}

fn engine_check(age: Duration) -> ReadinessCheck {
    let ok = age <= SNAPSHOT_AGE_MAX;
    let mut detail = format!("the ordering thread reported {} ms ago", age.as_millis());
    if !ok {
        detail += ": it is stuck, most likely in a disk write; all other checks may be as old";
    }
    check("engine", ok, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_snapshot_is_a_failed_check() {
        assert!(engine_check(Duration::ZERO).ok && engine_check(SNAPSHOT_AGE_MAX).ok);
        let stuck = engine_check(SNAPSHOT_AGE_MAX + Duration::from_millis(1));
        assert!(!stuck.ok && stuck.detail.contains("6001 ms ago"), "{stuck:?}");
    }
}
