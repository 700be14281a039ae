//! What a node says about itself. Each answer follows from one snapshot of the ordering thread and tells its age, so that no
//! two of them contradict each other.

use std::time::Duration;

use quorate_api::{
    ChainHead, ConsensusState, FailedAddress, MempoolStatus, NodeRole, NodeStatus, PeerDirection, PeerJson,
    Readiness, ReadinessCheck,
};
use quorate_ledger::{PublicKey, Timestamp};
use quorate_network::{Direction, PeerStatus, peer_id_text};
use quorate_pbft::Standing;
use quorate_rpc::NodeReport;

use crate::output;

use super::clock::wall;
use super::desk::HEARTBEAT;
use super::observing;
use super::ordering::{self, milliseconds};
use super::service::Service;
use super::snapshot::{Ordering, Snapshot, Stands};

/// The ordering thread takes a snapshot at every heartbeat even when it is idle. One that is older than some of them means
/// that the thread is stuck, most likely on its disk.
const SNAPSHOT_AGE_MAX: Duration = HEARTBEAT.saturating_mul(3);

impl Service {
    pub(super) fn report_of(&self, snapshot: &Snapshot) -> NodeReport {
        NodeReport {
            status: self.status_at(snapshot),
            peers: self.peers_at(snapshot),
            consensus: self.consensus_at(snapshot),
            mempool: self.mempool_at(snapshot),
            readiness: self.readiness_at(snapshot),
            damage: self.ledger.damage(),
        }
    }

    pub(super) fn age_of(&self, snapshot: &Snapshot) -> Duration {
        self.clock.now().moment.since(snapshot.at.moment)
    }

    pub(super) fn status_at(&self, snapshot: &Snapshot) -> NodeStatus {
        let (ordering, head) = (snapshot.ordering(), snapshot.head());
        let connected = self.network.peers().iter().filter(|peer| peer.connected).count();
        NodeStatus {
            network: self.genesis.name().to_owned(),
            chain_id: self.genesis.chain_id(),
            name: self.name.clone(),
            index: ordering.map(|ordering| ordering.overview.replica.0),
            role: if ordering.is_some() { NodeRole::Validator } else { NodeRole::Observer },
            standing: ordering.map(|ordering| ordering::standing(ordering.overview.pbft.standing)),
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

    pub(super) fn peers_at(&self, snapshot: &Snapshot) -> Vec<PeerJson> {
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
            clock_ahead_ms: replica.and_then(|it| self.heard.ahead_ms(it, self.clock.now().moment)),
            blocks_behind: replica.and_then(|it| self.heard.behind(it)),
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

    pub(super) fn consensus_at(&self, snapshot: &Snapshot) -> ConsensusState {
        let now = self.clock.now().moment;
        let age_ms = milliseconds(self.age_of(snapshot));
        match &snapshot.stands {
            Stands::Validator(stands) => ordering::state(stands, &self.genesis, &self.members, now, age_ms),
            Stands::Observer(overview) => observing::state(overview, &self.genesis, &self.members, age_ms),
        }
    }

    pub(super) fn mempool_at(&self, snapshot: &Snapshot) -> MempoolStatus {
        let overview = snapshot.ordering().map(|ordering| &ordering.overview);
        // An observer has no pool, so nothing is in it.
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

    pub(super) fn readiness_at(&self, snapshot: &Snapshot) -> Readiness {
        let (roomy, room) = self.disk.room().check();
        let mut checks = vec![engine_check(self.age_of(snapshot)), check("disk", roomy, room)];
        match &snapshot.stands {
            Stands::Validator(ordering) => checks.extend(self.voting_checks(snapshot, ordering)),
            Stands::Observer(overview) => {
                checks.extend(observing::checks(overview, &self.genesis, &self.public_key));
            }
        }
        Readiness { checks }
    }

    /// What a validator needs beyond what every node does.
    fn voting_checks(&self, snapshot: &Snapshot, ordering: &Ordering) -> [ReadinessCheck; 5] {
        let needed = self.genesis.committee().quorum() - 1;
        let pbft = &ordering.overview.pbft;
        let heard = pbft.contacts.len();
        let (progresses, progress) = ordering.progress.check(pbft, self.clock.now().moment);
        let votes = pbft.standing == Standing::Voting;
        [
            check("quorum", heard >= needed, contact_text(heard, needed)),
            self.clock_check(snapshot),
            check(
                "synced",
                !self.is_syncing(snapshot),
                synced_text(pbft.committed.0, self.credible_head(snapshot)),
            ),
            check("voting", votes, ordering::standing_text(pbft.standing)),
            check("progress", progresses, progress),
        ]
    }

    /// Whether validators with this node's clock vote for the next block.
    fn clock_check(&self, snapshot: &Snapshot) -> ReadinessCheck {
        match self.possible_at(snapshot) {
            None => {
                check("clock", true, "the newest block's time is no further ahead than tolerated".to_owned())
            }
            Some(possible_at) => check(
                "clock",
                false,
                format!(
                    "the newest block's time is {} ms ahead of this node's clock: nothing can be ordered before {}",
                    snapshot.head().timestamp.0.saturating_sub(wall().0),
                    output::time(possible_at.0)
                ),
            ),
        }
    }

    /// When a block can be ordered that validators with this node's clock vote for; none if that is not in the future.
    pub(super) fn possible_at(&self, snapshot: &Snapshot) -> Option<Timestamp> {
        let possible_at = self.genesis.next_block_possible_at(snapshot.head().timestamp);
        (possible_at > wall()).then_some(possible_at)
    }

    /// The highest block that some honest member has: f members may claim anything, so the f highest claims are not
    /// believed. `None` while no more than f have said where they stand.
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
        detail += ", and all other checks may be as old";
    }
    check("engine", ok, detail)
}

fn contact_text(heard: usize, needed: usize) -> String {
    format!("in contact with {heard} other validators, ordering needs {needed}")
}

/// Reports are up to a status interval old, so one that is lower than this node's own height says nothing about the present.
fn synced_text(committed: u64, credible: Option<u64>) -> String {
    match credible {
        Some(head) if head > committed => format!("at height {committed}; others have reported {head}"),
        Some(_) => format!("at height {committed}; others have reported no more"),
        None => format!("at height {committed}; too few others have reported their heights"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_old_is_a_failed_check() {
        assert!(engine_check(Duration::ZERO).ok && engine_check(SNAPSHOT_AGE_MAX).ok);
        let stuck = engine_check(SNAPSHOT_AGE_MAX + Duration::from_millis(1));
        assert!(!stuck.ok && stuck.detail.contains("6001 ms ago"), "{stuck:?}");
    }

    #[test]
    fn only_heights_that_were_reported_and_are_higher_are_told() {
        assert_eq!(synced_text(5, Some(9)), "at height 5; others have reported 9");
        assert_eq!(synced_text(5, Some(5)), "at height 5; others have reported no more");
        assert_eq!(synced_text(5, Some(0)), "at height 5; others have reported no more", "it is old");
        assert_eq!(synced_text(5, None), "at height 5; too few others have reported their heights");
    }
}
