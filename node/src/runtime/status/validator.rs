//! The status reports of a validator.

use std::sync::Arc;

use quorate_api::{
    CheckpointJson, ConsensusState, EvidenceJson, MempoolStatus, NodeRole, NodeStatus, Readiness,
    ReadinessCheck,
};
use quorate_pbft::SigningStatus;
use quorate_rpc::NodeReport;

use super::node::{NodeView, check};
use super::ordering;
use super::snapshot::{Snapshot, ValidatorSnapshot};
use crate::output;
use crate::runtime::clock::wall;

/// A validator at the moment of a snapshot.
pub(crate) struct ValidatorStatus<'a> {
    pub(crate) node: &'a NodeView,
    pub(crate) snapshot: &'a ValidatorSnapshot,
}

impl ValidatorStatus<'_> {
    /// All reports that `consensus_explain` uses.
    pub(crate) fn report(&self) -> NodeReport {
        NodeReport {
            status: self.status(),
            peers: self.node.peers(self.snapshot),
            consensus: self.consensus(),
            mempool: self.mempool(),
            readiness: self.readiness(),
            config: self.snapshot.config().clone(),
            damage: self.node.ledger.damage(),
            changes: Arc::clone(self.snapshot.changes()),
        }
    }

    pub(crate) fn status(&self) -> NodeStatus {
        let overview = &self.snapshot.overview;
        NodeStatus {
            name: self.snapshot.epoch().own_name().map(str::to_owned),
            index: Some(overview.replica.0),
            role: NodeRole::Validator,
            signing_state: Some(ordering::signing_state(overview.pbft.signing)),
            mempool_transactions: overview.mempool.transactions,
            ..self.node.status(self.snapshot)
        }
    }

    pub(crate) fn consensus(&self) -> ConsensusState {
        let node = self.node;
        let age_ms = ordering::milliseconds(node.age_of(self.snapshot));
        ordering::state(self.snapshot, node.clock.now().moment, age_ms)
    }

    pub(crate) fn checkpoint(&self) -> Option<CheckpointJson> {
        self.snapshot.checkpoint.as_deref().map(ordering::checkpoint)
    }

    pub(crate) fn evidence(&self) -> Vec<EvidenceJson> {
        let json = |evidence| ordering::evidence(evidence, self.snapshot.epoch());
        let of_now = self.snapshot.evidence.iter().map(|evidence| &**evidence).filter_map(json);
        self.snapshot.past_evidence.iter().cloned().chain(of_now).collect()
    }

    pub(crate) fn mempool(&self) -> MempoolStatus {
        let pool = self.snapshot.overview.mempool;
        let limits = self.snapshot.config().parameters().mempool;
        let oldest = self.snapshot.overview.oldest_waiting;
        MempoolStatus {
            transactions: pool.transactions,
            bytes: pool.bytes,
            in_flight: pool.in_flight,
            senders: pool.senders,
            max_transactions: limits.max_transactions,
            max_bytes: limits.max_bytes,
            oldest_waiting_ms: oldest.map(|since| wall().0.saturating_sub(since.0)),
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let mut checks = self.node.checks(self.snapshot).to_vec();
        checks.extend(self.voting_checks());
        Readiness { checks }
    }

    /// The checks of a validator in addition to those of every node.
    fn voting_checks(&self) -> [ReadinessCheck; 5] {
        let (node, snapshot) = (self.node, self.snapshot);
        let needed = snapshot.epoch().committee().quorum() - 1;
        let pbft = &snapshot.overview.pbft;
        let contacts = pbft.contacts.len();
        let (progresses, progress) = snapshot.progress.check(pbft, node.clock.now().moment);
        let votes = pbft.signing == SigningStatus::Voting;
        [
            check("quorum", contacts >= needed, contact_text(contacts, needed)),
            self.clock_check(),
            check(
                "synced",
                !node.is_syncing(snapshot),
                synced_text(pbft.committed.0, node.credible_head(snapshot)),
            ),
            check("voting", votes, ordering::signing_text(pbft.signing)),
            check("progress", progresses, progress),
        ]
    }

    /// Whether validators with this node's clock would vote for the next block.
    fn clock_check(&self) -> ReadinessCheck {
        match self.node.possible_at(self.snapshot) {
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
                    self.snapshot.head().timestamp.0.saturating_sub(wall().0),
                    output::time(possible_at.0)
                ),
            ),
        }
    }
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
