//! Votes and proposals with invalid signatures, or of members that may not send them.

use quorate_ledger::{Ballot, Commit, ReplicaId, Signed};
use quorate_pbft::{Message, PrePrepare, Prepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// For each proposal of another member that it receives, sends one of these: its own PREPARE and
/// COMMIT with the signatures of other statements, a rival of the proposal in its own name, or a
/// rival in the primary's name.
#[derive(Debug)]
pub(crate) struct ForgeVotes;

impl Strategy for ForgeVotes {
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::PrePrepare(proposal) = message else { return };
        let ballot = proposal.vote.body.0;
        let other = Ballot { block: collusion.no_block(), ..ballot };
        let forged = match collusion.random.between(0, 3) {
            0 => {
                let vote = collusion.keys.sign(me, Prepare(other));
                Message::Prepare(Signed { body: Prepare(ballot), ..vote })
            }
            1 => {
                let vote = collusion.keys.sign(me, Commit(other));
                Message::Commit(Signed { body: Commit(ballot), ..vote })
            }
            choice => {
                let mut header = proposal.header.clone();
                header.timestamp = header.timestamp.plus_ms(1);
                let ballot = Ballot { block: header.hash(), ..ballot };
                let mut vote = collusion.keys.sign(me, PrePrepare(ballot));
                if choice == 3 {
                    vote.signer = proposal.vote.signer;
                }
                Message::PrePrepare(Proposal { vote, header, ids: proposal.ids.clone() })
            }
        };
        for to in collusion.others(me) {
            out.push(Outgoing::new(to, forged.clone()));
        }
    }
}
