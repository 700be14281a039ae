//! `quorate ledger verify`: is a chain consistent, and did a quorum sign all of it?

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use quorate_genesis::Genesis;
use quorate_ledger::Height;
use quorate_store::{ExportReader, Head, Ledger, RangeVerifier, StoreError};
use serde::Serialize;

use super::proofs::Proofs;
use super::{Chain, advise, must_exist, progress, show_position};
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
    let genesis = args.chain.genesis()?;
    let begun = Instant::now();
    let verified = match &args.file {
        Some(file) => {
            must_exist(file)?;
            verify_export(file, &genesis)?
        }
        None => verify_ledger(&args.chain.config()?.ledger, &genesis)?,
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

/// The inner error is that the chain is invalid; the outer error is that it cannot be verified.
type Verified = anyhow::Result<Result<Found, String>>;

/// An error caused by the contents of the file means that the chain is invalid.
fn answer(error: StoreError) -> Verified {
    match error {
        StoreError::Damaged { .. } | StoreError::OtherChain { .. } | StoreError::OtherGenesis { .. } => {
            Ok(Err(error.to_string()))
        }
        other => Err(advise(other)),
    }
}

fn verify_ledger(path: &Path, genesis: &Genesis) -> Verified {
    let bar = progress("blocks");
    let each = |height: Height, head: Height| show_position(&bar, height.0, head.0);
    let verified =
        Ledger::verify(path, genesis.header(), &genesis.governance_state(), Some(genesis.anchor()), each);
    bar.finish_and_clear();
    match verified {
        Ok(found) => Ok(Ok(Found::new(found.head, found.earliest, found.transactions, found.certificates))),
        Err(error) => answer(error),
    }
}

fn verify_export(path: &Path, genesis: &Genesis) -> Verified {
    let mut reader = match ExportReader::open(path, genesis.header()) {
        Ok(reader) => reader,
        Err(error) => return answer(error),
    };
    let bar = progress("bytes");
    let mut verifier = RangeVerifier::new(&genesis.governance_state(), genesis.anchor());
    let mut proofs = Proofs::new(genesis.anchor().clone(), verifier.state());
    let invalid = |reason: String| Ok(Err(format!("{}: {reason}", path.display())));
    let (mut transactions, mut certificates) = (0, 0);
    while let Some(range) = reader.next() {
        let range = match range {
            Ok(range) => range,
            Err(error) => return answer(error),
        };
        certificates += 1;
        transactions += range.blocks.iter().map(|block| u64::from(block.body().count())).sum::<u64>();
        let executed = verifier.execute(&range);
        // A forged block may also contradict the state. The certificates tell the cause.
        if let Err(reason) = proofs.push(range).and(executed) {
            return invalid(proofs.finish().err().unwrap_or(reason));
        }
        proofs.advance(verifier.anchor(), verifier.state());
        let (position, length) = reader.position();
        show_position(&bar, position, length);
    }
    if let Err(reason) = proofs.finish() {
        return invalid(reason);
    }
    bar.finish_and_clear();
    Ok(Ok(Found::new(reader.head(), Height(0), transactions, certificates)))
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
