//! From a proposal to its certificate: the message log, and what follows from it (R2 to R12).

pub(crate) mod certify;
pub(crate) mod prepared;
pub(crate) mod proposals;
pub(crate) mod slot;

use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{BlockHash, Height, Verified, View};

use self::prepared::PreparedCertificate;
use self::slot::Slot;
use crate::messages::CheckedProposal;
use crate::time::Moment;

/// Accepted blocks of views that were left are kept as long as they are no more than this many full windows: a prepared
/// certificate that shows up late says that some replica has the body.
const PAST_WINDOWS: u64 = 8;

/// The message log: proposals and votes above the committed chain.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By height first, so that committed heights can be split off.
    slots: BTreeMap<(Height, View), Slot>,
    /// For each open height the prepared certificate of the highest view: every later view must know them.
    prepared: BTreeMap<Height, Verified<PreparedCertificate>>,
}

/// An accepted block of a past view that the log gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) view: View,
    pub(crate) height: Height,
    pub(crate) block: BlockHash,
    /// Whether it was accepted in no other view that is kept: then its body is not needed any more.
    pub(crate) with_body: bool,
}

impl Log {
    pub(crate) fn slot(&self, height: Height, view: View) -> Option<&Slot> {
        self.slots.get(&(height, view))
    }

    pub(crate) fn slot_mut(&mut self, height: Height, view: View) -> Option<&mut Slot> {
        self.slots.get_mut(&(height, view))
    }

    /// The slot, made if need be.
    pub(crate) fn open(&mut self, now: Moment, height: Height, view: View) -> &mut Slot {
        self.slots.entry((height, view)).or_insert_with(|| Slot { since: now, ..Slot::default() })
    }

    /// Takes a slot back after a restart.
    pub(crate) fn restore(&mut self, height: Height, view: View, slot: Slot) {
        self.slots.insert((height, view), slot);
    }

    /// All slots, ascending by height and view.
    pub(crate) fn slots(&self) -> impl DoubleEndedIterator<Item = (Height, View, &Slot)> {
        self.slots.iter().map(|((height, view), slot)| (*height, *view, slot))
    }

    /// The slots of one view, ascending by height.
    pub(crate) fn slots_of(&self, view: View) -> impl Iterator<Item = (Height, &Slot)> {
        self.slots().filter(move |(_, of, _)| *of == view).map(|(height, _, slot)| (height, slot))
    }

    /// Something was committed by votes: no slot lacks anything for now (R14).
    pub(crate) fn touch(&mut self, now: Moment) {
        for slot in self.slots.values_mut() {
            slot.since = now;
        }
    }

    /// An accepted block by height and hash, in whatever view it was accepted.
    pub(crate) fn accepted_block(&self, height: Height, block: &BlockHash) -> Option<&CheckedProposal> {
        self.slots
            .range((height, View(0))..(height.next(), View(0)))
            .filter_map(|(_, slot)| slot.accepted())
            .find(|proposal| proposal.ballot().block == *block)
    }

    /// The prepared certificates of all open heights, ascending by height.
    pub(crate) fn prepared(&self) -> impl Iterator<Item = &Verified<PreparedCertificate>> {
        self.prepared.values()
    }

    /// Keeps a prepared certificate in the place of the one of an earlier view.
    pub(crate) fn keep_prepared(&mut self, certificate: Verified<PreparedCertificate>) {
        self.prepared.insert(certificate.ballot().height, certificate);
    }

    /// Forgets all heights up to this one: they are committed.
    pub(crate) fn prune_through(&mut self, height: Height) {
        self.slots = self.slots.split_off(&(height.next(), View(0)));
        self.prepared = self.prepared.split_off(&height.next());
    }

    /// The replica leaves `view`. Forgets the messages of views up to this one that never began here. Messages of `began`,
    /// the last one that did, may still complete a certificate.
    pub(crate) fn forget_unbegun(&mut self, view: View, began: View) {
        self.slots.retain(|(_, of), slot| *of > view || *of == began || slot.accepted().is_some());
    }

    /// Forgets what is left of the views below this one: slots without an accepted block, blocks that are accepted again
    /// in this view, and the oldest ones beyond [`PAST_WINDOWS`]. It never forgets a block that a prepared certificate here
    /// is for: a later view may need its body from this replica.
    pub(crate) fn forget_past(&mut self, view: View, window: u64) -> Vec<GivenUp> {
        self.slots.retain(|(_, of), slot| *of >= view || slot.accepted().is_some());
        let mut past: Vec<(View, Height)> = Vec::new();
        let mut again: Vec<(View, Height)> = Vec::new();
        for ((height, of), slot) in &self.slots {
            let Some(accepted) = slot.accepted().filter(|_| *of < view) else { continue };
            let now = self.slot(*height, view).and_then(|slot| slot.accepted());
            let same = now.is_some_and(|now| now.ballot().block == accepted.ballot().block);
            if same { again.push((*of, *height)) } else { past.push((*of, *height)) }
        }
        let mut given_up: Vec<GivenUp> = again.into_iter().filter_map(|place| self.give_up(place)).collect();
        let most = usize::try_from(PAST_WINDOWS * 2 * window).unwrap_or(usize::MAX);
        past.sort_unstable();
        let excess = past.len().saturating_sub(most);
        let unproven: Vec<_> =
            past.into_iter().filter(|place| !self.is_prepared(*place)).take(excess).collect();
        given_up.extend(unproven.into_iter().filter_map(|place| self.give_up(place)));
        given_up
    }

    fn is_prepared(&self, (view, height): (View, Height)) -> bool {
        let block = self.slots[&(height, view)].accepted().map(|accepted| accepted.ballot().block);
        let prepared = self.prepared.get(&height).map(|certificate| certificate.ballot().block);
        prepared == block && !is(Mutant::PastBlocksGivenUp)
    }

    fn give_up(&mut self, (view, height): (View, Height)) -> Option<GivenUp> {
        let block = self.slots.remove(&(height, view))?.accepted()?.ballot().block;
        let with_body = self.accepted_block(height, &block).is_none();
        Some(GivenUp { view, height, block, with_body })
    }
}
