//! False statements about itself and about others.

use quorate_ledger::{Height, ReplicaId, Signers, View};
use quorate_pbft::{Message, Seen};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends a STATUS with one wrong field, and a SEEN that contains nothing, or a statement that
/// another member signed.
#[derive(Debug)]
pub(crate) struct LieInStatus;

impl Strategy for LieInStatus {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        _me: ReplicaId,
        mut outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let choice = collusion.random.between(0, 9);
        let far = collusion.random.between(1, 2000);
        let nothing = collusion.no_block();
        match &mut outgoing.message {
            Message::Status(status) => match choice {
                0 => status.committed = status.committed.plus(far),
                1 => status.committed = Height(0),
                2 => status.view = View(status.view.0.saturating_add(far)),
                3 => (status.view, status.active) = (View(0), false),
                4 => status.stable = Height(0),
                5 => status.stable = status.stable.plus(far),
                6 => (status.probing, status.mark) = (true, quorate_pbft::HighWaterMark::default()),
                7 => status.slots.iter_mut().for_each(|slot| {
                    (slot.proposal, slot.prepares, slot.commits) =
                        (None, Signers::default(), Signers::default());
                }),
                9 => status.slots.iter_mut().for_each(|slot| slot.proposal = Some(nothing)),
                8 => (status.committed_hash, status.active) = (nothing, !status.active),
                _ => {}
            },
            Message::Seen(seen) => {
                let epoch = seen.epoch;
                let stolen = collusion.memory().find_map(|(_, message)| match message {
                    Message::Commit(vote) => Some(vote.clone()),
                    _ => None,
                });
                *seen = match choice {
                    0..=4 => Seen::nothing(epoch),
                    5..=7 => Seen { commit: stolen, ..Seen::nothing(epoch) },
                    _ => seen.clone(),
                };
            }
            _ => {}
        }
        out.push(outgoing);
    }
}
