//! The node's status reports. Each report is derived from one snapshot of the ordering thread and
//! includes its age, so that its parts are consistent.

use std::time::Duration;

use quorate_api::{
    ChainHead, ConsensusState, FailedAddress, MempoolStatus, NodeRole, NodeStatus, PeerDirection, PeerJson,
    Readiness, ReadinessCheck,
};
use quorate_ledger::{PublicKey, Timestamp};
use quorate_network::{Direction, PeerStatus, peer_id_text};
use quorate_pbft::SigningStatus;
use quorate_rpc::NodeReport;

use crate::output;

use super::observing;
use super::ordering::{self, milliseconds};
use super::snapshot::{RoleSnapshot, Snapshot, ValidatorSnapshot};
use crate::runtime::clock::wall;
use crate::runtime::publisher::HEARTBEAT;
use crate::runtime::serving::validator::Service;

/// The ordering thread takes a snapshot at every heartbeat, even when it is idle. After several
/// heartbeats without one, the thread is stuck, most likely in a disk write.
const SNAPSHOT_AGE_MAX: Duration = HEARTBEAT.saturating_mul(3);

impl Service {
    pub(crate) fn report_of(&self, snapshot: &Snapshot) -> NodeReport {
        NodeReport {
            status: self.status_at(snapshot),
            peers: self.peers_at(snapshot),
            consensus: self.consensus_at(snapshot),
            mempool: self.mempool_at(snapshot),
            readiness: self.readiness_at(snapshot),
            damage: self.ledger.damage(),
        }
    }

    pub(crate) fn age_of(&self, snapshot: &Snapshot) -> Duration {
        self.clock.now().moment.since(snapshot.at.moment)
    }

    pub(crate) fn status_at(&self, snapshot: &Snapshot) -> NodeStatus {
        let (ordering, head) = (snapshot.ordering(), snapshot.head());
        let connected = self.network.peers().iter().filter(|peer| peer.connected).count();
        NodeStatus {
            network: self.genesis.name().to_owned(),
            chain_id: self.genesis.chain_id(),
            name: self.name.clone(),
            index: ordering.map(|ordering| ordering.overview.replica.0),
            role: if ordering.is_some() { NodeRole::Validator } else { NodeRole::Observer },
            signing_state: ordering.map(|ordering| ordering::signing_state(ordering.overview.pbft.signing)),
            public_key: self.public_key,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            head: ChainHead { height: head.height.0, hash: head.hash, timestamp_ms: head.timestamp.0 },
            earliest_height: self.ledger.earliest().map_or(0, |height| height.0),
            syncing: self.is_syncing(snapshot),
            peers_connected: u32::try_from(connected).unwrap_or(u32::MAX),
            mempool_transactions: ordering.map_or(0, |ordering| ordering.overview.mempool.transactions),
            uptime_ms: milliseconds(self.started.elapsed()),
            time_ms: wall().0,
            snapshot_age_ms: milliseconds(self.age_of(snapshot)),
        }
    }

    pub(crate) fn peers_at(&self, snapshot: &Snapshot) -> Vec<PeerJson> {
        let all = self.network.peers().into_iter().chain(self.network.observers());
        let failed = self.network.failed_addresses();
        all.filter_map(|peer| self.peer(&peer, &failed, snapshot)).collect()
    }

