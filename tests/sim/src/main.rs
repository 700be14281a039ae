//! Runs seeds and reports which of them broke a rule, and how to repeat them.

use std::env::temp_dir;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
#[cfg(feature = "mutants")]
use quorate_ledger::mutant::Mutant;
use quorate_sim::byzantine::Lie;
use quorate_sim::occasions::{Occasion, Scenario};
use quorate_sim::oracle::coverage::Coverage;
use quorate_sim::{Failure, Summary};

/// Networks are created and dropped all the time: allocation is a tenth of the work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of at least this many seeds must reach every situation.
const LARGE_RUN: u64 = 20_000;

/// The production engine and store under seeded faults.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    start: u64,
    /// How many seeds to run at a time; by default the number of cores. It does not affect the
    /// results.
    #[arg(long, conflicts_with = "seed")]
    jobs: Option<NonZeroUsize>,
    /// Stop after this many minutes, but not before --at-least seeds were run (with --mutants: for
    /// each fault).
    #[arg(long, conflicts_with = "seed")]
    minutes: Option<u64>,
    /// Seeds that are always run, however long they take.
    #[arg(long, default_value_t = 50, requires = "minutes")]
    at_least: u64,
    /// Shape every run for this scenario; without it, a third of the runs are shaped for a random
    /// scenario.
    #[arg(long, value_parser = scenario)]
    scenario: Option<Scenario>,
    /// The first faulty member of every run has at least these Byzantine behaviours.
    #[arg(long, value_delimiter = ',', value_parser = lie)]
    lies: Vec<Lie>,
    /// Run only this seed, and print the parameters that were drawn from it.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens. Only with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// No faults: order this many blocks on four members and print twenty times, as comma-separated
    /// values, the sizes of their files and memory.
    #[arg(long, value_name = "BLOCKS", conflicts_with = "seed")]
    soak: Option<u64>,
    /// The directory for the files of --soak; it must be empty. Without it, a temporary directory
    /// is used and removed at the end.
    #[arg(long, requires = "soak")]
    dir: Option<PathBuf>,
    /// Switch deliberate faults on, one after the other, and run seeds until each is detected, at
    /// most --seeds for each.
    #[cfg(feature = "mutants")]
    #[arg(long, conflicts_with_all = ["seed", "soak", "scenario", "lies"])]
    mutants: bool,
    /// With --mutants: only these, by name or as in M7.
    #[cfg(feature = "mutants")]
    #[arg(long, value_delimiter = ',', requires = "mutants", value_parser = mutant)]
    only: Vec<Mutant>,
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::named(name).ok_or_else(|| format!("one of {:?}", Scenario::ALL))
}

fn lie(name: &str) -> Result<Lie, String> {
    Lie::named(name).ok_or_else(|| format!("one of {:?} and {:?}", Lie::ALL, Lie::FORGERIES))
}

#[cfg(feature = "mutants")]
fn mutant(name: &str) -> Result<Mutant, String> {
    Mutant::named(name).ok_or_else(|| "there is no fault with this name".to_owned())
}

/// How many seeds to run.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// The first seed.
    start: u64,
    /// The maximum number.
    most: u64,
    /// The minimum number, independent of time.
    least: u64,
    started: Stopwatch,
    time: Option<Duration>,
}

