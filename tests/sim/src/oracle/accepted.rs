//! What a member may vote for: blocks on its own chain, proposed by the view's primary, with a
//! valid time, within the watermark, consistent with the beginning of the view. It may not vote at
//! all once a certificate shows a later view.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Header, Height, ReplicaId, Timestamp, View};
use quorate_pbft::{Message, Overview, Phase, ViewChangeMessage};

use crate::occasions::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::locks::Locks;
use crate::oracle::{Check, require};

const OVERTAKEN: &str = "no votes in a view that a quorum has left";
const PARENT: &str = "votes are for blocks on the committed chain";
const PROPOSER: &str = "the primary is the proposer of fresh blocks";
const CLOCK: &str = "no vote for a block with a future time";
const WATERMARK: &str = "no vote above the watermark";
const BEGINNING: &str = "votes agree with the beginning of the view";
const BASE: &str = "the committed anchor of a view is final";
const BODIES: &str = "blocks in a view-change payload are kept";
const BOUNDED: &str = "bounded memory";

/// Members that catch up may be this many windows below the highest committed block that the
/// checker knows.
const WINDOWS: u64 = 4;

/// Number of views ahead of its own for which a member keeps messages.
const VIEWS: u64 = 2;

/// The relevant fields of a header.
#[derive(Debug, Clone, Copy)]
struct Known {
    parent: BlockHash,
    proposer: ReplicaId,
    time: Timestamp,
}

/// All headers that were sent, and the view in which each member's last block was certified.
#[derive(Debug, Default)]
pub struct Accepted {
    headers: BTreeMap<BlockHash, Known>,
    certified: BTreeMap<ReplicaId, View>,
}

/// The state of a member that signed a statement, before and after it handled the event that caused
/// it.
#[derive(Debug)]
pub struct Voter<'a> {
    /// Its last committed height before.
    pub tip: Height,
    /// Its state now.
    pub stands: &'a Overview,
    /// The time on its wall clock.
    pub wall: Timestamp,
}

impl Accepted {
    /// Records a header that a member sends.
    pub fn learn(&mut self, block: BlockHash, header: &Header) {
        let known = Known { parent: header.parent, proposer: header.proposer, time: header.timestamp };
        self.headers.insert(block, known);
    }

    /// Records that a member's last block is certified in this view.
    pub fn certified(&mut self, member: ReplicaId, view: View) {
        let known = self.certified.entry(member).or_default();
        *known = view.max(*known);
    }

    /// Whether a member's last block was certified in a later view than its own.
    pub fn is_overtaken(&self, member: ReplicaId, view: View) -> bool {
        self.certified.get(&member).is_some_and(|certified| *certified > view)
    }

    /// A member's process has ended.
    pub fn forget(&mut self, member: ReplicaId) {
        self.certified.remove(&member);
    }

    /// A correct member signs a vote for the first time.
    ///
    /// # Errors
    /// The member must not vote for this block.
    pub fn votes(
        &self,
        member: ReplicaId,
        message: &Message,
        voter: &Voter<'_>,
        chain: &Chain,
        locks: &Locks,
        knobs: &Knobs,
    ) -> Check {
        let (ballot, accepts) = match message {
            Message::PrePrepare(proposal) if proposal.vote.signer == member => (proposal.vote.body.0, true),
            Message::Prepare(vote) if vote.signer == member => (vote.body.0, true),
            Message::Commit(vote) if vote.signer == member => (vote.body.0, false),
            _ => return Ok(()),
        };
        let Ballot { view, height, block, .. } = ballot;
        require(!self.is_overtaken(member, view), OVERTAKEN, || {
            format!(
                "member {member} votes in view {view}, its last block was certified in view {:?}",
                self.certified.get(&member)
            )
        })?;
        if !accepts {
            return Ok(());
        }
        let mark = voter.stands.stable.plus(knobs.log_window);
        // A quorum has accepted what a view proposes again.
        let is_again = height <= locks.end(view);
        require(height <= mark || is_again, WATERMARK, || {
            format!("member {member} votes at height {height} above {mark}")
        })?;
        require(locks.allows(view, height, block), BEGINNING, || {
            format!(
                "member {member} votes for {block} at height {height}; view {view} begins with another block"
            )
        })?;
        let Some(known) = self.headers.get(&block) else { return Ok(()) };
        let below = height.previous().unwrap_or_default();
        if below <= voter.tip
            && let Some(link) = chain.at(below)
        {
            require(link.hash == known.parent, PARENT, || {
                format!("member {member} votes at height {height} for a child of {}", known.parent)
            })?;
        }
        if height <= locks.end(view) || matches!(message, Message::PrePrepare(_)) {
            return Ok(());
        }
        require(known.proposer == knobs.primary(view), PROPOSER, || {
            format!("member {member} votes for a block of proposer {} in view {view}", known.proposer)
        })?;
        let latest = voter.wall.plus_ms(knobs.clock_tolerance_ms);
        require(known.time <= latest, CLOCK, || {
            format!(
                "member {member} votes for a block with time {}, its clock shows {}",
                known.time, voter.wall
            )
        })
    }

    /// Checks the state of a correct member.
    ///
    /// # Errors
    /// It keeps votes without bound, or did not commit the blocks with which its view began.
    pub fn stands(&self, stands: &Overview, chain: &Chain, locks: &Locks, knobs: &Knobs) -> Check {
        let top = chain.height().plus(WINDOWS * knobs.window);
        let last = View(stands.view.0.saturating_add(VIEWS));
        let far = stands.slots.iter().find(|slot| slot.height > top || slot.view > last);
        require(far.is_none(), BOUNDED, || {
            format!("in view {} a distant slot is kept: {far:?}", stands.view)
        })?;
        let Some((anchor, block)) = locks.anchor(stands.view).filter(|_| stands.active) else {
            return Ok(());
        };
        let (mut height, mut wanted) = (anchor, block);
        let accepted = |height: Height, block: BlockHash| {
            stands.slots.iter().any(|slot| {
                slot.height == height
                    && slot.block == Some(block)
                    && matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
            })
        };
        while height > stands.committed {
            let Some(known) = self.headers.get(&wanted).filter(|_| accepted(height, wanted)) else {
                return Ok(());
            };
            wanted = known.parent;
            height = height.previous().unwrap_or_default();
        }
        require(anchor <= stands.committed, BASE, || {
            format!(
                "view {} begins at height {anchor}, whose blocks are complete, but only {} is committed",
                stands.view, stands.committed
            )
        })
    }

    /// A correct member in this state leaves a view.
    ///
    /// # Errors
    /// Its payload has a prepared certificate of a block that it does not hold.
    pub fn leaves(member: ReplicaId, change: &ViewChangeMessage, stands: &Overview) -> Check {
        for certificate in &change.payload.prepared {
            let Ballot { height, block, .. } = certificate.ballot();
            let held = height <= stands.committed
                || stands.slots.iter().any(|slot| {
                    slot.height == height
                        && slot.block == Some(block)
                        && matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
                });
            require(held, BODIES, || {
                format!("member {member} reports {block} at height {height}, which it no longer holds")
            })?;
        }
        Ok(())
    }
}
