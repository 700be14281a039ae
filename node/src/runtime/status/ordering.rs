//! The state of ordering in the types of the RPC interface.

use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusDeadline, ConsensusState, DeadlinePurpose, EvidenceJson, EvidenceKind,
    HeightInFlight, HeightPhase, Obstacle, Probe, ValidatorSigningState, ViewChangeCounts,
};
use quorate_ledger::{ReplicaId, encode};
use quorate_pbft::{
    CheckpointCertificate, Counters, Evidence, HighWaterMark, Moment, Overview, Phase, SigningStatus,
    SlotOverview,
};

use super::snapshot::{Snapshot, ValidatorSnapshot};
use crate::runtime::epoch::EpochView;

/// `consensus_state`.
pub(crate) fn state(ordering: &ValidatorSnapshot, now: Moment, snapshot_age_ms: u64) -> ConsensusState {
    let pbft = &ordering.overview.pbft;
    let epoch = ordering.epoch();
    let committee = epoch.committee();
    ConsensusState {
        epoch: pbft.epoch.0,
        view: pbft.view.0,
        active: pbft.active,
        signing_state: signing_state(pbft.signing),
        probe: probe(pbft.signing),
        primary: pbft.primary.0,
        primary_name: epoch.members.name(pbft.primary).to_owned(),
        committee_size: u32::try_from(committee.size()).unwrap_or(u32::MAX),
        quorum: u32::try_from(committee.quorum()).unwrap_or(u32::MAX),
        committed_height: pbft.committed.0,
        stable_height: pbft.stable.0,
        in_flight: pbft.slots.iter().filter(|slot| slot.view == pbft.view).map(in_flight).collect(),
        request_timeout_ms: milliseconds(pbft.request_timeout),
        deadline: deadline(pbft, now),
        waiting_ms: ordering.progress.waiting(now).map(milliseconds),
        catching_up: ordering.overview.catching_up,
        view_changes_from: indices(&pbft.departed),
        recently_heard: indices(&pbft.contacts),
        view_change_counts: view_change_counts(&ordering.overview.pbft_counters),
        evidence_count: u64::try_from(ordering.evidence.len() + ordering.past_evidence.len())
            .unwrap_or(u64::MAX),
        snapshot_age_ms,
    }
}

fn deadline(pbft: &Overview, now: Moment) -> Option<ConsensusDeadline> {
    pbft.leaves_at.map(|leaves_at| ConsensusDeadline {
        purpose: if pbft.active { DeadlinePurpose::Request } else { DeadlinePurpose::NewView },
        in_ms: milliseconds(leaves_at.since(now)),
    })
}

fn in_flight(slot: &SlotOverview) -> HeightInFlight {
    HeightInFlight {
        height: slot.height.0,
        hash: slot.block,
        phase: match slot.phase {
            Phase::PrePrepared => HeightPhase::PrePrepared,
            Phase::Prepared => HeightPhase::Prepared,
            _ => HeightPhase::Waiting,
        },
        obstacle: obstacle(slot.phase),
        transactions: slot.transactions,
        prepares: indices(&slot.prepares),
        commits: indices(&slot.commits),
    }
}

fn obstacle(phase: Phase) -> Option<Obstacle> {
    match phase {
        Phase::WaitingForProposal => Some(Obstacle::NoProposal),
        Phase::WaitingForParent => Some(Obstacle::Parent),
        Phase::Examining => Some(Obstacle::Body),
        Phase::WaitingForClock => Some(Obstacle::Clock),
        Phase::Refused => Some(Obstacle::Refused),
        Phase::PrePrepared | Phase::Prepared => None,
    }
}

fn view_change_counts(counters: &Counters) -> ViewChangeCounts {
    ViewChangeCounts {
        no_progress: counters.no_progress,
        censorship: counters.censorship,
        evidence: counters.proven_primaries,
        joined: counters.joined,
        no_new_view: counters.no_new_view,
        entered: counters.views_entered,
    }
}

pub(crate) fn signing_state(signing: SigningStatus) -> ValidatorSigningState {
    match signing {
        SigningStatus::Voting => ValidatorSigningState::Voting,
        SigningStatus::Probing { .. } => ValidatorSigningState::Probing,
        SigningStatus::Recovering { .. } => ValidatorSigningState::Recovering,
    }
}

fn probe(signing: SigningStatus) -> Option<Probe> {
    let SigningStatus::Probing { answered, needed, through } = signing else { return None };
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let through = through.map(|height| height.0);
    Some(Probe { answered: small(answered), needed: small(needed), through })
}

/// Whether the node may vote, as text: if it must not, why, and what to do.
pub(crate) fn signing_text(signing: SigningStatus) -> String {
    match signing {
        SigningStatus::Voting => "its votes count".to_owned(),
        SigningStatus::Probing { through: Some(height), .. } => format!(
            "probing: its ledger is older than its journal. It signs nothing until it has fetched the blocks up to height \
             {height}; consensus_explain shows what to do if no other validator has them"
        ),
        SigningStatus::Probing { answered, needed, through: None } => format!(
            "probing: after its start, it asks the other validators what they have seen it sign; {answered} \
             of {needed} needed responses have arrived"
        ),
        SigningStatus::Recovering { seen: HighWaterMark { accepted: (view, height), .. } } => format!(
            "recovering: other validators have messages that it signed and its journal does not contain \
             (votes up to height {height} in view {view}, or other messages), so the journal is new, or an \
             older copy. It signs nothing in this epoch, and the network tolerates one fault less. If the newest \
             journal still exists, stop it and put that back, never an older one. Otherwise begin a new epoch: \
             quorate validator renew"
        ),
    }
}

