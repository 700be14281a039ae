//! The report of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output;

/// The report. Scripts outside this project read it: fields may be added, but existing fields must
/// not change.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Transactions in final blocks per second, while transactions were being sent.
    pub(super) committed_tx_per_second: f64,
    /// Time from submission (at a given rate: from when the transaction was due) until the block is
    /// known to be final. Null if no transaction was committed.
    pub(super) latency_ms: Option<Latency>,
    /// CPU time of all validator processes together per committed transaction. Null if they are not
    /// found on this machine.
    pub(super) cpu_seconds_per_transaction: Option<f64>,
    /// CPU time of this program during the run per committed transaction.
    pub(super) client_cpu_seconds_per_transaction: Option<f64>,
    /// Present with `--baseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<Baseline>,
    /// The settings of the run.
    pub(super) settings: Settings,
    /// The counts of the run.
    pub(super) counts: CountsReport,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

/// The throughput that this machine could reach if it only verified signatures.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Baseline {
    /// cores ÷ verification time ÷ validators: the throughput if only verification cost processor
    /// time.
    pub(super) verification_bound_tx_per_second: f64,
    /// Time of one verification, key parsing included, measured before the run while the validators
    /// are idle.
    pub(super) verification_us: f64,
    /// Cores of this machine.
    pub(super) cores: usize,
    /// Number of validators that share the cores. Each verifies every transaction.
    pub(super) validators: usize,
    /// The measured throughput as a fraction of the bound.
    pub(super) fraction_reached: f64,
}

/// The settings of the run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    /// `saturate` or `rate`.
    pub(super) mode: &'static str,
    /// Transactions per second, at a given rate.
    pub(super) rate: Option<f64>,
    /// Transactions in flight, when saturating.
    pub(super) in_flight: Option<u32>,
    pub(super) payload_bytes: usize,
    pub(super) duration_seconds: f64,
    pub(super) senders: usize,
    pub(super) batch: u32,
    pub(super) connections_per_node: usize,
    pub(super) validators: usize,
    pub(super) poll_interval_ms: u64,
}

/// Counts, of transactions unless stated otherwise.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CountsReport {
    pub(super) signed: u64,
    pub(super) submitted: u64,
    pub(super) accepted: u64,
    pub(super) committed: u64,
    /// Committed transactions that were committed while transactions were being sent. The
    /// throughput is computed from these.
    pub(super) committed_in_time: u64,
    /// Seconds during which transactions were sent.
    pub(super) sending_seconds: f64,
    /// Accepted, but in no block when the program stopped waiting.
    pub(super) unfinished: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) retried: BTreeMap<String, u64>,
    pub(super) given_up: u64,
    pub(super) not_sent: u64,
    pub(super) foreign: u64,
    pub(super) repeated: u64,
    /// Blocks with transactions of this run.
    pub(super) blocks: u64,
    pub(super) transactions_per_block: Option<f64>,
    /// Whether all signed transactions were sent before the duration was over.
    pub(super) load_exhausted: bool,
}

impl Report {
    /// The report as text.
    pub(super) fn human(&self) -> String {
        let microseconds = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{:.0} µs per transaction", seconds * 1e6),
            None => "unknown: not all validators run on this machine under this user".to_owned(),
        };
        let latency = match self.latency_ms {
            Some(Latency { p50, p95, p99 }) => format!("p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms"),
            None => "no transaction was committed".to_owned(),
        };
        let counts = &self.counts;
        let mut fields = vec![
            ("committed", format!("{:.0} tx/s", self.committed_tx_per_second)),
            ("latency", latency),
            ("validators' CPU", microseconds(self.cpu_seconds_per_transaction)),
            ("this client's CPU", microseconds(self.client_cpu_seconds_per_transaction)),
        ];
        if let Some(baseline) = &self.baseline {
            fields.push((
                "verification bound",
                format!(
                    "{:.0} tx/s ({} cores ÷ {:.1} µs ÷ {} validators), {:.0} % reached",
                    baseline.verification_bound_tx_per_second,
                    baseline.cores,
                    baseline.verification_us,
                    baseline.validators,
                    100.0 * baseline.fraction_reached
                ),
            ));
        }
        fields.push((
            "transactions",
            format!(
                "{} submitted, {} accepted, {} committed, {} unfinished",
                counts.submitted, counts.accepted, counts.committed, counts.unfinished
            ),
        ));
        let per_block = counts.transactions_per_block.unwrap_or_default();
        fields.push(("blocks", format!("{}, {per_block:.0} transactions per block", counts.blocks)));
        for (name, kinds) in [("refused", &counts.refused), ("sent again", &counts.retried)] {
            if !kinds.is_empty() {
                let kinds = kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
                fields.push((name, kinds.collect::<Vec<_>>().join(", ")));
            }
        }
        for (name, count) in
            [("given up", counts.given_up), ("not sent", counts.not_sent), ("repeated", counts.repeated)]
        {
            if count > 0 {
                fields.push((name, count.to_string()));
            }
        }
        output::fields(fields)
    }
}
