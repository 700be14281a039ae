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
use crate::messages::proposal::CheckedProposal;
use crate::time::Moment;

/// The log keeps accepted blocks of past views up to this many full windows of 2 W heights (R20d).
/// A prepared certificate that arrives late promises that some replica has the body.
const PAST_WINDOWS: u64 = 8;

/// The message log: proposals and votes above the committed chain.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Ordered by height first, so that committed heights can be split off.
    slots: BTreeMap<(Height, View), Slot>,
    /// For each open height, the prepared certificate of the highest view. Each VIEW-CHANGE carries
    /// them (R19a).
    prepared: BTreeMap<Height, Verified<PreparedCertificate>>,
}

/// An accepted block of a past view that the log dropped (R20d).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GivenUp {
    pub(crate) view: View,
    pub(crate) height: Height,
    pub(crate) block: BlockHash,
    /// Whether the log has the block in no other view. Its body is not needed any more then.
    pub(crate) with_body: bool,
}

impl Log {
    pub(crate) fn slot(&self, height: Height, view: View) -> Option<&Slot> {
        self.slots.get(&(height, view))
    }

    pub(crate) fn slot_mut(&mut self, height: Height, view: View) -> Option<&mut Slot> {
        self.slots.get_mut(&(height, view))
    }

    /// The slot. Makes it if it does not exist.
    pub(crate) fn open(&mut self, now: Moment, height: Height, view: View) -> &mut Slot {
        self.slots.entry((height, view)).or_insert_with(|| Slot { since: now, ..Slot::default() })
    }

    /// Restores a slot after a restart (R13b).
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

    /// Votes extended the committed chain. This is activity at every open height, so nothing counts
    /// as lost yet (R14b).
    pub(crate) fn touch(&mut self, now: Moment) {
        for slot in self.slots.values_mut() {
            slot.since = now;
        }
    }

    /// An accepted block by height and hash, whichever view accepted it.
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

    /// Keeps a prepared certificate, and drops the one of an earlier view for its height.
    pub(crate) fn keep_prepared(&mut self, certificate: Verified<PreparedCertificate>) {
        self.prepared.insert(certificate.ballot().height, certificate);
    }

    /// Drops all that is about heights up to this one: they are committed.
    pub(crate) fn prune_through(&mut self, height: Height) {
        self.slots = self.slots.split_off(&(height.next(), View(0)));
        self.prepared = self.prepared.split_off(&height.next());
    }

    /// Drops all that is about heights above this one, the last of the epoch (R26b).
    pub(crate) fn drop_above(&mut self, last: Height) {
        self.slots.retain(|(height, _), _| *height <= last);
    }

    /// The replica leaves `view`. Drops slots of views up to this one that never began here, unless
    /// their block is accepted. Keeps the slots of `began`, the view that began last: their
    /// messages may still complete a certificate (R11).
    pub(crate) fn forget_unbegun(&mut self, view: View, began: View) {
        self.slots.retain(|(_, of), slot| *of > view || *of == began || slot.accepted().is_some());
    }

    /// Drops what past views need no longer: slots without an accepted block, blocks that are
    /// accepted again in `view`, and blocks beyond [`PAST_WINDOWS`], those of the lowest views
    /// first. It never drops a block whose prepared certificate is here: a later view may need the
    /// body from this replica (R20d).
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
        // Blocks that are accepted again do not count: their slot in this view has them.
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
