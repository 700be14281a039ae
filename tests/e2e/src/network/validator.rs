//! The content of a network's files.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The entry of a validator in `network.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Validator {
    /// Its name in the genesis.
    pub name: String,
    /// Its home directory; relative in the file, here a path that can be opened.
    pub home: PathBuf,
    /// URL of its JSON-RPC.
    pub rpc: String,
    /// Its multiaddress.
    pub p2p: String,
    /// Its key as hex.
    pub public_key: String,
}

impl Validator {
    /// The address of its JSON-RPC.
    ///
    /// # Panics
    /// Unless the URL consists of an IP address and a port.
    pub fn rpc_address(&self) -> SocketAddr {
        let address = self.rpc.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("not a URL with an IP address and a port: {}", self.rpc))
    }

    /// The address at which it listens for other validators.
    ///
    /// # Panics
    /// Unless the multiaddress begins with an IPv4 address and a TCP port.
    pub fn p2p_address(&self) -> SocketAddr {
        let parts: Vec<&str> = self.p2p.split('/').collect();
        let address = match parts.as_slice() {
            ["", "ip4", host, "tcp", port, ..] => format!("{host}:{port}").parse().ok(),
            _ => None,
        };
        address.unwrap_or_else(|| panic!("not a multiaddress of the expected form: {}", self.p2p))
    }
}

/// The file that scripts read. Fields may be added to it, so unknown fields are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct NetworkFile {
    pub(crate) genesis: PathBuf,
    pub(crate) validators: Vec<Validator>,
    #[serde(default)]
    pub(crate) observers: Vec<Validator>,
}
