//! Every state of a node: its name, its summary and its actions.
#![allow(clippy::unwrap_used)]

#[path = "working_tests.rs"]
mod working;

use std::collections::BTreeSet;

use quorate_api::{
    Candidacy, CandidacyState, Membership, NodeRole, Probe, ProgressState, ValidatorSigningState,
};

use super::scene::{Scene, TIMEOUT_MS, height};

/// A situation, and fragments of its explanation.
struct Row {
    scene: Scene,
    state: ProgressState,
    summary: &'static [&'static str],
    actions: &'static [&'static str],
}

fn row(
    state: ProgressState,
    scene: Scene,
    summary: &'static [&'static str],
    actions: &'static [&'static str],
) -> Row {
    Row { scene, state, summary, actions }
}

fn check(rows: Vec<Row>) -> BTreeSet<ProgressState> {
    let mut seen = BTreeSet::new();
    for Row { scene, state, summary, actions } in rows {
        let told = scene.explained();
        assert_eq!((told.state, told.making_progress), (state, state.is_progress()), "{told:#?}");
        for piece in summary {
            assert!(told.summary.contains(piece), "{piece:?} is not in {:?}", told.summary);
        }
        let said = told.actions.join("\n");
        for piece in actions {
            assert!(said.contains(piece), "{piece:?} is not in {said:?}");
        }
        assert_eq!(actions.is_empty(), said.is_empty(), "{state}: {said}");
        seen.insert(state);
    }
    seen
}

fn recovering(scene: &mut Scene) {
    scene.consensus.signing_state = ValidatorSigningState::Recovering;
}

fn probing(answered: u32, through: Option<u64>) -> impl FnOnce(&mut Scene) {
    move |scene| {
        scene.consensus.signing_state = ValidatorSigningState::Probing;
        scene.consensus.probe = Some(Probe { answered, needed: 2, through });
    }
}

/// The other members report these heights, and the node fetches blocks from one of them.
fn others_at(heights: [u64; 3]) -> impl FnOnce(&mut Scene) {
    move |scene| {
        scene.consensus.catching_up = true;
        for (peer, height) in scene.peers.iter_mut().zip(heights) {
            peer.committed_height = Some(height);
        }
    }
}

/// The newest block has this height, and its time is this many milliseconds ahead of the node's
/// clock.
fn ahead(height: u64, milliseconds: u64) -> impl FnOnce(&mut Scene) {
    move |scene| {
        (scene.status.head.height, scene.status.head.timestamp_ms) = (height, 1_700_000_000_000);
        scene.status.time_ms = scene.status.head.timestamp_ms - milliseconds;
    }
}

fn at_watermark(scene: &mut Scene) {
    scene.consensus.committed_height = 128 + scene.log_window();
}

fn votes(prepares: &'static [u16], commits: &'static [u16]) -> impl FnOnce(&mut Scene) {
    move |scene| {
        scene.consensus.in_flight[0].prepares = prepares.to_vec();
        scene.consensus.in_flight[0].commits = commits.to_vec();
    }
}

fn rows_of_a_node_that_does_not_vote() -> Vec<Row> {
    use ProgressState::{EngineStalled, Probing, Recovering};
    vec![
        row(EngineStalled, Scene::with_work(1_000).stalled(), &["12000 ms"], &["disk", "restart the node"]),
        row(
            Recovering,
            Scene::idle().but(recovering),
            &["is new, or an older copy", "never votes"],
            &[
                "newest journal",
                "one fault less",
                "more than 1 of the 4 validators",
                "quorate genesis continue",
            ],
        ),
        row(
            Recovering,
            Scene::idle().but(recovering).without(&[2, 3]),
            &["is new, or an older copy"],
            &["validator-2 and"],
        ),
        row(Probing, Scene::idle().but(probing(1, None)), &["1 answer and needs 2"], &[]),
        row(
            Probing,
            Scene::idle().but(probing(0, Some(200))).without(&[0, 3]),
            &["0 answers", "older than its journal", "up to 200", "up to 140"],
            &["Start or reconnect validator-0 and validator-3: 1 more validator is needed"],
        ),
        // All ledgers are older than the journals.
        row(
            Probing,
            Scene::idle().but(probing(2, Some(200))),
            &["older than its journal", "up to 200", "block above 140", "does not end by itself"],
            &[
                "newer copy of its ledger",
                "never the journal",
                "quorate ledger import",
                "this chain ends",
                "quorate genesis continue",
            ],
        ),
        row(
            Probing,
            Scene::idle().but(probing(2, Some(200))).without(&[3]),
            &["does not end by itself"],
            &["Start or reconnect validator-3: their ledgers may have the blocks up to 200"],
        ),
        row(
            Probing,
            Scene::idle().but(probing(2, Some(200))).but(|scene| scene.peers[2].committed_height = Some(200)),
            &["fetches the blocks up to 200 first"],
            &[],
        ),
    ]
}

