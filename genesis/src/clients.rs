//! The file with the clients that a network takes over from the one that it continues.
//!
//! The genesis has only their number and the root of their tree, so it stays small, and a verifier
//! of receipts does not need the file. Nodes need it to make the governance state before block 1.
//!
//! A line is empty, a comment from `#` on, or a client:
//!
//! ```text
//! KEY MEMBER NAME [quota=TRANSACTIONS/BYTES] [revoked]
//! ```

use std::fmt::Write;

use quorate_governance::{Client, InitialState, InitialStateError, Member, Quota, State};
use quorate_ledger::PublicKey;

use crate::check::shortened;
use crate::genesis::Genesis;
use crate::predecessor::Predecessor;

/// Most bytes of a line: a key, two names, a quota of two numbers, and `revoked`.
const MAX_LINE_BYTES: usize = 256;

/// Most bytes of the comments at the beginning.
const MAX_HEAD_BYTES: usize = 4096;

/// Why a list of clients is not the one that a genesis names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientsError {
    /// A line that is not a client.
    #[error(
        "line {line} is {text:?}: write KEY MEMBER NAME, then quota=TRANSACTIONS/BYTES and revoked if they apply"
    )]
    Line {
        /// Line, from 1.
        line: usize,
        /// The line, shortened if it is long.
        text: String,
    },
    /// There are more or fewer clients than the genesis says.
    #[error(
        "there are {found} clients, but the genesis takes over {expected}: use the file that was made with it"
    )]
    Count {
        /// The number in the genesis.
        expected: u64,
        /// Clients in the list.
        found: u64,
    },
    /// The clients are others than those of the genesis.
    #[error(
        "these are not the clients of the genesis, whose root is another one: use the file that was made with it"
    )]
    Root,
    /// A client belongs to no validator of the genesis, or two have the same key.
    #[error("{0}; make genesis and clients together, with `quorate genesis continue`")]
    State(InitialStateError),
}

/// Most bytes of a file with this number of clients.
pub fn max_clients_file_bytes(clients: u64) -> usize {
    let lines = usize::try_from(clients).unwrap_or(usize::MAX);
    lines.saturating_mul(MAX_LINE_BYTES).saturating_add(MAX_HEAD_BYTES)
}

/// The file with these clients, in the order of their keys.
pub fn clients_to_text(genesis: &Genesis, clients: &[Client]) -> String {
    let mut text = format!(
        "# The clients that the network {} (chain {})\n# takes over from the one that it continues. Its genesis has their \
         number and their root.\n# Keep this file beside the genesis: a node needs both at its first start.\n#\n# KEY \
         MEMBER NAME [quota=TRANSACTIONS/BYTES] [revoked]\n",
        genesis.name(),
        genesis.chain_id(),
    );
    let mut clients: Vec<&Client> = clients.iter().collect();
    clients.sort_by_key(|client| client.key);
    for client in clients {
        let Client { key, name, member, quota, revoked } = client;
        write!(text, "{key} {member} {name}").expect("writing to a string cannot fail");
        if let Some(Quota { transactions, bytes }) = quota {
            write!(text, " quota={transactions}/{bytes}").expect("writing to a string cannot fail");
        }
        text.push_str(if *revoked { " revoked\n" } else { "\n" });
    }
    text
}

/// Reads a file with clients. [`Genesis::initial_state`] compares them with the genesis.
///
/// # Errors
/// [`ClientsError::Line`].
pub fn parse_clients(text: &str) -> Result<Vec<Client>, ClientsError> {
    let mut clients = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || ClientsError::Line { line: at + 1, text: shortened(line) };
        clients.push(client_of(line).ok_or_else(wrong)?);
    }
    Ok(clients)
}

fn client_of(line: &str) -> Option<Client> {
    let mut words = line.split(' ');
    let key: PublicKey = words.next()?.parse().ok()?;
    let (member, name) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut client = Client { key, name, member, quota: None, revoked: false };
    let mut word = words.next();
    if let Some(quota) = word.and_then(|word| word.strip_prefix("quota=")) {
        let (transactions, bytes) = quota.split_once('/')?;
        client.quota = Some(Quota { transactions: transactions.parse().ok()?, bytes: bytes.parse().ok()? });
        word = words.next();
    }
    if word == Some("revoked") {
        client.revoked = true;
        word = words.next();
    }
    word.is_none().then_some(client)
}

impl Genesis {
    /// Number of clients that the network takes over from the one that it continues.
    pub fn inherited_clients(&self) -> u64 {
        self.predecessor().map_or(0, |predecessor| predecessor.clients)
    }

    /// The governance state before block 1, from which every node computes the same later ones.
    /// `clients` are those that the network takes over, in any order.
    ///
    /// # Errors
    /// [`ClientsError`] if they are not the clients that the genesis names.
    pub fn initial_state(&self, clients: Vec<Client>) -> Result<State, ClientsError> {
        let (found, root) = Predecessor::commit_to(&clients);
        let expected = self.inherited_clients();
        if found != expected {
            return Err(ClientsError::Count { expected, found });
        }
        if self.predecessor().is_some_and(|predecessor| predecessor.clients_root != root) {
            return Err(ClientsError::Root);
        }
        let members = self.validators().iter().map(|validator| Member {
            name: validator.name.parse().expect("names in a genesis have the form of governance"),
            consensus_key: validator.public_key,
            governance_key: validator.governance_key,
        });
        let initial = InitialState {
            chain: self.chain_id(),
            block: self.header().hash(),
            members: members.collect(),
            settings: *self.settings(),
            clients,
        };
        State::initial(initial).map_err(ClientsError::State)
    }

    /// The governance state before block 1 of a network that takes over no clients.
    ///
    /// # Panics
    /// If it takes over clients: use [`Genesis::initial_state`] for a genesis from a file.
    pub fn governance_state(&self) -> State {
        self.initial_state(Vec::new()).expect("the network takes over no clients")
    }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
