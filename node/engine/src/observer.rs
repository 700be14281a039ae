//! Following the chain without a vote.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_governance::State;
use quorate_ledger::{Epoch, Height, ReplicaId, SignatureMemo, View};
use quorate_pbft::{Config, Moment, Now, SILENT_INTERVALS};
use quorate_store::{Head, Ledger, LedgerReader, StoreError};

use crate::config::EngineConfig;
use crate::event::{Effects, FetchId, Notice};
use crate::fatal::Fatal;
use crate::fetching::catchup::{CatchUp, Pace};
use crate::fetching::range::{CheckedRange, append};
use crate::storage::DURABLE_INTERVAL;
use crate::storage::opening::Opening;
use crate::wire::{FetchRequest, HeadStatus};

/// Everything that can wake an observer. Time is not an event: call [`Observer::handle`] without
/// events.
#[derive(Debug)]
pub enum Observation {
    /// A member sent its head status.
    Head {
        /// The member at the other end of the authenticated channel. An index above all members names
        /// another source of certified blocks, whose claims count for nothing else.
        from: ReplicaId,
        /// Its head status. It is unproven: a false one costs one request at most.
        claim: HeadStatus,
    },
    /// The channel to a member or a source was closed.
    PeerDown(ReplicaId),
    /// The outcome of a request in [`Effects::asks`].
    Answered {
        /// The request.
        fetch: FetchId,
        /// The checked answer; `None` if there was no answer or a bad one.
        range: Option<CheckedRange>,
    },
}

/// The latest head status of a member.
#[derive(Debug, Clone, Copy)]
struct Heard {
    claim: HeadStatus,
    at: Moment,
}

/// A node that follows the chain and signs nothing. It is synchronous and complete, like
/// [`crate::Engine`].
///
/// It appends every block that a certificate proves, whichever member sent it, and trusts no other
/// claim. Its only file is the ledger. It fetches again what a power cut removes from that file: no
/// other node depends on this one.
#[derive(Debug)]
pub struct Observer {
    /// Of the epoch of the next block.
    config: EngineConfig,
    ledger: Ledger,
    catchup: CatchUp,
    heard: BTreeMap<ReplicaId, Heard>,
    fetches: u64,
    durable_due: Option<Moment>,
    fetched: u64,
}

/// The state of an observer, for status pages, metrics and explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverOverview {
    /// The newest block in the ledger.
    pub head: Head,
    /// The height of that block.
    pub committed: Height,
    /// The highest block that is durable.
    pub durable: Height,
    /// The highest block that at least one correct member has: f + 1 members claim this height or a
    /// higher one.
    pub credible: Height,
    /// The highest stable checkpoint that at least one correct member has.
    pub stable: Height,
    /// The highest view of the observer's epoch that at least one correct member is in; 0 while fewer
    /// than f + 1 members claim to be in this epoch. Views of other epochs say nothing about it.
    pub view: View,
    /// Whether f + 1 members claim that this view of this epoch, or a later one, has begun for them.
    pub active: bool,
    /// The last committed height that each connected member claims.
    pub heads: BTreeMap<ReplicaId, Height>,
    /// Members recently heard from: within three status intervals.
    pub contacts: Vec<ReplicaId>,
    /// Whether the observer lacks more blocks than can be in flight.
    pub catching_up: bool,
    /// Blocks fetched since the start.
    pub fetched: u64,
}

