//! The directory of a devnet with its keys and data.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Args;
use crate::commands::testnet::{self, Addresses, BASE_P2P_PORT, BASE_RPC_PORT};
use crate::network_file::{self, KnownNetwork, NETWORK_FILE, NetworkFile, ValidatorEntry};
use crate::output;

/// Default number of validators: the fewest that tolerate a fault.
const VALIDATORS: usize = 4;

/// The network's name in its genesis.
const NAME: &str = "devnet";

/// The directory of a network: a permanent one, or a temporary one that is deleted when this value
/// is dropped.
pub(super) struct NetworkDirectory {
    path: PathBuf,
    network: KnownNetwork,
    /// Deletes the directory when dropped.
    temporary: Option<tempfile::TempDir>,
}

impl NetworkDirectory {
    /// Creates a new network, or opens the existing one.
    pub(super) fn prepare(args: &Args) -> anyhow::Result<Self> {
        let temporary = match args.dir {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("quorate-devnet-")
                    .tempdir()
                    .context("no temporary directory can be created: set TMPDIR, or give --dir")?,
            ),
        };
        let path = match (&args.dir, &temporary) {
            (Some(path), _) => path.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => unreachable!("without --dir there is a temporary directory"),
        };
        if path.join(NETWORK_FILE).exists() {
            check_unchanged(args, &path)?;
        } else {
            let addresses = Addresses::loopback(
                args.base_p2p_port.unwrap_or(BASE_P2P_PORT),
                args.base_rpc_port.unwrap_or(BASE_RPC_PORT),
            );
            testnet::write(&path, (args.validators.unwrap_or(VALIDATORS), 0), NAME, &addresses)?;
        }
        let network = network_file::read(&path)?;
        Ok(NetworkDirectory { path, network, temporary })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The network as its files describe it.
    pub(super) fn network(&self) -> &KnownNetwork {
        &self.network
    }

    /// The path of its network file.
    pub(super) fn network_file(&self) -> PathBuf {
        self.path.join(NETWORK_FILE)
    }

    /// A network file for this directory with other addresses.
    pub(super) fn relative(&self, entries: &[ValidatorEntry]) -> NetworkFile {
        let relative = |path: &Path| path.strip_prefix(&self.path).unwrap_or(path).to_owned();
        let entry = |entry: &ValidatorEntry| ValidatorEntry { home: relative(&entry.home), ..entry.clone() };
        NetworkFile {
            genesis: relative(&self.network.genesis_path),
            validators: entries.iter().map(entry).collect(),
            observers: Vec::new(),
        }
    }

    /// Whether the directory is kept when the network stops.
    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }
}

/// An existing network keeps its number of validators and its ports.
fn check_unchanged(args: &Args, path: &Path) -> anyhow::Result<()> {
    let existing = network_file::read(path)?.validators.len();
    if let Some(asked) = args.validators.filter(|asked| *asked != existing) {
        bail!(
            "{} holds a network of {existing} validators, not {asked}: leave out --validators, or choose another \
             directory",
            path.display()
        );
    }
    if args.base_p2p_port.is_some() || args.base_rpc_port.is_some() {
        bail!(
            "{} holds a network whose configs already define the ports: leave out --base-p2p-port and \
             --base-rpc-port, or choose another directory",
            path.display()
        );
    }
    output::note(format_args!("continuing with the network in {}", path.display()));
    Ok(())
}
