//! States of a node that takes part in ordering.

use quorate_api::{HeightPhase, Obstacle, ProgressState};

use super::{Row, Scene, ahead, at_watermark, height, others_at, row, votes};

/// The height in flight waits for this.
fn waiting(obstacle: Obstacle) -> Scene {
    Scene::held_up(HeightPhase::Waiting, Some(obstacle))
}

pub(super) fn rows_without_a_delay() -> Vec<Row> {
    use ProgressState::{Idle, Ordering};
    let early_vote = |scene: &mut Scene| {
        scene.consensus.in_flight.push(height(141, HeightPhase::Waiting, Some(Obstacle::NoProposal)));
        scene.consensus.in_flight[0].prepares = vec![2];
    };
    vec![
        row(Idle, Scene::idle(), &["Nothing waits here"], &[]),
        row(
            Idle,
            Scene::idle().without(&[0]),
            &["Nothing waits"],
            &["validator-0: until then, ordering stops if one more"],
        ),
        row(
            Idle,
            Scene::idle().but(early_vote),
            &["proposal of validator-0 has not arrived; validator-2 voted"],
            &[],
        ),
        row(
            Ordering,
            Scene::with_work(499),
            &["has not waited long", "12 transactions are in the pool"],
            &[],
        ),
        row(
            Ordering,
            Scene::held_up(HeightPhase::PrePrepared, None).but(|scene| scene.consensus.waiting_ms = Some(20)),
            &["Height 141: 1 of 3 votes"],
            &[],
        ),
    ]
}

pub(super) fn rows_of_a_proposal() -> Vec<Row> {
    use ProgressState::{ExaminingProposal, ProposalRefused, WaitingForProposal};
    vec![
        row(
            WaitingForProposal,
            Scene::with_work(500),
            &[
                "proposal for height 141 has not arrived",
                "waited for 500 ms",
                "primary of view 0 is validator-0.",
            ],
            &["explain at validator-0", "itself as the next primary in 1.5 s"],
        ),
        row(
            WaitingForProposal,
            Scene::with_work(1_200).without(&[0]),
            &["validator-0, which has not been heard from", "waited for 1.2 s"],
            &["Start or reconnect validator-0"],
        ),
        row(
            WaitingForProposal,
            waiting(Obstacle::NoProposal),
            &["height 141 has not arrived"],
            &["explain at validator-0"],
        ),
        row(
            WaitingForProposal,
            Scene::with_work(500).told_by(0),
            &["This node is the primary of view 0"],
            &["as soon as a block may contain the waiting", "empty block"],
        ),
        row(
            WaitingForProposal,
            waiting(Obstacle::NoProposal).told_by(0),
            &["no complete proposal for height 141"],
            &["for the block that the view proposes again"],
        ),
        row(
            ExaminingProposal,
            waiting(Obstacle::Body),
            &["its transactions (12) are being"],
            &["node_peers"],
        ),
        row(ExaminingProposal, waiting(Obstacle::Parent), &["until block 140 is accepted"], &["asks"]),
        row(
            ProposalRefused,
            waiting(Obstacle::Refused).but(|scene| scene.consensus.waiting_ms = Some(0)),
            &["breaks a rule"],
            &["log of this node", "operator of validator-0"],
        ),
    ]
}

pub(super) fn rows_of_clocks() -> Vec<Row> {
    use ProgressState::{Idle, WaitingForClock};
    vec![
        row(
            WaitingForClock,
            waiting(Obstacle::Clock).but(|scene| scene.consensus.waiting_ms = Some(0)),
            &["too far from this node's clock"],
            &["clocks of this node and of validator-0"],
        ),
        // A genesis from the future, with and without work; clocks that ran ahead.
        row(
            WaitingForClock,
            Scene::idle().but(ahead(0, 3_600_000)),
            &[
                "The genesis has the time 2023-11-14T22:13:20.000Z, which is 60 min ahead",
                "more than 500 ms ahead",
                "nothing can be ordered before 2023-11-14T22:13:19.501Z",
            ],
            &[
                "let NTP set it",
                "earlier one, or wait: ordering begins by itself at 2023-11-14T22:13:19.501Z",
            ],
        ),
        row(
            WaitingForClock,
            Scene::changing(&[1]).but(ahead(140, 501)),
            &["Block 140, the newest, has the time", "501 ms ahead"],
            &["ordering resumes by itself at 2023-11-14T22:13:19.501Z", "valid_until_ms is later than"],
        ),
        row(Idle, Scene::idle().but(ahead(140, 499)), &["Nothing waits"], &[]),
    ]
}

pub(super) fn rows_of_votes_and_checkpoints() -> Vec<Row> {
    use HeightPhase::{PrePrepared, Prepared};
    use ProgressState::{Idle, WaitingForCheckpoint, WaitingForVotes};
    vec![
        row(
            WaitingForVotes,
            Scene::held_up(PrePrepared, None).but(votes(&[1], &[])).without(&[3]),
            &[
                "2 of 3 votes of the first round",
                "from validator-0 and validator-1; missing: validator-2 and validator-3",
            ],
            &["Start or reconnect validator-3", "explain at validator-2"],
        ),
        row(
            WaitingForVotes,
            Scene::held_up(Prepared, None).but(votes(&[1, 2], &[1])),
            &["1 of 3 COMMITs", "missing: validator-0, validator-2 and validator-3", "waited for 1.0 s"],
            &["explain at validator-0, validator-2 and validator-3", "itself as the next primary in 1.0 s"],
        ),
        row(
            WaitingForCheckpoint,
            Scene::with_work(1_000).but(at_watermark).but(others_at([200, 300, 384])),
            &["the stable checkpoint is at 128", "until a quorum has signed a later checkpoint"],
            &["Check validator-0: no report says that the blocks up to 256 are there", "disks"],
        ),
        row(Idle, Scene::idle().but(at_watermark), &["Nothing waits"], &[]),
    ]
}
