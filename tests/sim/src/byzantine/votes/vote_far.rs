//! Votes for heights and views far ahead.

use quorate_ledger::{Ballot, Commit, Height, ReplicaId, View};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Distances, in heights or views.
const FAR: [u64; 5] = [3, 20, 70, 1000, u64::MAX / 2];

/// Sends own votes that would fill the memory of a member that keeps all of them.
#[derive(Debug)]
pub(crate) struct VoteFar;

impl Strategy for VoteFar {
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let (above, later) = (*collusion.random.choose(&FAR), *collusion.random.choose(&FAR));
        let height = Height(collusion.tip.0.0.saturating_add(above));
        let ballot =
            Ballot { epoch: collusion.keys.epoch, view: collusion.view, height, block: collusion.no_block() };
        let view = View(collusion.view.0.saturating_add(later));
        let soon = Ballot { view, height: Height(collusion.tip.0.0.saturating_add(2)), ..ballot };
        for ballot in [ballot, soon] {
            let prepare = Message::Prepare(collusion.keys.sign(me, Prepare(ballot)));
            let commit = Message::Commit(collusion.keys.sign(me, Commit(ballot)));
            for to in collusion.others(me) {
                out.push(Outgoing::new(to, prepare.clone()));
                out.push(Outgoing::new(to, commit.clone()));
            }
        }
    }
}
