//! Every member keeps its word: one block for each view, height and kind of vote, in all its lives; COMMITs
//! in order; and whatever it said is remembered when it starts again.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Height, ReplicaId, View};
use quorate_pbft::{Message, Overview, Phase};

use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

/// What a vote says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    PrePrepare,
    Prepare,
    Commit,
}

/// All votes that correct members ever sent, and the parents of proposed blocks.
#[derive(Debug, Default)]
pub struct Votes {
    sent: BTreeMap<(ReplicaId, Height, View, Kind), BlockHash>,
    /// COMMITs that a member remembers, sent or not: a crash may have come in between.
    given: BTreeMap<(ReplicaId, Height, View), BlockHash>,
    parents: BTreeMap<BlockHash, BlockHash>,
}

const ONE_WORD: &str = "no two votes for one slot";
const IN_ORDER: &str = "COMMIT in height order";
const REMEMBERED: &str = "sent votes are remembered";

impl Votes {
    /// A member has made a message and remembers what it promises.
    pub fn given(&mut self, member: ReplicaId, message: &Message) {
        if let Message::Commit(vote) = message
            && vote.signer == member
        {
            let Ballot { view, height, block, .. } = vote.body.0;
            self.given.insert((member, height, view), block);
        }
    }

    /// A correct member whose last block is at `tip` sends a message.
    ///
    /// # Errors
    /// It contradicts an earlier one of the same member, or comes out of order.
    pub fn sent(&mut self, member: ReplicaId, message: &Message, tip: Height, chain: &Chain) -> Check {
        let (kind, ballot, signer) = match message {
            Message::PrePrepare(proposal) => {
                self.parents.insert(proposal.vote.body.0.block, proposal.header.parent);
                (Kind::PrePrepare, proposal.vote.body.0, proposal.vote.signer)
            }
            Message::Prepare(vote) => (Kind::Prepare, vote.body.0, vote.signer),
            Message::Commit(vote) => (Kind::Commit, vote.body.0, vote.signer),
            Message::Status(_) => return Ok(()),
        };
        if signer != member {
            return Ok(()); // passed on, as proposals may be
        }
        if kind == Kind::Commit {
            self.in_order(member, &ballot, tip, chain)?;
        }
        let Ballot { view, height, block, .. } = ballot;
        let first = *self.sent.entry((member, height, view, kind)).or_insert(block);
        require(first == block, ONE_WORD, || {
            format!("member {member} sent {kind:?} for {first} and {block} at height {height}, view {view}")
        })
    }

    fn in_order(&self, member: ReplicaId, ballot: &Ballot, tip: Height, chain: &Chain) -> Check {
        let Ballot { view, height, block, .. } = *ballot;
        let below = Height(height.0 - 1);
        let parent = self.parents.get(&block);
        let vote_below = self.given.get(&(member, below, view));
        let committed_below = chain.at(below).filter(|_| below <= tip).map(|link| &link.hash);
        let ordered = parent.is_some() && (vote_below == parent || committed_below == parent);
        require(ordered, IN_ORDER, || {
            format!("member {member} sent COMMIT for height {height} before its parent was committed to")
        })
    }

    /// A member starts again and stands here: what it said above its last block must be in its slots.
    ///
    /// # Errors
    /// A vote that it would not repeat.
    pub fn reopened(&mut self, member: ReplicaId, stands: &Overview) -> Check {
        for slot in stands.slots.iter().filter(|slot| slot.phase == Phase::Prepared) {
            // Perhaps written by a group whose sync failed, but not without trace.
            if let Some(block) = slot.block {
                self.given.insert((member, slot.height, slot.view), block);
            }
        }
        let first = (member, Height(stands.committed.0 + 1), View(0), Kind::PrePrepare);
        let last = (member, Height(u64::MAX), View(u64::MAX), Kind::Commit);
        for ((_, height, view, kind), block) in self.sent.range(first..=last) {
            let slot = stands.slots.iter().find(|slot| slot.height == *height && slot.view == *view);
            let remembered = slot.is_some_and(|slot| {
                slot.block == Some(*block)
                    && match kind {
                        Kind::PrePrepare => matches!(slot.phase, Phase::PrePrepared | Phase::Prepared),
                        Kind::Prepare => {
                            matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
                                && slot.prepares.contains(&member)
                        }
                        Kind::Commit => slot.phase == Phase::Prepared && slot.commits.contains(&member),
                    }
            });
            require(remembered, REMEMBERED, || {
                format!(
                    "member {member} sent {kind:?} for {block} at height {height}, and after a restart at \
                     height {} its slot is {slot:?}",
                    stands.committed
                )
            })?;
        }
        Ok(())
    }
}
