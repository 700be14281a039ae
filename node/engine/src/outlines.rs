//! Finding out what is in a block that a new view proposes again and that was never seen here (R20).

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::{Header, Height, Outline, ReplicaId, TransactionId};
use quorate_pbft::{Input, Moment, Now};

use crate::engine::Engine;
use crate::event::{Effects, FetchId};
use crate::examine::next_member;
use crate::wire::Ask;

/// The new primary sends what it has along with its NEW-VIEW.
const GRACE: Duration = Duration::from_millis(50);

/// Whoever has not answered after this is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Wanted {
    header: Header,
    candidate: ReplicaId,
    asked: Option<FetchId>,
    ask_at: Moment,
}

/// Blocks of which only the header is known: at most one for each open height.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    wanted: BTreeMap<Height, Wanted>,
}

impl Outlines {
    pub(crate) fn want(&mut self, now: Now, header: Header, from: ReplicaId) {
        let wanted = Wanted { candidate: from, asked: None, ask_at: now.moment.after(GRACE), header };
        self.wanted.insert(wanted.header.height, wanted);
    }

    pub(crate) fn clear(&mut self) {
        self.wanted.clear();
    }

    /// A member is gone: whoever was asked there asks the next one at once.
    pub(crate) fn lost(&mut self, now: Now, peer: ReplicaId) {
        let asked = |wanted: &&mut Wanted| wanted.asked.is_some() && wanted.candidate == peer;
        self.wanted.values_mut().filter(asked).for_each(|wanted| wanted.ask_at = now.moment);
    }

    /// It is known now.
    pub(crate) fn found(&mut self, height: Height) {
        self.wanted.remove(&height);
    }

    pub(crate) fn forget_through(&mut self, height: Height) {
        self.wanted = self.wanted.split_off(&height.next());
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.wanted.values().map(|wanted| wanted.ask_at).min()
    }
}

impl Engine {
    /// Asks one member after the other.
    pub(crate) fn ask_for_outlines(&mut self, now: Now, effects: &mut Effects) {
        let (me, size) = (self.me, self.config.pbft.committee.size());
        for wanted in self.outlines.wanted.values_mut().filter(|wanted| now.moment >= wanted.ask_at) {
            if wanted.asked.is_some() || wanted.candidate == me {
                wanted.candidate = next_member(wanted.candidate, me, size);
            }
            let fetch = FetchId(self.fetches);
            self.fetches += 1;
            effects.asks.push((wanted.candidate, fetch, Ask::Ids { block: wanted.header.hash() }));
            wanted.asked = Some(fetch);
            wanted.ask_at = now.moment.after(PATIENCE);
        }
    }

    /// Takes an answer. Whatever does not match the header is as good as none: the next member is asked, after a
    /// pause, so that nobody is asked in a circle.
    pub(crate) fn on_ids(&mut self, now: Now, fetch: FetchId, ids: Option<Vec<TransactionId>>) {
        let (me, size) = (self.me, self.config.pbft.committee.size());
        let open = self.outlines.wanted.values_mut().find(|wanted| wanted.asked == Some(fetch));
        let Some(wanted) = open else { return };
        if let Some(outline) = ids.and_then(|ids| Outline::new(wanted.header.clone(), ids).ok()) {
            let height = wanted.header.height;
            self.outlines.found(height);
            self.inputs.push_back(Input::Outlined(outline));
            self.drain_inputs(now);
            return;
        }
        wanted.asked = None;
        wanted.candidate = next_member(wanted.candidate, me, size);
        wanted.ask_at = now.moment.after(PATIENCE / 4);
    }
}
