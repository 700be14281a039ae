use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use quorate_genesis::Genesis;
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Block, BlockHash, CommitCertificate, Height, ReplicaId, TransactionId, Verified, VerifiedTransaction,
};
use quorate_mempool::{Admission, Mempool, MempoolLimits};
use quorate_pbft::{
    CheckpointCertificate, Config, Evidence, Input, Moment, Now, Record, Replica, Request, Steps, Work,
};
use quorate_store::{Journal, Ledger, LedgerReader, StoreError};

use crate::asking::{Helped, Patience};
use crate::catchup::CatchUp;
use crate::event::{Effects, Ended, Event, Fetched, Notice};
use crate::examine::Examinations;
use crate::fairness::{Fairness, Verdict};
use crate::flight::Flight;
use crate::outbound::Outbound;
use crate::outlines::Outlines;
use crate::promises;
use crate::recent::RecentIds;
use crate::run::serve_run;
use crate::wire::{ANSWER_BYTES, Answer, Ask, HeadClaim};

/// Expired transactions whose end is remembered, so that their senders can still be told.
pub(crate) const ENDED_MAX: usize = 50_000;

/// An answer with so many bytes of transactions is one that had no room for more.
const FULL_BYTES: u64 = ANSWER_BYTES as u64 / 2;

/// The ledger is made durable at least this often while it grows.
pub(crate) const DURABLE_INTERVAL: Duration = Duration::from_secs(1);

/// What an engine must know, all of it from the genesis.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// For the replica.
    pub pbft: Config,
    /// For the pool.
    pub mempool: MempoolLimits,
    /// How long transactions wait for company, in gossip batches and in blocks.
    pub batch_delay: Duration,
}

impl EngineConfig {
    /// What the genesis says.
    pub fn of(genesis: &Genesis) -> Self {
        let consensus = genesis.consensus();
        let mempool = genesis.mempool();

        EngineConfig {
            pbft: Config {
                chain: genesis.chain_id(),
                epoch: genesis.header().epoch,
                committee: genesis.committee().clone(),
                limits: genesis.block_limits(),
                window: consensus.window,
                clock_tolerance: Duration::from_millis(consensus.clock_tolerance_ms),
                request_timeout: Duration::from_millis(consensus.request_timeout_ms),
                new_view_timeout: Duration::from_millis(consensus.new_view_timeout_ms),
                timeout_cap: Duration::from_millis(consensus.timeout_cap_ms),
                checkpoint_interval: consensus.checkpoint_interval,
                log_window: consensus.log_window,
                status_interval: Duration::from_millis(consensus.status_interval_ms),
            },
            mempool: MempoolLimits {
                max_transactions: mempool.max_transactions,
                max_bytes: mempool.max_bytes,
                max_transactions_per_sender: mempool.max_transactions_per_sender,
                max_bytes_per_sender: mempool.max_bytes_per_sender,
            },
            batch_delay: Duration::from_millis(consensus.batch_delay_ms),
        }
    }
}

/// Why a node must stop. It can be started again once the cause is removed.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Nobody knows what the disk holds now, and a node that cannot remember must not vote.
    #[error(
        "storage failed, and a node that cannot remember must not vote: check the disk, then start the node again"
    )]
    Storage(#[from] StoreError),
    /// More than f members lied, or this node's ledger is another chain's.
    #[error(
        "FORK: a certified block at height {height} does not extend this node's chain; keep the data directory as evidence"
    )]
    Fork {
        /// Where the chains part.
        height: Height,
    },
    /// Another process signs with the same key, or this one's files went back in time while it ran.
    #[error(
        "somebody else signs with this validator's key: find the second instance and stop it, then start this node again"
    )]
    SecondInstance,
}

/// Counted since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gossiped transactions that this node did not take.
    pub gossip_refused: u64,
    /// Questions for transactions that gossip had not brought.
    pub bodies_asked: u64,
    /// Groups of promises written, each with one sync.
    pub groups: u64,
    /// Blocks fetched from others instead of ordered here.
    pub caught_up: u64,
}

