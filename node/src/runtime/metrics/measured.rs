//! Metrics that are counted when events happen, because no state contains them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};
use quorate_engine::End;
use quorate_governance::Outcome;
use quorate_ledger::{Ballot, Height, NotPermitted, Signers, TransactionId};
use quorate_pbft::{Message, Moment, To};
use quorate_rpc::MetricSpec;

use crate::runtime::epoch::members::Members;

const PHASES: MetricSpec = MetricSpec::histogram(
    "quorate_phase_seconds",
    &["phase"],
    "Time that a block takes here: prepare, from its acceptance to this node's COMMIT; commit, from that COMMIT to being final.",
);
const TRANSACTION: MetricSpec = MetricSpec::histogram(
    "quorate_transaction_seconds",
    &[],
    "Time from the acceptance of a client's transaction here until its block is final, for committed ones.",
);
const JOURNAL_COMMIT: MetricSpec = MetricSpec::histogram(
    "quorate_journal_commit_seconds",
    &[],
    "Time that the ordering thread takes for a group of events that writes to the journal, including the sync.",
);
const BLOCKS: MetricSpec =
    MetricSpec::counter("quorate_blocks_total", &[], "Blocks that became final here, fetched ones included.");
const TRANSACTIONS: MetricSpec = MetricSpec::counter(
    "quorate_transactions_total",
    &[],
    "Transactions that became final here, fetched ones included.",
);
const CERTIFICATES: MetricSpec = MetricSpec::counter(
    "quorate_certificates_total",
    &[],
    "Certificates of the newest block that were sampled for the next metric.",
);
const SIGNATURES: MetricSpec = MetricSpec::counter(
    "quorate_certificate_signatures_total",
    &["validator"],
    "Of these certificates, those with this validator's signature. A certificate has exactly a quorum: of four equally fast \
     validators, each is in three of four certificates.",
);
const OPERATIONS: MetricSpec = MetricSpec::counter(
    "quorate_governance_operations_total",
    &["outcome"],
    "Governance transactions in blocks that became final here, by outcome: executed or failed.",
);
const REJECTED: MetricSpec = MetricSpec::counter(
    "quorate_transactions_rejected_total",
    &["reason"],
    "Transactions of the pool that a change of the configuration excluded from all later blocks, by reason.",
);
/// The metrics of this module, for the document.
#[cfg(test)]
pub(crate) const MEASURED: &[MetricSpec] = &[
    PHASES,
    TRANSACTION,
    JOURNAL_COMMIT,
    BLOCKS,
    TRANSACTIONS,
    CERTIFICATES,
    SIGNATURES,
    OPERATIONS,
    REJECTED,
];

fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Executed => "executed",
        Outcome::Failed(_) => "failed",
    }
}

fn reason_label(reason: NotPermitted) -> &'static str {
    match reason {
        NotPermitted::SenderUnknown => "sender_unknown",
        NotPermitted::SenderRevoked => "sender_revoked",
        NotPermitted::Quota => "quota",
        NotPermitted::AboveQuota => "above_quota",
    }
}

const PHASE_SECONDS: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];
const TRANSACTION_SECONDS: &[f64] =
    &[0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 30.0, 60.0];
const JOURNAL_COMMIT_SECONDS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 4.096];

/// Transactions that are measured at a time. Further ones are not measured.
const MAX_MEASURED: usize = 1 << 16;

/// Clones share the counters.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    phases: HistogramVec,
    transaction: Histogram,
    group: Histogram,
    blocks: IntCounter,
    transactions: IntCounter,
    certificates: IntCounter,
    signatures: IntCounterVec,
    operations: IntCounterVec,
    rejected: IntCounterVec,
}

