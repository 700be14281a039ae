//! The engine: events in, effects out, in the order that R13 requires.

use std::time::Duration;

use quorate_ledger::{ReplicaId, Verified};
use quorate_pbft::{CheckedContent, CheckpointCertificate, Evidence, Input, Moment, Now};
use quorate_store::{Ledger, LedgerReader};

use crate::config::EngineConfig;
use crate::driver::Driver;
use crate::event::{Effects, Event, FetchId, Fetched};
use crate::fatal::Fatal;
use crate::fetching::Fetching;
use crate::fetching::range::serve_range;
use crate::fetching::schedule::Helped;
use crate::pool::Pool;
use crate::proposing::censorship::{CensorshipWatch, Finding};
use crate::proposing::flight::Flight;
use crate::storage::Storage;
use crate::wire::{ANSWER_BYTES, BATCH_BYTES, FetchRequest, FetchResponse, HeadStatus};

/// An answer with at least this many bytes of transactions is full: it may have had no room for
/// more.
const FULL_BYTES: u64 = ANSWER_BYTES as u64 / 2;

/// Counted since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gossiped transactions that this node refused.
    pub gossip_refused: u64,
    /// Requests for transactions that gossip did not bring.
    pub bodies_asked: u64,
    /// Groups of records written, each with one sync. In [`Engine`], those of earlier epochs.
    pub groups: u64,
    /// Blocks that this node fetched from others instead of ordering them itself.
    pub caught_up: u64,
}

/// The complete ordering of one node, synchronous. See the documentation of the crate.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) me: ReplicaId,
    pub(crate) driver: Driver,
    pub(crate) storage: Storage,
    pub(crate) pool: Pool,
    /// Blocks whose body is complete here and that are not committed.
    pub(crate) flight: Flight,
    pub(crate) fetching: Fetching,
    pub(crate) censorship: CensorshipWatch,
    /// Evidence that members are faulty. The replica bounds its number (R22c).
    pub(crate) evidence: Vec<Verified<Evidence>>,
    /// When this replica last proposed in this view.
    pub(crate) proposed: Option<Moment>,
    /// The latest time of the next call, as [`Engine::deadline`] last returned it.
    pub(crate) expected: Option<Moment>,
    pub(crate) counters: Counters,
}

/// A stage of every call. Stages run after the events.
type Stage = fn(&mut Engine, Now, &mut Effects) -> Result<(), Fatal>;

/// The stages in their order. After each one, the engine steps the replica through what follows
/// from it.
const STAGES: [Stage; 8] = [
    Engine::tick,
    Engine::propose,
    Engine::report_work,
    Engine::watch_for_censorship,
    Engine::request_skeletons,
    Engine::request_bodies,
    Engine::request_blocks,
    Engine::keep_ledger_durable,
];