/// One node's ordering, synchronous and complete. See the crate's documentation.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) me: ReplicaId,
    pub(crate) replica: Replica,
    pub(crate) mempool: Mempool,
    pub(crate) ledger: Ledger,
    pub(crate) journal: Journal,
    pub(crate) recent: RecentIds,
    pub(crate) flight: Flight,
    pub(crate) examinations: Examinations,
    pub(crate) outlines: Outlines,
    /// With members that are asked for transactions and ids.
    pub(crate) patience: Patience,
    pub(crate) fairness: Fairness,
    /// Lies that were proven; the replica bounds them.
    pub(crate) evidence: Vec<Verified<Evidence>>,
    /// Blocks that are not kept any longer once this group is written.
    pub(crate) forgotten: Vec<BlockHash>,
    /// When we asked to be called at the latest.
    pub(crate) expected: Option<Moment>,
    pub(crate) outbound: Outbound,
    pub(crate) catchup: CatchUp,
    /// Inputs that the replica's own requests gave rise to.
    pub(crate) inputs: VecDeque<Input>,
    /// Steps since the last group was written.
    pub(crate) steps: Steps,
    pub(crate) requests: VecDeque<Request>,
    /// Blocks that became final in this group, with their certificates; see [`Engine::write_group`].
    pub(crate) decided: Vec<(Vec<Block>, Verified<CommitCertificate>)>,
    pub(crate) fetches: u64,
    pub(crate) proposed: Option<Moment>,
    pub(crate) ended: Endings,
    pub(crate) durable_due: Option<Moment>,
    /// Journal rows up to here can go with the next group.
    pub(crate) collectable: Option<Height>,
    /// Up to here rows have been collected. It never falls, also when the ledger is an old copy.
    pub(crate) collected: Height,
    pub(crate) work: Work,
    pub(crate) counters: Counters,
}

