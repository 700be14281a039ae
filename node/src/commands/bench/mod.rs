//! `quorate bench`: generates load and reports throughput and latency.

mod cpu;
#[cfg(test)]
mod fixtures;
mod load;
mod report;
mod submit;
mod tally;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_ledger::TRANSACTION_OVERHEAD_BYTES;

use self::load::Load;
use self::report::{Baseline, CountsReport, Latency, Report, Settings};
use self::submit::{Pace, Plan, Submission};
use self::tally::{Tally, percentile};
use self::watch::{POLL_INTERVAL, Watcher};
use crate::commands::block_on;
use crate::exit::Outcome;
use crate::http::Endpoint;
use crate::network_file;
use crate::output::{self, Output};

/// How long to wait after sending for accepted transactions to be committed.
const DRAIN: Duration = Duration::from_secs(20);

/// Interval at which the drain checks whether all accepted transactions are committed.
const DRAIN_TICK: Duration = Duration::from_millis(10);

/// Upper limit of the bytes of transactions in one request, unless a single transaction is larger:
/// half of what nodes accept.
const MAX_REQUEST_BYTES: usize = 2 << 20;

/// The verification bound limits what can be committed. This margin of a quarter covers an
/// inaccurate measurement of the bound.
const SATURATION_MARGIN: f64 = 1.25;

/// Generate load on a network and report throughput and latency.
///
/// The command signs all transactions in advance and submits them in JSON-RPC batches through the
/// RPC ports of all validators. It reads the committed blocks to find out which transactions were
/// committed, and when. With --saturate it keeps a fixed number of transactions in flight (closed
/// loop) and shows the throughput. With --rate it sends at a fixed rate regardless of the responses
/// (open loop) and shows the latency.
///
/// The throughput is the number of transactions in final blocks per second while transactions are
/// being sent. The latency of a transaction is the time from its submission until a node serves the
/// final block that contains it. With --rate it starts when the transaction was due. CPU time is
/// the sum over all validator processes, which the command finds on this machine by their RPC
/// ports.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate bench --network net/network.json --saturate --baseline
  quorate bench --network net/network.json --rate 400 --duration 30s --output json

Exit code 3 if nothing was committed.")]
pub(crate) struct Args {
    /// The network.json of the network, or the directory that contains it.
    #[arg(long, value_name = "FILE")]
    network: PathBuf,

    /// Payload size of each transaction in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    payload: usize,

    /// Send this many transactions per second.
    #[arg(long, value_name = "N", value_parser = parse_rate, conflicts_with = "saturate")]
    rate: Option<f64>,

    /// Send as many transactions as the network accepts. This is the default without --rate.
    #[arg(long)]
    saturate: bool,

    /// Number of transactions in flight when saturating.
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,

    /// How long to send transactions.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Number of keys that sign the transactions in turn.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    senders: u16,

    /// Upper limit of transactions in one request. Nodes accept up to 100 unless configured
    /// otherwise.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,

    /// Connections to each node.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,

    /// Process ids of the validators, if they cannot be found by their ports.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pids: Vec<u32>,

    /// Also measure how many transactions per second this machine could verify if it did nothing
    /// else.
    #[arg(long)]
    baseline: bool,

    #[command(flatten)]
    output: Output,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    const MOST: f64 = 1e6;
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MOST => Ok(rate),
        _ => Err(format!("a rate is a number of transactions per second, above 0 and at most {MOST}")),
    }
}

/// Runs `quorate bench`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.duration.is_zero() {
        bail!("--duration is 0: choose a time such as 20s");
    }
    let network = network_file::read(&args.network)?;
    let endpoints = network.validators.iter().map(|validator| validator.rpc.parse::<Endpoint>());
    let endpoints: Vec<Endpoint> = endpoints.collect::<Result<_, _>>()?;
    // Fail before signing if the network does not respond.
    block_on(Watcher::above_head(&endpoints))?;

    let verification_seconds = load::verification_seconds();
    let bound = load::cores() as f64 / verification_seconds / endpoints.len() as f64;
    let plan = Plan {
        pace: match args.rate {
            Some(rate) => Pace::Rate(rate),
            None => Pace::Saturate { in_flight: args.in_flight },
        },
        duration: args.duration,
        batch: args.batch.min(fitting_batch(args.payload)),
        connections: usize::from(args.connections),
    };
    let count = transactions_needed(&plan, bound, args.payload)?;
    output::note(format_args!("signing {count} transactions"));
    let load = Load::sign(&network.genesis, count, args.payload, usize::from(args.senders), args.duration)?;

    let processes = if args.pids.is_empty() {
        cpu::processes_serving(&endpoints)
    } else {
        Some(args.pids.iter().copied().collect())
    };
    let measured = block_on(measure(load, endpoints.clone(), plan, processes))?;
    let baseline = args.baseline.then(|| Baseline {
        verification_bound_tx_per_second: bound,
        verification_us: verification_seconds * 1e6,
        cores: load::cores(),
        validators: endpoints.len(),
        fraction_reached: measured.committed_tx_per_second() / bound,
    });
    let report = measured.report(args, &plan, endpoints.len(), baseline);
    args.output.show(&report, || report.human())?;
    Ok(Outcome::of(report.counts.committed > 0))
}

