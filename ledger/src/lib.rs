//! The data types of Quorate: everything that is hashed, signed, ordered and proven.
//!
//! Everything in this crate is pure. It contains the hashes, keys, signing domains, transactions,
//! headers, bodies, committee arithmetic, commit certificates, Merkle paths, receipts, finality proofs
//! and epoch proofs, together with their verification. It is the only crate that depends on k256 and sha3,
//! and it must not use files, sockets, clocks or JSON. `WIRE.md` beside this crate specifies every
//! byte.
//!
//! ```
//! use quorate_ledger::{ChainId, Payload, SecretKey, Timestamp, Transaction};
//!
//! let chain = ChainId::from_bytes([7; 32]);
//! let key = SecretKey::from_bytes(&[1; 32])?;
//! let transaction = Transaction::sign(&chain, &key, 1, Timestamp(60_000), Payload::Data(b"hello".to_vec()));
//! let checked = transaction.verify(&chain)?;
//! assert_eq!(checked.id(), checked.transaction().id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod codec;
mod committee;
mod generations;
mod hash;
mod keys;
mod limits;
mod merkle;
mod proofs;
mod refusal;
mod signature_cache;
mod signature_memo;
mod signing;
mod transaction;
mod units;

pub mod mutant;

pub use blocks::block::{Block, BlockSkeleton};
pub use blocks::body::{Body, BodyError, Encodings};
pub use blocks::header::{BlockError, BlockLimits, Header};
pub use codec::{DecodeError, bounded, bounded_bytes, decode, encode};
pub use committee::{Committee, CommitteeError};
pub use hash::{BlockHash, ChainId, Domain, Hash, HexError, TransactionId, from_hex, tagged_hash, to_hex};
pub use keys::{KeyError, PublicKey, SecretKey, Signature, SignatureError, VerifyingKey};
pub use limits::{
    MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_MEMBERS, MAX_PATH_SIBLINGS, MAX_PAYLOAD_BYTES, MAX_RANGE_BYTES,
    MAX_SIGNATURES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS, PROTOCOL_VERSION, TRANSACTION_OVERHEAD_BYTES,
};
pub use merkle::{MerklePath, MerkleTree, merkle_root};
pub use proofs::anchor::{ChainAnchor, EpochHeights};
pub use proofs::certificate::{Ballot, CertificateError, Commit, CommitCertificate, SignatureSet, Signers};
pub use proofs::epochs::{EpochProof, EpochProofError};
pub use proofs::proof::{FinalityProof, ProofError, Receipt};
pub use refusal::{NotPermitted, Refusal};
pub use signature_cache::SignatureCache;
pub use signature_memo::SignatureMemo;
pub use signing::{Signable, Signed, SignedError, Verifiable, Verified, VerifySignatures, signing_hash};
pub use transaction::{Payload, Transaction, TransactionError, TransactionLimits, VerifiedTransaction};
pub use units::{Epoch, Height, ReplicaId, Timestamp, View};
