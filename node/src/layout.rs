//! The files in the home directory of a node.
//!
//! ```text
//! config.toml           local settings; paths in it are relative to this directory
//! genesis.toml          the parameters that all nodes agree on; every home has its own copy
//! genesis.clients       the clients that the network takes over from the chain that it continues, if
//!                       there are any; read when the ledger is created. It has the name of the genesis
//! key.pem               the node's secret key, mode 0600
//! next-key.pem          the key that replaces key.pem with the epoch in which it is a member's; optional
//! governance.pem        a validator's secret governance key, mode 0600; only `quorate testnet` writes
//!                       it here, and no node reads it: it belongs on another machine
//! data/ledger.redb      the chain; may be copied and restored
//! data/journal.redb     what a validator has signed; never restore an older copy; not of observers
//! data/addresses.json   the last known addresses of the other validators; may be lost
//! admin.sock            while the node runs: the socket with which its user administers it
//! ```

/// Local settings.
pub(crate) const CONFIG_FILE: &str = "config.toml";
/// The parameters that all nodes agree on.
pub(crate) const GENESIS_FILE: &str = "genesis.toml";
/// The ending of the file with the clients that a network takes over, beside its genesis.
pub(crate) const CLIENTS_ENDING: &str = "clients";
/// The secret key.
pub(crate) const KEY_FILE: &str = "key.pem";
/// The secret key that replaces the present one, beside it.
pub(crate) const NEXT_KEY_FILE: &str = "next-key.pem";
/// The secret governance key of a validator of a test network.
pub(crate) const GOVERNANCE_KEY_FILE: &str = "governance.pem";
/// The chain.
pub(crate) const LEDGER_FILE: &str = "data/ledger.redb";
/// The durable record of what the validator has signed.
pub(crate) const JOURNAL_FILE: &str = "data/journal.redb";
/// The administration socket of a running node.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