impl Extent {
    /// Whether to continue after this many seeds.
    fn goes_on(&self, seeds: u64) -> bool {
        seeds < self.most
            && (seeds < self.least || self.time.is_none_or(|time| self.started.elapsed() < time))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let jobs = arguments.jobs.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let extent = Extent {
        start: arguments.start,
        most: arguments.seeds,
        least: arguments.at_least.min(arguments.seeds),
        started: Stopwatch::start(),
        time: arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
    };
    // Leaked once per process.
    let occasion = Occasion { scenario: arguments.scenario, lies: arguments.lies.leak() };
    #[cfg(feature = "mutants")]
    if arguments.mutants {
        let only = arguments.only;
        return hunt(if only.is_empty() { Mutant::ALL } else { &only }, extent, jobs);
    }
    match (arguments.soak, arguments.seed) {
        (Some(blocks), _) => soak(blocks, arguments.dir),
        (None, Some(seed)) => one(seed, occasion, arguments.trace),
        (None, None) => many(extent, occasion, jobs),
    }
}

/// Number of measurements of a soak.
const SAMPLES: u64 = 20;

fn soak(blocks: u64, dir: Option<PathBuf>) -> ExitCode {
    let temporary = dir.is_none();
    let dir = dir.unwrap_or_else(|| temp_dir().join(format!("quorate-soak-{}", std::process::id())));
    if temporary && let Err(error) = std::fs::create_dir(&dir) {
        eprintln!("{} cannot be created: {error}", dir.display());
        return ExitCode::FAILURE;
    }
    println!("{}", quorate_sim::runs::soak::Sample::HEADER);
    let end = quorate_sim::runs::soak::soak(&dir, blocks, SAMPLES, |sample| println!("{sample}"));
    if temporary && let Err(error) = std::fs::remove_dir_all(&dir) {
        eprintln!("{} cannot be removed: {error}", dir.display());
    }
    match end {
        Ok(_) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Prints for each deliberate fault how many seeds were needed to detect it.
#[cfg(feature = "mutants")]
fn hunt(mutants: &[Mutant], extent: Extent, jobs: NonZeroUsize) -> ExitCode {
    use quorate_sim::occasions::mutants::{Hunted, excuse, ground, hunt_all};
    use std::sync::{Mutex, PoisonError};

    let missed = Mutex::new(Vec::new());
    // Broken rules end in panics, whose backtraces are not useful here.
    std::panic::set_hook(Box::new(|_| {}));
    let hunted: Vec<Mutant> = mutants.iter().copied().filter(|mutant| excuse(*mutant).is_none()).collect();
    hunt_all(
        &hunted,
        extent.start,
        extent.most,
        jobs,
        |seeds| extent.goes_on(seeds),
        |Hunted { mutant, seeds, found }| {
            let (number, place) = (mutant.number(), ground(mutant));
            match found {
                Some(found) => println!(
                    "M{number:<3} {mutant:?}: detected after {seeds} seeds (--seed {}{place}): {}",
                    found.seed,
                    found.violation.lines().next().unwrap_or_default()
                ),
                None => {
                    println!("M{number:<3} {mutant:?}: NOT detected in {seeds} seeds{place}");
                    missed.lock().unwrap_or_else(PoisonError::into_inner).push(mutant);
                }
            }
        },
    );
    for mutant in mutants {
        if let Some(reason) = excuse(*mutant) {
            println!("M{:<3} {mutant:?}: not hunted; {reason}", mutant.number());
        }
    }
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} of {} detected", hunted.len() - missed.len(), hunted.len());
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, occasion: Occasion, trace: bool) -> ExitCode {
    match quorate_sim::run(seed, occasion, trace) {
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

/// Real time for the user who waits. No run uses it.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::disallowed_types)]
struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_types)]
impl Stopwatch {
    fn start() -> Self {
        Stopwatch(std::time::Instant::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The results of many seeds.
#[derive(Default)]
struct Tally {
    seeds: u64,
    failures: u64,
    blocks: u64,
    virtual_time: Duration,
    coverage: Coverage,
    /// The combined hash of all runs, in the order of seeds.
    trace: u64,
}

impl Tally {
    fn take(&mut self, result: &Result<Summary, Box<Failure>>) {
        self.seeds += 1;
        match result {
            Ok(summary) => {
                self.coverage.add(&summary.coverage);
                self.blocks += summary.height.0;
                self.virtual_time += summary.virtual_time;
                self.trace = self.trace.rotate_left(7) ^ summary.trace;
            }
            Err(_) => self.failures += 1,
        }
    }

    /// Seeds per second.
    fn rate(&self, started: Stopwatch) -> f64 {
        // Fewer than 2^53 seeds: the number is exact.
        #[allow(clippy::cast_precision_loss)]
        let seeds = self.seeds as f64;
        seeds / started.elapsed().as_secs_f64().max(0.001)
    }
}

/// Seeds that each thread runs before the time is checked.
const ROUND: u64 = 16;

fn many(extent: Extent, occasion: Occasion, jobs: NonZeroUsize) -> ExitCode {
    let mut tally = Tally::default();
    let mut progress = Progress::new(extent.started);
    while tally.seeds == 0 || extent.goes_on(tally.seeds) {
        let next = extent.start.saturating_add(tally.seeds);
        let round = match extent.time {
            None => extent.most,
            Some(_) => (ROUND * jobs.get() as u64).min(extent.most - tally.seeds),
        };
        quorate_sim::run_all(next..next.saturating_add(round), occasion, jobs, |_, result| {
            tally.take(&result);
            if let Err(failure) = result {
                progress.clear();
                report(&failure);
            }
            progress.show(&tally, extent.most);
        });
        if extent.most == 0 {
            break;
        }
    }
    progress.clear();
    let Tally { seeds, failures, blocks, virtual_time, ref coverage, trace } = tally;
    for (situation, count) in coverage.counts() {
        println!("{count:>9} {situation}");
    }
    let hours = virtual_time.as_secs_f64() / 3600.0;
    println!("{seeds} seeds, {failures} failed; {blocks} blocks in {hours:.2} virtual hours");
    println!("{:.1} seeds per second, {jobs} at a time; trace {trace:016x}", tally.rate(extent.started));
    let missing = coverage.missing();
    if occasion == Occasion::default() && seeds >= LARGE_RUN && !missing.is_empty() {
        println!("never reached: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line on the terminal with the progress of a long run. Nothing if standard error is not a
/// terminal.
struct Progress {
    started: Stopwatch,
    seen: bool,
    shown: Duration,
}

/// How often the line changes.
const PROGRESS_GAP: Duration = Duration::from_millis(200);

impl Progress {
    fn new(started: Stopwatch) -> Self {
        Progress { started, seen: io::stderr().is_terminal(), shown: Duration::ZERO }
    }

    fn show(&mut self, tally: &Tally, of: u64) {
        let elapsed = self.started.elapsed();
        if self.seen && elapsed >= self.shown + PROGRESS_GAP {
            self.shown = elapsed;
            let Tally { seeds, failures, .. } = tally;
            let rate = tally.rate(self.started);
            eprint!("\r\x1b[2K{seeds} of {of} seeds, {failures} failed, {rate:.1} seeds per second");
        }
    }

    fn clear(&self) {
        if self.seen {
            eprint!("\r\x1b[2K");
        }
    }
}

fn report(failure: &Failure) {
    let Failure { seed, violation, .. } = failure;
    println!("seed {seed} broke a rule: {violation}");
    println!("    cargo run --release -p quorate-sim -- --seed {seed}{} --trace", failure.occasion);
}
