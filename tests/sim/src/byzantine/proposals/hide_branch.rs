//! A branch that only one member receives.

use quorate_ledger::{Ballot, BlockHash, Header, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// At odd heights, proposes another version of the block to one victim. At even heights, proposes a
/// child of that version to the victim, with a time for which the victim's clock must wait. The
/// others commit the true blocks at odd heights and receive nothing at even ones.
#[derive(Debug)]
pub(crate) struct HideBranch {
    victim: Option<ReplicaId>,
    ahead_ms: u64,
    /// The block that the victim last received at an odd height, and the true block instead of
    /// which it was sent.
    branch: Option<(BlockHash, Header)>,
}

impl HideBranch {
    /// The victim is the last correct member.
    pub(crate) fn new(collusion: &mut Collusion) -> Self {
        let victim = collusion.committee.replicas().filter(|member| !collusion.keys.knows(*member)).last();
        HideBranch {
            victim,
            ahead_ms: collusion.tolerance_ms + collusion.random.between(100, 350),
            branch: None,
        }
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
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        if Some(outgoing.to) != self.victim {
            let own = matches!(&outgoing.message, Message::PrePrepare(proposal)
                if proposal.vote.signer == me && proposal.header.height.0 % 2 == 0);
            if !own {
                out.push(outgoing);
            }
            return;
        }
        match &outgoing.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me && proposal.header.proposer == me => {
                let header = self.version(&proposal.header);
                let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
                let vote = collusion.keys.sign(me, PrePrepare(ballot));
                let message = Message::PrePrepare(Proposal { vote, header, ids: proposal.ids.clone() });
                out.push(Outgoing { message, ..outgoing });
            }
            // Its COMMITs would show the victim that there is another block.
            Message::Commit(vote) if vote.signer == me => {}
            _ => out.push(outgoing),
        }
    }
}
