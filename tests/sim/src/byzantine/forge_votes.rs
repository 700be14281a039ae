//! Votes and proposals with signatures that do not hold, or of members that may not give them.

use quorate_ledger::{Ballot, Commit, ReplicaId, Signed};
use quorate_pbft::{Message, PrePrepare, Prepare, Proposal};

use crate::byzantine::{Brain, Strategy, Utterance};

/// For each proposal of another member that it hears of, sends one of these: its own PREPARE and COMMIT with the
/// signatures of other statements, a rival of the proposal in its own name, or a rival in the primary's name.
#[derive(Debug)]
pub(super) struct ForgeVotes;

impl Strategy for ForgeVotes {
    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Utterance>,
    ) {
        let Message::PrePrepare(proposal) = message else { return };
        let ballot = proposal.vote.body.0;
        let other = Ballot { block: brain.no_block(), ..ballot };
        let forged = match brain.random.between(0, 3) {
            0 => {
                let vote = brain.pen.sign(me, Prepare(other));
                Message::Prepare(Signed { body: Prepare(ballot), ..vote })
            }
            1 => {
                let vote = brain.pen.sign(me, Commit(other));
                Message::Commit(Signed { body: Commit(ballot), ..vote })
            }
            choice => {
                let mut header = proposal.header.clone();
                header.timestamp = header.timestamp.plus_ms(1);
                let ballot = Ballot { block: header.hash(), ..ballot };
                let mut vote = brain.pen.sign(me, PrePrepare(ballot));
                if choice == 3 {
                    vote.signer = proposal.vote.signer;
                }
                Message::PrePrepare(Proposal { vote, header, ids: proposal.ids.clone() })
            }
        };
        for to in brain.others(me) {
            out.push(Utterance::new(to, forged.clone()));
        }
    }
}