fn rows_of_a_node_without_a_quorum() -> Vec<Row> {
    use ProgressState::NoQuorumContact;
    vec![
        row(
            NoQuorumContact,
            Scene::idle().without(&[0, 2]),
            &[
                "No quorum",
                "1 of the 3 other validators, and needs 2",
                "Silent: validator-0 and validator-2.",
            ],
            &["Start or reconnect validator-0 and validator-2: 1 more validator is needed", "node_peers"],
        ),
        row(
            NoQuorumContact,
            Scene::with_work(9_000).without(&[0, 2, 3]).but(|scene| scene.consensus.deadline = None),
            &["0 of the 3 other validators", "12 transactions wait in its pool"],
            &["validator-0, validator-2 and validator-3: 2 more validators are needed"],
        ),
        row(
            NoQuorumContact,
            Scene::changing(&[1, 2]).without(&[0]).with_frozen(&[3]),
            &["validator-0 and validator-3"],
            &["Start or reconnect validator-0: 1 more", "Check validator-3: a connection is open"],
        ),
    ]
}

fn rows_of_a_node_that_is_behind() -> Vec<Row> {
    use ProgressState::CatchingUp;
    vec![
        row(CatchingUp, Scene::idle().but(others_at([150, 149, 140])), &["up to 149", "has 140"], &[]),
        // Other members claim to have blocks, and none arrives.
        row(
            CatchingUp,
            Scene::with_work(8 * TIMEOUT_MS).but(others_at([150, 150, 140])),
            &["up to 150"],
            &["No block has arrived for 16.0 s", "validator-0 and validator-2", "block 141", "ledger import"],
        ),
        row(
            CatchingUp,
            Scene::with_work(8 * TIMEOUT_MS - 1).but(others_at([150, 150, 140])),
            &["up to 150"],
            &[],
        ),
        row(CatchingUp, Scene::changing(&[1]).but(others_at([150, 150, 150])), &["up to 150"], &[]),
        row(
            CatchingUp,
            Scene::idle().but(|scene| scene.status.syncing = true),
            &["more blocks than this node, which has 140"],
            &[],
        ),
    ]
}

fn rows_of_a_view_that_has_not_begun() -> Vec<Row> {
    use ProgressState::WaitingForNewView;
    let as_backup = |senders| Scene::changing(senders).told_by(2);
    vec![
        row(
            WaitingForNewView,
            as_backup(&[2]),
            &["View 1 has not begun", "1 of the 3 required", "2 more are needed", "does not vote"],
            &["explain at validator-0, validator-1 and validator-3", "without a vote"],
        ),
        row(
            WaitingForNewView,
            as_backup(&[1, 2]).without(&[0]),
            &["2 of the 3 required", "1 more is needed"],
            &["Start or reconnect validator-0: no message", "explain at validator-3"],
        ),
        row(
            WaitingForNewView,
            as_backup(&[0, 2, 3]).without(&[1]),
            &["waits for the NEW-VIEW of the primary validator-1"],
            &["Start or reconnect validator-1", "itself as the next primary in 1.5 s"],
        ),
        row(
            WaitingForNewView,
            as_backup(&[0, 2, 3]),
            &["NEW-VIEW of the primary validator-1"],
            &["explain at validator-1", "itself as the next primary"],
        ),
        row(
            WaitingForNewView,
            Scene::changing(&[1, 2, 3]).without(&[0]),
            &["As the primary of view 1, it begins the view once a quorum has sent VIEW-CHANGEs for exactly"],
            &["Start or reconnect validator-0", "validator-2 as the next primary"],
        ),
    ]
}

/// An observer that has recently heard from these members.
fn observing(heard: &[u16]) -> Scene {
    let heard = heard.to_vec();
    Scene::idle().but(|scene| {
        (scene.status.index, scene.status.name, scene.status.signing_state) = (None, None, None);
        (scene.status.role, scene.status.membership) = (NodeRole::Observer, None);
        scene.consensus.signing_state = ValidatorSigningState::Observing;
        scene.consensus.recently_heard = heard;
    })
}

/// An observer needs no quorum: it follows while it hears from f + 1 members, one of which is
/// correct.
fn not_proposed() -> Candidacy {
    Candidacy {
        state: CandidacyState::NotProposed,
        proposal: None,
        ready_height: None,
        ready_until: None,
        member_from: None,
        text: "no open proposal adds the key".to_owned(),
        action: Some("ask a member".to_owned()),
    }
}

