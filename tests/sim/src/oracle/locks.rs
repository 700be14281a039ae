//! What may be final stays: a block that a quorum less the faulty has committed to is in every later view.
//!
//! The faulty sign anything, so their votes are counted as given. New views are made again from their view
//! changes, by this file's own reading of the rule.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{BlockHash, Header, Height, ReplicaId, View};
use quorate_pbft::{Message, NewViewMessage};

use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

const LOCKED: &str = "locked blocks stay";
const SELECTION: &str = "new views follow from their view changes";
const SINGLE: &str = "one certificate at a height";

/// How a view began, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opening {
    base: Option<(Height, BlockHash)>,
    chain: Vec<BlockHash>,
}

impl Opening {
    fn end(&self) -> Height {
        self.base.map_or(Height(0), |(base, _)| base).plus(self.chain.len() as u64)
    }
}

/// What was seen in a new view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Blocks proposed again.
    pub again: usize,
    /// Whether something was prepared above the blocks that are proposed again: beyond a hole, or on another block.
    pub truncated: bool,
    /// Whether one of them was proposed by another primary first.
    pub inherited: bool,
}

/// COMMITs of correct members, and all new views that were sent.
#[derive(Debug)]
pub struct Locks {
    quorum: usize,
    commits: BTreeMap<(Height, View, BlockHash), BTreeSet<ReplicaId>>,
    locked: BTreeMap<Height, (View, BlockHash)>,
    openings: BTreeMap<View, Vec<Opening>>,
}

impl Locks {
    /// Nothing yet. A quorum is so many.
    pub fn new(quorum: usize) -> Self {
        Locks { quorum, commits: BTreeMap::new(), locked: BTreeMap::new(), openings: BTreeMap::new() }
    }

    /// A correct member made a message; so many members are faulty.
    ///
    /// # Errors
    /// Two blocks may be certified at one height, or one may be that a later view left out.
    pub fn given(&mut self, member: ReplicaId, message: &Message, faulty: &BTreeSet<ReplicaId>) -> Check {
        let Message::Commit(vote) = message else { return Ok(()) };
        if vote.signer != member {
            return Ok(());
        }
        let ballot = vote.body.0;
        let signers = self.commits.entry((ballot.height, ballot.view, ballot.block)).or_default();
        signers.insert(member);
        if signers.difference(faulty).count() + faulty.len() < self.quorum {
            return Ok(());
        }
        let (height, view, block) = (ballot.height, ballot.view, ballot.block);
        let (first, known) = *self.locked.entry(height).or_insert((view, block));
        require(known == block, SINGLE, || {
            format!("at height {height} {known} may be certified in view {first}, and {block} in view {view}")
        })?;
        for (later, openings) in self.openings.range(View(view.0 + 1)..) {
            for opening in openings {
                keeps(*later, opening, height, block)?;
            }
        }
        Ok(())
    }

    /// The last height of which the beginning of a view speaks; of the one that goes furthest, if there are several.
    pub fn end(&self, view: View) -> Height {
        let ends = self.openings.get(&view).into_iter().flatten().map(Opening::end);
        ends.max().unwrap_or_default()
    }

    /// Whether some beginning of a view allows a vote for this block: above it anything, within it what it says.
    pub fn allows(&self, view: View, height: Height, block: BlockHash) -> bool {
        let Some(openings) = self.openings.get(&view).filter(|openings| !openings.is_empty()) else {
            return true;
        };
        openings.iter().any(|opening| {
            let base = opening.base.map_or(0, |(base, _)| base.0);
            height > opening.end()
                || height.0.checked_sub(base + 1).is_some_and(|place| {
                    usize::try_from(place).is_ok_and(|place| opening.chain.get(place) == Some(&block))
                })
        })
    }

    /// The committed block that a view begins on, if it has but one beginning.
    pub fn base(&self, view: View) -> Option<(Height, BlockHash)> {
        match self.openings.get(&view)?.as_slice() {
            [opening] => opening.base,
            _ => None,
        }
    }

    /// A NEW-VIEW reached a correct member, which found nothing wrong with it.
    ///
    /// # Errors
    /// It does not follow from its view changes, or loses what may be final.
    pub fn opened(
        &mut self,
        new_view: &NewViewMessage,
        chain: &Chain,
    ) -> Result<Shape, crate::oracle::Violation> {
        let view = new_view.vote.body.view;
        let (opening, shape) = select(new_view);
        let claimed: Vec<BlockHash> = new_view.pre_prepares.iter().map(|vote| vote.body.0.block).collect();
        require(claimed == opening.chain, SELECTION, || {
            format!("view {view} begins with {claimed:?}, its view changes say {:?}", opening.chain)
        })?;
        let senders: BTreeSet<_> = new_view.view_changes.iter().map(|change| change.vote.signer).collect();
        require(senders.len() == self.quorum, SELECTION, || {
            format!("view {view} begins with view changes of {senders:?}")
        })?;
        if let Some((height, block)) = opening.base
            && let Some(link) = chain.at(height)
        {
            require(link.hash == block, LOCKED, || {
                format!("view {view} begins on {block} at height {height}, committed is {}", link.hash)
            })?;
        }
        for (height, (locked_in, block)) in &self.locked {
            if *locked_in < view {
                keeps(view, &opening, *height, *block)?;
            }
        }
        let known = self.openings.entry(view).or_default();
        if !known.contains(&opening) {
            known.push(opening);
        }
        Ok(shape)
    }
}

/// A view keeps a locked block: it begins above it, or with it.
fn keeps(view: View, opening: &Opening, height: Height, block: BlockHash) -> Check {
    let base = opening.base.map_or(Height(0), |(base, _)| base);
    let kept = match height.0.checked_sub(base.0 + 1) {
        None if height == base => opening.base.is_none_or(|(_, known)| known == block),
        None => true,
        Some(place) => usize::try_from(place).is_ok_and(|place| opening.chain.get(place) == Some(&block)),
    };
    require(kept, LOCKED, || {
        format!("{block} at height {height} may be final, and view {view} begins with {opening:?}")
    })
}

/// The highest certified block, and above it at each height what was prepared in the highest view, as long as
/// each is the parent of the next.
fn select(new_view: &NewViewMessage) -> (Opening, Shape) {
    let accounts = || new_view.view_changes.iter().map(|change| &change.knowledge);
    let base = accounts()
        .filter_map(|knowledge| knowledge.base.as_ref())
        .map(|base| (base.ballot().height, base.ballot().block))
        .max_by_key(|(height, _)| *height);
    let mut prepared: BTreeMap<Height, (View, &Header)> = BTreeMap::new();
    for certificate in accounts().flat_map(|knowledge| &knowledge.prepared) {
        let ballot = certificate.ballot();
        let best = prepared.entry(ballot.height).or_insert((ballot.view, certificate.header()));
        if ballot.view > best.0 {
            *best = (ballot.view, certificate.header());
        }
    }
    let (mut height, mut end) = base.map_or((Height(0), None), |(height, block)| (height, Some(block)));
    let mut chain = Vec::new();
    let mut inherited = false;
    let primary = new_view.vote.signer;
    while let Some((_, header)) = prepared.get(&Height(height.0 + 1)) {
        if end.is_some_and(|end| header.parent != end) {
            break;
        }
        height = Height(height.0 + 1);
        end = Some(header.hash());
        inherited |= header.proposer != primary;
        chain.push(header.hash());
    }
    let truncated = prepared.keys().any(|above| *above >= height);
    let shape = Shape { again: chain.len(), truncated, inherited };
    (Opening { base, chain }, shape)
}
