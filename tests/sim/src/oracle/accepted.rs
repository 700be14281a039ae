//! What a member may vote for: blocks on its own chain, of the view's primary, timely, within the watermark, as the view
//! began, and nothing once a certificate shows a later view.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Header, Height, ReplicaId, Timestamp, View};
use quorate_pbft::{Message, Overview, Phase, ViewChangeMessage};

use crate::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::locks::Locks;
use crate::oracle::{Check, require};

const OVERTAKEN: &str = "nothing is signed in a view that a quorum has left";
const PARENT: &str = "votes are for blocks on the committed chain";
const PROPOSER: &str = "fresh blocks are of their primary";
const CLOCK: &str = "no vote for a block of the future";
const WATERMARK: &str = "no vote above the watermark";
const BEGINNING: &str = "votes follow the beginning of the view";
const BASE: &str = "the base of a view is final";
const BODIES: &str = "what a view change promises is held";
const BOUNDED: &str = "bounded memory";

/// Members that catch up may be this many windows below the highest committed block that the checker knows.
const WINDOWS: u64 = 4;

/// Views ahead of its own for which a member keeps anything.
const VIEWS: u64 = 2;

/// What is known of a block from its header.
#[derive(Debug, Clone, Copy)]
struct Known {
    parent: BlockHash,
    proposer: ReplicaId,
    time: Timestamp,
}

/// Headers that were ever sent, and the view in which each member's last block was certified.
#[derive(Debug, Default)]
pub struct Accepted {
    headers: BTreeMap<BlockHash, Known>,
    certified: BTreeMap<ReplicaId, View>,
}

/// A member that made a statement, before it handled what made it do so, and after that.
#[derive(Debug)]
pub struct Voter<'a> {
    /// Its last committed height before.
    pub tip: Height,
    /// Where it stands now.
    pub stands: &'a Overview,
    /// What its wall clock shows.
    pub wall: Timestamp,
}

impl Accepted {
    /// Anybody sends a header.
    pub fn learn(&mut self, header: &Header) {
        let known = Known { parent: header.parent, proposer: header.proposer, time: header.timestamp };
        self.headers.insert(header.hash(), known);
    }

    /// The last block of a member is certified in this view.
    pub fn certified(&mut self, member: ReplicaId, view: View) {
        let known = self.certified.entry(member).or_default();
        *known = view.max(*known);
    }

    /// Whether the last block of a member was certified in a later view than its own.
    pub fn is_overtaken(&self, member: ReplicaId, view: View) -> bool {
        self.certified.get(&member).is_some_and(|certified| *certified > view)
    }

    /// A member's process is over.
    pub fn forget(&mut self, member: ReplicaId) {
        self.certified.remove(&member);
    }

    /// A correct member gives a vote for the first time.
    ///
    /// # Errors
    /// It must not.
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
                "member {member} votes in view {view}, its last block is of {:?}",
                self.certified.get(&member)
            )
        })?;
        if !accepts {
            return Ok(());
        }
        let mark = voter.stands.stable.plus(knobs.log_window);
        require(height <= mark, WATERMARK, || {
            format!("member {member} votes at height {height} above {mark}")
        })?;
        require(locks.allows(view, height, block), BEGINNING, || {
            format!("member {member} votes for {block} at height {height}; view {view} begins otherwise")
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
        let primary = view.0 % knobs.members as u64;
        require(u64::from(known.proposer.0) == primary, PROPOSER, || {
            format!("member {member} votes for a block of {} in view {view}", known.proposer)
        })?;
        let latest = voter.wall.plus_ms(knobs.clock_tolerance_ms);
        require(known.time <= latest, CLOCK, || {
            format!("member {member} votes for a block of {}, its clock shows {}", known.time, voter.wall)
        })
    }

    /// A correct member stands here.
    ///
    /// # Errors
    /// It keeps votes without bound, or did not finalise what its view began with.
    pub fn stands(&self, stands: &Overview, chain: &Chain, locks: &Locks, knobs: &Knobs) -> Check {
        let top = chain.height().plus(WINDOWS * knobs.window);
        let last = View(stands.view.0.saturating_add(VIEWS));
        let far = stands.slots.iter().find(|slot| slot.height > top || slot.view > last);
        require(far.is_none(), BOUNDED, || format!("in view {} a slot is kept: {far:?}", stands.view))?;
        let Some((base, block)) = locks.base(stands.view).filter(|_| stands.active) else { return Ok(()) };
        let (mut height, mut wanted) = (base, block);
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
        require(base <= stands.committed, BASE, || {
            format!(
                "view {} begins on height {base}, all of which is here, final is {}",
                stands.view, stands.committed
            )
        })
    }

    /// A correct member that stands here leaves a view.
    ///
    /// # Errors
    /// It shows a prepared certificate of a block that it does not hold.
    pub fn leaves(member: ReplicaId, change: &ViewChangeMessage, stands: &Overview) -> Check {
        for certificate in &change.knowledge.prepared {
            let Ballot { height, block, .. } = certificate.ballot();
            let held = height <= stands.committed
                || stands.slots.iter().any(|slot| {
                    slot.height == height
                        && slot.block == Some(block)
                        && matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
                });
            require(held, BODIES, || {
                format!("member {member} shows {block} at height {height} and gave it up")
            })?;
        }
        Ok(())
    }
}
