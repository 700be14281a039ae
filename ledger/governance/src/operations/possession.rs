//! The proof that the holder of a new consensus key agrees to its use.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{ChainId, Domain, Epoch, PublicKey, SecretKey, Signable, Signature, signing_hash};

/// What a new consensus key signs. Without this signature, a member could take the key of another
/// node as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Possession {
    /// The governance key of the member whose key is replaced.
    pub governance_key: PublicKey,
    /// The new consensus key.
    pub consensus_key: PublicKey,
    /// The epoch of the block that contains the rotation.
    pub epoch: Epoch,
}

impl Signable for Possession {
    const DOMAIN: Domain = Domain::Possession;
}

impl Possession {
    /// Signs as the new consensus key.
    pub fn sign(chain: &ChainId, governance_key: PublicKey, key: &SecretKey, epoch: Epoch) -> Signature {
        let body = Possession { governance_key, consensus_key: key.public(), epoch };
        key.sign(&signing_hash(chain, &body))
    }

    /// Whether this is the signature of the new key. Costs one verification, about 50 µs.
    pub fn is_proven_by(&self, chain: &ChainId, signature: &Signature) -> bool {
        let hash = signing_hash(chain, self);
        self.consensus_key.parse().is_ok_and(|key| key.verify(&hash, signature))
    }
}
