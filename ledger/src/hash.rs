//! Keccak-256 with domain separation, and the identifiers computed with it.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use sha3::{Digest, Keccak256};

/// Prefix of everything that is hashed or signed: protocol name and version of the byte formats.
const PREFIX: [u8; 8] = *b"quorate\x01";

/// The purpose of a hash. The domain number follows the protocol prefix, so that a hash for one
/// purpose is never valid for another. A number is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Domain {
    /// Signed by clients: a transaction without its signature.
    Transaction = 1,
    /// Signed by the primary: it proposes a block in a view.
    PrePrepare = 2,
    /// Signed by backups: they accepted the proposal.
    Prepare = 3,
    /// Signed by all: they hold a prepared certificate.
    Commit = 4,
    /// Signed by all: the state at a height.
    Checkpoint = 5,
    /// Signed by all: they left a view.
    ViewChange = 6,
    /// Signed by the primary of a new view.
    NewView = 7,
    /// Signed by a new consensus key: its holder agrees that it replaces the key of a member.
    Possession = 8,

    /// Identifies a genesis, and with it a chain.
    Genesis = 64,
    /// Identifies a header, and with it a block.
    Header = 65,
    /// Identifies a whole transaction, signature included.
    TransactionId = 66,
    /// Identifies a set of members.
    Committee = 67,
    /// A leaf of the transaction tree.
    MerkleLeaf = 68,
    /// An inner node of the transaction tree.
    MerkleNode = 69,
    /// The root of a tree without leaves.
    MerkleEmpty = 70,
    /// The content of a VIEW-CHANGE: the view-change payload.
    ViewChangeContent = 72,
    /// The content of a NEW-VIEW: its proofs and the proposals that it repeats.
    NewViewContent = 73,
    /// The key of an entry of the governance state: its path in the state tree.
    StateKey = 74,
    /// The value of an entry of the governance state.
    StateValue = 75,
    /// A leaf of the state tree.
    StateLeaf = 76,
    /// An inner node of the state tree.
    StateNode = 77,
    /// A part of the state tree without leaves.
    StateEmpty = 78,
}

/// 32 bytes of Keccak-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Hash([u8; 32]);

/// Keccak-256 over prefix, domain and the concatenated parts.
///
/// The parts are not delimited. Pass only fixed-length parts, or one part of variable length at the
/// end.
pub fn tagged_hash(domain: Domain, parts: &[&[u8]]) -> Hash {
    let mut hasher = Keccak256::new();
    hasher.update(PREFIX);
    hasher.update([domain as u8]);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

impl Hash {
    /// All zero: the parent of the genesis header.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Hash(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Hash {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Self, HexError> {
        let bytes = from_hex(text)?;
        let found = bytes.len();
        bytes.try_into().map(Hash).map_err(|_| HexError::Length { expected: 32, found })
    }
}

/// Defines an identifier type for one kind of hash, so that a block's hash cannot be passed as a
/// transaction's.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub Hash);

        impl $name {
            /// The identifier with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                $name(Hash::from_bytes(bytes))
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = HexError;
            fn from_str(text: &str) -> Result<Self, HexError> {
                text.parse().map($name)
            }
        }
    };
}

identifier! {
    /// Hash of the checked genesis, which identifies the chain.
    ChainId
}
identifier! {
    /// Hash of a header, which determines the whole block and all blocks before it.
    BlockHash
}
identifier! {
    /// Hash of a whole signed transaction. The same bytes sent again are the same transaction.
    TransactionId
}

/// Text that is not lower-case hex with `0x`, or has the wrong length for its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// The two characters `0x` are missing.
    #[error("hex must start with 0x")]
    Prefix,
    /// An odd number of digits, an upper-case letter, or a character that is not a hex digit.
    #[error("hex must be pairs of the digits 0-9a-f, lower case")]
    Digits,
    /// 33 bytes, but the first of them is neither 02 nor 03.
    #[error("a public key is a compressed point: its first byte is 02 or 03")]
    PublicKey,
    /// Not the number of bytes that the type has.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes the type has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
}

/// Formats bytes as lower-case hex with `0x`, the only text form of bytes in Quorate.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    text.push_str(&base16ct::lower::encode_string(bytes));
    text
}

/// Parses lower-case hex with `0x`. Upper case is refused, so that each value has exactly one text.
///
/// # Errors
/// [`HexError::Prefix`] and [`HexError::Digits`].
pub fn from_hex(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::Prefix)?;
    base16ct::lower::decode_vec(digits).map_err(|_| HexError::Digits)
}
