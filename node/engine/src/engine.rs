//! The engine: events in, effects out, in the order that R13 requires.

use std::time::Duration;

use quorate_ledger::{Block, Height, ReplicaId, Verified, VerifiedTransaction};
use quorate_pbft::{CheckpointCertificate, Config, Evidence, Input, Moment, Now, Request};
use quorate_store::{LedgerReader, StoreError};

use crate::config::EngineConfig;
use crate::driver::Driver;
use crate::event::{Effects, Ended, Event, FetchId, Fetched, Notice};
use crate::fetching::Fetching;
use crate::fetching::range::serve_range;
use crate::fetching::schedule::Helped;
use crate::pool::Pool;
use crate::proposing::censorship::{CensorshipWatch, Finding};
use crate::proposing::flight::Flight;
use crate::storage::Storage;
use crate::wire::{ANSWER_BYTES, FetchRequest, FetchResponse, HeadStatus};

/// An answer with at least this many bytes of transactions is full: it may have had no room for
/// more.
const FULL_BYTES: u64 = ANSWER_BYTES as u64 / 2;

/// While the ledger grows, it is made durable at least this often.
pub(crate) const DURABLE_INTERVAL: Duration = Duration::from_secs(1);

/// Why a node must stop. It can be started again once the cause is removed.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A file could not be read or written. The contents of the disk are unknown, and a node
    /// without reliable records must not vote.
    #[error(
        "storage failed, and a node that cannot remember must not vote: check the disk, then start the node again"
    )]
    Storage(#[from] StoreError),
    /// A certified block contradicts this chain (R12d). More than f members are faulty, or this
    /// ledger belongs to another chain.
    #[error(
        "FORK: a certified block at height {height} does not extend this node's chain; keep the data directory as evidence"
    )]
    Fork {
        /// The lowest height at which the two chains differ.
        height: Height,
    },
    /// Another process signs with the same key, or the files of this process went back in time
    /// while it ran (R24c).
    #[error(
        "a second instance signs with this validator's key: find the second instance and stop it, then start this node again"
    )]
    SecondInstance,
}

/// Counted since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gossiped transactions that this node refused.
    pub gossip_refused: u64,
    /// Requests for transactions that gossip did not bring.
    pub bodies_asked: u64,
    /// Groups of records written, each with one sync.
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
        self.forget_blocks(now);
        // Some of the transactions that just returned to the pool may be too late for every later
        // block.
        self.end_expired(&mut effects);
        effects.gossip = self.pool.outbound.flush(now.moment);
        effects.resends.extend(self.pool.outbound.resend(now.moment, &self.pool.mempool));
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
    /// transactions of blocks whose ancestor was replaced to the pool (R15b).
    fn forget_blocks(&mut self, now: Now) {
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
        let (selection, may_leave) = (self.selection(), self.driver.replica().may_leave(now));
        match self.censorship.watch(now.moment, present, timeout, may_leave, &self.pool.mempool, &selection) {
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
                if let quorate_pbft::Checked::Status(status) = &message {
                    self.fetching.blocks.heard(from, status.claim().committed);
                }
                self.driver.push(Input::Received { from, message });
            }
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

    fn serve(&mut self, now: Now, request: Request, effects: &mut Effects) -> Result<(), Fatal> {
        match request {
            Request::Examine { proposal, from } => {
                self.examine(now, proposal, from);
                self.conclude_examinations(now);
            }
            Request::Finalise(finalised) => {
                let blocks: Vec<Block> = finalised
                    .blocks
                    .iter()
                    .map(|hash| self.flight.get(hash).expect("accepted blocks are held").clone())
                    .collect();
                self.note_final(&blocks, effects);
                self.storage.decide(blocks, finalised.certificate);
            }
            Request::CatchUp { height } => self.fetching.blocks.certain(height),
            Request::FetchSkeleton { header, from } => self.want_skeleton(now, header, from),
            Request::Evidence(evidence) => {
                let (replica, subject) = (evidence.culprit(), evidence.subject());
                self.evidence.push(evidence);
                effects.notices.push(Notice::Equivocation { replica, subject });
            }
            Request::Left(departure) => {
                self.end_view(now);
                effects.notices.push(Notice::LeftView(departure));
            }
            Request::Entered { view, primary } => {
                self.end_view(now);
                // The first proposal of a view waits for no batch delay (R18).
                self.proposed = None;
                effects.notices.push(Notice::EnteredView { view, primary });
            }
            Request::Forget(block) => self.flight.give_up(block),
            Request::Stable(certificate) => {
                effects.notices.push(Notice::Stable(certificate.checkpoint().height));
            }
            Request::Recovering { seen, remembered } => {
                effects.notices.push(Notice::Recovering { seen, remembered });
            }
            Request::SecondInstance => return Err(Fatal::SecondInstance),
            Request::BadProposal { view, height, reason } => {
                let Config { committee, epoch, .. } = &self.config.pbft;
                let primary = committee.primary(*epoch, view);
                effects.notices.push(Notice::BadProposal { primary, height, reason });
            }
        }
        Ok(())
    }

    /// A view was left, or the next one begins. Returns in-flight transactions to the pool: this
    /// replica may be the only one that holds them. Proposals of the new view take them out of the
    /// pool again.
    fn end_view(&mut self, now: Now) {
        let free = self.flight.unmark_all();
        self.pool.mempool.release(&free);
        // Keep accepted blocks, since other replicas may request them, and blocks at or below the
        // tip, since this group's records may need them. Drop blocks that were validated but not
        // accepted.
        let replica = self.driver.replica();
        let tip = replica.tip().height;
        self.flight.retain(|block| block.height() <= tip || replica.holds(block.height(), &block.hash()));
        self.return_transactions(now);
        self.fetching.clear();
        self.censorship.reset();
    }

    /// Returns the transactions of unmarked blocks to the pool, including those that only the block
    /// brought: the client that submitted them may be gone. Expired ones return too. They wait for
    /// the block that proves their expiry (R17).
    fn return_transactions(&mut self, now: Now) {
        let time = self.driver.replica().tip().timestamp;
        for block in self.flight.blocks() {
            for (index, id) in block.body().ids().iter().enumerate() {
                if self.pool.mempool.contains(id) || self.pool.recent.contains(id) {
                    continue;
                }
                let Some(transaction) = block.body().transaction(index) else { continue };
                let transaction = VerifiedTransaction::from_own_storage(transaction);
                self.pool.return_transaction(now.moment, time, transaction);
            }
        }
    }

    /// Blocks are final. Removes their transactions from the pool and the watch, and closes the
    /// requests at their heights. Readers see the blocks once they are in the ledger.
    pub(crate) fn note_final(&mut self, blocks: &[Block], effects: &mut Effects) {
        for block in blocks {
            self.pool.note_final(block);
            self.censorship.committed(block.body().ids());
            self.fetching.forget_through(block.height());
            effects.committed.push(block.clone());
        }
        self.end_expired(effects);
        self.fetching.blocks.progressed();
    }

    /// Expires the pooled transactions that no later block can include.
    fn end_expired(&mut self, effects: &mut Effects) {
        effects.ended.extend(self.pool.expire().into_iter().map(|id| Ended { id }));
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
        let urgent = self.driver.replica().needs_checkpoint();
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

    /// Makes the ledger durable, so that the next start is quick. Without it, the next start
    /// restores the ledger from the journal.
    ///
    /// # Errors
    /// [`Fatal`].
    pub fn close(self) -> Result<(), Fatal> {
        Ok(self.storage.close()?)
    }
}
