//! `quorate ledger verify`: is a chain consistent, and did a quorum sign all of it?

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_ledger::Height;
use quorate_store::{Head, Ledger};
use serde::Serialize;

use super::follow::{Followed, Verified, answer, follow_export};
use super::{Chain, progress, show_position};
use crate::exit::Outcome;
use crate::output::{self, Output};

/// Verify a whole chain offline: every parent hash, body and signature.
///
/// For a stopped node, the command also verifies every page of the file and the index of
/// transaction ids. It only reads the file, so the file may be on a read-only mount. A file that a
/// crash left behind is repaired in memory. Exit code 0 only if everything is valid, 3 if something
/// is not: then the first line names the height from which the chain cannot be trusted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger verify chain.export --genesis genesis.toml
  quorate ledger verify --home net/validator-0             of a node that is stopped")]
pub(crate) struct VerifyArgs {
    /// An export; without it, the command verifies the ledger of --home.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    chain: Chain,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    height: u64,
    hash: String,
    timestamp_ms: u64,
    earliest_height: u64,
    transactions: u64,
    certificates: u64,
}

impl Found {
    fn new(head: Head, earliest: Height, transactions: u64, certificates: u64) -> Self {
        Found {
            height: head.height.0,
            hash: head.hash.to_string(),
            timestamp_ms: head.timestamp.0,
            earliest_height: earliest.0,
            transactions,
            certificates,
        }
    }
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    let (genesis, initial) = args.chain.beginning()?;
    let begun = Instant::now();
    let verified = match &args.file {
        Some(file) => verify_export(file, &genesis, &initial)?,
        None => verify_ledger(&args.chain.config()?.ledger, &genesis, &initial)?,
    };
    let took = begun.elapsed();
    let outcome = Outcome::of(verified.is_ok());
    match verified {
        Ok(found) => {
            let human = human(&found, &genesis, took.as_secs_f64());
            let report = Report { verified: true, reason: None, found: Some(found) };
            args.output.show(&report, || human)?;
        }
        Err(reason) => {
            let human = format!("NOT VERIFIED: {reason}");
            let report = Report { verified: false, reason: Some(reason), found: None };
            args.output.show(&report, || human)?;
        }
    }
    Ok(outcome)
}

fn verify_ledger(path: &Path, genesis: &Genesis, initial: &State) -> Verified<Found> {
    let bar = progress("blocks");
    let each = |height: Height, head: Height| show_position(&bar, height.0, head.0);
    let verified = Ledger::verify(path, genesis.header(), initial, Some(genesis.anchor()), each);
    bar.finish_and_clear();
    match verified {
        Ok(found) => Ok(Ok(Found::new(found.head, found.earliest, found.transactions, found.certificates))),
        Err(error) => answer(error),
    }
}

fn verify_export(path: &Path, genesis: &Genesis, initial: &State) -> Verified<Found> {
    let followed = follow_export(path, genesis, initial)?;
    Ok(followed.map(|Followed { last, transactions, certificates, .. }| {
        Found::new(Head::of(&last), Height(0), transactions, certificates)
    }))
}

fn human(found: &Found, genesis: &Genesis, seconds: f64) -> String {
    let mut fields = vec![
        ("network", format!("{} (chain {})", genesis.name(), genesis.chain_id())),
        ("head", format!("{} at height {}", found.hash, found.height)),
        ("time", output::time(found.timestamp_ms)),
        ("blocks", format!("{} with {} transactions", found.height, found.transactions)),
        (
            "certified",
            format!("by {} certificates, each of a quorum of the members of its epoch", found.certificates),
        ),
    ];
    if found.earliest_height > 0 {
        fields.push(("pruned", format!("this file has no bodies below height {}", found.earliest_height)));
    }
    format!("VERIFIED in {seconds:.1} s: the chain is complete and unchanged.\n\n{}", output::fields(fields))
}