impl Measured {
    pub(crate) fn new() -> Self {
        const WRITTEN: &str = "a metric that is written down correctly";
        let one = |spec: &MetricSpec| IntCounter::with_opts(spec.opts()).expect(WRITTEN);
        let histogram = |spec: &MetricSpec, buckets: &[f64]| {
            spec.histogram_vec(buckets).with_label_values(&[] as &[&str])
        };
        let (operations, rejected) = (OPERATIONS.counter_vec(), REJECTED.counter_vec());
        // A series that begins with its first event hides this event from rates.
        for outcome in ["executed", "failed"] {
            let _ = operations.with_label_values(&[outcome]);
        }
        for reason in ["sender_unknown", "sender_revoked", "quota", "above_quota"] {
            let _ = rejected.with_label_values(&[reason]);
        }
        Measured {
            operations,
            rejected,
            phases: PHASES.histogram_vec(PHASE_SECONDS),
            transaction: histogram(&TRANSACTION, TRANSACTION_SECONDS),
            group: histogram(&JOURNAL_COMMIT, JOURNAL_COMMIT_SECONDS),
            blocks: one(&BLOCKS),
            transactions: one(&TRANSACTIONS),
            certificates: one(&CERTIFICATES),
            signatures: SIGNATURES.counter_vec(),
        }
    }

    pub(super) fn register(&self, registry: &Registry) {
        let collectors: [Box<dyn Collector>; 9] = [
            Box::new(self.phases.clone()),
            Box::new(self.transaction.clone()),
            Box::new(self.group.clone()),
            Box::new(self.blocks.clone()),
            Box::new(self.transactions.clone()),
            Box::new(self.certificates.clone()),
            Box::new(self.signatures.clone()),
            Box::new(self.operations.clone()),
            Box::new(self.rejected.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect("every metric has a name of its own");
        }
    }

    /// A block with a governance transaction of this outcome became final.
    pub(crate) fn operation(&self, outcome: Outcome) {
        self.operations.with_label_values(&[outcome_label(outcome)]).inc();
    }

    /// A transaction of the pool can be in no block any more.
    pub(crate) fn ended(&self, end: End) {
        if let End::Rejected(reason) = end {
            self.rejected.with_label_values(&[reason_label(reason)]).inc();
        }
    }

    pub(crate) fn group(&self, took: Duration) {
        self.group.observe(took.as_secs_f64());
    }

    /// Ends the series of members that are not in the committee any more. Without that, the number of
    /// series would grow with every change of the committee.
    pub(crate) fn epoch_began(&self, before: &Members, after: &Members) {
        for name in before.names().iter().filter(|name| !after.names().contains(name)) {
            // An error means that no certificate was sampled with its signature.
            let _ = self.signatures.remove_label_values(&[name.as_str()]);
        }
    }

    pub(crate) fn certified(&self, signers: Signers, members: &Members) {
        self.certificates.inc();
        for signer in signers.iter() {
            self.signatures.with_label_values(&[members.name(signer)]).inc();
        }
    }
}

/// Measures the time of blocks and transactions in one node.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    measured: Measured,
    /// When this node's votes for a height were sent: PRE-PREPARE or PREPARE, then COMMIT. As many
    /// as are in flight.
    heights: BTreeMap<Height, Votes>,
    transactions: HashMap<TransactionId, Moment>,
}

#[derive(Debug, Default)]
struct Votes {
    accepted: Option<Moment>,
    prepared: Option<Moment>,
}

impl Stopwatch {
    pub(crate) fn new(measured: Measured) -> Self {
        Stopwatch { measured, heights: BTreeMap::new(), transactions: HashMap::new() }
    }

    /// A client's transaction was accepted.
    pub(crate) fn taken(&mut self, now: Moment, id: TransactionId) {
        if self.transactions.len() < MAX_MEASURED {
            self.transactions.entry(id).or_insert(now);
        }
    }

    /// The transaction can be in no block any more.
    pub(crate) fn ended(&mut self, id: &TransactionId) {
        self.transactions.remove(id);
    }

    /// Records a message to all others. Messages to one member are retransmissions.
    pub(crate) fn says(&mut self, now: Moment, to: To, message: &Message) {
        if to != To::All {
            return;
        }
        match message {
            Message::PrePrepare(proposal) => self.accepted(now, &proposal.vote.body.0),
            Message::Prepare(vote) => self.accepted(now, &vote.body.0),
            Message::Commit(vote) => self.prepared(now, &vote.body.0),
            _ => {}
        }
    }

