//! What this node lacks, and which member it asks for it (R12, R20).

pub(crate) mod apply;
pub(crate) mod bodies;
pub(crate) mod catchup;
pub(crate) mod range;
pub(crate) mod schedule;
pub(crate) mod skeletons;

use std::collections::BTreeMap;

use quorate_ledger::{Header, Height, ReplicaId};
use quorate_pbft::Moment;

use self::bodies::Examination;
use self::catchup::{CatchUp, Pace};
use self::schedule::{Helped, Schedule, Wait};
use crate::event::FetchId;
use crate::wire::FetchRequest;

/// All open requests of this node.
#[derive(Debug)]
pub(crate) struct Fetching {
    /// For certified blocks.
    pub(crate) blocks: CatchUp,
    /// For the transactions of proposals.
    pub(crate) bodies: Requests<Examination>,
    /// For the ids in blocks of which only the header is known.
    pub(crate) skeletons: Requests<Header>,
    wait: Wait,
    next: u64,
}

impl Fetching {
    pub(crate) fn new(pace: Pace) -> Self {
        Fetching {
            blocks: CatchUp::new(pace),
            bodies: Requests::default(),
            skeletons: Requests::default(),
            wait: Wait::new(pace),
            next: 0,
        }
    }

    /// A channel was closed. Requests that waited for this member go to the next one at once.
    pub(crate) fn lost(&mut self, now: Moment, peer: ReplicaId) {
        self.blocks.lost(peer);
        self.bodies.lost(now, peer);
        self.skeletons.lost(now, peer);
    }

    /// A view was left: drops the requests for its proposals.
    pub(crate) fn clear(&mut self) {
        self.bodies.clear();
        self.skeletons.clear();
    }

    /// A height is committed: drops the requests at and below it.
    pub(crate) fn forget_through(&mut self, height: Height) {
        self.bodies.forget_through(height);
        self.skeletons.forget_through(height);
    }

    /// The request for certified blocks above `tip` that is due, and the target: the height that
    /// the member claims, or that a certificate proves.
    pub(crate) fn blocks_due(
        &mut self,
        now: Moment,
        tip: Height,
    ) -> Option<((ReplicaId, FetchId, FetchRequest), Height)> {
        let fetch = FetchId(self.next);
        let (member, target) = self.blocks.ask(now, tip, fetch)?;
        self.next += 1;
        Some(((member, fetch, FetchRequest::Blocks { from: tip.next() }), target))
    }

    /// The requests for transactions that are due.
    pub(crate) fn bodies_due(&mut self, now: Moment) -> Vec<(ReplicaId, FetchId, FetchRequest)> {
        let due = self.bodies.due(now, &mut self.next, &mut self.wait, Examination::ask);
        if self.bodies.is_empty() && self.skeletons.is_empty() {
            self.wait.reset();
        }
        due
    }

    /// The requests for ids that are due.
    pub(crate) fn skeletons_due(&mut self, now: Moment) -> Vec<(ReplicaId, FetchId, FetchRequest)> {
        let ask = |header: &Header| FetchRequest::Ids { block: header.hash() };
        self.skeletons.due(now, &mut self.next, &mut self.wait, ask)
    }

    /// The outcome of a request for transactions.
    pub(crate) fn body_answered(&mut self, now: Moment, fetch: FetchId, helped: Helped) {
        self.bodies.answered(now, fetch, helped, &mut self.wait);
    }

    /// A request for ids brought no usable answer.
    pub(crate) fn skeleton_not_answered(&mut self, now: Moment, fetch: FetchId) {
        self.skeletons.answered(now, fetch, Helped::Not, &mut self.wait);
    }

    /// When the next request is due, if the committed chain ends at `tip`.
    pub(crate) fn deadline(&self, tip: Height) -> Option<Moment> {
        let deadlines = [self.bodies.deadline(), self.skeletons.deadline(), self.blocks.deadline(tip)];
        deadlines.into_iter().flatten().min()
    }
}

/// What is missing at open heights, at most one thing for each height, and the requests for it.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    open: BTreeMap<Height, Missing<T>>,
}

#[derive(Debug)]
struct Missing<T> {
    what: T,
    schedule: Schedule,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Requests { open: BTreeMap::new() }
    }
}

impl<T> Requests<T> {
    /// Registers what is missing at this height. It replaces what was missing there before.
    pub(crate) fn want(&mut self, height: Height, what: T, schedule: Schedule) {
        self.open.insert(height, Missing { what, schedule });
    }

    /// Drops what was missing: it arrived, or is not needed any more.
    pub(crate) fn remove(&mut self, height: Height) -> Option<T> {
        self.open.remove(&height).map(|missing| missing.what)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Height, &T)> {
        self.open.iter().map(|(height, missing)| (*height, &missing.what))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.open.values_mut().map(|missing| &mut missing.what)
    }

    /// What an open request is for.
    pub(crate) fn asked_for(&self, fetch: FetchId) -> Option<(Height, &T)> {
        let mut open = self.open.iter();
        let (height, missing) = open.find(|(_, missing)| missing.schedule.is_open(fetch))?;
        Some((*height, &missing.what))
    }

    fn clear(&mut self) {
        self.open.clear();
    }

    fn forget_through(&mut self, height: Height) {
        self.open = self.open.split_off(&height.next());
    }

    fn lost(&mut self, now: Moment, peer: ReplicaId) {
        self.open.values_mut().for_each(|missing| missing.schedule.lost(now, peer));
    }

    fn due(
        &mut self,
        now: Moment,
        next: &mut u64,
        wait: &mut Wait,
        ask: impl Fn(&T) -> FetchRequest,
    ) -> Vec<(ReplicaId, FetchId, FetchRequest)> {
        let mut due = Vec::new();
        for missing in self.open.values_mut() {
            let fetch = FetchId(*next);
            let Some(member) = missing.schedule.ask(now, fetch, wait) else { continue };
            *next += 1;
            due.push((member, fetch, ask(&missing.what)));
        }
        due
    }

    fn answered(&mut self, now: Moment, fetch: FetchId, helped: Helped, wait: &mut Wait) {
        for missing in self.open.values_mut() {
            missing.schedule.answered(now, fetch, helped, wait);
        }
    }

    fn deadline(&self) -> Option<Moment> {
        self.open.values().map(|missing| missing.schedule.deadline()).min()
    }
}
