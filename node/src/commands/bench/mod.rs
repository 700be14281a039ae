//! `quorate bench`: generates load and reports throughput and latency.

mod cpu;
#[cfg(test)]
mod fixtures;
mod load;
mod measure;
mod report;
mod submit;
mod tally;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use quorate_ledger::TRANSACTION_OVERHEAD_BYTES;

use self::load::Load;
use self::measure::measure;
use self::report::Baseline;
use self::submit::{Pace, Plan};
use self::watch::Watcher;
use crate::commands::block_on;
use crate::exit::Outcome;
use crate::http::Endpoint;
use crate::network_file;
use crate::output::{self, Output};

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
}
