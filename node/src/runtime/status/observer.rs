//! The status reports of an observer.

use std::sync::Arc;

use quorate_api::{
    Candidacy, ConsensusState, Membership, MempoolStatus, NodeStatus, Readiness, ReadinessCheck,
    ValidatorSigningState, ViewChangeCounts,
};
use quorate_engine::ObserverOverview;
use quorate_ledger::PublicKey;
use quorate_rpc::NodeReport;

use super::node::{NodeView, check};
use super::ordering::{indices, milliseconds};
use super::snapshot::{ObserverSnapshot, Snapshot};
use crate::runtime::epoch::EpochView;

/// An observer at the moment of a snapshot.
pub(crate) struct ObserverStatus<'a> {
    pub(crate) node: &'a NodeView,
    pub(crate) snapshot: &'a ObserverSnapshot,
}

impl ObserverStatus<'_> {
    /// All reports that `consensus_explain` uses.
    pub(crate) fn report(&self) -> NodeReport {
        NodeReport {
            status: self.status(),
            peers: self.node.peers(self.snapshot),
            consensus: self.consensus(),
            mempool: MEMPOOL,
            readiness: self.readiness(),
            config: self.snapshot.config().clone(),
            damage: self.node.ledger.damage(),
            changes: Arc::clone(self.snapshot.changes()),
        }
    }

    pub(crate) fn status(&self) -> NodeStatus {
        let candidacy = self.snapshot.candidacy.as_deref().cloned();
        NodeStatus { candidacy, ..self.node.status(self.snapshot) }
    }

    pub(crate) fn consensus(&self) -> ConsensusState {
        let node = self.node;
        let age_ms = milliseconds(node.age_of(self.snapshot));
        state(&self.snapshot.overview, self.snapshot.epoch(), age_ms)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let mut checks = self.node.checks(self.snapshot).to_vec();
        let epoch = self.snapshot.epoch();
        checks.extend(self::checks(&self.snapshot.overview, epoch, &self.node.public_key));
        let candidacy = self.snapshot.candidacy.as_deref();
        checks.extend(epoch.membership.map(|membership| membership_check(membership, candidacy)));
        Readiness { checks }
    }
}

/// An observer has no pool, so all its counts are 0.
pub(crate) const MEMPOOL: MempoolStatus = MempoolStatus {
    transactions: 0,
    bytes: 0,
    in_flight: 0,
    senders: 0,
    max_transactions: 0,
    max_bytes: 0,
    oldest_waiting_ms: None,
};

/// `consensus_state`. View, its phase and the stable height are what f + 1 validators report; an
/// observer does not see the votes of the view.
fn state(overview: &ObserverOverview, epoch: &EpochView, snapshot_age_ms: u64) -> ConsensusState {
    let committee = epoch.committee();
    let primary = committee.primary(overview.view);
    ConsensusState {
        epoch: epoch.epoch().0,
        view: overview.view.0,
        active: overview.active,
        signing_state: ValidatorSigningState::Observing,
        probe: None,
        primary: primary.0,
        primary_name: epoch.members.name(primary).to_owned(),
        committee_size: u32::try_from(committee.size()).unwrap_or(u32::MAX),
        quorum: u32::try_from(committee.quorum()).unwrap_or(u32::MAX),
        committed_height: overview.committed.0,
        stable_height: overview.stable.0,
        in_flight: Vec::new(),
        request_timeout_ms: epoch.config.parameters().consensus.request_timeout_ms,
        deadline: None,
        waiting_ms: None,
        catching_up: overview.catching_up,
        view_changes_from: Vec::new(),
        recently_heard: indices(&overview.contacts),
        view_change_counts: ViewChangeCounts::default(),
        evidence_count: 0,
        snapshot_age_ms,
    }
}

