//! Every member keeps its statements consistent in all its lives: one statement per subject, no
//! vote in a view that it has left, COMMITs in height order, complete payloads when it leaves. And
//! everything that it sent is in its files when it starts again.

mod certificates;
mod restarts;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Ballot, BlockHash, Hash, Header, Height, ReplicaId, View};
use quorate_pbft::{Message, Overview};

use crate::oracle::chain::Chain;
use crate::oracle::votes::statements::{IntoHash, Kind, Place, statements};
use crate::oracle::{Check, require};

/// All statements that correct members ever signed in one epoch, and the parents of blocks.
#[derive(Debug)]
pub struct Votes {
    /// The height below the epoch: that of the committed anchor of a payload that names none.
    root: Height,
    /// Signed and journaled, whether sent or not: a crash may happen in between.
    given: BTreeMap<(ReplicaId, Place), Hash>,
    sent: BTreeSet<(ReplicaId, Place)>,
    /// The member has left all views below this one.
    floors: BTreeMap<ReplicaId, View>,
    /// The view, and whether it has begun.
    views: BTreeMap<ReplicaId, (View, bool)>,
    parents: BTreeMap<BlockHash, BlockHash>,
    /// Views for which a member may have left in a group whose sync failed.
    unheard: BTreeMap<ReplicaId, View>,
}

const ONE_WORD: &str = "no two statements about one subject";
const ONE_BLOCK: &str = "all votes of a member at a height in a view are for one block";
const PROMISE: &str = "no vote in a view that was left";
const MONOTONE: &str = "views only increase";
const IN_ORDER: &str = "COMMIT in height order";
const REMEMBERED: &str = "sent statements are durable";
const OPEN: &str = "VIEW-CHANGEs are complete";

impl Votes {
    /// No statements yet, in an epoch above this height.
    pub fn on(root: Height) -> Self {
        Votes {
            root,
            given: BTreeMap::new(),
            sent: BTreeSet::new(),
            floors: BTreeMap::new(),
            views: BTreeMap::new(),
            parents: BTreeMap::new(),
            unheard: BTreeMap::new(),
        }
    }

    /// A header of a message shows the parent of a block.
    pub fn learn(&mut self, block: BlockHash, header: &Header) {
        self.parents.insert(block, header.parent);
    }

    /// A correct member has signed a message and journaled it. It has committed up to `tip`.
    ///
    /// # Errors
    /// The message contradicts an earlier statement, or breaks a rule.
    pub fn given(&mut self, member: ReplicaId, message: &Message, tip: Height) -> Check {
        let floor = self.floors.get(&member).copied().unwrap_or(View(0));
        for (place, hash) in statements(member, message) {
            let (kind, view, height) = place;
            if let Some(first) = self.given.get(&(member, place)) {
                require(*first == hash, ONE_WORD, || {
                    format!(
                        "member {member} signs {kind:?} of {first} and of {hash}, height {height}, view {view}"
                    )
                })?;
                continue;
            }
            let late = (kind.is_vote() || kind == Kind::ViewChange) && view < floor;
            require(!late, PROMISE, || {
                format!(
                    "member {member} signs {kind:?} at height {height} in view {view}, but it left for {floor}"
                )
            })?;
            self.crosses_nothing(member, place, &hash)?;
            self.given.insert((member, place), hash);
            if let Message::ViewChange(change) = message {
                // Signed before a failed sync that no other member noticed, and sent only now.
                if self.unheard.get(&member) != Some(&view) {
                    self.hides_nothing(member, change, tip)?;
                }
                self.floors.insert(member, view);
            }
        }
        Ok(())
    }

    /// R4, R22a: PRE-PREPARE, PREPARE and COMMIT of a member at a height in a view are for one block.
    fn crosses_nothing(&self, member: ReplicaId, place: Place, block: &Hash) -> Check {
        let (kind, view, height) = place;
        let votes = [Kind::PrePrepare, Kind::Prepare, Kind::Commit];
        for other in votes.into_iter().filter(|_| kind.is_vote()) {
            let given = self.given.get(&(member, (other, view, height)));
            require(given.is_none_or(|given| given == block), ONE_BLOCK, || {
                format!(
                    "member {member} signs {kind:?} of {block} at height {height} in view {view}, and \
                     {other:?} of {given:?}"
                )
            })?;
        }
        Ok(())
    }

