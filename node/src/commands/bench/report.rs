//! What a run has shown.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output;

/// The report. Scripts outside this project read it: fields may be added, none may change.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// Transactions in final blocks a second, while transactions were sent.
    pub(super) committed_tx_per_second: f64,
    /// From handing in (at a given rate: from when it was due) until the block is known to be final. Null
    /// if nothing was committed.
    pub(super) latency_ms: Option<Latency>,
    /// Of all validator processes together, for each committed transaction. Null if they are not found on
    /// this machine.
    pub(super) cpu_seconds_per_transaction: Option<f64>,
    /// Of this program during the run, for each committed transaction.
    pub(super) client_cpu_seconds_per_transaction: Option<f64>,
    /// With `--baseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline: Option<Baseline>,
    /// What was asked for.
    pub(super) settings: Settings,
    /// What was counted.
    pub(super) counts: CountsReport,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

/// What verifying signatures alone would allow on this machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Baseline {
    /// cores ÷ verification time ÷ validators: if nothing but verification cost anything.
    pub(super) verification_bound_tx_per_second: f64,
    /// One verification with the key parsed, measured before the run while the validators were idle.
    pub(super) verification_us: f64,
    /// Cores of this machine.
    pub(super) cores: usize,
    /// Validators that share them, each of which verifies every transaction.
    pub(super) validators: usize,
    /// The part of the bound that was reached.
    pub(super) fraction_reached: f64,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    /// `saturate` or `rate`.
    pub(super) mode: &'static str,
    /// Transactions a second, at a given rate.
    pub(super) rate: Option<f64>,
    /// Transactions on their way at any time, when saturating.
    pub(super) in_flight: Option<u32>,
    pub(super) payload_bytes: usize,
    pub(super) duration_seconds: f64,
    pub(super) senders: usize,
    pub(super) batch: u32,
    pub(super) connections_per_node: usize,
    pub(super) validators: usize,
    pub(super) poll_interval_ms: u64,
}

/// What was counted, in transactions unless said otherwise.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CountsReport {
    pub(super) signed: u64,
    pub(super) submitted: u64,
    pub(super) accepted: u64,
    pub(super) committed: u64,
    /// Of these, committed while transactions were sent: what the rate is computed from.
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
    /// Whether everything that was signed was used up before the time was over.
    pub(super) load_exhausted: bool,
}

impl Report {
    /// The report for people.
    pub(super) fn human(&self) -> String {
        let microseconds = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{:.0} µs a transaction", seconds * 1e6),
            None => "unknown: not all validators run on this machine under this user".to_owned(),
        };
        let latency = match self.latency_ms {
            Some(Latency { p50, p95, p99 }) => format!("p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms"),
            None => "nothing was committed".to_owned(),
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
        fields.push(("blocks", format!("{}, {per_block:.0} transactions each", counts.blocks)));
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