impl Engine {
    /// Works through everything that has happened, and through the time that has passed.
    ///
    /// All promises that arise are written with one sync before this returns, so nothing in the effects can
    /// be forgotten.
    ///
    /// # Errors
    /// [`Fatal`]: the node must stop, and the effects are lost on purpose.
    pub fn handle(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Result<Effects, Fatal> {
        let mut effects = Effects::default();
        self.notice_lateness(now);
        self.serve_requests(now, &mut effects)?;
        for event in events {
            self.on_event(now, event, &mut effects)?;
            self.serve_requests(now, &mut effects)?;
        }
        self.inputs.push_back(Input::Tick);
        self.drain_inputs(now);
        self.serve_requests(now, &mut effects)?;
        self.propose(now);
        self.serve_requests(now, &mut effects)?;
        self.tell_pending(now);
        self.serve_requests(now, &mut effects)?;
        self.watch_fairness(now, &mut effects)?;
        self.ask_for_outlines(now, &mut effects);
        self.refuse_superseded(now);
        self.ask_for_missing(now, &mut effects);
        self.catch_up(now, &mut effects);
        self.keep_ledger_durable(now)?;
        self.serve_requests(now, &mut effects)?;
        self.write_group(&mut effects)?;
        self.forget_blocks(now);
        // What waits again may have missed its last block.
        self.end_expired(&mut effects);
        effects.gossip = self.outbound.flush(now.moment);
        effects.reminders.extend(self.outbound.remind(now.moment, &self.mempool));
        // A deadline that has passed already makes nobody late: the next call is due at once.
        self.expected = self.deadline(now).map(|deadline| deadline.max(now.moment));
        Ok(effects)
    }

    /// R15: whatever should have happened while this process stood still is not held against anybody, so deadlines
    /// are put off by as much.
    fn notice_lateness(&mut self, now: Now) {
        let lateness = self.expected.map_or(Duration::ZERO, |expected| now.moment.since(expected));
        if lateness > self.config.pbft.request_timeout / 8 {
            self.fairness.put_off(lateness);
            self.inputs.push_back(Input::Late(lateness));
            self.drain_inputs(now);
        }
    }

    /// Blocks that are committed, and blocks of views long left, are held no more. What is in a block that lost its
    /// parent waits again.
    fn forget_blocks(&mut self, now: Now) {
        let mut free = self.flight.forget_through(self.replica.tip().height);
        for block in std::mem::take(&mut self.forgotten) {
            free.extend(self.flight.remove(&block));
        }
        let height = self.replica.tip().height;
        let superseded = self.flight.unmark_superseded(height, &self.replica.tip_hash());
        free.extend(&superseded);
        self.mempool.release(&free);
        if !superseded.is_empty() {
            self.wait_again(now);
        }
    }

    /// R21: a primary that passes transactions over does not keep its place. What was said without contact may not have
    /// arrived, and what was ordered meanwhile does not show who was passed over.
    fn watch_fairness(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        if !self.replica.is_active() || !self.replica.is_in_contact(now) {
            self.fairness.reset();
            return Ok(());
        }
        let (timeout, present) = (self.replica.request_timeout(), self.present(now));
        let (selection, may_leave) = (self.selection(), self.replica.may_leave(now));
        match self.fairness.watch(now.moment, present, timeout, may_leave, &self.mempool, &selection) {
            Verdict::Fair => {}
            Verdict::Urge(transactions) => effects.reminders = transactions,
            Verdict::Starved => {
                self.inputs.push_back(Input::Starved);
                self.drain_inputs(now);
                self.serve_requests(now, effects)?;
            }
        }
        Ok(())
    }

    fn on_event(&mut self, now: Now, event: Event, effects: &mut Effects) -> Result<(), Fatal> {
        match event {
            Event::Consensus { from, message } => {
                if let quorate_pbft::Checked::Status(status) = &message {
                    self.catchup.heard(from, status.claim().committed);
                }
                self.inputs.push_back(Input::Received { from, message });
            }
            Event::PeerUp(peer) => self.inputs.push_back(Input::PeerUp(peer)),
            Event::PeerDown(peer) => {
                self.catchup.lost(peer);
                self.examinations.lost(now, peer);
                self.outlines.lost(now, peer);
                self.inputs.push_back(Input::PeerDown(peer));
            }
            Event::Submitted { ticket, transaction } => {
                let outcome = self.on_submitted(now, transaction);
                effects.submissions.push((ticket, outcome));
            }
            Event::Gossiped(transactions) => self.on_gossiped(now, transactions),
            Event::Asked { ticket, ask } => {
                let answer = match ask {
                    Ask::Transactions { block, indices } => self.serve_transactions(&block, &indices),
                    // What cannot be read is not served. A member's question must not end this node; what the node
                    // itself needs from the disk fails by itself.
                    Ask::Blocks { from } => serve_run(&self.ledger.reader(), from).unwrap_or(Answer::Nothing),
                    Ask::Ids { block } => self.serve_ids(&block),
                };
                effects.answers.push((ticket, answer));
            }
            Event::Answered { fetch, from: _, answer } => self.on_answered(now, fetch, answer, effects)?,
        }
        self.conclude_examinations(now);
        self.drain_inputs(now);
        Ok(())
    }

    fn on_answered(
        &mut self,
        now: Now,
        fetch: crate::FetchId,
        answer: Option<Fetched>,
        effects: &mut Effects,
    ) -> Result<(), Fatal> {
        let (transactions, run, ids) = match answer {
            Some(Fetched::Transactions(transactions)) => (transactions, None, None),
            Some(Fetched::Run(run)) => (Vec::new(), Some(run), None),
            Some(Fetched::Ids(ids)) => (Vec::new(), None, Some(ids)),
            None => (Vec::new(), None, None),
        };
        // Whatever the question was, it is over: an answer of another kind is as good as none.
        self.on_ids(now, fetch, ids);
        if self.on_run(now, fetch, run, effects)? {
            return Ok(());
        }
        // Checked transactions help wherever they are missing, asked for or not.
        let helped = match self.examinations.supply(&transactions) {
            false => Helped::Not,
            true if transactions.iter().map(|it| it.transaction().encoded_len()).sum::<u64>()
                >= FULL_BYTES =>
            {
                Helped::Much
            }
            true => Helped::Little,
        };
        self.answered(now, fetch, helped);
        Ok(())
    }

    /// Steps the replica through what its own requests gave rise to.
    pub(crate) fn drain_inputs(&mut self, now: Now) {
        while let Some(input) = self.inputs.pop_front() {
            let mut step = self.replica.step(now, input);
            self.requests.extend(step.take_requests());
            self.steps.absorb(step);
        }
    }

    pub(crate) fn serve_requests(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        while let Some(request) = self.requests.pop_front() {
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
                    self.decided.push((blocks, finalised.certificate));
                }
                Request::CatchUp { height } => self.catchup.certain(height),
                Request::Outline { header, from } => self.want_outline(now, header, from),
                Request::Evidence(evidence) => {
                    let (replica, subject) = (evidence.culprit(), evidence.subject());
                    self.evidence.push(evidence);
                    effects.notices.push(Notice::Contradiction { replica, subject });
                }
                Request::Left(departure) => {
                    self.end_view(now);
                    effects.notices.push(Notice::LeftView(departure));
                }
                Request::Entered { view, primary } => {
                    self.end_view(now);
                    self.proposed = None;
                    effects.notices.push(Notice::EnteredView { view, primary });
                }
                Request::Forget(block) => self.forgotten.push(block),
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
        }
        Ok(())
    }

