//! The content of a genesis before it is checked.

use std::io;

use borsh::BorshSerialize;
use quorate_governance::Settings;
use quorate_ledger::{PublicKey, Timestamp};

use crate::predecessor::Predecessor;

/// A member of the first committee.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Validator {
    /// The name that people use for it: 1 to [`MAX_VALIDATOR_NAME`](crate::MAX_VALIDATOR_NAME)
    /// characters of `a-z`, `0-9` and `-`, unique in the genesis.
    pub name: String,
    /// The consensus key: the validator signs votes and authenticates to peers with it.
    pub public_key: PublicKey,
    /// The key with which it signs governance operations. It may be the consensus key, but is
    /// better another one, whose secret is not on the host of the validator.
    pub governance_key: PublicKey,
}

impl Validator {
    /// A validator that signs governance operations with its consensus key.
    pub fn new(name: &str, public_key: PublicKey) -> Self {
        Validator { name: name.to_owned(), public_key, governance_key: public_key }
    }

    /// Whether it signs governance operations with another key than its votes.
    pub fn has_own_governance_key(&self) -> bool {
        self.governance_key != self.public_key
    }
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
    /// All parameters, with those of governance.
    pub settings: Settings,
    /// The chain that the network continues, if it continues one.
    #[borsh(serialize_with = "serialize_if_some")]
    pub predecessor: Option<Predecessor>,
}

/// Writes nothing for `None`, so that the encoding of a network without a predecessor is that of
/// programs that know none. The field is the last one, so the encoding is not ambiguous.
fn serialize_if_some<W: io::Write>(predecessor: &Option<Predecessor>, writer: &mut W) -> io::Result<()> {
    predecessor.as_ref().map_or(Ok(()), |predecessor| predecessor.serialize(writer))
}

impl GenesisDraft {
    /// A network with the default parameters that continues no chain.
    pub fn new(name: &str, genesis_time: Timestamp, validators: Vec<Validator>) -> Self {
        let (name, settings) = (name.to_owned(), Settings::default());
        GenesisDraft { name, genesis_time, validators, settings, predecessor: None }
    }
}
