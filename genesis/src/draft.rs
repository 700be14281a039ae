//! The content of a genesis before it is checked.

use borsh::BorshSerialize;
use quorate_governance::Parameters;
use quorate_ledger::{PublicKey, Timestamp};

/// A member of the first committee.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Validator {
    /// The name that people use for it: 1 to [`MAX_VALIDATOR_NAME`](crate::MAX_VALIDATOR_NAME)
    /// characters of `a-z`, `0-9` and `-`, unique in the genesis.
    pub name: String,
    /// The key with which it signs votes and authenticates to peers.
    pub public_key: PublicKey,
}

/// The content of a genesis, not checked: it may hold any values, and the validators in any order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct GenesisDraft {
    /// The name of the network: 1 to [`MAX_NETWORK_NAME`](crate::MAX_NETWORK_NAME) characters of
    /// `a-z`, `0-9` and `-`.
    pub name: String,
    /// Time of the genesis header. Every block has a later time.
    pub genesis_time: Timestamp,
    /// The members of epoch 0.
    pub validators: Vec<Validator>,
    /// All numeric parameters.
    pub parameters: Parameters,
}

impl GenesisDraft {
    /// A network with the default parameters.
    pub fn new(name: &str, genesis_time: Timestamp, validators: Vec<Validator>) -> Self {
        GenesisDraft { name: name.to_owned(), genesis_time, validators, parameters: Parameters::default() }
    }
}