    /// Whether this message contains a statement that the member has never signed before.
    pub fn is_new(&self, member: ReplicaId, message: &Message) -> bool {
        statements(member, message).iter().any(|(place, _)| !self.given.contains_key(&(member, *place)))
    }

    /// A VIEW-CHANGE contains everything to which its sender has committed.
    fn hides_nothing(
        &self,
        member: ReplicaId,
        change: &quorate_pbft::ViewChangeMessage,
        tip: Height,
    ) -> Check {
        let payload = &change.payload;
        let anchor = payload.anchor.as_ref().map_or(self.root, |anchor| anchor.ballot().height);
        require(anchor >= tip, OPEN, || {
            format!("member {member} has committed height {tip}, and leaves with anchor {anchor}")
        })?;
        let first = (member, (Kind::Commit, View(0), Height(0)));
        let last = (member, (Kind::Commit, change.vote.body.view, Height(0)));
        for ((_, (_, view, height)), block) in self.given.range(first..last) {
            if *height <= anchor {
                continue;
            }
            let shown = payload.prepared.iter().any(|certificate| {
                let ballot = certificate.ballot();
                let same = ballot.block.into_hash() == *block;
                ballot.height == *height && (ballot.view > *view || ballot.view == *view && same)
            });
            require(shown, OPEN, || {
                format!(
                    "member {member} committed to {block} at height {height} in view {view} and does not \
                     show it when it leaves for view {}",
                    change.vote.body.view
                )
            })?;
        }
        Ok(())
    }

    /// A correct member whose last block is at `tip` sends a message.
    ///
    /// # Errors
    /// It is not journaled yet, or is out of order.
    pub fn sent(&mut self, member: ReplicaId, message: &Message, tip: Height, chain: &Chain) -> Check {
        for (place, hash) in statements(member, message) {
            require(self.given.get(&(member, place)) == Some(&hash), REMEMBERED, || {
                format!("member {member} sends {place:?} {hash}, which is not journaled")
            })?;
            self.sent.insert((member, place));
        }
        match message {
            Message::Commit(vote) if vote.signer == member => self.in_order(member, &vote.body.0, tip, chain),
            _ => Ok(()),
        }
    }

    fn in_order(&self, member: ReplicaId, ballot: &Ballot, tip: Height, chain: &Chain) -> Check {
        let Ballot { view, height, block, .. } = *ballot;
        let below = Height(height.0 - 1);
        let parent = self.parents.get(&block).map(|parent| parent.into_hash());
        let vote_below = self.given.get(&(member, (Kind::Commit, view, below))).copied();
        let link = chain.at(below).filter(|_| below <= tip);
        let committed_below = link.map(|link| link.hash.into_hash());
        let ordered = parent.is_some() && (vote_below == parent || committed_below == parent);
        require(ordered, IN_ORDER, || {
            format!("member {member} sent COMMIT for height {height} before it committed to the parent")
        })
    }

    /// Checks the state of a member.
    ///
    /// # Errors
    /// It went back to an earlier state.
    pub fn stands(&mut self, member: ReplicaId, stands: &Overview) -> Check {
        let now = (stands.view, stands.active);
        let before = self.views.insert(member, now).unwrap_or((View(0), false));
        require(now >= before, MONOTONE, || format!("member {member} goes from {before:?} to {now:?}"))?;
        if stands.active {
            let floor = self.floors.entry(member).or_default();
            *floor = stands.view.max(*floor);
        }
        Ok(())
    }

    /// A member is faulty from now on.
    pub fn mark_faulty(&mut self, member: ReplicaId) {
        self.views.remove(&member);
    }
}
