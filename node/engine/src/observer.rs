//! Following the chain without a vote.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_genesis::Genesis;
use quorate_ledger::{Committee, Height, ReplicaId, View};
use quorate_pbft::{Moment, Now, SILENT_INTERVALS};
use quorate_store::{Head, Ledger, LedgerReader};

use crate::config::EngineConfig;
use crate::engine::{DURABLE_INTERVAL, Fatal};
use crate::event::{Effects, FetchId, Notice};
use crate::fetching::catchup::{CatchUp, Pace};
use crate::fetching::range::{CheckedRun, append};
use crate::wire::{Ask, HeadClaim};

/// Everything that can wake an observer. Time alone is no event: call [`Observer::handle`] without any.
#[derive(Debug)]
pub enum Observation {
    /// A member says where it stands.
    Head {
        /// The member at the other end of the authenticated channel.
        from: ReplicaId,
        /// What it said. A claim: it costs a question at most.
        claim: HeadClaim,
    },
    /// The channel to a member is gone.
    PeerDown(ReplicaId),
    /// What became of a question in [`Effects::asks`].
    Answered {
        /// The question.
        fetch: FetchId,
        /// The checked answer; `None` if there was none or it was no good.
        run: Option<CheckedRun>,
    },
}

/// What a member said last.
#[derive(Debug, Clone, Copy)]
struct Heard {
    claim: HeadClaim,
    at: Moment,
}

/// A node that follows the chain and signs nothing: synchronous and complete, like [`crate::Engine`].
///
/// It appends whatever a certificate proves, from whomever it comes, and believes no member anything else. Its only file
/// is the ledger. What a power cut takes of that is fetched again, since nothing anywhere depends on this node.
#[derive(Debug)]
pub struct Observer {
    committee: Committee,
    /// A gap of more heights than may be in flight is worth a word.
    window: u64,
    silent_after: Duration,
    ledger: Ledger,
    catchup: CatchUp,
    heard: BTreeMap<ReplicaId, Heard>,
    fetches: u64,
    durable_due: Option<Moment>,
    fetched: u64,
}

/// Where an observer stands, for status pages, metrics and explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverOverview {
    /// The newest block in the ledger.
    pub head: Head,
    /// The last block it has.
    pub committed: Height,
    /// The last block it would keep in a power cut.
    pub durable: Height,
    /// The highest block that some honest member has: of what f members say more than all others nothing is believed.
    pub credible: Height,
    /// The highest stable checkpoint that some honest member has.
    pub stable: Height,
    /// The highest view that some honest member is in.
    pub view: View,
    /// Whether f + 1 members say that this view, or a later one, has begun for them.
    pub active: bool,
    /// Last committed height of each connected member, as it said itself.
    pub heads: BTreeMap<ReplicaId, Height>,
    /// Members that were heard of within three status intervals.
    pub contacts: Vec<ReplicaId>,
    /// Whether more blocks are to be fetched than can be in flight.
    pub catching_up: bool,
    /// Blocks fetched since the start.
    pub fetched: u64,
}

impl Observer {
    /// Puts an observer together from a ledger.
    pub fn open(genesis: &Genesis, ledger: Ledger) -> Observer {
        let config = EngineConfig::of(genesis).pbft;
        Observer {
            catchup: CatchUp::new(Pace::of_observer(&config)),
            window: config.window,
            silent_after: config.status_interval * SILENT_INTERVALS,
            committee: config.committee,
            ledger,
            heard: BTreeMap::new(),
            fetches: 0,
            durable_due: None,
            fetched: 0,
        }
    }

    /// Works through everything that has happened, and through the time that has passed. Of the effects only questions,
    /// blocks and notices are ever there.
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
                    self.heard.insert(from, Heard { claim, at: now.moment });
                }
                Observation::PeerDown(peer) => {
                    self.catchup.lost(peer);
                    self.heard.remove(&peer);
                }
                Observation::Answered { fetch, run } => self.on_run(now, fetch, run, &mut effects)?,
            }
        }
        self.ask(now, &mut effects);
        self.keep_durable(now)?;
        Ok(effects)
    }

    fn ask(&mut self, now: Now, effects: &mut Effects) {
        let (tip, fetch) = (self.ledger.head().height, FetchId(self.fetches));
        let Some((peer, target)) = self.catchup.ask(now.moment, tip, fetch) else { return };
        self.fetches += 1;
        effects.asks.push((peer, fetch, Ask::Blocks { from: tip.next() }));
        // Every block is fetched: only a large gap is news.
        if target > tip.plus(self.window) {
            effects.notices.push(Notice::CatchingUp { height: tip, target });
        }
    }

    fn on_run(
        &mut self,
        now: Now,
        fetch: FetchId,
        run: Option<CheckedRun>,
        effects: &mut Effects,
    ) -> Result<(), Fatal> {
        let question = self.catchup.answered(fetch);
        let before = self.ledger.head().height;
        // A checked run proves itself, whoever sent it and however late it comes.
        if let Some(run) = run {
            let mut groups = run.into_groups();
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
        match question {
            Some(question) if self.ledger.head().height == before => {
                self.catchup.fruitless(&question, before)
            }
            Some(question) => self.catchup.helped(now.moment, &question),
            None => {}
        }
        Ok(())
    }

    /// One sync a second, not one for each block.
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

    /// Where this observer stands.
    pub fn overview(&self, now: Now) -> ObserverOverview {
        let committed = self.ledger.head().height;
        let credible = self.credible(|claim| claim.committed).unwrap_or_default();
        let stable = self.credible(|claim| claim.stable).unwrap_or_default();
        let view = self.credible(|claim| claim.view).unwrap_or_default();
        let begun = self.heard.values().filter(|heard| heard.claim.active && heard.claim.view >= view);
        let lately = self.heard.iter().filter(|(_, heard)| now.moment.since(heard.at) <= self.silent_after);
        ObserverOverview {
            head: self.ledger.head(),
            committed,
            durable: self.ledger.durable_head(),
            credible,
            stable,
            view,
            active: begun.count() >= self.committee.one_honest(),
            heads: self.catchup.heads().clone(),
            contacts: lately.map(|(replica, _)| *replica).collect(),
            catching_up: credible > committed.plus(self.window),
            fetched: self.fetched,
        }
    }

    /// The highest value that f + 1 members claim to have reached, of whom one is honest; `None` while fewer are heard.
    fn credible<T: Ord>(&self, value: impl Fn(&HeadClaim) -> T) -> Option<T> {
        let mut claims: Vec<T> = self.heard.values().map(|heard| value(&heard.claim)).collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        claims.into_iter().nth(self.committee.faults())
    }

    /// Reads the chain; may be used from any thread.
    pub fn reader(&self) -> LedgerReader {
        self.ledger.reader()
    }

    /// Makes everything durable. Without it a little is fetched again at the next start.
    ///
    /// # Errors
    /// [`Fatal`].
    pub fn close(mut self) -> Result<(), Fatal> {
        self.ledger.make_durable()?;
        Ok(())
    }
}
