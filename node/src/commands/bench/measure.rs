//! One run of the benchmark, and its results.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::load::Load;
use super::report::{Baseline, CountsReport, Latency, Report, Settings};
use super::submit::{Pace, Plan, Submission};
use super::tally::{Tally, percentile};
use super::watch::{POLL_INTERVAL, Watcher};
use super::{Args, cpu};
use crate::http::Endpoint;

/// How long to wait after sending for accepted transactions to be committed.
const DRAIN: Duration = Duration::from_secs(20);

/// Interval at which the drain checks whether all accepted transactions are committed.
const DRAIN_TICK: Duration = Duration::from_millis(10);

/// The results of a run.
pub(super) struct Measured {
    tally: Arc<Tally>,
    signed: usize,
    sending: Duration,
    exhausted: bool,
    cpu_seconds: Option<f64>,
    client_cpu_seconds: Option<f64>,
}

/// Sends the load and watches the network until the transactions are committed.
pub(super) async fn measure(
    load: Load,
    endpoints: Vec<Endpoint>,
    plan: Plan,
    processes: Option<BTreeSet<u32>>,
) -> anyhow::Result<Measured> {
    let watcher = Watcher::above_head(&endpoints).await?;
    let cpu = || processes.as_ref().and_then(cpu::seconds_used);
    let own = BTreeSet::from([std::process::id()]);
    let (cpu_before, own_before) = (cpu(), cpu::seconds_used(&own));

    let signed = load.len();
    let tally = Arc::new(Tally::start(signed));
    let submission = Submission::new(Arc::new(load), Arc::clone(&tally), endpoints, plan);
    let submission = Arc::new(submission);
    let watching = tokio::spawn(watcher.run(Arc::clone(&submission)));
    let progress = tokio::spawn(show_progress(Arc::clone(&tally), plan.duration));
    let sending = submission.run().await;
    drain(&tally).await;
    progress.abort();
    watching.abort();

    let used = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
    Ok(Measured {
        signed,
        sending,
        exhausted: sending < plan.duration && matches!(plan.pace, Pace::Saturate { .. }),
        cpu_seconds: used(cpu_before, cpu()),
        client_cpu_seconds: used(own_before, cpu::seconds_used(&own)),
        tally,
    })
}

/// Waits until all accepted transactions are committed, at most for [`DRAIN`].
async fn drain(tally: &Tally) {
    let all_committed = async {
        loop {
            let accepted = tally.counts().accepted;
            if tally.committed_count() >= accepted {
                return;
            }
            tokio::time::sleep(DRAIN_TICK).await;
        }
    };
    // Transactions that are not committed by then are reported as unfinished.
    let _ = tokio::time::timeout(DRAIN, all_committed).await;
}

/// Shows a progress bar if standard error is a terminal.
async fn show_progress(tally: Arc<Tally>, duration: Duration) {
    const TICK: Duration = Duration::from_millis(500);
    let bar = ProgressBar::new(duration.as_secs());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}") {
        bar.set_style(style);
    }
    loop {
        bar.set_position(tally.started_at().elapsed().as_secs().min(duration.as_secs()));
        bar.set_message(format!("{} committed", tally.committed_count()));
        tokio::time::sleep(TICK).await;
    }
}

impl Measured {
    pub(super) fn committed_tx_per_second(&self) -> f64 {
        self.tally.committed_until(self.sending) as f64 / self.sending.as_secs_f64()
    }

