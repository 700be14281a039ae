//! The fields besides the state: votes, timer, view changes, contact, bounds.
#![allow(clippy::unwrap_used)]

use quorate_api::{
    Awaited, DeadlinePurpose, HeightInFlight, HeightPhase, MemberName, Obstacle, Probe, SilentMember,
    ValidatorSigningState,
};

use super::scene::{Scene, height};

fn indices(members: &[MemberName]) -> Vec<u16> {
    members.iter().map(|member| member.index).collect()
}

/// What one height waits for, its votes as `have` and `needed`, and the members whose votes are
/// missing.
fn awaited(scene: Scene, given: HeightInFlight) -> (Awaited, Option<(u32, u32, Vec<u16>)>) {
    let told = scene.but(|scene| scene.consensus.in_flight = vec![given]).explained();
    let height = &told.heights[0];
    assert!(height.text.starts_with(&format!("height {}: ", height.height)), "{}", height.text);
    let votes = height.votes.as_ref();
    (height.awaits, votes.map(|votes| (votes.have, votes.needed, indices(&votes.missing))))
}

fn accepted(prepares: &[u16], commits: &[u16]) -> HeightInFlight {
    let height = height(141, HeightPhase::PrePrepared, None);
    HeightInFlight { prepares: prepares.to_vec(), commits: commits.to_vec(), ..height }
}

/// R9: the primary's proposal is its first vote, and a PREPARE of its own adds nothing.
#[test]
fn the_proposal_counts_as_the_vote_of_the_primary() {
    let scene = || Scene::with_work(1_000);
    assert_eq!(awaited(scene(), accepted(&[], &[])), (Awaited::Prepares, Some((1, 3, vec![1, 2, 3]))));
    assert_eq!(awaited(scene(), accepted(&[0, 2], &[])), (Awaited::Prepares, Some((2, 3, vec![1, 3]))));
    // Three votes have arrived, but not all for this block, or they are not counted yet.
    assert_eq!(awaited(scene(), accepted(&[2, 3], &[])), (Awaited::Prepares, Some((3, 3, vec![1]))));
}

/// R8: the primary's COMMIT counts like any other.
#[test]
fn a_prepared_block_waits_for_commits() {
    let prepared = HeightInFlight { phase: HeightPhase::Prepared, ..accepted(&[1, 2], &[1, 3]) };
    assert_eq!(awaited(Scene::with_work(1_000), prepared), (Awaited::Commits, Some((2, 3, vec![0, 2]))));
}

/// R10: above the next height, a block with all its PREPAREs waits for the height below, not for
/// votes.
#[test]
fn a_height_waits_for_the_one_below() {
    let above = |prepares: &[u16]| HeightInFlight { height: 142, ..accepted(prepares, &[]) };
    assert_eq!(awaited(Scene::with_work(1_000), above(&[1, 2])), (Awaited::HeightBelow, None));
    let (awaits, votes) = awaited(Scene::with_work(1_000), above(&[1]));
    assert_eq!((awaits, votes.unwrap().0), (Awaited::Prepares, 2));
}

/// R24: a node that may not sign sends no PREPARE, and learns from COMMITs that a block is final.
#[test]
fn a_node_without_a_vote_waits_for_the_commits_of_others() {
    let scene = Scene::idle().but(|scene| {
        scene.consensus.signing_state = ValidatorSigningState::Probing;
        scene.consensus.probe = Some(Probe { answered: 0, needed: 2, through: None });
    });
    assert_eq!(awaited(scene, accepted(&[2, 3], &[2])), (Awaited::Commits, Some((1, 3, vec![0, 1, 3]))));
}

#[test]
fn a_proposal_that_is_not_accepted_says_why() {
    for (obstacle, expected) in [
        (Obstacle::NoProposal, Awaited::Proposal),
        (Obstacle::Parent, Awaited::Parent),
        (Obstacle::Body, Awaited::Body),
        (Obstacle::Clock, Awaited::Clock),
        (Obstacle::Refused, Awaited::Nothing),
    ] {
        let waiting = height(141, HeightPhase::Waiting, Some(obstacle));
        assert_eq!(awaited(Scene::with_work(1), waiting.clone()), (expected, None));
        assert_eq!(
            awaited(Scene::changing(&[1]), waiting),
            (Awaited::View, None),
            "kept until the view begins"
        );
    }
}

