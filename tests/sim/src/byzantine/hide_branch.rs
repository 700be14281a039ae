//! A branch that one member alone gets to see.

use quorate_ledger::{Ballot, BlockHash, Header, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Proposes at odd heights another version to one victim, and at even heights a child of that version which the
/// victim's clock must hold for a while. The others commit the true blocks at odd heights and get nothing at even ones.
#[derive(Debug)]
pub(super) struct HideBranch {
    victim: Option<ReplicaId>,
    ahead_ms: u64,
    /// What the victim got last at an odd height, and the true block in its place.
    branch: Option<(BlockHash, Header)>,
}

impl HideBranch {
    /// The victim is the last member that does not lie.
    pub(super) fn new(brain: &mut Brain) -> Self {
        let victim = brain.committee.replicas().filter(|member| !brain.pen.knows(*member)).last();
        HideBranch { victim, ahead_ms: brain.tolerance_ms + brain.random.between(100, 350), branch: None }
    }

    fn version(&mut self, header: &Header) -> Header {
        let mut version = header.clone();
        if header.height.0 % 2 == 1 {
            version.timestamp = header.timestamp.plus_ms(1);
            self.branch = Some((header.hash(), version.clone()));
        } else if let Some((origin, parent)) = &self.branch
            && *origin == header.parent
        {
            version.parent = parent.hash();
            version.timestamp = header.timestamp.plus_ms(self.ahead_ms);
        }
        version
    }
}

impl Strategy for HideBranch {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        if Some(said.to) != self.victim {
            let own = matches!(&said.message, Message::PrePrepare(proposal)
                if proposal.vote.signer == me && proposal.header.height.0 % 2 == 0);
            if !own {
                out.push(said);
            }
            return;
        }
        match &said.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me && proposal.header.proposer == me => {
                let header = self.version(&proposal.header);
                let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
                let vote = brain.pen.sign(me, PrePrepare(ballot));
                let message = Message::PrePrepare(Proposal { vote, header, ids: proposal.ids.clone() });
                out.push(Utterance { message, ..said });
            }
            // Its COMMITs would show the victim that there is another block.
            Message::Commit(vote) if vote.signer == me => {}
            _ => out.push(said),
        }
    }
}
