//! Creates transactions; `quorate tx sign`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use quorate_client::{DEFAULT_LIFETIME, TransactionBuilder};
use quorate_genesis::Genesis;
use quorate_ledger::{
    MAX_PAYLOAD_BYTES, SecretKey, TRANSACTION_OVERHEAD_BYTES, Timestamp, Transaction, from_hex, to_hex,
};
use serde::Serialize;

use crate::commands;
use crate::exit::Outcome;
use crate::files;
use crate::genesis_file;
use crate::keyfile::{self, PassphraseSource};
use crate::output::{self, Output};

/// Subtracted from the network's longest lifetime, since a validator's clock may be behind this
/// machine's clock.
const CLOCK_MARGIN_MS: u64 = 2000;

/// The payload of a transaction, its sender and its lifetime.
#[derive(Debug, Clone, Args)]
pub(super) struct Content {
    /// The payload as text.
    #[arg(long, value_name = "TEXT", group = "payload")]
    data: Option<String>,

    /// The payload as lower-case hex with the prefix 0x.
    #[arg(long, value_name = "HEX", group = "payload")]
    data_hex: Option<String>,

    /// A file with the payload, any bytes; - is standard input.
    #[arg(long, value_name = "FILE", group = "payload")]
    data_file: Option<PathBuf>,

    /// The sender's key file. Without it, a new key signs this one transaction and is then
    /// discarded.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseSource,

    /// How long from now the transaction is valid: 60s by default, or the longest lifetime of the
    /// network if that is shorter.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    valid_for: Option<Duration>,

    /// Any number that distinguishes this transaction from others with the same content; the
    /// default is random.
    #[arg(long, value_name = "N")]
    nonce: Option<u64>,
}

impl Content {
    /// Creates and signs the transaction.
    ///
    /// # Errors
    /// Unreadable files, or a payload or a lifetime that the network does not accept.
    pub(super) fn sign(&self, genesis: &Genesis) -> anyhow::Result<Transaction> {
        let limits = genesis.block_limits().transaction;
        let payload = self.payload()?;
        let bytes = payload.len() as u64 + u64::from(TRANSACTION_OVERHEAD_BYTES);
        if bytes > u64::from(limits.max_bytes) {
            bail!(
                "a payload of {} bytes makes a transaction of {bytes} bytes, but this network accepts at most {}",
                payload.len(),
                limits.max_bytes
            );
        }
        let valid_until = valid_until(self.valid_for, limits.max_lifetime_ms)?;
        let key = self.key()?;
        let builder = TransactionBuilder::new(genesis.chain_id(), payload).valid_until(valid_until);
        let builder = match self.nonce {
            Some(nonce) => builder.nonce(nonce),
            None => builder,
        };
        Ok(builder.sign(&key)?)
    }

    fn payload(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.data, &self.data_hex, &self.data_file) {
            (Some(text), _, _) => Ok(text.clone().into_bytes()),
            (_, Some(hex), _) => from_hex(hex).context("--data-hex"),
            (_, _, Some(file)) => files::read_bytes(file, MAX_PAYLOAD_BYTES as usize),
            _ => bail!("there is no payload: give --data, --data-hex or --data-file"),
        }
    }

    fn key(&self) -> anyhow::Result<SecretKey> {
        if let Some(path) = &self.key {
            return keyfile::read(path, &self.passphrase);
        }
        let key = SecretKey::generate();
        output::note(format_args!(
            "signed with a new key that is not stored, {}; give --key FILE to sign with your own key",
            key.public()
        ));
        Ok(key)
    }
}