    /// A view was left, or the next one begins. What the old one had in flight waits again: a member may be left
    /// alone with it, and then has to tell the others. What the new view proposes is marked anew.
    fn end_view(&mut self, now: Now) {
        let free = self.flight.unmark_all();
        self.mempool.release(&free);
        // Others may need what was accepted, and this group's records what is final; what was merely examined is of
        // no use any more.
        let (replica, tip) = (&self.replica, self.replica.tip().height);
        self.flight.retain(|block| block.height() <= tip || replica.holds(block.height(), &block.hash()));
        self.wait_again(now);
        self.examinations.clear();
        self.outlines.clear();
        self.fairness.reset();
    }

    /// What is in blocks without a place waits again, also here where the block alone brought it: whoever submitted
    /// it may be gone. What is late waits as well, for a block that says so (R17).
    fn wait_again(&mut self, now: Now) {
        let time = self.replica.tip().timestamp;
        for block in self.flight.blocks() {
            for (index, id) in block.body().ids().iter().enumerate() {
                if self.mempool.contains(id) || self.recent.contains(id) {
                    continue;
                }
                let Some(transaction) = block.body().transaction(index) else { continue };
                let transaction = VerifiedTransaction::from_own_storage(transaction);
                if let Ok(Admission::New) = self.mempool.admit(time, transaction) {
                    self.outbound.adopt(now.moment, *id);
                }
            }
        }
    }

    /// Takes note that blocks are final: what waited for them, or because of them, waits no more. Readers see
    /// them once they are in the ledger.
    pub(crate) fn note_final(&mut self, blocks: &[Block], effects: &mut Effects) {
        for block in blocks {
            self.mempool.remove(block.body().ids());
            self.fairness.committed(block.body().ids());
            self.outlines.forget_through(block.height());
            self.recent.push(block.header().timestamp, block.outline().ids().clone());
            self.examinations.forget_through(block.height());
            effects.committed.push(block.clone());
        }
        self.end_expired(effects);
        self.catchup.progressed();
    }

    /// What waits and can be in no later block has come to its end.
    fn end_expired(&mut self, effects: &mut Effects) {
        let Some(time) = self.recent.latest() else { return };
        for id in self.mempool.expire(time) {
            self.ended.push(id);
            effects.ended.push(Ended { id });
        }
    }

    fn tell_pending(&mut self, now: Now) {
        let present = self.present(now);
        let work = match self.mempool.last_expiry() {
            None => Work::Nothing,
            Some(last) if last < present => Work::Expired,
            Some(_) => Work::Timely,
        };
        if work != self.work {
            self.work = work;
            self.inputs.push_back(Input::Pending(work));
            self.drain_inputs(now);
        }
    }

    fn keep_ledger_durable(&mut self, now: Now) -> Result<(), Fatal> {
        if self.ledger.head().height == self.ledger.durable_head() {
            self.durable_due = None;
        } else if self.replica.needs_checkpoint()
            || now.moment >= *self.durable_due.get_or_insert(now.moment.after(DURABLE_INTERVAL))
        {
            self.make_durable()?;
            self.drain_inputs(now);
        }
        Ok(())
    }

