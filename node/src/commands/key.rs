//! `quorate key`: secret keys in files.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use quorate_ledger::{PublicKey, SecretKey};
use quorate_network::{PeerKey, peer_id_text};
use serde::Serialize;

use crate::exit::Outcome;
use crate::keyfile::{self, PassphraseSource, Protection};
use crate::output::{self, Output};

/// Create, show and import secret keys.
///
/// Key files are PKCS#8 PEM, as OpenSSL reads them, encrypted with a passphrase unless --plain is
/// given. Only the owner of a key file may have access to it: this program refuses a key file that
/// others can access.
///
/// A validator needs two keys. The running node signs votes with its consensus key, so that file is
/// on its host. A person signs changes of the network with its governance key. Make it on another
/// machine that is not connected to any network, and keep its file only there. Connect it only
/// while a command signs. Otherwise, a thief of the host's files can also approve changes in the
/// name of the validator, and no key is left that can replace the stolen one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(NewArgs),
    Show(ShowArgs),
    Import(ImportArgs),
}

/// Create a new key from the system's random generator.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key new client.pem
  quorate key new validator.pem --passphrase-file passphrase.txt
  quorate key new governance.pem                   the governance key of a validator, on another machine")]
pub(crate) struct NewArgs {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    protection: Protection,

    #[command(flatten)]
    output: Output,
}

/// Show the public key and the peer id of a key file.
///
/// No command prints the secret key; it exists only in the file.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The key file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    passphrase: PassphraseSource,

    #[command(flatten)]
    output: Output,
}

/// Convert a key of another program to a key file.
///
/// The command reads PKCS#8 PEM, plain or encrypted (PBES2 with AES-256-CBC), and 32 bytes of hex.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  openssl ecparam -genkey -name secp256k1 -noout | openssl pkcs8 -topk8 -nocrypt -out other.pem
  chmod 600 other.pem
  quorate key import other.pem key.pem")]
pub(crate) struct ImportArgs {
    /// The file to read; only its owner may have access to it.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// File with the passphrase of the source, if it is encrypted.
    #[arg(long, value_name = "FILE")]
    source_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    protection: Protection,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct PublicHalf {
    public_key: String,
    peer_id: String,
}

/// Runs `quorate key`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::New(args) => {
            let key = SecretKey::generate();
            keyfile::write(&args.file, &key, &args.protection)?;
            output::note(format_args!("wrote {}", args.file.display()));
            show(&key.public(), args.output)
        }
        Command::Show(args) => {
            let key = keyfile::read(&args.file, &args.passphrase)?;
            show(&key.public(), args.output)
        }
        Command::Import(args) => {
            let source = PassphraseSource::from_file(args.source_passphrase_file.clone());
            let key = keyfile::read_foreign(&args.source, &source)?;
            keyfile::write(&args.file, &key, &args.protection)?;
            output::note(format_args!("wrote {}", args.file.display()));
            show(&key.public(), args.output)
        }
    }
}

fn show(key: &PublicKey, output: Output) -> anyhow::Result<Outcome> {
    let peer_id = peer_id_text(&PeerKey(*key.as_bytes())).context("the key has no network identity")?;
    let public = PublicHalf { public_key: key.to_string(), peer_id };
    output.show(&public, || {
        output::fields([("public key", public.public_key.clone()), ("peer id", public.peer_id.clone())])
    })?;
    Ok(Outcome::Yes)
}
