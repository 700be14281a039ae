//! The engine's thread: it passes events to the engine and distributes the resulting effects.

use std::sync::Arc;

use anyhow::Context;
use quorate_api::TransactionStatus;
use quorate_engine::{Effects, Engine, EpochRole, Event, Fatal, Notice, Ticket};
use quorate_ledger::{PublicKey, SecretKey, TransactionId, VerifiedTransaction};
use quorate_pbft::Now;
use quorate_store::Ledger;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::epoch_parts::{EpochMaker, EpochParts};
use super::group::{Channels, Group};
use super::inbox::{TransactionState, ValidatorWork};
use super::incoming::Reception;
use crate::runtime::clock::Clock;
use crate::runtime::epoch::peer_lists::PeerUpdates;
use crate::runtime::epoch::{EpochSource, EpochView};
use crate::runtime::faults;
use crate::runtime::inbox::Inbox;
use crate::runtime::ordering_thread::{Ended, Handover};
use crate::runtime::publisher::Publisher;
use crate::runtime::ready::ReadySender;
use crate::runtime::serving::waiters::Waiters;
use crate::runtime::status::snapshot::{Snapshot, ValidatorSnapshot};

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    /// The parts that belong to the epoch of this engine.
    pub(crate) epoch: EpochParts,
    pub(crate) next: EpochChange,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<ValidatorWork>,
    pub(crate) channels: Channels,
    pub(crate) publisher: Publisher<ValidatorSnapshot>,
    pub(crate) waiters: Arc<Waiters>,
    /// Who may connect.
    pub(crate) peers: PeerUpdates,
    /// Sends READY for the next key of this node.
    pub(crate) next_key: Option<ReadySender>,
}

/// What the driver needs to begin the next epoch.
pub(crate) struct EpochChange {
    /// The key of this node.
    pub(crate) key: SecretKey,
    pub(crate) source: EpochSource,
    pub(crate) maker: EpochMaker,
    /// For all other parts of the node.
    pub(crate) views: watch::Sender<Arc<EpochView>>,
    /// For the task that processes network events.
    pub(crate) reception: watch::Sender<Arc<Reception>>,
}

/// What follows the last block of an epoch.
#[expect(clippy::large_enum_variant, reason = "it is moved once, never kept")]
enum Next {
    Epoch(Driver),
    Role(Handover),
}