    /// Syncs the ledger, after which the journal need not remember what is in it.
    pub(crate) fn make_durable(&mut self) -> Result<(), Fatal> {
        let durable = self.ledger.make_durable()?;
        self.collectable = Some(durable);
        self.durable_due = None;
        self.inputs.push_back(Input::Durable(durable));
        Ok(())
    }

    /// Remember, then speak (R13): one transaction, one sync, then the messages. Blocks that became final go to
    /// the ledger only then, in one transaction with the certificate that finalises them: readers on other
    /// threads see them at once, and a certificate is a message too.
    pub(crate) fn write_group(&mut self, effects: &mut Effects) -> Result<(), Fatal> {
        let steps = std::mem::take(&mut self.steps);
        let (journal, flight, collectable) = (&mut self.journal, &self.flight, &mut self.collectable);
        let collected = &mut self.collected;
        // Up to here the ledger itself remembers, and nobody votes there any more.
        let durable = self.ledger.durable_head();
        let lasts = |record: &&Record| record.height().is_none_or(|height| height > durable);
        let interval = self.config.pbft.checkpoint_interval;
        let mut wrote = false;
        let forgetful = is(Mutant::SpeakBeforeSync) && self.counters.groups % 2 == 1;
        let messages = steps.persist(|records| {
            let mut changes = promises::changes(records.iter().filter(lasts), flight, interval);
            let collectable = collectable.take();
            if let Some(through) = collectable {
                *collected = through.max(*collected);
                changes.collected(*collected);
            }
            let gone: Vec<_> = std::mem::take(&mut changes.gone).into_iter().collect();
            let rows = changes.into_rows();
            wrote = !rows.is_empty();
            if forgetful && wrote {
                return Ok(());
            }
            journal.replace(&gone, &rows, collectable)
        })?;
        self.counters.groups += u64::from(wrote);
        effects.messages.extend(messages);
        for (blocks, certificate) in self.decided.drain(..) {
            self.ledger.append(&blocks, &certificate)?;
        }
        Ok(())
    }

    /// When to call [`Engine::handle`] if nothing happens before.
    pub fn deadline(&self, now: Now) -> Option<Moment> {
        [
            self.replica.deadline(),
            self.examinations.deadline(),
            self.outlines.deadline(),
            self.fairness.deadline(self.replica.request_timeout()),
            self.outbound.deadline(),
            self.catchup.deadline(self.replica.tip().height),
            self.proposal_deadline(now),
            self.durable_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Where this engine stands, as observers are told.
    pub fn head_claim(&self) -> HeadClaim {
        let stable = self.stable_checkpoint().map(|stable| stable.checkpoint().height);
        HeadClaim {
            committed: self.replica.tip().height,
            stable: stable.unwrap_or_default(),
            view: self.replica.view(),
            active: self.replica.is_active(),
        }
    }

    /// Lies that were proven, at most 16 of each member.
    pub fn evidence(&self) -> &[Verified<Evidence>] {
        &self.evidence
    }

    /// The stable checkpoint, once there is one.
    pub fn stable_checkpoint(&self) -> Option<&Verified<CheckpointCertificate>> {
        self.replica.stable_checkpoint()
    }

    /// Reads the chain; may be used from any thread.
    pub fn reader(&self) -> LedgerReader {
        self.ledger.reader()
    }

    /// Makes everything durable, for a quick next start. Nothing is lost without it.
    ///
    /// # Errors
    /// [`Fatal`].
    pub fn close(mut self) -> Result<(), Fatal> {
        let durable = self.ledger.make_durable()?;
        let mut changes = promises::Changes::default();
        changes.collected(durable.max(self.collected));
        self.journal.write(&changes.into_rows(), Some(durable))?;
        Ok(())
    }
}

/// The last transactions that expired here, oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    order: VecDeque<TransactionId>,
    ids: BTreeSet<TransactionId>,
}

impl Endings {
    fn push(&mut self, id: TransactionId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > ENDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains(id)
    }
}
