//! What somebody wrote, before anybody has checked it.

use borsh::BorshSerialize;
use quorate_ledger::{PublicKey, Timestamp};

use crate::check;
use crate::error::GenesisErrors;
use crate::genesis::Genesis;
use crate::parameters::Parameters;

/// A member of the first committee.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Validator {
    /// What people call it: 1 to [`MAX_VALIDATOR_NAME`](crate::MAX_VALIDATOR_NAME) characters of `a-z`,
    /// `0-9` and `-`, different from all others.
    pub name: String,
    /// The key it signs votes with and proves its identity to peers with.
    pub public_key: PublicKey,
}

/// The content of a genesis, not checked: any value can be in it. Validators may stand in any order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct GenesisDraft {
    /// What people call the network: 1 to [`MAX_NETWORK_NAME`](crate::MAX_NETWORK_NAME) characters of `a-z`,
    /// `0-9` and `-`.
    pub name: String,
    /// Time of the genesis header. No block is older.
    pub genesis_time: Timestamp,
    /// The members of epoch 0.
    pub validators: Vec<Validator>,
    /// Everything else.
    pub parameters: Parameters,
}

impl GenesisDraft {
    /// A network with the default parameters.
    pub fn new(name: &str, genesis_time: Timestamp, validators: Vec<Validator>) -> Self {
        GenesisDraft { name: name.to_owned(), genesis_time, validators, parameters: Parameters::default() }
    }

    /// The genesis with this content.
    ///
    /// # Errors
    /// Every reason why no network could or should run with it.
    pub fn check(self) -> Result<Genesis, GenesisErrors> {
        match GenesisErrors::of(check::errors(&self, 0)) {
            Some(errors) => Err(errors),
            None => Ok(Genesis::of_checked(self)),
        }
    }
}
