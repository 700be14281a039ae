//! Blocks that may be final are kept: every later view contains a block to which a quorum less the
//! faulty members has committed.
//!
//! Faulty members may sign anything, so their votes count as given. The checker computes new views
//! from their VIEW-CHANGEs itself.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{BlockHash, Header, Height, ReplicaId, View};
use quorate_pbft::{EpochRoot, Message, NewViewMessage};

use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

const LOCKED: &str = "locked blocks are kept";
const SELECTION: &str = "new views follow from their view changes";
const SINGLE: &str = "one certificate at a height";

/// The relevant data of the beginning of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opening {
    /// The committed anchor, or the block below the epoch.
    anchor: (Height, BlockHash),
    chain: Vec<BlockHash>,
}

impl Opening {
    fn end(&self) -> Height {
        self.anchor.0.plus(self.chain.len() as u64)
    }
}

/// Properties of a NEW-VIEW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Blocks proposed again.
    pub again: usize,
    /// Whether a block was prepared above those that are proposed again: above a hole, or on
    /// another block.
    pub truncated: bool,
    /// Whether another primary first proposed one of them.
    pub inherited: bool,
}

/// COMMITs of correct members, and all NEW-VIEWs that were sent, in one epoch.
#[derive(Debug)]
pub struct Locks {
    quorum: usize,
    /// The block below the epoch.
    root: EpochRoot,
    commits: BTreeMap<(Height, View, BlockHash), BTreeSet<ReplicaId>>,
    locked: BTreeMap<Height, (View, BlockHash)>,
    openings: BTreeMap<View, Vec<Opening>>,
}

impl Locks {
    /// Starts empty, with this quorum, in the epoch above this block.
    pub fn new(quorum: usize, root: EpochRoot) -> Self {
        Locks { quorum, root, commits: BTreeMap::new(), locked: BTreeMap::new(), openings: BTreeMap::new() }
    }

    /// A correct member signed a message. `faulty` are the faulty members.
    ///
    /// # Errors
    /// Two blocks may be certified at one height, or a block that a later view omitted.
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

    /// The last height in the beginning of a view; the highest one if there are several beginnings.
    pub fn end(&self, view: View) -> Height {
        let ends = self.openings.get(&view).into_iter().flatten().map(Opening::end);
        ends.max().unwrap_or_default()
    }

    /// Whether some beginning of a view allows a vote for this block: any block above its last
    /// height, otherwise only the named one.
    pub fn allows(&self, view: View, height: Height, block: BlockHash) -> bool {
        let Some(openings) = self.openings.get(&view).filter(|openings| !openings.is_empty()) else {
            return true;
        };
        openings.iter().any(|opening| {
            height > opening.end()
                || height.0.checked_sub(opening.anchor.0.0 + 1).is_some_and(|place| {
                    usize::try_from(place).is_ok_and(|place| opening.chain.get(place) == Some(&block))
                })
        })
    }

    /// The committed anchor of a view, if it has only one beginning.
    pub fn anchor(&self, view: View) -> Option<(Height, BlockHash)> {
        match self.openings.get(&view)?.as_slice() {
            [opening] => Some(opening.anchor),
            _ => None,
        }
    }

    /// A correct member received a NEW-VIEW and found it valid.
    ///
    /// # Errors
    /// It does not follow from its VIEW-CHANGEs, or omits a block that may be final.
    pub fn opened(
        &mut self,
        new_view: &NewViewMessage,
        chain: &Chain,
    ) -> Result<Shape, crate::oracle::Violation> {
        let view = new_view.vote.body.view;
        let (opening, shape) = select(new_view, self.root);
        let claimed: Vec<BlockHash> = new_view.pre_prepares.iter().map(|vote| vote.body.0.block).collect();
        require(claimed == opening.chain, SELECTION, || {
            format!("view {view} begins with {claimed:?}, but its VIEW-CHANGEs result in {:?}", opening.chain)
        })?;
        let senders: BTreeSet<_> = new_view.view_changes.iter().map(|change| change.vote.signer).collect();
        require(senders.len() == self.quorum, SELECTION, || {
            format!("view {view} begins with view changes of {senders:?}")
        })?;
        let (height, block) = opening.anchor;
        if let Some(link) = chain.at(height) {
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
    let (anchor, known) = opening.anchor;
    let kept = match height.0.checked_sub(anchor.0 + 1) {
        None if height == anchor => known == block,
        None => true,
        Some(place) => usize::try_from(place).is_ok_and(|place| opening.chain.get(place) == Some(&block)),
    };
    require(kept, LOCKED, || {
        format!("{block} at height {height} may be final, and view {view} begins with {opening:?}")
    })
}

/// The highest certified block, and above it at each height the block that was prepared in the
/// highest view, as long as each is the parent of the next.
fn select(new_view: &NewViewMessage, root: EpochRoot) -> (Opening, Shape) {
    let accounts = || new_view.view_changes.iter().map(|change| &change.payload);
    let anchor = accounts()
        .filter_map(|payload| payload.anchor.as_ref())
        .map(|anchor| (anchor.ballot().height, anchor.ballot().block))
        .max_by_key(|(height, _)| *height)
        .unwrap_or((root.height, root.block));
    let mut prepared: BTreeMap<Height, (View, &Header)> = BTreeMap::new();
    for certificate in accounts().flat_map(|payload| &payload.prepared) {
        let ballot = certificate.ballot();
        let best = prepared.entry(ballot.height).or_insert((ballot.view, certificate.header()));
        if ballot.view > best.0 {
            *best = (ballot.view, certificate.header());
        }
    }
    let (mut height, mut end) = anchor;
    let mut chain = Vec::new();
    let mut inherited = false;
    let primary = new_view.vote.signer;
    while let Some((_, header)) = prepared.get(&Height(height.0 + 1)) {
        if header.parent != end {
            break;
        }
        height = Height(height.0 + 1);
        end = header.hash();
        inherited |= header.proposer != primary;
        chain.push(header.hash());
    }
    let truncated = prepared.keys().any(|above| *above >= height);
    let shape = Shape { again: chain.len(), truncated, inherited };
    (Opening { anchor, chain }, shape)
}
