//! Metrics of files, of the pool, and of queues in the node.

use super::{count, counter, gauge, seconds};
use crate::runtime::metrics::read::Reading;

/// Files and disk, then the pool, then queues.
pub(super) const STORAGE: &[Reading] = &[
    counter(
        "quorate_journal_commits_total",
        &[],
        "Commits of the journal: groups of records that were written with one sync.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.counters.groups));
        },
    ),
    gauge("quorate_journal_rows", &[], "Rows in the journal.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.journal_rows));
    }),
    gauge("quorate_journal_bytes", &[], "Bytes of keys and values in the journal.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.journal_bytes));
    }),
    gauge(
        "quorate_file_bytes",
        &["file"],
        "Size of the ledger file and of the journal file.",
        |facts, samples| {
            facts.files.iter().for_each(|(file, bytes)| samples.counts_of(file, *bytes));
        },
    ),
    counter(
        "quorate_ledger_damaged_reads_total",
        &[],
        "Reads of the ledger that failed because of damage.",
        |facts, samples| samples.counts(facts.damaged_reads),
    ),
    gauge(
        "quorate_disk_free_bytes",
        &[],
        "Free space on the file system of the journal, or of the ledger if that has less.",
        |facts, samples| samples.counts_if(facts.free),
    ),
    // ---- the pool
    gauge("quorate_mempool_transactions", &[], "Transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.transactions);
    }),
    gauge("quorate_mempool_bytes", &[], "Bytes of the transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.bytes);
    }),
    gauge(
        "quorate_mempool_max_transactions",
        &[],
        "Most data transactions that the pool accepts.",
        |facts, samples| {
            samples.counts(facts.pool.max_transactions);
        },
    ),
    gauge(
        "quorate_mempool_max_bytes",
        &[],
        "Most bytes of data transactions that the pool accepts.",
        |facts, samples| {
            samples.counts(facts.pool.max_bytes);
        },
    ),
    gauge(
        "quorate_mempool_in_flight",
        &[],
        "Transactions of the pool that are in accepted blocks.",
        |facts, samples| samples.counts(facts.pool.in_flight),
    ),
    gauge("quorate_mempool_senders", &[], "Senders with transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.senders);
    }),
    gauge(
        "quorate_mempool_oldest_seconds",
        &[],
        "How long the oldest transaction without a block has waited; 0 if there is none.",
        |facts, samples| samples.is(seconds(facts.pool.oldest_waiting_ms.unwrap_or(0))),
    ),
    counter(
        "quorate_mempool_admitted_total",
        &[],
        "Transactions that the pool accepted.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.mempool.admitted));
        },
    ),
    counter(
        "quorate_mempool_refused_total",
        &["reason"],
        "Transactions of clients and gossip that the pool refused, by reason.",
        |facts, samples| {
            let Some(ordering) = facts.ordering() else { return };
            let pool = &ordering.overview.mempool;
            samples.counts_of("full", pool.refused_full);
            samples.counts_of("member_share", pool.refused_share);
            samples.counts_of("sender_quota", pool.refused_quota);
            samples.counts_of("expired", pool.refused_expired);
        },
    ),
    counter(
        "quorate_mempool_expired_total",
        &[],
        "Transactions of the pool that expired without being committed.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.mempool.expired)),
    ),
    counter(
        "quorate_gossip_refused_total",
        &[],
        "Gossiped transactions that the pool refused; duplicates of pooled ones are not counted.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.counters.gossip_refused)),
    ),
    // ---- queues
    gauge(
        "quorate_engine_inbox",
        &[],
        "Items that wait for the ordering thread; at 4096, senders wait.",
        |facts, samples| samples.counts(count(facts.inbox)),
    ),
    gauge(
        "quorate_verification_queue",
        &[],
        "Clients' transactions and gossiped batches that wait for a verification thread; at 1024, gossip is dropped.",
        |facts, samples| samples.counts(count(facts.checking)),
    ),
];
