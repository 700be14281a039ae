use std::collections::BTreeMap;

use quorate_ledger::{Height, ReplicaId, Timestamp};
use quorate_mempool::MempoolStatistics;
use quorate_pbft::Now;
use quorate_store::Head;

use crate::engine::{Counters, Engine};

/// Where an engine stands, for status pages, metrics and explanations.
#[derive(Debug, Clone)]
pub struct Overview {
    /// This node's index in the committee.
    pub replica: ReplicaId,
    /// The replica.
    pub pbft: quorate_pbft::Overview,
    /// What the replica has seen others do.
    pub pbft_counters: quorate_pbft::Counters,
    /// The pool.
    pub mempool: MempoolStatistics,
    /// When the oldest transaction that waits for a block was admitted.
    pub oldest_waiting: Option<Timestamp>,
    /// The newest block in the ledger.
    pub head: Head,
    /// Highest block that the ledger would keep in a power cut, without help of the journal.
    pub durable: Height,
    /// Blocks complete here and not committed.
    pub in_flight: usize,
    /// Proposals whose transactions are not all here.
    pub examining: usize,
    /// Ids that a new block must not repeat.
    pub remembered_ids: usize,
    /// Rows in the journal.
    pub journal_rows: u64,
    /// Bytes of keys and values in the journal.
    pub journal_bytes: u64,
    /// Last committed height of each other member, as it said itself.
    pub heads: BTreeMap<ReplicaId, Height>,
    /// Whether blocks are being fetched from others.
    pub catching_up: bool,
    /// Lies that were proven, as many as are kept.
    pub evidence: usize,
    /// Counted since the start.
    pub counters: Counters,
}

impl Engine {
    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        Counters { groups: self.storage.groups(), ..self.counters }
    }

    /// What those who check messages must know of the replica. Publish it before the effects of a call are passed on:
    /// see [`quorate_pbft::Position`].
    pub fn position(&self) -> quorate_pbft::Position {
        self.driver.replica().position()
    }

    /// Where this engine stands.
    pub fn overview(&self, now: Now) -> Overview {
        Overview {
            replica: self.me,
            pbft: self.driver.replica().overview(now),
            pbft_counters: self.driver.replica().counters(),
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
