//! `quorate genesis continue`: a new network that continues a chain whose validators lost their
//! quorum.

mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use quorate_genesis::{Continuation, Continued, clients_to_text};
use quorate_ledger::{Header, PublicKey};

use self::report::Report;
use super::{NamedKey, advise, parse_key, warn};
use crate::commands::ledger::follow_export;
use crate::exit::Outcome;
use crate::files::{self, Access};
use crate::genesis_file;
use crate::output::Output;

/// Make the genesis of a new network that continues a chain.
///
/// Use it only if a network can never order again: more than n - q of its validators have lost
/// their journals or keys for ever, so that the others are no quorum. As long as a quorum can come
/// back, wait for it, or see `quorate validator renew`, `rotate` and `replace`. Stop all validators
/// of the old network first, and start none of them again: if the old network went on, there would
/// be two.
///
/// The command reads an export of the old chain and verifies all of it with the old genesis. It
/// writes a new genesis that names the last block of the export. The new network takes over what is
/// in force after this block: members with their keys, clients with owners and quotas, and all
/// parameters. It takes over neither open proposals nor scheduled changes, and prints them. Its
/// chain id is another one, so no old transaction or vote counts in it. It begins with block 1 in
/// epoch 0. Receipts of the old chain stay valid: verify them with the old genesis.
///
/// All operators must continue from the same block, the highest that any of them has: a later block
/// would be lost. The command prints one line with the block and the new chain id. Exports that end
/// with the same block, and equal options, give the same files, byte by byte. Compare the line by
/// telephone before the first node starts.
///
/// If the network takes over clients, the command writes them to a second file beside the genesis,
/// with the ending .clients. Keep the two files together.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger export old.export --rpc http://127.0.0.1:8545 --genesis genesis.toml
  quorate genesis continue --from old.export --genesis genesis.toml --file new-genesis.toml
  quorate genesis continue --from old.export --genesis genesis.toml --file new-genesis.toml --at 1729 \\
    --key bank-c=0x03… --without bank-d --validator bank-e=0x02… --governance-key bank-e=0x03…

Then each operator moves the old data directory to another place and keeps it, puts the new files into the home, and
starts its node once with --init. docker/README.md has all steps, from the lost quorum to the first new block.")]
pub(crate) struct ContinueArgs {
    /// An export of the old chain: what `quorate ledger export` wrote.
    #[arg(long, value_name = "EXPORT")]
    from: PathBuf,

    /// The genesis file of the old network.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// The genesis file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// The height that the operators agreed on. The command refuses an export that does not end
    /// there.
    #[arg(long, value_name = "HEIGHT")]
    at: Option<u64>,

    /// Another name for the network; the default is that of the old one.
    #[arg(long)]
    name: Option<String>,

    /// A member that is gone: it is not taken over, and neither are its clients. May be repeated.
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,

    /// A new public consensus key for a member that lost its key. If the member uses one key for
    /// votes and governance, the new key replaces both. May be repeated.
    #[arg(long = "key", value_name = "NAME=KEY", value_parser = parse_key)]
    keys: Vec<NamedKey>,

    /// A new public governance key for a member. May be repeated.
    #[arg(long = "governance-key", value_name = "NAME=KEY", value_parser = parse_key)]
    governance_keys: Vec<NamedKey>,

    /// A new member with its public consensus key. May be repeated.
    #[arg(long = "validator", value_name = "NAME=KEY", value_parser = parse_key)]
    added: Vec<NamedKey>,

    /// Allow fewer than four members, which tolerate no fault.
    #[arg(long)]
    allow_small: bool,

    #[command(flatten)]
    output: Output,
}

pub(super) fn run(args: &ContinueArgs) -> anyhow::Result<Outcome> {
    let clients_file = genesis_file::clients_file(&args.file);
    if clients_file == args.file {
        bail!(
            "--file {}: this name is for the file with the clients; choose a name that ends in .toml",
            args.file.display()
        );
    }
    for file in [&args.file, &clients_file] {
        if file.exists() {
            bail!("{} already exists and is not overwritten: choose another name", file.display());
        }
    }
    let (old, initial) = genesis_file::read_beginning(&args.genesis)?;
    let followed = follow_export(&args.from, &old, &initial)?.map_err(|reason| {
        anyhow!("the export is not a whole and valid chain of this network, so no file was written: {reason}")
    })?;
    check_height(args, &followed.last)?;
    let continued = changes(args).of(&old, &followed.last, &followed.state)?;
    warn(&continued.genesis);
    advise(&continued.genesis);
    let files = write(args, &clients_file, &continued)?;
    let report = Report::of(&old, &followed, &continued, files);
    args.output.show(&report, || report.human())?;
    Ok(Outcome::Yes)
}

/// All operators must continue from the height that they agreed on. A lower one would drop final
/// blocks, and so would an agreement below the end of this export.
fn check_height(args: &ContinueArgs, last: &Header) -> anyhow::Result<()> {
    let (from, end) = (args.from.display(), last.height.0);
    match args.at {
        Some(agreed) if end < agreed => bail!(
            "{from} ends at block {end}, but the operators agreed on block {agreed} (--at): get the export of an operator \
             who has that block, or run `quorate ledger export` for a node that has it. No file was written"
        ),
        Some(agreed) if end > agreed => bail!(
            "{from} ends at block {end}, above block {agreed} that the operators agreed on (--at). Block {end} is final, \
             and clients may hold receipts of it: give all operators this export, and agree on block {end}. No file was \
             written"
        ),
        _ => Ok(()),
    }
}

fn changes(args: &ContinueArgs) -> Continuation {
    let keys = |keys: &[NamedKey]| -> Vec<(String, PublicKey)> {
        keys.iter().map(|NamedKey { name, key }| (name.clone(), *key)).collect()
    };
    Continuation {
        name: args.name.clone(),
        without: args.without.clone(),
        consensus_keys: keys(&args.keys),
        governance_keys: keys(&args.governance_keys),
        added: keys(&args.added),
        allow_small: args.allow_small,
    }
}

/// Writes the clients first: a genesis without its clients must not be there after a failure.
fn write(args: &ContinueArgs, clients_file: &Path, continued: &Continued) -> anyhow::Result<Vec<String>> {
    let Continued { genesis, clients } = continued;
    let mut files = vec![args.file.display().to_string()];
    if !clients.is_empty() {
        files::write_new(clients_file, &clients_to_text(genesis, clients), Access::Shared)?;
        files.push(clients_file.display().to_string());
    }
    let written = files::write_new(&args.file, &genesis.to_toml(), Access::Shared);
    if written.is_err() && !clients.is_empty() {
        // It would prevent the next attempt.
        let _ = std::fs::remove_file(clients_file);
    }
    written.context("no genesis was written")?;
    Ok(files)
}
