//! What the files of a network say.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// What `network.json` says of a validator.
#[derive(Debug, Clone, Deserialize)]
pub struct Validator {
    /// Its name in the genesis.
    pub name: String,
    /// Its directory; relative to the file there, a path that can be opened here.
    pub home: PathBuf,
    /// URL of its JSON-RPC.
    pub rpc: String,
    /// Its multiaddress.
    pub p2p: String,
    /// Its key as hex.
    pub public_key: String,
}

impl Validator {
    /// Where its JSON-RPC listens.
    ///
    /// # Panics
    /// Unless the URL is one of an IP address and a port.
    pub fn rpc_address(&self) -> SocketAddr {
        let address = self.rpc.strip_prefix("http://").and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("no URL of an address: {}", self.rpc))
    }

    /// Where it listens for other validators.
    ///
    /// # Panics
    /// Unless the multiaddress begins with an IPv4 address and a TCP port.
    pub fn p2p_address(&self) -> SocketAddr {
        let parts: Vec<&str> = self.p2p.split('/').collect();
        let address = match parts.as_slice() {
            ["", "ip4", host, "tcp", port, ..] => format!("{host}:{port}").parse().ok(),
            _ => None,
        };
        address.unwrap_or_else(|| panic!("no multiaddress as expected: {}", self.p2p))
    }
}

/// What scripts read. Fields may be added to it, so others are not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct NetworkFile {
    pub(crate) genesis: PathBuf,
    pub(crate) validators: Vec<Validator>,
    #[serde(default)]
    pub(crate) observers: Vec<Validator>,
}