/// `chain_checkpoint`.
pub(crate) fn checkpoint(certificate: &CheckpointCertificate) -> CheckpointJson {
    let (checkpoint, votes) = (certificate.checkpoint(), certificate.votes());
    CheckpointJson {
        epoch: checkpoint.epoch.0,
        height: checkpoint.height.0,
        hash: checkpoint.block,
        state_root: checkpoint.state_root,
        signers: votes.signers().iter().map(|replica| replica.0).collect(),
        signatures: votes.signatures().to_vec(),
    }
}

/// One entry of `consensus_evidence`. `epoch`: that of the evidence.
pub(crate) fn evidence(evidence: &Evidence, epoch: &EpochView) -> Option<EvidenceJson> {
    let (culprit, subject) = (evidence.culprit(), evidence.subject());
    Some(EvidenceJson {
        epoch: epoch.epoch().0,
        validator: culprit.0,
        // Evidence is verified against the committee before it is stored.
        public_key: *epoch.committee().member(culprit)?,
        name: epoch.members.name(culprit).to_owned(),
        kind: match evidence {
            Evidence::PrePrepare(_) => EvidenceKind::PrePrepare,
            Evidence::Prepare(_) => EvidenceKind::Prepare,
            Evidence::Commit(_) => EvidenceKind::Commit,
            Evidence::ViewChange(_) => EvidenceKind::ViewChange,
            Evidence::NewView(_) => EvidenceKind::NewView,
            Evidence::Checkpoint(_) => EvidenceKind::Checkpoint,
            Evidence::Hidden(_) => EvidenceKind::HiddenCertificate,
            Evidence::PrepareCommit(_) => EvidenceKind::PrepareCommit,
            Evidence::PrePrepareCommit(_) => EvidenceKind::PrePrepareCommit,
        },
        view: subject.view.0,
        height: subject.height.0,
        proof: encode(evidence),
    })
}

pub(crate) fn indices(replicas: &[ReplicaId]) -> Vec<u16> {
    replicas.iter().map(|replica| replica.0).collect()
}

pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_engine::EngineConfig;
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Ballot, BlockHash, Height, Signed, View, decode};
    use quorate_pbft::{Pair, Prepare};

    use super::super::progress::tests::{at, overview};
    use super::*;
    use crate::runtime::epoch::tests::first_view;

    #[test]
    fn a_deadline_names_what_happens_then() {
        let leaving = |active| Overview { leaves_at: Some(at(900)), ..overview(3, active, 5, None) };
        let values = |active, now| deadline(&leaving(active), at(now)).unwrap();
        assert_eq!(values(true, 400), ConsensusDeadline { purpose: DeadlinePurpose::Request, in_ms: 500 });
        assert_eq!(values(false, 400), ConsensusDeadline { purpose: DeadlinePurpose::NewView, in_ms: 500 });
        assert_eq!(values(true, 1000).in_ms, 0, "overdue is due");
        assert_eq!(deadline(&overview(3, true, 5, None), at(0)), None);
    }

    #[test]
    fn a_probing_node_reports_its_progress() {
        let probing = SigningStatus::Probing { answered: 1, needed: 2, through: Some(Height(9)) };
        assert_eq!(probe(probing), Some(Probe { answered: 1, needed: 2, through: Some(9) }));
        assert_eq!(probe(SigningStatus::Voting), None);
    }

    #[test]
    fn evidence_names_the_faulty_validator_and_proves_the_fault() {
        let network = TestNetwork::seeded(4, 1);
        let genesis = network.genesis();
        let context = EngineConfig::of(genesis).pbft.context;
        let vote = |byte| {
            let block = BlockHash::from_bytes([byte; 32]);
            let ballot = Ballot { epoch: context.epoch(), view: View(2), height: Height(7), block };
            Signed::sign(&context.chain, &network.keys()[3], ReplicaId(3), Prepare(ballot)).into_inner()
        };
        let lie = Evidence::Prepare(Pair { first: vote(1), second: vote(2) });

        let json = evidence(&lie, &first_view(&network)).unwrap();
        let faulty = &genesis.validators()[3];
        assert_eq!((json.validator, &json.name, &json.public_key), (3, &faulty.name, &faulty.public_key));
        assert_eq!((json.kind, json.view, json.height), (EvidenceKind::Prepare, 2, 7));
        let read: Evidence = decode(&json.proof).unwrap();
        assert_eq!(*read.check(&context).unwrap(), lie);
    }

    #[test]
    fn a_validator_that_must_not_vote_reports_what_to_do() {
        let seen = HighWaterMark { accepted: (View(2), Height(7)), ..HighWaterMark::default() };
        let text = signing_text(SigningStatus::Recovering { seen });
        assert!(
            text.starts_with("recovering: ") && text.contains("If the newest journal still exists"),
            "{text}"
        );
        assert!(text.contains("height 7 in view 2"), "{text}");
        let text = signing_text(SigningStatus::Probing { answered: 1, needed: 2, through: None });
        assert!(text.starts_with("probing: ") && text.contains("1 of 2 needed responses"), "{text}");
        let text = signing_text(SigningStatus::Probing { answered: 2, needed: 2, through: Some(Height(9)) });
        assert!(text.starts_with("probing: ") && text.contains("up to height 9"), "{text}");
    }
}
