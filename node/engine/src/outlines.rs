//! Finding out what is in a block that a new view proposes again and that was never seen here (R20).

use std::collections::BTreeMap;

use quorate_ledger::{Header, Height, Outline, ReplicaId, TransactionId};
use quorate_pbft::{Input, Moment, Now};

use crate::asking::{Asking, Helped};
use crate::engine::Engine;
use crate::event::{Effects, FetchId};
use crate::wire::Ask;

#[derive(Debug)]
struct Wanted {
    header: Header,
    /// The new primary is asked first; it sends what it has along with its NEW-VIEW.
    asking: Asking,
}

/// Blocks of which only the header is known: at most one for each open height.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    wanted: BTreeMap<Height, Wanted>,
}

impl Outlines {
    pub(crate) fn want(&mut self, header: Header, asking: Asking) {
        self.wanted.insert(header.height, Wanted { header, asking });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.wanted.clear();
    }

    /// A member is gone: what was asked there last is asked of the next one at once.
    pub(crate) fn lost(&mut self, now: Now, peer: ReplicaId) {
        self.wanted.values_mut().for_each(|wanted| wanted.asking.lost(now.moment, peer));
    }

    /// It is known now.
    pub(crate) fn found(&mut self, height: Height) {
        self.wanted.remove(&height);
    }

    pub(crate) fn forget_through(&mut self, height: Height) {
        self.wanted = self.wanted.split_off(&height.next());
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.wanted.values().map(|wanted| wanted.asking.deadline()).min()
    }
}

impl Engine {
    /// Finds out what is in the block with this header; `from` proposes it again.
    pub(crate) fn want_outline(&mut self, now: Now, header: Header, from: ReplicaId) {
        let asking = Asking::new(now.moment, self.me, self.config.pbft.committee.size(), from);
        self.outlines.want(header, asking);
    }

    /// Asks for the ids of these blocks: one member, and the next one as well when it does not answer soon.
    pub(crate) fn ask_for_outlines(&mut self, now: Now, effects: &mut Effects) {
        for wanted in self.outlines.wanted.values_mut() {
            let fetch = FetchId(self.fetches);
            let Some(member) = wanted.asking.ask(now.moment, fetch, &mut self.patience) else { continue };
            self.fetches += 1;
            effects.asks.push((member, fetch, Ask::Ids { block: wanted.header.hash() }));
        }
    }

    /// Takes an answer, however late it comes. What does not match the header is as good as none.
    pub(crate) fn on_ids(&mut self, now: Now, fetch: FetchId, ids: Option<Vec<TransactionId>>) {
        let open = self.outlines.wanted.values_mut().find(|wanted| wanted.asking.is_open(fetch));
        let Some(wanted) = open else { return };
        if let Some(outline) = ids.and_then(|ids| Outline::new(wanted.header.clone(), ids).ok()) {
            let height = wanted.header.height;
            self.outlines.found(height);
            self.inputs.push_back(Input::Outlined(outline));
            self.drain_inputs(now);
            return;
        }
        wanted.asking.answered(now.moment, fetch, Helped::Not, &mut self.patience);
    }
}