/// Whether the observer has head statuses from enough validators that one of them is correct, and
/// has their blocks.
fn checks(overview: &ObserverOverview, epoch: &EpochView, key: &PublicKey) -> [ReadinessCheck; 2] {
    let needed = epoch.committee().weak_quorum();
    let heard = overview.contacts.len();
    let in_contact = heard >= needed;
    let contact = if in_contact {
        format!(
            "{heard} validators report their heights ({needed} needed), so at least one of them is correct"
        )
    } else {
        format!(
            "{heard} validators report their heights ({needed} needed): this node may serve old blocks. Check that \
             the validators run and that p2p.observers in their configs contains {key}"
        )
    };
    let behind = overview.credible.0.saturating_sub(overview.committed.0);
    let synced = match behind {
        0 => format!("at height {}, like the validators", overview.committed),
        behind => format!("at height {}, {behind} blocks behind the validators", overview.committed),
    };
    [check("contact", in_contact, contact), check("synced", !overview.catching_up, synced)]
}

/// A node that was configured as a validator cannot do its work while it follows. An observer has no
/// such check.
fn membership_check(membership: Membership, candidacy: Option<&Candidacy>) -> ReadinessCheck {
    let why = match membership {
        Membership::Member => {
            "a member that follows the chain without a vote, because too few of the validators that it knew were \
             connected. It votes again by itself when it has the blocks of the others"
        }
        Membership::NotYetMember => {
            "not yet a member: the committee does not contain the key of this node, so it follows the chain \
             without a vote"
        }
        Membership::Removed => {
            "removed: the committee no longer contains the key of this node, so it follows the chain without a \
             vote. Stop it if it is not to be a member again"
        }
    };
    let Some(Candidacy { text, action, .. }) = candidacy else {
        return check("member", false, why.to_owned());
    };
    let action = action.as_ref().map(|action| format!(": {action}")).unwrap_or_default();
    check("member", false, format!("{why}. At present: {text}{action}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quorate_api::CandidacyState;
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{BlockHash, Height, ReplicaId, Timestamp, View};
    use quorate_store::Head;

    use super::*;
    use crate::runtime::epoch::tests::first_view;

    fn overview(contacts: u16, credible: u64) -> ObserverOverview {
        ObserverOverview {
            head: Head { height: Height(90), hash: BlockHash::from_bytes([0; 32]), timestamp: Timestamp(0) },
            committed: Height(90),
            durable: Height(80),
            credible: Height(credible),
            stable: Height(64),
            view: View(6),
            active: true,
            heads: BTreeMap::new(),
            contacts: (0..contacts).map(ReplicaId).collect(),
            catching_up: credible > 98,
            fetched: 90,
        }
    }

    #[test]
    fn the_state_contains_what_validators_reported() {
        let network = TestNetwork::seeded(4, 1);
        let state = state(&overview(3, 90), &first_view(&network), 0);
        assert_eq!(
            (state.signing_state, state.view, state.primary),
            (ValidatorSigningState::Observing, 6, 2)
        );
        assert_eq!(
            (state.committed_height, state.stable_height, state.recently_heard),
            (90, 64, vec![0, 1, 2])
        );
    }

    #[test]
    fn it_is_ready_with_one_correct_contact_and_its_blocks() {
        let network = TestNetwork::seeded(4, 1);
        let (epoch, key) = (first_view(&network), network.keys()[0].public());
        let checked = |contacts, credible| checks(&overview(contacts, credible), &epoch, &key);
        assert!(checked(2, 91).iter().all(|check| check.ok), "one block in flight is not a reason");
        let [contact, synced] = checked(1, 190);
        assert!(!contact.ok && contact.detail.contains(&key.to_string()), "{}", contact.detail);
        assert!(!synced.ok && synced.detail.contains("100 blocks behind"), "{}", synced.detail);
    }

    #[test]
    fn a_validator_without_a_seat_is_not_ready() {
        let member = membership_check(Membership::Member, None);
        assert!(!member.ok && member.detail.starts_with("a member that follows"), "{}", member.detail);
        let candidacy = Candidacy {
            state: CandidacyState::NotProposed,
            proposal: None,
            ready_height: None,
            ready_until: None,
            member_from: None,
            text: "no proposal".to_owned(),
            action: Some("ask a member".to_owned()),
        };
        for (membership, word) in [(Membership::NotYetMember, "not yet"), (Membership::Removed, "removed")] {
            let check = membership_check(membership, Some(&candidacy));
            let said = "At present: no proposal: ask a member";
            assert!(!check.ok && check.detail.starts_with(word) && check.detail.ends_with(said));
        }
    }
}
