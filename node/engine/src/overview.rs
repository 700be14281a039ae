use std::collections::BTreeMap;

use quorate_ledger::{Height, ReplicaId, Timestamp};
use quorate_mempool::MempoolStatistics;
use quorate_pbft::Now;
use quorate_store::Head;

use crate::engine::{Counters, Engine};

/// The state of an engine, for status pages, metrics and explanations.
#[derive(Debug, Clone)]
pub struct Overview {
    /// This node's index in the committee.
    pub replica: ReplicaId,
    /// The replica.
    pub pbft: quorate_pbft::Overview,
    /// What the replica counted.
    pub pbft_counters: quorate_pbft::Counters,
    /// The pool.
    pub mempool: MempoolStatistics,
    /// When the oldest transaction that waits for a block was admitted.
    pub oldest_waiting: Option<Timestamp>,
    /// The newest block in the ledger.
    pub head: Head,
    /// The highest block that is durable in the ledger, without the journal.
    pub durable: Height,
    /// Blocks whose body is complete here and that are not committed.
    pub in_flight: usize,
    /// Proposals that lack transactions here.
    pub examining: usize,
    /// Ids that a new block must not contain again (R16).
    pub remembered_ids: usize,
    /// Rows in the journal.
    pub journal_rows: u64,
    /// Bytes of keys and values in the journal.
    pub journal_bytes: u64,
    /// The last committed height that each other member claims.
    pub heads: BTreeMap<ReplicaId, Height>,
    /// Whether this node is fetching blocks from others.
    pub catching_up: bool,
    /// Number of pieces of evidence that are kept.
    pub evidence: usize,
    /// Counted since the start.
    pub counters: Counters,
}

impl Engine {
    /// The counters since the start of the process.
    pub fn counters(&self) -> Counters {
        Counters { groups: self.counters.groups + self.storage.groups(), ..self.counters }
    }

    /// The position that message checking needs (R25). Publish it before sending the effects of a
    /// call: see [`quorate_pbft::Position`].
    pub fn position(&self) -> quorate_pbft::Position {
        self.driver.replica().position()
    }

    /// The state of this engine.
    pub fn overview(&self, now: Now) -> Overview {
        Overview {
            replica: self.me,
            pbft: self.driver.replica().overview(now),
            pbft_counters: self.driver.counters(),
            mempool: self.pool.mempool.statistics(),
            oldest_waiting: self.pool.mempool.oldest_waiting(),
            head: self.storage.head(),
            durable: self.storage.durable_head(),
            in_flight: self.flight.len(),
            examining: self.fetching.bodies.len(),
            remembered_ids: self.pool.recent.len(),
            journal_rows: self.storage.journal().row_count(),
            journal_bytes: self.storage.journal().bytes(),
            heads: self.fetching.blocks.heads().clone(),
            catching_up: self.fetching.blocks.is_running(),
            evidence: self.evidence.len(),
            counters: self.counters(),
        }
    }
}
