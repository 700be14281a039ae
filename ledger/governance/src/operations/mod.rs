//! Operations: what governance transactions contain.

mod change;
mod name;
mod possession;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, DecodeError, Height, PublicKey, Signature, TransactionId, bounded, decode, encode,
};

pub use change::Change;
pub use name::{Name, NameError};
pub use possession::Possession;

use crate::limits::{MAX_CHANGES, MAX_OPERATION_BYTES};

/// The id of a proposal: that of the transaction that made it.
pub type ProposalId = TransactionId;

/// Limits of a block for the data transactions of a member or client, in the submit mode `registry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Quota {
    /// Most transactions.
    pub transactions: u64,
    /// Most bytes of encoded transactions.
    pub bytes: u64,
}

/// The content of a governance transaction. Its sender is the acting key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// Proposes changes, which take effect together. The proposer approves them with it. The id of
    /// the transaction is the id of the proposal.
    Propose {
        /// 1 to [`MAX_CHANGES`] changes, applied in this order.
        #[borsh(deserialize_with = "bounded::<MAX_CHANGES, _, _>")]
        changes: Vec<Change>,
    },
    /// Approves a proposal. With q approvals, it is decided.
    Approve(ProposalId),
    /// Takes back an approval. A proposal without approvals is closed, and so is one that its proposer
    /// withdraws.
    Withdraw(ProposalId),
    /// States that the sender, a candidate, has the chain up to this block.
    Ready {
        /// Height of the block.
        height: Height,
        /// Its hash.
        block: BlockHash,
    },
    /// Replaces the consensus key of the sender's member.
    Rotate {
        /// The new key.
        consensus_key: PublicKey,
        /// Its signature over [`Possession`].
        possession: Signature,
    },
    /// Starts a new epoch with the same keys, so that the sender's member can vote again although it
    /// lost its journal.
    Renew,
    /// Adds a client of the sender's member.
    AddClient {
        /// The name that people use for it. Names of clients need not be unique.
        name: Name,
        /// The key that signs its transactions.
        key: PublicKey,
    },
    /// Removes a client of the sender's member.
    RemoveClient {
        /// Its key.
        key: PublicKey,
    },
    /// Limits a client of the sender's member, in addition to the quota of the member.
    SetClientQuota {
        /// Its key.
        key: PublicKey,
        /// The limit; `None` if only the quota of the member limits it.
        quota: Option<Quota>,
    },
}

impl Operation {
    /// Reads an operation from the payload of a governance transaction.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but a canonical encoding of at most [`MAX_OPERATION_BYTES`]
    /// bytes, and for a proposal without changes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refused = |reason: String| DecodeError { what: "Operation", reason };
        if bytes.len() > MAX_OPERATION_BYTES as usize {
            return Err(refused(format!("{} bytes where at most {MAX_OPERATION_BYTES} fit", bytes.len())));
        }
        match decode(bytes)? {
            Operation::Propose { changes } if changes.is_empty() => {
                Err(refused("a proposal has at least one change".to_owned()))
            }
            operation => Ok(operation),
        }
    }

    /// The canonical encoding: the payload of a governance transaction.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }
}