impl Driver {
    /// Runs until it receives [`ValidatorWork::Stop`], or until an epoch begins of which this node is
    /// no member.
    ///
    /// # Errors
    /// [`Fatal`], or threads that cannot be started: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> anyhow::Result<Ended> {
        let mut waiting = Vec::new();
        loop {
            while self.engine.epoch_is_over() {
                self = match self.next_epoch()? {
                    Next::Epoch(driver) => driver,
                    Next::Role(handover) => return Ok(Ended::RoleChanged(handover)),
                };
            }
            let deadlines =
                self.engine.deadline(self.clock.now()).into_iter().chain(self.publisher.deadline());
            let deadlines = deadlines.chain(self.next_key.as_ref().and_then(ReadySender::deadline));
            let goes_on = self.inbox.wait(runtime, deadlines.min(), &mut waiting);
            let group = Group::of(waiting.drain(..), &self.epoch.view, &mut self.channels);
            if self.work(group)? || !goes_on {
                let pooled = self.engine.pooled();
                return Ok(Ended::Stopped(Handover { ledger: self.engine.close()?, pooled }));
            }
        }
    }

    /// Processes one group. `true` when it contains a stop request.
    fn work(&mut self, mut group: Group) -> Result<bool, Fatal> {
        if group.follower_connected {
            self.epoch.heads.send_again();
        }
        let now = self.clock.now();
        let mut events = std::mem::take(&mut group.events);
        events.extend(self.ready(now));
        let (mut effects, done) = self.handle(now, events)?;
        // Before messages leave: replies to them are screened with this position.
        self.epoch.position.send_replace(Arc::new(self.engine.position()));
        group.reply(now.moment, &mut effects, &mut self.publisher.stopwatch);
        if is_awaited(&effects) {
            // Publish first: a client that receives the result of its transaction and then reads
            // the status must not see an older state.
            let before = self.publisher.latest();
            let snapshot = ValidatorSnapshot::of(&self.engine, &self.epoch.view, Some(&before), done);
            self.publisher.publish(snapshot);
        }
        self.publisher.record_metrics(&self.epoch.view, done, &effects);
        self.notify_waiters(&effects);
        for (id, reply) in group.questions {
            let _ = reply.send(self.transaction_state(&id));
        }
        self.publisher.log(&self.epoch.view, now.moment, &effects.notices);
        self.update_peers(&effects);
        self.epoch.outgoing.send(effects);
        let followers = self.channels.followers(&self.epoch.view);
        self.epoch.heads.send_if_due(now.moment, self.engine.head_claim(), followers);
        let (engine, view) = (&self.engine, &self.epoch.view);
        let snapshot = |before: &_, at| ValidatorSnapshot::of(engine, view, Some(before), at);
        self.publisher.publish_if_due(now.moment, snapshot);
        Ok(group.stop)
    }

    /// A READY of the next key, if an open proposal makes it the consensus key of this member and the READY
    /// is due. While the node fetches blocks, it is not ready.
    fn ready(&mut self, now: Now) -> Option<Event> {
        let sender = self.next_key.as_mut()?;
        let latest = self.publisher.latest();
        if latest.overview.catching_up || self.engine.epoch_is_over() {
            sender.stop();
            return None;
        }
        let transaction = sender.update(now, self.engine.governance(), latest.head().timestamp)?;
        tracing::info!(key = %sender.key(), "this node sends READY for its next key, which a proposal has");
        // No client waits: there is no submission with this ticket.
        Some(Event::Submitted { ticket: Ticket(u64::MAX), transaction })
    }

    /// Calls the engine. Returns its effects and the time after the call, which is measured if it
    /// wrote to the journal.
    fn handle(&mut self, now: Now, events: Vec<Event>) -> Result<(Effects, Now), Fatal> {
        let groups = self.engine.counters().groups;
        let effects = self.engine.handle(now, events)?;
        let wrote = self.engine.counters().groups > groups;
        if wrote {
            // Delay before any message leaves, as a slow disk would.
            std::thread::sleep(faults::disk_delay());
        }
        let done = self.clock.now();
        if wrote {
            self.publisher.measured.group(done.moment.since(now.moment));
        }
        Ok((effects, done))
    }

    /// Begins the next epoch, in which indices name other members. Nothing of the old epoch is used
    /// with the new one: work that is still on the way carries the number of the old epoch.
    fn next_epoch(self) -> anyhow::Result<Next> {
        let now = self.clock.now();
        let latest = self.publisher.latest();
        let last = ValidatorSnapshot::of(&self.engine, &self.epoch.view, Some(&latest), now);
        let pooled = self.engine.pooled();
        let (next, effects) = self.engine.next_epoch(std::slice::from_ref(&self.next.key), now)?;
        let engine = match next {
            EpochRole::Member(engine) => engine,
            EpochRole::Follower(ledger) => {
                let next_key = self.next_key.as_ref().map(ReadySender::key);
                leave(&ledger, next_key.as_ref(), &pooled, &self.waiters);
                return Ok(Next::Role(Handover { ledger, pooled }));
            }
        };
        let EpochChange { source, maker, views, reception, .. } = &self.next;
        let state = engine.governance().clone();
        let view = source.view(&state, engine.config().clone());
        let me = view.me.expect("the engine of an epoch is that of a member");
        let (parts, next_reception) =
            maker.make(&view, me, &engine).context("cannot start the threads that check messages")?;
        let before = Arc::clone(&self.epoch.view);
        self.publisher.measured.epoch_began(&before.members, &view.members);
        self.publisher.publish(last.next_epoch(&engine, &view, now));
        views.send_replace(Arc::clone(&view));
        reception.send_replace(next_reception);
        let mut driver = Driver { engine, epoch: parts, ..self };
        driver.publisher.record_metrics(&view, now, &effects);
        driver.notify_waiters(&effects);
        driver.publisher.log(&view, now.moment, &effects.notices);
        driver.peers.epoch_began(before.members.keys(), view.members.keys());
        driver.peers.update(&state);
        let events = driver.channels.members_up(&view);
        driver.work(Group::of_events(events))?;
        Ok(Next::Epoch(driver))
    }

    /// Who may connect follows from the governance state, which only operations in blocks change, and
    /// time in heights. The latter is looked at with each checkpoint.
    fn update_peers(&mut self, effects: &Effects) {
        let is_stable = effects.notices.iter().any(|notice| matches!(notice, Notice::Stable(_)));
        let mut committed = effects.committed.iter();
        if is_stable {
            self.peers.epoch_is_stable();
        }
        if is_stable || committed.any(|block| block.body().governance().next().is_some()) {
            self.peers.update(self.engine.governance());
        }
    }

    /// Notifies tasks that wait for blocks or for the end of a transaction.
    fn notify_waiters(&self, effects: &Effects) {
        for block in &effects.committed {
            self.waiters.committed(block);
        }
        self.publisher.publish_height(effects);
        for ended in &effects.ended {
            self.waiters.ended(ended);
        }
    }

    fn transaction_state(&self, id: &TransactionId) -> TransactionState {
        if self.engine.is_pending(id) {
            TransactionState::Pending
        } else {
            self.engine.end_of(id).map_or(TransactionState::Unknown, TransactionState::Ended)
        }
    }
}

/// An epoch has begun whose committee does not contain the key of this node. Ends the waits of clients: their
/// transactions stay pending if the node goes on as a member with its next key.
fn leave(ledger: &Ledger, next_key: Option<&PublicKey>, pooled: &[VerifiedTransaction], waiters: &Waiters) {
    let committee = ledger.governance().next_config().committee();
    if next_key.is_some_and(|key| committee.index_of(key).is_some()) {
        tracing::warn!(
            pooled = pooled.len(),
            "an epoch has begun whose committee contains the next key of this node: the node starts again with it, \
             and keeps the transactions of its pool"
        );
        waiters.role_ended(&TransactionStatus::Pending);
    } else {
        tracing::warn!(
            pooled = pooled.len(),
            "an epoch has begun whose committee contains no key of this node: the node starts again as a follower \
             without a vote. It drops the transactions of its pool. The other validators have those that gossip \
             brought them; clients should submit the others again, at another node"
        );
        waiters.role_ended(&TransactionStatus::Unknown);
    }
}

/// Whether clients wait for an effect, or status pages should show it at once.
fn is_awaited(effects: &Effects) -> bool {
    let is_urgent = |notice: &Notice| {
        matches!(notice, Notice::LeftView(_) | Notice::EnteredView { .. } | Notice::Recovering { .. })
    };
    !effects.committed.is_empty() || !effects.ended.is_empty() || effects.notices.iter().any(is_urgent)
}