fn rows_of_an_observer() -> Vec<Row> {
    vec![
        row(
            ProgressState::Following,
            observing(&[0, 1, 2, 3]),
            &["has no vote", "has the blocks up to 140"],
            &[],
        ),
        row(ProgressState::Following, observing(&[0, 2]), &["has no vote"], &["validator-1", "validator-3"]),
        row(
            ProgressState::Following,
            observing(&[0, 1, 2, 3]).but(|scene| scene.status.membership = Some(Membership::NotYetMember)),
            &["is not yet a member", "has the blocks up to 140"],
            &[],
        ),
        row(
            ProgressState::Following,
            observing(&[0, 1, 2, 3]).but(|scene| scene.status.membership = Some(Membership::Member)),
            &["is a member, but follows without a vote", "votes again by itself"],
            &[],
        ),
        row(
            ProgressState::Following,
            observing(&[0, 1, 2, 3]).but(|scene| scene.status.membership = Some(Membership::Removed)),
            &["was removed", "no longer contains its key"],
            &[],
        ),
        row(
            ProgressState::Following,
            observing(&[0, 1, 2, 3]).but(|scene| scene.status.candidacy = Some(not_proposed())),
            &["What it still lacks: no open proposal adds the key."],
            &["To become a member: ask a member."],
        ),
        row(
            ProgressState::NoQuorumContact,
            observing(&[0]).but(|scene| scene.status.candidacy = Some(not_proposed())),
            &["heard from 1 of the 4 validators"],
            &["To become a member: ask a member.", "validator-1"],
        ),
        row(
            ProgressState::NoQuorumContact,
            observing(&[0]),
            &["heard from 1 of the 4 validators. It needs 2", "which may be old"],
            &["validator-1"],
        ),
        row(
            ProgressState::CatchingUp,
            observing(&[0, 2]).but(others_at([900; 3])),
            &["blocks up to 900", "this node has 140"],
            &["validator-1"],
        ),
    ]
}

/// Every state has a situation, and its explanation agrees with PROTOCOL.md.
#[test]
fn every_state_has_a_reason_and_an_action() {
    let rows = [
        rows_of_a_node_that_does_not_vote(),
        rows_of_a_node_without_a_quorum(),
        rows_of_a_node_that_is_behind(),
        rows_of_a_view_that_has_not_begun(),
        working::rows_without_a_delay(),
        working::rows_of_a_proposal(),
        working::rows_of_clocks(),
        working::rows_of_votes_and_checkpoints(),
        rows_of_an_observer(),
    ];
    let seen = check(rows.into_iter().flatten().collect());
    assert_eq!(seen, BTreeSet::from(ProgressState::ALL), "every state is in the table");
}

/// If several states apply, the node reports the one that keeps the others from ending.
#[test]
fn the_wait_that_must_end_first_is_reported() {
    let mut scene = Scene::changing(&[1, 2, 3]).but(others_at([150; 3])).but(at_watermark);
    scene.peers.iter_mut().for_each(|peer| peer.committed_height = Some(u64::MAX));
    let mut told = |change: &dyn Fn(&mut Scene)| {
        change(&mut scene);
        scene.explained().state
    };
    assert_eq!(told(&|_| ()), ProgressState::CatchingUp);
    assert_eq!(told(&|scene| scene.consensus.recently_heard.clear()), ProgressState::NoQuorumContact);
    assert_eq!(told(&|scene| probing(0, None)(scene)), ProgressState::Probing);
    assert_eq!(told(&recovering), ProgressState::Recovering);
    assert_eq!(scene.stalled().explained().state, ProgressState::EngineStalled);
}

/// f faulty members may claim any height, and a fetch that such a claim causes is not reported as
/// catching up.
#[test]
fn one_claim_to_be_ahead_is_not_believed() {
    assert_eq!(Scene::idle().but(others_at([9_000, 140, 140])).explained().state, ProgressState::Idle);
}

/// Evidence is mentioned only while something is held up, since faulty members may be the reason.
#[test]
fn evidence_is_pointed_to() {
    let accused = |scene: Scene| scene.but(|scene| scene.consensus.evidence_count = 1).explained().actions;
    assert!(accused(Scene::with_work(1_000)).last().unwrap().contains("consensus_evidence"));
    assert!(accused(Scene::idle()).is_empty());
}

/// An observer knows what f + 1 members report, and receives none of their votes.
#[test]
fn an_observer_counts_neither_votes_nor_view_changes() {
    let told = observing(&[0, 2]).explained();
    assert_eq!((told.contact.needed, told.contact.more_needed), (2, 0));
    assert_eq!((told.view_changes.more_to_begin, told.view_changes.more_to_follow), (None, None));
    let told = observing(&[0, 2]).but(|scene| scene.consensus.active = false).explained();
    assert_eq!((told.state, told.view_changes.more_to_begin), (ProgressState::Following, None));
}