/// How many transactions of this size fit into one request.
fn fitting_batch(payload_bytes: usize) -> u32 {
    let encoded = 2 * payload_bytes.saturating_add(TRANSACTION_OVERHEAD_BYTES as usize);
    u32::try_from(MAX_REQUEST_BYTES / encoded).unwrap_or(u32::MAX).max(1)
}

/// How many transactions a run can use at most.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive and below 1e15
fn transactions_needed(plan: &Plan, bound: f64, payload_bytes: usize) -> anyhow::Result<usize> {
    let capacity = Load::capacity(payload_bytes);
    let seconds = plan.duration.as_secs_f64();
    match plan.pace {
        Pace::Rate(rate) => {
            let count = (rate * seconds).ceil() as usize;
            if count > capacity {
                bail!(
                    "{count} transactions of that size do not fit in the memory set aside for them, {capacity} do: \
                     choose a lower --rate, --duration or --payload"
                );
            }
            Ok(count.max(1))
        }
        Pace::Saturate { in_flight } => {
            let count = (bound * seconds * SATURATION_MARGIN).ceil() as usize + in_flight as usize;
            Ok(count.min(capacity))
        }
    }
}

/// The results of a run.
struct Measured {
    tally: Arc<Tally>,
    signed: usize,
    sending: Duration,
    exhausted: bool,
    cpu_seconds: Option<f64>,
    client_cpu_seconds: Option<f64>,
}

async fn measure(
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
    fn committed_tx_per_second(&self) -> f64 {
        self.tally.committed_until(self.sending) as f64 / self.sending.as_secs_f64()
    }

    fn report(&self, args: &Args, plan: &Plan, validators: usize, baseline: Option<Baseline>) -> Report {
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

    fn plan(pace: Pace, seconds: u64) -> Plan {
        Plan { pace, duration: Duration::from_secs(seconds), batch: 50, connections: 4 }
    }

    #[test]
    fn requests_of_large_transactions_are_smaller() {
        assert!(fitting_batch(256) > 1000);
        assert_eq!(fitting_batch((64 << 10) - 118), 16);
        assert_eq!(fitting_batch(4 << 20), 1);
        assert_eq!(fitting_batch(usize::MAX / 4), 1);
    }

    #[test]
    fn as_much_is_signed_as_can_be_used_and_kept() {
        let rate = plan(Pace::Rate(0.5), 21);
        assert_eq!(transactions_needed(&rate, 1.0, 256).unwrap(), 11);
        let saturate = plan(Pace::Saturate { in_flight: 100 }, 20);
        assert_eq!(transactions_needed(&saturate, 1000.0, 256).unwrap(), 25_100);
        let kept = Load::capacity(100_000);
        assert_eq!(transactions_needed(&saturate, 1000.0, 100_000).unwrap(), kept, "no more than fits");
        let error = transactions_needed(&plan(Pace::Rate(1e6), 80), 1.0, 256).unwrap_err().to_string();
        assert!(error.contains("--rate"), "{error}");
    }

    #[test]
    fn a_rate_is_a_possible_number() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e7", "many"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
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
        let report = measured.report(&args, &plan(Pace::Saturate { in_flight: 5 }, 20), 4, Some(baseline));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["committed_tx_per_second"], 1.0 / 4000.0);
        assert_eq!(json["cpu_seconds_per_transaction"], 0.5);
        assert_eq!(json["client_cpu_seconds_per_transaction"], serde_json::Value::Null);
        assert_eq!(json["baseline"]["verification_bound_tx_per_second"], 10_000.0);
        assert!(["p50", "p95", "p99"].iter().all(|key| json["latency_ms"][key].is_number()), "{json}");
        assert_eq!((&json["counts"]["committed"], &json["counts"]["unfinished"]), (&1.into(), &1.into()));
        assert_eq!(json["settings"]["mode"], "saturate");

        let without = measured.report(&args, &plan(Pace::Rate(5.0), 20), 4, None);
        let json = serde_json::to_value(&without).unwrap();
        assert!(json.get("baseline").is_none());
        assert_eq!(json["settings"]["rate"], 5.0);
    }
}
