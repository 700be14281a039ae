//! Runs seeds and says which of them broke a rule, and how to see it again.

use std::process::ExitCode;

use clap::Parser;
use quorate_sim::coverage::Coverage;
use quorate_sim::{Failure, Summary};

/// Runs of so many seeds must come across every situation.
const LARGE_RUN: u64 = 500;

/// The production engine and store under seeded faults.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    start: u64,
    /// Run just this seed, and print what was drawn from it.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens. Only with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(arguments.start, arguments.seeds),
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    match quorate_sim::run(seed, trace) {
        Ok(Summary { knobs, trace, virtual_time, height, transactions, coverage }) => {
            println!("{knobs:#?}");
            for (situation, count) in coverage.counts().filter(|(_, count)| *count > 0) {
                println!("{count:>9} {situation}");
            }
            println!("{transactions} transactions, {height} blocks in {:.1} s", virtual_time.as_secs_f64());
            println!("trace {trace:016x}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{:#?}", failure.knobs);
            report(&failure);
            ExitCode::FAILURE
        }
    }
}

fn many(start: u64, seeds: u64) -> ExitCode {
    let mut coverage = Coverage::default();
    let (mut failures, mut blocks, mut hours) = (0, 0, 0.0);
    for seed in start..start.saturating_add(seeds) {
        match quorate_sim::run(seed, false) {
            Ok(summary) => {
                coverage.add(&summary.coverage);
                blocks += summary.height.0;
                hours += summary.virtual_time.as_secs_f64() / 3600.0;
            }
            Err(failure) => {
                failures += 1;
                report(&failure);
            }
        }
    }
    for (situation, count) in coverage.counts() {
        println!("{count:>9} {situation}");
    }
    println!("{seeds} seeds, {failures} failed; {blocks} blocks in {hours:.2} virtual hours");
    let missing = coverage.missing();
    if seeds >= LARGE_RUN && !missing.is_empty() {
        println!("never came up: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(failure: &Failure) {
    let Failure { seed, violation, .. } = failure;
    println!("seed {seed} broke a rule: {violation}");
    println!("    cargo run --release -p quorate-sim -- --seed {seed} --trace");
}