    fn peer(
        &self,
        peer: &PeerStatus,
        failed: &[quorate_network::FailedAddress],
        snapshot: &Snapshot,
    ) -> Option<PeerJson> {
        let replica = self.members.index(&peer.key);
        Some(PeerJson {
            name: replica.map(|replica| self.members.name(replica).to_owned()),
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
            clock_ahead_ms: replica.and_then(|it| self.peer_lag.ahead_ms(it, self.clock.now().moment)),
            blocks_behind: replica.and_then(|it| self.peer_lag.behind(it)),
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

    pub(crate) fn consensus_at(&self, snapshot: &Snapshot) -> ConsensusState {
        let now = self.clock.now().moment;
        let age_ms = milliseconds(self.age_of(snapshot));
        match &snapshot.role {
            RoleSnapshot::Validator(stands) => {
                ordering::state(stands, &self.genesis, &self.members, now, age_ms)
            }
            RoleSnapshot::Observer(overview) => {
                observing::state(overview, &self.genesis, &self.members, age_ms)
            }
        }
    }

    pub(crate) fn mempool_at(&self, snapshot: &Snapshot) -> MempoolStatus {
        let overview = snapshot.ordering().map(|ordering| &ordering.overview);
        // An observer has no pool, so its counts are 0.
        let pool = overview.map(|overview| overview.mempool).unwrap_or_default();
        let oldest = overview.and_then(|overview| overview.oldest_waiting);
        let limits = self.genesis.mempool();
        MempoolStatus {
            transactions: pool.transactions,
            bytes: pool.bytes,
            in_flight: pool.in_flight,
            senders: pool.senders,
            max_transactions: overview.map_or(0, |_| limits.max_transactions),
            max_bytes: overview.map_or(0, |_| limits.max_bytes),
            oldest_waiting_ms: oldest.map(|since| wall().0.saturating_sub(since.0)),
        }
    }

    pub(crate) fn readiness_at(&self, snapshot: &Snapshot) -> Readiness {
        let (roomy, room) = self.disk.room().check();
        let mut checks = vec![engine_check(self.age_of(snapshot)), check("disk", roomy, room)];
        match &snapshot.role {
            RoleSnapshot::Validator(ordering) => checks.extend(self.voting_checks(snapshot, ordering)),
            RoleSnapshot::Observer(overview) => {
                checks.extend(observing::checks(overview, &self.genesis, &self.public_key));
            }
        }
        Readiness { checks }
    }

    /// The checks of a validator in addition to those of every node.
    fn voting_checks(&self, snapshot: &Snapshot, ordering: &ValidatorSnapshot) -> [ReadinessCheck; 5] {
        let needed = self.genesis.committee().quorum() - 1;
        let pbft = &ordering.overview.pbft;
        let contacts = pbft.contacts.len();
        let (progresses, progress) = ordering.progress.check(pbft, self.clock.now().moment);
        let votes = pbft.signing == SigningStatus::Voting;
        [
            check("quorum", contacts >= needed, contact_text(contacts, needed)),
            self.clock_check(snapshot),
            check(
                "synced",
                !self.is_syncing(snapshot),
                synced_text(pbft.committed.0, self.credible_head(snapshot)),
            ),
            check("voting", votes, ordering::signing_text(pbft.signing)),
            check("progress", progresses, progress),
        ]
    }

    /// Whether validators with this node's clock would vote for the next block.
    fn clock_check(&self, snapshot: &Snapshot) -> ReadinessCheck {
        match self.possible_at(snapshot) {
            None => check(
                "clock",
                true,
                "the newest block's time is within the tolerance of this node's clock".to_owned(),
            ),
            Some(possible_at) => check(
                "clock",
                false,
                format!(
                    "the newest block's time is {} ms ahead of this node's clock: no block can be ordered \
                     before {}. Check the clocks of the validators",
                    snapshot.head().timestamp.0.saturating_sub(wall().0),
                    output::time(possible_at.0)
                ),
            ),
        }
    }

    /// When a block can be ordered that validators with this node's clock accept; `None` if that is
    /// not in the future.
    pub(crate) fn possible_at(&self, snapshot: &Snapshot) -> Option<Timestamp> {
        let possible_at = self.genesis.next_block_possible_at(snapshot.head().timestamp);
        (possible_at > wall()).then_some(possible_at)
    }

    /// The highest block that some honest member has. Up to f members may report any height, so the
    /// f highest reports are ignored. `None` if at most f members have reported.
    fn credible_head(&self, snapshot: &Snapshot) -> Option<u64> {
        let mut heads: Vec<u64> = snapshot.heads().values().map(|head| head.0).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(self.genesis.committee().faults()).copied()
    }

    fn is_syncing(&self, snapshot: &Snapshot) -> bool {
        let head = self.credible_head(snapshot).unwrap_or_default();
        head.saturating_sub(snapshot.committed().0) > self.genesis.consensus().window
    }
}

fn check(name: &str, ok: bool, detail: String) -> ReadinessCheck {
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

fn contact_text(contacts: usize, needed: usize) -> String {
    format!("has recently heard from {contacts} other validators, and ordering needs {needed}")
}

/// Reports are up to a status interval old, so a report below this node's own height is not
/// current.
fn synced_text(committed: u64, credible: Option<u64>) -> String {
    match credible {
        Some(head) if head > committed => {
            format!("at height {committed}; other validators have reported {head}")
        }
        Some(_) => format!("at height {committed}; no other validator has reported more"),
        None => format!("at height {committed}; too few validators have reported their heights"),
    }
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

    #[test]
    fn only_reported_heights_above_the_own_are_shown() {
        assert_eq!(synced_text(5, Some(9)), "at height 5; other validators have reported 9");
        assert_eq!(synced_text(5, Some(5)), "at height 5; no other validator has reported more");
        assert_eq!(
            synced_text(5, Some(0)),
            "at height 5; no other validator has reported more",
            "the report is old"
        );
        assert_eq!(synced_text(5, None), "at height 5; too few validators have reported their heights");
    }
}
