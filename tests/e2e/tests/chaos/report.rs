//! Runs all scenarios one after the other and writes a report.
//!
//! First run `cargo build --release -p quorate --features faults`. Then use the built program:
//! `QUORATE_BIN=$PWD/target/release/quorate cargo test --release -p quorate-e2e --test chaos --
//! --ignored --nocapture report`.

use std::any::Any;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_e2e::Network;

use crate::fixtures::Figures;
use crate::{Length, clocks, crashes, disks, latency, old_copies, partitions};

/// The result of a scenario.
type Outcome = Result<Figures, String>;

#[test]
#[ignore = "takes about ten minutes, and wants a release build with the feature faults"]
fn report() {
    // Check first that the program has faults, because the scenarios take minutes.
    drop(Network::testnet(4).with_faults());
    let only = std::env::var("QUORATE_E2E_ONLY").unwrap_or_default();
    let themes = [
        ("Lines", partitions::SCENARIOS),
        ("Latency", latency::SCENARIOS),
        ("Crashes", crashes::SCENARIOS),
        ("Disks", disks::SCENARIOS),
        ("Clocks", clocks::SCENARIOS),
        ("Old copies", old_copies::SCENARIOS),
    ];
    let mut page = head();
    let (mut broken, start) = (Vec::new(), Instant::now());
    for (theme, scenarios) in themes {
        let _ = write!(page, "\n## {theme}\n\n{COLUMNS}");
        for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(&only)) {
            let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.play)(Length::Full)));
            let outcome: Outcome = outcome.map_err(|panic| message_of(panic.as_ref()));
            let row = row(scenario.name, &outcome);
            print!("{row}");
            page += &row;
            if outcome.is_err() {
                broken.push(scenario.name);
            }
        }
    }
    let _ = write!(page, "\nThe run took {} s.\n", start.elapsed().as_secs());
    if only.is_empty() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHAOS.md"), page).unwrap();
    }
    assert!(broken.is_empty(), "broken: {broken:?}");
}

const COLUMNS: &str = "\
| scenario | tx/s before | tx/s during | lasted | longest pause | first block after | all caught up after | views | sent | committed | expired | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

fn row(name: &str, outcome: &Outcome) -> String {
    match outcome {
        Ok(figures) => {
            let Figures { before, during, views, sent, committed, expired, note, .. } = figures;
            let times = [figures.lasted, figures.pause, figures.first, figures.level].map(seconds);
            let verdict = if note.is_empty() { "kept".to_owned() } else { format!("kept; {note}") };
            format!(
                "| {name} | {before:.0} | {during:.0} | {} | {views} | {sent} | {committed} | {expired} | {verdict} |\n",
                times.join(" | ")
            )
        }
        Err(why) => format!("| {name} | | | | | | | | | | | **broken**: {why} |\n"),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The first line of a panic message.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    text.lines().next().unwrap_or_default().replace('|', "/")
}

/// The output of a program, or `unknown`.
fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn head() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "# What faults do to a network of four\n\n\
         Written by `tests/e2e/tests/chaos/report.rs`; do not edit. CONTRIBUTING.md says how to run it.\n\n\
         * Commit: {} ({})\n* Date: {}\n* Machine: {cores} cores, {} GiB of memory; load before the run {}\n\
         * Build: {}\n\n\
         Each scenario runs in a new network of four processes on loopback. Each validator whose clock and disk have no \
         fault gets a client. A client submits 20 transactions at a time, pauses briefly after each response, and retries \
         with the same bytes. The load is light on purpose: the scenarios measure how long a network makes no progress, \
         not how much it can order. \"During\" and \"lasted\" are about the time from the beginning of the fault to its \
         end. \"Longest pause\" is the longest time without a block from the beginning of the fault until all validators \
         have caught up. \"After\" counts from the end of the fault. Sent transactions that were neither committed nor \
         expired were in flight when the clients stopped.\n\n\
         *Kept* means: all four validators are ready and have caught up, their chains are equal, every transaction that \
         a validator reported as `committed` is at its place once, blocks contain only submitted transactions, there is \
         no evidence against any validator, and no validator panicked.\n",
        answer("git", &["rev-parse", "--short=12", "HEAD"]),
        if answer("git", &["status", "--porcelain", "--untracked-files=no"]) == "unknown" {
            "no local changes"
        } else {
            "with local changes"
        },
        answer("date", &["-u", "+%F"]),
        kibibytes.unwrap_or_default() >> 20,
        load.split_whitespace().next().unwrap_or("unknown"),
        if cfg!(debug_assertions) { "dev" } else { "release" },
    )
}
