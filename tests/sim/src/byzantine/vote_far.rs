//! Votes for heights and views far away.

use quorate_ledger::{Ballot, Commit, Height, ReplicaId, View};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Distances, in heights or views.
const FAR: [u64; 5] = [3, 20, 70, 1000, u64::MAX / 2];

/// Sends votes of its own that would fill the memory of a member that keeps them all.
#[derive(Debug)]
pub(super) struct VoteFar;

impl Strategy for VoteFar {
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let (above, later) = (*brain.random.choose(&FAR), *brain.random.choose(&FAR));
        let height = Height(brain.tip.0.0.saturating_add(above));
        let ballot = Ballot { epoch: brain.pen.epoch, view: brain.view, height, block: brain.no_block() };
        let view = View(brain.view.0.saturating_add(later));
        let soon = Ballot { view, height: Height(brain.tip.0.0.saturating_add(2)), ..ballot };
        for ballot in [ballot, soon] {
            let prepare = Message::Prepare(brain.pen.sign(me, Prepare(ballot)));
            let commit = Message::Commit(brain.pen.sign(me, Commit(ballot)));
            for to in brain.others(me) {
                out.push(Utterance::new(to, prepare.clone()));
                out.push(Utterance::new(to, commit.clone()));
            }
        }
    }
}
