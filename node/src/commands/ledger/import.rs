//! `quorate ledger import`: adds blocks of an export to a stopped node's ledger.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::ProgressBar;
use quorate_genesis::Genesis;
use quorate_store::{CertifiedRange, ExportReader, Ledger, StoreError};
use serde::Serialize;

use super::proofs::Proofs;
use super::{advise, must_exist, progress, read_config, show_position};
use crate::config::{Config, Overrides, Role};
use crate::exit::Outcome;
use crate::files;
use crate::genesis_file;
use crate::home::Home;
use crate::keyfile::PassphraseSource;
use crate::output::{self, Output};

/// Bytes of bodies between two syncs of the ledger.
const SYNC_BYTES: usize = 64 << 20;

/// Add the blocks of an export to the ledger of a stopped node.
///
/// Every block is checked before it is written: its parent hash, its body, and the signatures of a
/// quorum, against the node's own genesis. Blocks that the node already has must be the same;
/// otherwise nothing is written and the exit code is 3. An interrupted import leaves a shorter but
/// valid ledger: run the command again.
///
/// A node that lost its ledger gets a new one. The command never changes a journal. With --init, a
/// validator without both files gets them, as `quorate node --init` would create them, and need not
/// fetch the chain from others. If a validator lost both files, --init creates them again: it then
/// votes in the next epoch (`quorate validator renew`). An observer has no journal; it gets a
/// ledger whenever it has none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger import chain.export --home net/validator-3
  quorate ledger import chain.export --home /var/lib/quorate --init     a new validator, before its first start")]
pub(crate) struct ImportArgs {
    /// The export.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The node's home directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// This validator has never run, or lost both files: create its ledger and its journal first.
    /// Refused if either exists.
    #[arg(long)]
    init: bool,

    #[command(flatten)]
    passphrase: PassphraseSource,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    height: u64,
    hash: String,
    added_blocks: u64,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<Outcome> {
    must_exist(&args.file)?;
    let config = read_config(&args.home)?;
    let genesis = genesis_file::read_genesis(&config.genesis)?;
    // Check that the export is of this network before any file is created.
    let reader = ExportReader::open(&args.file, genesis.header())?;
    let mut ledger = open_ledger(args, &config, &genesis)?;
    let begun = ledger.head().height;
    let bar = progress("bytes");
    let imported = import(reader, &mut ledger, &genesis, &bar);
    bar.finish_and_clear();
    let kept = ledger.make_durable().context("the ledger cannot be made durable")?;
    match imported {
        Ok(()) => {}
        Err(Failure::OtherChain(reason)) => {
            output::note(format_args!("NOT IMPORTED above block {kept}: {reason}"));
            return Ok(Outcome::No);
        }
        Err(Failure::Other(error)) => {
            return Err(error.context(format!("imported up to block {kept}, and no further")));
        }
    }
    let head = ledger.head();
    let added_blocks = head.height.0 - begun.0;
    let report = Report { height: head.height.0, hash: head.hash.to_string(), added_blocks };
    args.output.show(&report, || {
        output::fields([
            ("added", format!("{added_blocks} blocks")),
            ("head", format!("{} at height {}", head.hash, head.height)),
        ])
    })?;
    Ok(Outcome::Yes)
}

fn open_ledger(args: &ImportArgs, config: &Config, genesis: &Genesis) -> anyhow::Result<Ledger> {
    if args.init {
        Home::open(&args.home, &Overrides::of_process(&[])?, &args.passphrase)?.create_data()?;
    }
    // An observer signs nothing, so it can lose no signing state.
    let may_make = config.role == Role::Observer || config.journal.exists();
    match (config.ledger.exists(), may_make) {
        (true, _) => Ledger::open(&config.ledger, genesis.header()).map_err(|error| match error {
            StoreError::InUse { .. } => advise(error).context("stop the node before its ledger is added to"),
            other => other.into(),
        }),
        (false, true) => make_ledger(config, genesis),
        (false, false) => bail!(
            "{} has neither ledger nor journal. Is its disk mounted? If it has never run, or if its files are \
             lost, use --init: a validator that lost its files votes again in the next epoch (quorate validator \
             renew)",
            args.home.display()
        ),
    }
}

fn make_ledger(config: &Config, genesis: &Genesis) -> anyhow::Result<Ledger> {
    let initial = genesis_file::initial_state(genesis, &config.genesis)?;
    let directory = files::parent_of(&config.ledger);
    std::fs::create_dir_all(directory)
        .with_context(|| format!("{} cannot be created", directory.display()))?;
    Ledger::create(&config.ledger, genesis.header(), &initial).context("cannot create the ledger")
}

enum Failure {
    /// The export contradicts the ledger, or its certificates are invalid.
    OtherChain(String),
    Other(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fork { .. }
            | StoreError::Invalid { .. }
            | StoreError::Uncertified { .. }
            | StoreError::Contradicts { .. }
            | StoreError::EpochEnd { .. } => Failure::OtherChain(error.to_string()),
            other => Failure::Other(other.into()),
        }
    }
}

fn import(
    mut reader: ExportReader,
    ledger: &mut Ledger,
    genesis: &Genesis,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let begun = ledger.head().height;
    let mut anchor = ledger.reader().anchor(genesis.anchor())?;
    let mut proofs = Proofs::new(anchor.clone(), ledger.governance());
    let mut target = Target { ledger, unsynced: 0 };
    while let Some(range) = reader.next() {
        let range = range?;
        let (position, length) = reader.position();
        show_position(bar, position, length);
        if range.certificate.ballot().height <= begun {
            // The ledger has this block, which was proven when it was written: the export must have
            // the same block.
            target.check_same(&range)?;
            continue;
        }
        let proven = proofs.push(range).map_err(Failure::OtherChain)?;
        target.append(proven)?;
        if target.ledger.governance().next_config().epoch() != anchor.newest().epoch() {
            anchor = target.ledger.reader().anchor(&anchor)?;
            proofs.advance(&anchor, target.ledger.governance());
        }
    }
    let proven = proofs.finish().map_err(Failure::OtherChain)?;
    target.append(proven)
}

struct Target<'a> {
    ledger: &'a mut Ledger,
    unsynced: usize,
}

impl Target<'_> {
    fn check_same(&self, range: &CertifiedRange) -> Result<(), StoreError> {
        let reader = self.ledger.reader();
        for block in &range.blocks {
            let stored = reader.header(block.height())?.map(|header| header.hash());
            if let Some(stored) = stored.filter(|stored| *stored != block.hash()) {
                return Err(StoreError::Fork { height: block.height(), stored, offered: block.hash() });
            }
        }
        Ok(())
    }

    fn append(&mut self, proven: Vec<CertifiedRange>) -> Result<(), Failure> {
        for range in proven {
            self.ledger.append(&range.blocks, &range.certificate)?;
            self.unsynced += range.blocks.iter().map(|block| block.body().as_bytes().len()).sum::<usize>();
            if self.unsynced >= SYNC_BYTES {
                self.ledger.make_durable()?;
                self.unsynced = 0;
            }
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(anyhow!(error))
    }
}