#[test]
fn the_timer_names_the_next_view_and_its_primary() {
    let timer = Scene::with_work(600).explained().timer.unwrap();
    assert_eq!((timer.purpose, timer.in_ms, timer.next_view), (DeadlinePurpose::Request, 1_400, 1));
    assert_eq!(timer.next_primary, MemberName { index: 1, name: "validator-1".to_owned() });
    let said = "in 1.4 s this node leaves view 0 for view 1, whose primary would be validator-1, unless";
    assert!(timer.text.starts_with(said), "{}", timer.text);

    let timer = Scene::changing(&[0, 1, 2]).explained().timer.unwrap();
    assert_eq!((timer.purpose, timer.next_view, timer.next_primary.index), (DeadlinePurpose::NewView, 2, 2));
    assert!(timer.text.contains("stops waiting for view 1"), "{}", timer.text);

    assert_eq!(Scene::idle().explained().timer, None);
    let around = Scene::with_work(2_500).but(|scene| scene.consensus.view = 3).explained().timer.unwrap();
    assert_eq!(
        (around.next_view, around.next_primary.index),
        (4, 0),
        "after the last member, the first is the primary again"
    );
    assert!(around.text.starts_with("now "), "{}", around.text);
}

/// R19, R20: a quorum begins a view, and f + 1 other members make a member follow.
#[test]
fn view_changes_say_how_many_more_are_needed() {
    let told = Scene::changing(&[1, 3]).explained().view_changes;
    assert_eq!((indices(&told.view_changes_from), indices(&told.remaining)), (vec![1, 3], vec![0, 2]));
    assert_eq!((told.to_begin, told.more_to_begin), (3, Some(1)));
    assert_eq!((told.to_follow, told.more_to_follow), (2, None));
    assert_eq!(Scene::changing(&[0, 1, 2, 3]).explained().view_changes.more_to_begin, Some(0));

    let more_to_follow = |view, from: &[u16]| {
        let scene = Scene::idle().but(|scene| {
            (scene.consensus.view, scene.consensus.view_changes_from) = (view, from.to_vec());
        });
        let told = scene.explained().view_changes;
        assert_eq!(told.more_to_begin, None, "it has begun");
        told.more_to_follow
    };
    assert_eq!(more_to_follow(0, &[]), Some(2));
    assert_eq!(more_to_follow(0, &[3]), Some(1));
    assert_eq!(more_to_follow(5, &[]), Some(2));
    assert_eq!(more_to_follow(5, &[1]), Some(2), "its own VIEW-CHANGE began the view");
    assert_eq!(more_to_follow(5, &[0, 1, 2]), None, "their VIEW-CHANGEs may have begun this view");
}

#[test]
fn contact_lists_silent_members_and_their_connections() {
    let told = Scene::idle().without(&[0]).with_frozen(&[3]).explained().contact;
    let silent =
        |index: u16, connected| SilentMember { index, name: format!("validator-{index}"), connected };
    assert_eq!(told.silent, [silent(0, false), silent(3, true)]);
    assert_eq!((indices(&told.recently_heard), told.needed, told.more_needed), (vec![2], 2, 1));
    assert_eq!(Scene::idle().explained().contact.more_needed, 0);
}

#[test]
fn bounds_say_how_far_ordering_may_run() {
    let scene = Scene::with_work(1).but(|scene| {
        scene.consensus.in_flight = vec![
            height(141, HeightPhase::Prepared, None),
            height(142, HeightPhase::PrePrepared, None),
            height(143, HeightPhase::Waiting, Some(Obstacle::Body)),
        ];
    });
    let told = scene.explained().bounds;
    assert_eq!((told.stable_height, told.next_checkpoint), (128, 256));
    assert_eq!((told.log_window, told.highest), (scene.log_window(), 128 + scene.log_window()));
    assert_eq!((told.window, told.in_flight), (8, 2), "only accepted heights are in flight");
}

/// Extreme numbers in a report must not cause an overflow.
#[test]
fn extreme_numbers_do_not_overflow() {
    let scene = Scene::with_work(u64::MAX).but(|scene| {
        let consensus = &mut scene.consensus;
        consensus.view = u64::MAX;
        (consensus.committed_height, consensus.stable_height) = (u64::MAX, u64::MAX);
        consensus.in_flight = vec![height(0, HeightPhase::Waiting, Some(Obstacle::Parent))];
        (consensus.primary, consensus.view_changes_from) = (9, vec![7; 100]);
    });
    let told = scene.explained();
    assert_eq!(told.primary.name, "member 9", "there is none");
    assert_eq!(told.bounds.highest, u64::MAX);
}