impl Engine {
    /// Processes these events, and the time that has passed since the last call.
    ///
    /// All records that arise are written with one sync before this returns. So a crash cannot lose
    /// a record on which a returned message depends (R13).
    ///
    /// # Errors
    /// [`Fatal`]: the node must stop. The effects are dropped: their records may not be durable.
    pub fn handle(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Result<Effects, Fatal> {
        let mut effects = Effects::default();
        self.notice_lateness(now);
        self.settle(now, &mut effects)?;
        for event in events {
            self.on_event(now, event, &mut effects)?;
            self.settle(now, &mut effects)?;
        }
        for stage in STAGES {
            stage(self, now, &mut effects)?;
            self.settle(now, &mut effects)?;
        }
        self.write_group(&mut effects)?;
        if self.forget_blocks(now) {
            self.reject_unpermitted(None, &mut effects);
        }
        // Some of the transactions that just returned to the pool may be too late for every later
        // block.
        self.end_expired(&mut effects);
        effects.gossip = self.pool.outbound.flush(now.moment);
        // All resends go in one message.
        let used: usize = effects.resends.iter().map(|transaction| transaction.bytes() as usize).sum();
        let room = BATCH_BYTES.saturating_sub(used);
        effects.resends.extend(self.pool.outbound.resend(now.moment, &self.pool.mempool, room));
        // A deadline in the past makes the next call due now. Only a call after that is late.
        self.expected = self.deadline(now).map(|deadline| deadline.max(now.moment));
        Ok(effects)
    }

    fn tick(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        self.driver.step(now, Input::Tick);
        Ok(())
    }

    /// Steps the replica through its inputs and serves its requests, until there are neither.
    pub(crate) fn settle(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        self.driver.run(now);
        while let Some(request) = self.driver.take_request() {
            self.serve(now, request, effects)?;
            self.driver.run(now);
        }
        Ok(())
    }

    /// R15e: after a pause of the process, postpones all deadlines by the length of the pause.
    /// Other replicas are not to blame for messages that the process did not read while it was
    /// paused.
    fn notice_lateness(&mut self, now: Now) {
        let lateness = self.expected.map_or(Duration::ZERO, |expected| now.moment.since(expected));
        if lateness > self.config.pbft.request_timeout / 8 {
            self.censorship.put_off(lateness);
            self.driver.step(now, Input::Late(lateness));
        }
    }

    /// Drops the blocks that are committed and those of views that were left long ago. Returns the
    /// transactions of blocks whose ancestor was replaced to the pool (R15b). `true` if there are such
    /// blocks.
    fn forget_blocks(&mut self, now: Now) -> bool {
        let replica = self.driver.replica();
        let (height, hash) = (replica.tip().height, replica.tip_hash());
        let mut free = self.flight.forget_through(height);
        free.extend(self.flight.forget_given_up());
        let superseded = self.flight.unmark_superseded(height, &hash);
        free.extend(&superseded);
        self.pool.mempool.release(&free);
        if !superseded.is_empty() {
            self.return_transactions(now);
        }
        !superseded.is_empty()
    }

    /// R21: watches for transactions that the primary leaves out. Without recent contact with a
    /// quorum the watch ends: what was resent may not have arrived, and what is committed meanwhile
    /// is no sign of unfairness (R21d).
    fn watch_for_censorship(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        if !self.driver.replica().is_active() || !self.driver.replica().is_in_contact(now) {
            self.censorship.reset();
            return Ok(());
        }
        let (timeout, present) = (self.driver.replica().request_timeout(), self.present(now));
        let may_leave = self.driver.replica().may_leave(now);
        let mut watch = std::mem::take(&mut self.censorship);
        let next = || self.select(present, self.driver.replica().tip().height.next());
        let finding = watch.watch(now.moment, present, timeout, may_leave, &self.pool.mempool, next);
        self.censorship = watch;
        match finding {
            Finding::Fair => {}
            Finding::Resend(transactions) => effects.resends = transactions,
            Finding::Censored => {
                self.driver.push(Input::Censored);
            }
        }
        Ok(())
    }

    fn on_event(&mut self, now: Now, event: Event, effects: &mut Effects) -> Result<(), Fatal> {
        match event {
            Event::Consensus { from, message } => {
                if let CheckedContent::Status(status) = message.content() {
                    self.fetching.blocks.heard(from, status.claim().committed);
                }
                self.driver.push(Input::Received { from, message });
            }
            Event::Ahead { from, committed } => self.fetching.blocks.heard(from, committed),
            Event::PeerUp(peer) => self.driver.push(Input::PeerUp(peer)),
            Event::PeerDown(peer) => {
                self.fetching.lost(now.moment, peer);
                self.driver.push(Input::PeerDown(peer));
            }
            Event::Submitted { ticket, transaction } => {
                let outcome = self.on_submitted(now, transaction);
                effects.submissions.push((ticket, outcome));
            }
            Event::Gossiped(transactions) => self.on_gossiped(now, transactions),
            Event::Asked { ticket, ask } => {
                let answer = match ask {
                    FetchRequest::Transactions { block, indices } => {
                        self.serve_transactions(&block, &indices)
                    }
                    // An answer that cannot be read from the disk is not sent. A request of another
                    // member must not stop this node. If the node needs the same page itself, its
                    // own read reports the error.
                    FetchRequest::Blocks { from } => {
                        serve_range(&self.storage.reader(), from).unwrap_or(FetchResponse::Nothing)
                    }
                    FetchRequest::Ids { block } => self.serve_ids(&block),
                };
                effects.answers.push((ticket, answer));
            }
            Event::Answered { fetch, from: _, answer } => self.on_answered(now, fetch, answer, effects)?,
        }
        self.conclude_examinations(now);
        Ok(())
    }

    fn on_answered(
        &mut self,
        now: Now,
        fetch: FetchId,
        answer: Option<Fetched>,
        effects: &mut Effects,
    ) -> Result<(), Fatal> {
        let (transactions, range, ids) = match answer {
            Some(Fetched::Transactions(transactions)) => (transactions, None, None),
            Some(Fetched::Range(range)) => (Vec::new(), Some(range), None),
            Some(Fetched::Ids(ids)) => (Vec::new(), None, Some(ids)),
            None => (Vec::new(), None, None),
        };
        // The request is closed in any case. An answer of another kind counts as no answer.
        self.on_ids(now, fetch, ids);
        if self.on_range(now, fetch, range, effects)? {
            return Ok(());
        }
        // Verified transactions help every proposal that lacks them, whether or not they were
        // requested.
        let helped = match self.fetching.bodies.supply(&transactions) {
            false => Helped::Not,
            true if transactions.iter().map(|it| it.transaction().encoded_len()).sum::<u64>()
                >= FULL_BYTES =>
            {
                Helped::Much
            }
            true => Helped::Little,
        };
        self.fetching.body_answered(now.moment, fetch, helped);
        Ok(())
    }

    /// Reports to the replica whether work waits for a next block, if that has changed (R15b).
    fn report_work(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        let present = self.present(now);
        if let Some(work) = self.pool.changed_work(present) {
            self.driver.push(Input::Pending(work));
        }
        Ok(())
    }

    fn request_skeletons(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        effects.asks.extend(self.fetching.skeletons_due(now.moment));
        Ok(())
    }

    fn request_bodies(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        self.refuse_superseded(now);
        let due = self.fetching.bodies_due(now.moment);
        self.counters.bodies_asked += due.len() as u64;
        effects.asks.extend(due);
        Ok(())
    }

    fn keep_ledger_durable(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        // The next epoch begins when the last block of this one is durable (R26d).
        let urgent = self.driver.replica().needs_checkpoint() || self.driver.replica().epoch_is_over();
        if self.storage.is_durable_due(now.moment, urgent) {
            self.make_durable()?;
        }
        Ok(())
    }

    /// Syncs the ledger, and reports its durable height to the replica.
    pub(crate) fn make_durable(&mut self) -> Result<(), Fatal> {
        let durable = self.storage.make_durable()?;
        self.driver.push(Input::Durable(durable));
        Ok(())
    }

    /// Writes the records of the replica, then releases the messages that depend on them (R13).
    pub(crate) fn write_group(&mut self, effects: &mut Effects) -> Result<(), Fatal> {
        let messages = self.storage.write_group(self.driver.take_steps(), &self.flight)?;
        effects.messages.extend(messages);
        Ok(())
    }

    /// When to call [`Engine::handle`] if nothing happens before.
    pub fn deadline(&self, now: Now) -> Option<Moment> {
        [
            self.driver.replica().deadline(),
            self.fetching.deadline(self.driver.replica().tip().height),
            self.censorship.deadline(self.driver.replica().request_timeout()),
            self.pool.outbound.deadline(),
            self.proposal_deadline(now),
            self.storage.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The head status that this node sends to observers.
    pub fn head_claim(&self) -> HeadStatus {
        let stable = self.stable_checkpoint().map(|stable| stable.checkpoint().height);
        HeadStatus {
            epoch: self.config.pbft.context.epoch(),
            committed: self.driver.replica().tip().height,
            stable: stable.unwrap_or_default(),
            view: self.driver.replica().view(),
            active: self.driver.replica().is_active(),
        }
    }

    /// Evidence against members, at most 16 pieces for each member (R22c).
    pub fn evidence(&self) -> &[Verified<Evidence>] {
        &self.evidence
    }

    /// The stable checkpoint, once there is one.
    pub fn stable_checkpoint(&self) -> Option<&Verified<CheckpointCertificate>> {
        self.driver.replica().stable_checkpoint()
    }

    /// A reader of the chain, for any thread.
    pub fn reader(&self) -> LedgerReader {
        self.storage.reader()
    }

    /// Makes the ledger durable, so that the next start is quick, and returns it. Without it, the next
    /// start restores the ledger from the journal.
    ///
    /// # Errors
    /// [`Fatal`].
    pub fn close(self) -> Result<Ledger, Fatal> {
        Ok(self.storage.close()?)
    }
}