    fn accepted(&mut self, now: Moment, ballot: &Ballot) {
        // A vote in a later view: the block starts anew.
        self.heights.insert(ballot.height, Votes { accepted: Some(now), prepared: None });
    }

    fn prepared(&mut self, now: Moment, ballot: &Ballot) {
        let votes = self.heights.entry(ballot.height).or_default();
        votes.prepared = Some(now);
        if let Some(accepted) = votes.accepted {
            self.observe("prepare", now.since(accepted));
        }
    }

    /// A block became final.
    pub(crate) fn committed(&mut self, now: Moment, height: Height, ids: &[TransactionId]) {
        self.measured.blocks.inc();
        self.measured.transactions.inc_by(ids.len() as u64);
        let above = self.heights.split_off(&height.next());
        let below = std::mem::replace(&mut self.heights, above);
        let prepared = below.get(&height).and_then(|votes| votes.prepared);
        if let Some(prepared) = prepared {
            self.observe("commit", now.since(prepared));
        }
        for id in ids {
            if let Some(taken) = self.transactions.remove(id) {
                self.measured.transaction.observe(now.since(taken).as_secs_f64());
            }
        }
    }

    fn observe(&self, phase: &str, took: Duration) {
        self.measured.phases.with_label_values(&[phase]).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_governance::Reason;

    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment(Duration::from_millis(milliseconds))
    }

    fn id(byte: u8) -> TransactionId {
        TransactionId::from_bytes([byte; 32])
    }

    #[test]
    fn a_transaction_is_measured_once_from_the_client_to_its_block() {
        let mut watch = Stopwatch::new(Measured::new());
        watch.taken(at(0), id(1));
        watch.taken(at(500), id(1));
        watch.taken(at(0), id(2));
        watch.ended(&id(2));
        watch.committed(at(1000), Height(1), &[id(1), id(2), id(3)]);
        watch.committed(at(2000), Height(2), &[id(4)]);
        let seconds = &watch.measured.transaction;
        assert_eq!((seconds.get_sample_count(), seconds.get_sample_sum()), (1, 1.0));
        assert_eq!((watch.measured.blocks.get(), watch.measured.transactions.get()), (2, 4));
        assert!(watch.transactions.is_empty());
    }

    #[test]
    fn outcomes_and_rejections_are_counted_by_fixed_words() {
        let measured = Measured::new();
        measured.operation(Outcome::Executed);
        measured.operation(Outcome::Failed(Reason::NotReady));
        measured.operation(Outcome::Failed(Reason::TooSoon));
        let counted = |label| measured.operations.with_label_values(&[label]).get();
        assert_eq!((counted("executed"), counted("failed")), (1, 2));
        measured.ended(End::Expired);
        let all = [
            NotPermitted::SenderUnknown,
            NotPermitted::SenderRevoked,
            NotPermitted::Quota,
            NotPermitted::AboveQuota,
        ];
        all.iter().for_each(|reason| measured.ended(End::Rejected(*reason)));
        let series = measured.rejected.collect()[0].get_metric().len();
        assert_eq!(series, all.len(), "no reason makes a series that did not begin with 0");
        assert!(
            all.iter().all(|reason| measured.rejected.with_label_values(&[reason_label(*reason)]).get() == 1)
        );
    }

    #[test]
    fn unfinished_heights_are_forgotten_when_a_higher_block_is_final() {
        let mut watch = Stopwatch::new(Measured::new());
        for height in 1..=3 {
            watch.heights.insert(Height(height), Votes { accepted: Some(at(0)), prepared: Some(at(100)) });
        }
        watch.committed(at(400), Height(2), &[]);
        let commits = watch.measured.phases.with_label_values(&["commit"]);
        assert_eq!((commits.get_sample_count(), commits.get_sample_sum()), (1, 0.3));
        assert_eq!(watch.heights.keys().copied().collect::<Vec<_>>(), [Height(3)]);
    }
}