/// The end of the validity of a transaction that is signed now: after the requested time, or the
/// default, but no later than the network allows.
///
/// # Errors
/// The requested time is longer than the network allows.
pub(crate) fn valid_until(valid_for: Option<Duration>, max_lifetime_ms: u64) -> anyhow::Result<Timestamp> {
    let asked = valid_for.unwrap_or(DEFAULT_LIFETIME);
    let asked_ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
    if valid_for.is_some() && asked_ms > max_lifetime_ms {
        bail!(
            "--valid-for {} is longer than the network allows: choose at most {}",
            humantime::format_duration(asked),
            humantime::format_duration(Duration::from_millis(max_lifetime_ms))
        );
    }
    let most = max_lifetime_ms.saturating_sub(CLOCK_MARGIN_MS);
    Ok(commands::now().plus_ms(asked_ms.min(most)))
}

/// Sign a transaction without sending it.
///
/// The command needs no node. `quorate tx send --transaction HEX` sends the transaction later, to
/// any node and as often as you like: the same bytes are ordered only once.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("payload").required(true), after_help = "\
Example:
  quorate tx sign --genesis genesis.toml --key client.pem --data 'hello' --output json")]
pub(crate) struct SignArgs {
    /// The network's genesis file: a signature is valid on one chain only.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    #[command(flatten)]
    content: Content,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct SignedTransaction {
    id: String,
    transaction: String,
}

/// Runs `quorate tx sign`.
pub(super) fn run(args: &SignArgs) -> anyhow::Result<Outcome> {
    let genesis = genesis_file::read_genesis(&args.genesis)?;
    let bytes = args.content.sign(&genesis)?.to_bytes();
    let signed =
        SignedTransaction { id: Transaction::id_of(&bytes).to_string(), transaction: to_hex(&bytes) };
    args.output.show(&signed, || {
        output::fields([("id", signed.id.clone()), ("transaction", signed.transaction.clone())])
    })?;
    Ok(Outcome::Yes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;

    use super::*;

    fn content(data: &str, valid_for: Option<Duration>) -> Content {
        Content {
            data: Some(data.to_owned()),
            data_hex: None,
            data_file: None,
            key: None,
            passphrase: PassphraseSource::default(),
            valid_for,
            nonce: None,
        }
    }

    #[test]
    fn a_transaction_is_valid_now_and_for_as_long_as_asked() {
        let network = TestNetwork::seeded(4, 1);
        let genesis = network.genesis();
        let limits = genesis.block_limits().transaction;
        for valid_for in [None, Some(Duration::from_secs(5)), Some(Duration::from_secs(120))] {
            let transaction = content("hello", valid_for).sign(genesis).unwrap();
            assert!(transaction.nonce < 1 << 53);
            assert!(transaction.check_form(&limits).is_ok());
            assert!(transaction.valid_until > commands::now());
            assert!(transaction.valid_until < commands::now().plus_ms(limits.max_lifetime_ms));
            assert!(transaction.verify(&genesis.chain_id()).is_ok());
        }
    }

    #[test]
    fn what_the_network_would_refuse_is_refused_here() {
        let network = TestNetwork::seeded(4, 1);
        let refusal = |content: Content| content.sign(network.genesis()).map(|_| ()).unwrap_err().to_string();
        assert!(
            refusal(content(&"x".repeat(256 << 10), None)).contains("this network accepts at most 262144")
        );
        assert!(refusal(content("x", Some(Duration::from_secs(121)))).contains("--valid-for"));
        let odd = Content { data: None, data_hex: Some("0xABCD".into()), ..content("", None) };
        assert!(refusal(odd).contains("--data-hex"));
    }

    #[test]
    fn a_given_nonce_is_signed() {
        let network = TestNetwork::seeded(4, 1);
        let content = Content { nonce: Some(u64::MAX), ..content("hello", None) };
        assert_eq!(content.sign(network.genesis()).unwrap().nonce, u64::MAX);
    }

    #[test]
    fn two_transactions_with_the_same_content_differ() {
        let network = TestNetwork::seeded(4, 1);
        let sign = || content("hello", None).sign(network.genesis()).unwrap();
        assert_ne!(sign().nonce, sign().nonce);
    }
}
