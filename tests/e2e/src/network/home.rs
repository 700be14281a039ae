//! Home directories that `quorate testnet` would not create: of outsiders, and of misconfigured
//! nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_genesis::Genesis;
use quorate_ledger::SecretKey;

use crate::ports::PortBlock;

/// A home directory with its own ports. It contains no data: the first start needs `--init`.
#[derive(Debug)]
pub struct LoneHome {
    directory: PathBuf,
    ports: PortBlock,
}

impl LoneHome {
    /// Creates the home.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(directory: &Path, genesis: &Genesis, key: &SecretKey, bootstrap: &[String]) -> LoneHome {
        let home = LoneHome { directory: directory.to_owned(), ports: PortBlock::take(1) };
        fs::create_dir(directory).expect("the home can be made");
        home.put("genesis.toml", &genesis.to_toml());
        home.put_key(key);
        let config = format!(
            "[p2p]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\nbootstrap = {bootstrap:?}\n\n[rpc]\nlisten = \"{}\"\n",
            home.ports.p2p(),
            home.rpc_address()
        );
        home.put("config.toml", &config);
        home
    }

    /// Writes a file of the home.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).expect("files of the home can be written");
    }

    /// Writes the key file.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put_key(&self, key: &SecretKey) {
        self.put("key.pem", &key.to_pem(None));
        let path = self.directory.join("key.pem");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is our own file");
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The address of its JSON-RPC.
    pub fn rpc_address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.ports.rpc()).into()
    }
}