    pub(super) fn report(
        &self,
        args: &Args,
        plan: &Plan,
        validators: usize,
        baseline: Option<Baseline>,
    ) -> Report {
        let committed = self.tally.committed_count();
        let per_transaction = |seconds: Option<f64>| {
            seconds.filter(|_| committed > 0).map(|seconds| seconds / committed as f64)
        };
        let (mode, rate, in_flight) = match plan.pace {
            Pace::Saturate { in_flight } => ("saturate", None, Some(in_flight)),
            Pace::Rate(rate) => ("rate", Some(rate), None),
        };
        Report {
            committed_tx_per_second: self.committed_tx_per_second(),
            latency_ms: latency(&self.tally.latencies()),
            cpu_seconds_per_transaction: per_transaction(self.cpu_seconds),
            client_cpu_seconds_per_transaction: per_transaction(self.client_cpu_seconds),
            baseline,
            settings: Settings {
                mode,
                rate,
                in_flight,
                payload_bytes: args.payload,
                duration_seconds: plan.duration.as_secs_f64(),
                senders: usize::from(args.senders),
                batch: plan.batch,
                connections_per_node: plan.connections,
                validators,
                poll_interval_ms: u64::try_from(POLL_INTERVAL.as_millis()).unwrap_or(u64::MAX),
            },
            counts: self.counts(committed),
        }
    }

    fn counts(&self, committed: u64) -> CountsReport {
        let counts = self.tally.counts().clone();
        CountsReport {
            signed: self.signed as u64,
            submitted: counts.submitted,
            accepted: counts.accepted,
            committed,
            committed_in_time: self.tally.committed_until(self.sending),
            sending_seconds: self.sending.as_secs_f64(),
            unfinished: counts.accepted.saturating_sub(committed),
            refused: counts.refused,
            retried: counts.retried,
            given_up: counts.given_up,
            not_sent: counts.not_sent,
            foreign: counts.foreign,
            repeated: counts.repeated,
            blocks: counts.blocks,
            transactions_per_block: (counts.blocks > 0).then(|| committed as f64 / counts.blocks as f64),
            load_exhausted: self.exhausted,
        }
    }
}

fn latency(ascending: &[u32]) -> Option<Latency> {
    let milliseconds = |percent| percentile(ascending, percent).map(|value| f64::from(value) / 1000.0);
    Some(Latency { p50: milliseconds(50)?, p95: milliseconds(95)?, p99: milliseconds(99)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(pace: Pace) -> Plan {
        Plan { pace, duration: Duration::from_secs(20), batch: 50, connections: 4 }
    }

    /// Scripts outside this project read these keys.
    #[test]
    fn the_report_has_its_keys() {
        let tally = Tally::start(2);
        tally.sent(0, Duration::ZERO);
        tally.sent(1, Duration::ZERO);
        tally.committed(0);
        tally.counts().accepted = 2;
        let measured = Measured {
            tally: Arc::new(tally),
            signed: 2,
            sending: Duration::from_secs(4000),
            exhausted: false,
            cpu_seconds: Some(0.5),
            client_cpu_seconds: None,
        };
        let args = Cli::try_parse_from(["quorate", "bench", "--network", "n"]).unwrap();
        let Command::Bench(args) = args.command else { panic!("bench was parsed") };
        let baseline = Baseline {
            verification_bound_tx_per_second: 10_000.0,
            verification_us: 50.0,
            cores: 2,
            validators: 4,
            fraction_reached: 0.5,
        };
        let report = measured.report(&args, &plan(Pace::Saturate { in_flight: 5 }), 4, Some(baseline));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["committed_tx_per_second"], 1.0 / 4000.0);
        assert_eq!(json["cpu_seconds_per_transaction"], 0.5);
        assert_eq!(json["client_cpu_seconds_per_transaction"], serde_json::Value::Null);
        assert_eq!(json["baseline"]["verification_bound_tx_per_second"], 10_000.0);
        assert!(["p50", "p95", "p99"].iter().all(|key| json["latency_ms"][key].is_number()), "{json}");
        assert_eq!((&json["counts"]["committed"], &json["counts"]["unfinished"]), (&1.into(), &1.into()));
        assert_eq!(json["settings"]["mode"], "saturate");

        let without = measured.report(&args, &plan(Pace::Rate(5.0)), 4, None);
        let json = serde_json::to_value(&without).unwrap();
        assert!(json.get("baseline").is_none());
        assert_eq!(json["settings"]["rate"], 5.0);
    }
}
