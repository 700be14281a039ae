//! The chain that a network continues.

use borsh::BorshSerialize;
use quorate_governance::{Client, MAX_CLIENTS, ParameterError, clients_root};
use quorate_ledger::{BlockHash, ChainId, Epoch, Hash, Height};

use crate::error::GenesisError;

/// Largest height and epoch. A genesis file is also read by programs whose numbers are doubles.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// The chain that a network continues, at its last block, and the clients that the network takes
/// over from it.
///
/// It is a part of the content that the chain id is computed from, in the order of the fields.
/// The old chain proves each of the first five fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
pub struct Predecessor {
    /// The chain id of the network that ended.
    pub chain_id: ChainId,
    /// Height of its last block, at least 1.
    pub height: Height,
    /// Hash of this block.
    pub block: BlockHash,
    /// Epoch of this block, whose committee certified it.
    pub epoch: Epoch,
    /// Root of its governance state after this block.
    pub state_root: Hash,
    /// Number of clients that the new network begins with, at most [`MAX_CLIENTS`].
    pub clients: u64,
    /// Root of the tree of these clients: see [`clients_root`].
    pub clients_root: Hash,
}

impl Predecessor {
    /// Number and root of these clients.
    pub(crate) fn commit_to(clients: &[Client]) -> (u64, Hash) {
        (clients.len() as u64, clients_root(clients.to_vec()))
    }

    pub(crate) fn errors(&self) -> Vec<GenesisError> {
        let mut errors = Vec::new();
        let numbers = [
            ("predecessor.height", self.height.0, 1, MAX_INTEGER),
            ("predecessor.epoch", self.epoch.0, 0, MAX_INTEGER),
            ("predecessor.clients", self.clients, 0, MAX_CLIENTS.into()),
        ];
        for (field, value, min, max) in numbers {
            if !(min..=max).contains(&value) {
                let field = field.to_owned();
                errors.push(ParameterError::Range { field, value, min, max }.into());
            }
        }
        if (self.clients == 0) != (self.clients_root == clients_root(Vec::new())) {
            errors.push(GenesisError::ClientsRoot { clients: self.clients });
        }
        errors
    }
}