impl Observer {
    /// Opens an observer on a ledger.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn open(ledger: Ledger, memo: Option<Arc<SignatureMemo>>) -> Result<Observer, StoreError> {
        let config = Opening::of(&ledger, memo)?.config;
        Ok(Observer {
            catchup: CatchUp::new(Pace::of_observer(&config.pbft)),
            config,
            ledger,
            heard: BTreeMap::new(),
            fetches: 0,
            durable_due: None,
            fetched: 0,
        })
    }

    fn pbft(&self) -> &Config {
        &self.config.pbft
    }

    /// The configuration of the epoch of the next block. Answers to requests are checked with it.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The epoch of the next block. Events name members by their indices in it.
    pub fn epoch(&self) -> Epoch {
        self.pbft().context.epoch()
    }

    /// The governance state after the newest block.
    pub fn governance(&self) -> &State {
        self.ledger.governance()
    }

    /// Whether the ledger has the last block of the epoch. The owner then calls
    /// [`Observer::next_epoch`].
    pub fn epoch_is_over(&self) -> bool {
        self.governance().next_config().epoch() != self.epoch()
    }

    /// Continues in the epoch of the next block. Claims and requests name members by their old
    /// indices, so they are dropped.
    ///
    /// # Errors
    /// [`Fatal`]: the node must stop.
    pub fn next_epoch(self) -> Result<Observer, Fatal> {
        let memo = self.config.pbft.context.memo.clone();
        let config = Opening::of(&self.ledger, memo)?.config;
        let catchup = CatchUp::new(Pace::of_observer(&config.pbft));
        Ok(Observer { config, catchup, heard: BTreeMap::new(), ..self })
    }

    /// Processes these events, and the time that has passed. The effects contain only requests,
    /// blocks and notices.
    ///
    /// # Errors
    /// [`Fatal`]: the node must stop.
    pub fn handle(
        &mut self,
        now: Now,
        events: impl IntoIterator<Item = Observation>,
    ) -> Result<Effects, Fatal> {
        let mut effects = Effects::default();
        for event in events {
            match event {
                Observation::Head { from, claim } => {
                    self.catchup.heard(from, claim.committed);
                    if self.is_member(from) {
                        self.heard.insert(from, Heard { claim, at: now.moment });
                    }
                }
                Observation::PeerDown(peer) => {
                    self.catchup.lost(peer);
                    self.heard.remove(&peer);
                }
                Observation::Answered { fetch, range } => self.on_range(now, fetch, range, &mut effects)?,
            }
        }
        self.ask(now, &mut effects);
        self.keep_durable(now)?;
        Ok(effects)
    }

    fn is_member(&self, peer: ReplicaId) -> bool {
        peer.index() < self.pbft().context.committee.size()
    }

    fn ask(&mut self, now: Now, effects: &mut Effects) {
        let (tip, fetch) = (self.ledger.head().height, FetchId(self.fetches));
        let Some((peer, target)) = self.catchup.ask(now.moment, tip, fetch) else { return };
        self.fetches += 1;
        effects.asks.push((peer, fetch, FetchRequest::Blocks { from: tip.next() }));
        // An observer fetches every block. Only a gap that cannot be in flight is worth a notice.
        if target > tip.plus(self.pbft().context.window) {
            effects.notices.push(Notice::CatchingUp { height: tip, target });
        }
    }

    fn on_range(
        &mut self,
        now: Now,
        fetch: FetchId,
        range: Option<CheckedRange>,
        effects: &mut Effects,
    ) -> Result<(), Fatal> {
        let request = self.catchup.answered(fetch);
        let before = self.ledger.head().height;
        let full = range.as_ref().is_some_and(CheckedRange::is_full);
        // A checked range proves itself, whichever member sent it and however late it arrives.
        if let Some(range) = range {
            let mut groups = range.into_groups();
            loop {
                let head = self.ledger.head();
                let Some(group) = groups.next_above(head.height, head.hash)? else { break };
                if let Err(refused) = append(&mut self.ledger, &group)? {
                    let (height, reason) = (head.height.next(), refused.to_string());
                    effects.notices.push(Notice::BadBlocks { height, reason });
                    break;
                }
                self.fetched += group.0.len() as u64;
                effects.committed.extend(group.0);
                self.catchup.progressed();
            }
        }
        let tip = self.ledger.head().height;
        match request {
            Some(request) if tip == before => self.catchup.fruitless(now.moment, &request, tip),
            Some(request) => self.catchup.helped(now.moment, &request, tip, full),
            None => {}
        }
        Ok(())
    }

    /// Syncs the ledger once a second instead of once a block. What a power cut removes is fetched
    /// again.
    fn keep_durable(&mut self, now: Now) -> Result<(), Fatal> {
        if self.ledger.head().height == self.ledger.durable_head() {
            self.durable_due = None;
        } else if now.moment >= *self.durable_due.get_or_insert(now.moment.after(DURABLE_INTERVAL)) {
            self.ledger.make_durable()?;
            self.durable_due = None;
        }
        Ok(())
    }

    /// When to call [`Observer::handle`] if nothing happens before.
    pub fn deadline(&self) -> Option<Moment> {
        let ask = self.catchup.deadline(self.ledger.head().height);
        ask.into_iter().chain(self.durable_due).min()
    }

    /// The state of this observer.
    pub fn overview(&self, now: Now) -> ObserverOverview {
        let committed = self.ledger.head().height;
        let credible = self.credible(|claim| Some(claim.committed)).unwrap_or_default();
        let stable = self.credible(|claim| Some(claim.stable)).unwrap_or_default();
        let in_epoch = |claim: &HeadStatus| claim.epoch == self.epoch();
        let view = self.credible(|claim| in_epoch(claim).then_some(claim.view)).unwrap_or_default();
        let claims = self.heard.values().map(|heard| &heard.claim);
        let begun = claims.filter(|claim| in_epoch(claim) && claim.active && claim.view >= view);
        let silent_after = self.pbft().status_interval * SILENT_INTERVALS;
        let lately = self.heard.iter().filter(|(_, heard)| now.moment.since(heard.at) <= silent_after);
        let heads = self.catchup.heads();
        // The operator chose the sources.
        let sources = heads.iter().filter(|(peer, _)| !self.is_member(**peer));
        let claimed = sources.map(|(_, head)| *head).max().unwrap_or_default();
        // Members say more than a source, whose claims no other peer supports.
        let few = self.heard.len() <= self.pbft().context.committee.faults();
        let ahead = if few { credible.max(claimed) } else { credible };
        ObserverOverview {
            head: self.ledger.head(),
            committed,
            durable: self.ledger.durable_head(),
            credible,
            stable,
            view,
            active: begun.count() >= self.pbft().context.committee.weak_quorum(),
            heads: heads.iter().filter(|(peer, _)| self.is_member(**peer)).map(|(a, b)| (*a, *b)).collect(),
            contacts: lately.map(|(replica, _)| *replica).collect(),
            catching_up: ahead > committed.plus(self.pbft().context.window),
            fetched: self.fetched,
        }
    }

    /// The highest value that f + 1 members claim to have reached; at least one of them is correct.
    /// `None` while fewer members have sent a status with a value.
    fn credible<T: Ord>(&self, value: impl Fn(&HeadStatus) -> Option<T>) -> Option<T> {
        let mut claims: Vec<T> = self.heard.values().filter_map(|heard| value(&heard.claim)).collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        claims.into_iter().nth(self.pbft().context.committee.faults())
    }

    /// A reader of the chain, for any thread.
    pub fn reader(&self) -> LedgerReader {
        self.ledger.reader()
    }

    /// Makes the ledger durable, and returns it. Without it, the next start fetches a few blocks
    /// again.
    ///
    /// # Errors
    /// [`Fatal`].
    pub fn into_ledger(mut self) -> Result<Ledger, Fatal> {
        self.ledger.make_durable()?;
        Ok(self.ledger)
    }
}
