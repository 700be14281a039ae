//! Transactions: what clients sign and submit.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{DecodeError, bounded_bytes, decode, encode};
use crate::hash::{ChainId, Domain, TransactionId, tagged_hash};
use crate::keys::{PublicKey, SecretKey, Signature, VerifyingKey};
use crate::limits::{MAX_PAYLOAD_BYTES, TRANSACTION_OVERHEAD_BYTES};
use crate::units::Timestamp;

/// The content of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Payload {
    /// Opaque bytes: the network orders them, applications interpret them.
    Data(#[borsh(deserialize_with = "bounded_bytes::<MAX_PAYLOAD_BYTES, _>")] Vec<u8>),
    /// An operation on the network itself: the encoding of an operation of governance.
    Governance(#[borsh(deserialize_with = "bounded_bytes::<MAX_PAYLOAD_BYTES, _>")] Vec<u8>),
}

impl Payload {
    /// The bytes of either kind.
    pub fn bytes(&self) -> &[u8] {
        let (Payload::Data(bytes) | Payload::Governance(bytes)) = self;
        bytes
    }
}

/// A signed request to order a payload. It is unverified until [`Transaction::verify`] has checked
/// it.
///
/// Transactions of a sender have no order among each other. Any number of clients may share a key,
/// and `nonce` only makes the id unique.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The key that signed it.
    pub sender: PublicKey,
    /// Any number that makes the id unique.
    pub nonce: u64,
    /// No block with a later time may contain it.
    pub valid_until: Timestamp,
    /// The content to order.
    pub payload: Payload,
    /// Signature over all fields above and the chain id.
    pub signature: Signature,
}

/// Why a transaction can never be ordered on this chain. Depends only on its bytes and the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The transaction is larger than the network accepts.
    #[error("the transaction has {bytes} bytes, but the network accepts at most {limit}")]
    TooLarge {
        /// Bytes of its encoding.
        bytes: u64,
        /// Most bytes that the network accepts.
        limit: u32,
    },
    /// Signed with another key or for another chain. The chain id is part of the signed bytes.
    #[error(
        "the signature does not verify: it was made with another key than the sender's, or for another chain than {chain}"
    )]
    BadSignature {
        /// The chain it was checked for.
        chain: ChainId,
    },
}

/// The limits of the network's genesis for single transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Most bytes of one encoded transaction.
    pub max_bytes: u32,
    /// Most milliseconds by which `valid_until` may exceed the time of the block that contains it.
    pub max_lifetime_ms: u64,
}

/// The signed fields, in the order of the encoding.
#[derive(BorshSerialize)]
struct Unsigned<'a> {
    sender: &'a PublicKey,
    nonce: u64,
    valid_until: Timestamp,
    payload: &'a Payload,
}

impl Unsigned<'_> {
    fn signing_hash(&self, chain: &ChainId) -> crate::Hash {
        tagged_hash(Domain::Transaction, &[chain.as_bytes(), &encode(self)])
    }
}

/// Where the kind of the payload is in the encoding of a transaction.
const KIND_OFFSET: usize = 33 + 8 + 8;

/// The kind of [`Payload::Governance`].
const GOVERNANCE_KIND: u8 = 1;

impl Transaction {
    /// Makes and signs a transaction for one chain.
    pub fn sign(
        chain: &ChainId,
        key: &SecretKey,
        nonce: u64,
        valid_until: Timestamp,
        payload: Payload,
    ) -> Transaction {
        let sender = key.public();
        let hash = Unsigned { sender: &sender, nonce, valid_until, payload: &payload }.signing_hash(chain);
        Transaction { sender, nonce, valid_until, payload, signature: key.sign(&hash) }
    }

    /// Reads a transaction from exactly these bytes.
    ///
    /// # Errors
    /// [`DecodeError`], for example for a signature with a high s.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes)
    }

    /// The canonical encoding, which is what clients send.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Hash of the whole encoding.
    pub fn id(&self) -> TransactionId {
        Transaction::id_of(&self.to_bytes())
    }

    /// The id of the transaction with this canonical encoding.
    pub fn id_of(bytes: &[u8]) -> TransactionId {
        TransactionId(tagged_hash(Domain::TransactionId, &[bytes]))
    }

    /// Splits the encoding of one transaction off the front of `bytes`. Reads only the length of
    /// the payload, so iterating over many transactions costs a few nanoseconds for each.
    ///
    /// The fields are not checked. Use it only for bytes that were decoded before they were stored;
    /// the result still has to be decoded.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes end before the transaction does.
    pub fn split_encoding(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
        const BEFORE_LENGTH: usize = KIND_OFFSET + 1;
        let ends_early =
            || DecodeError { what: "Transaction", reason: "the bytes end before the transaction".to_owned() };
        let field = bytes.get(BEFORE_LENGTH..BEFORE_LENGTH + 4).ok_or_else(ends_early)?;
        let payload = u32::from_le_bytes(field.try_into().expect("four bytes were taken"));
        let length = u64::from(TRANSACTION_OVERHEAD_BYTES) + u64::from(payload);
        let length = usize::try_from(length).map_err(|_| ends_early())?;
        bytes.split_at_checked(length).ok_or_else(ends_early)
    }

    /// Whether this is the encoding of a transaction with an operation. Reads one byte, and checks
    /// nothing.
    pub(crate) fn is_governance_encoding(bytes: &[u8]) -> bool {
        bytes.get(KIND_OFFSET) == Some(&GOVERNANCE_KIND)
    }

    /// Verifies the signature. Costs parsing the key and one verification, about 50 µs. Call
    /// [`Transaction::check_form`], which costs almost nothing, first.
    ///
    /// # Errors
    /// [`TransactionError::BadSignature`].
    pub fn verify(self, chain: &ChainId) -> Result<VerifiedTransaction, TransactionError> {
        let id = self.id();
        self.check_signature(chain)?;
        Ok(VerifiedTransaction::new(self, id))
    }

    /// Checks everything except the signature.
    ///
    /// # Errors
    /// [`TransactionError::TooLarge`].
    pub fn check_form(&self, limits: &TransactionLimits) -> Result<(), TransactionError> {
        let bytes = self.encoded_len();
        if bytes > u64::from(limits.max_bytes) {
            return Err(TransactionError::TooLarge { bytes, limit: limits.max_bytes });
        }
        Ok(())
    }

    /// Bytes of the encoding: the payload and [`TRANSACTION_OVERHEAD_BYTES`].
    pub fn encoded_len(&self) -> u64 {
        u64::from(TRANSACTION_OVERHEAD_BYTES) + self.payload.bytes().len() as u64
    }

    fn check_signature(&self, chain: &ChainId) -> Result<(), TransactionError> {
        let key = self.sender.parse().map_err(|_| TransactionError::BadSignature { chain: *chain })?;
        self.check_signature_with(chain, &key)
    }

    /// Verifies the signature with the sender's parsed key.
    pub(crate) fn check_signature_with(
        &self,
        chain: &ChainId,
        key: &VerifyingKey,
    ) -> Result<(), TransactionError> {
        let Transaction { sender, nonce, valid_until, payload, signature } = self;
        let unsigned = Unsigned { sender, nonce: *nonce, valid_until: *valid_until, payload };
        let holds = key.verify(&unsigned.signing_hash(chain), signature);
        holds.then_some(()).ok_or(TransactionError::BadSignature { chain: *chain })
    }
}

#[derive(Debug)]
struct Checked {
    transaction: Transaction,
    id: TransactionId,
    bytes: u32,
}

/// A transaction whose signature was verified for this chain. Clones share it.
#[derive(Debug, Clone)]
pub struct VerifiedTransaction(Arc<Checked>);

impl VerifiedTransaction {
    pub(crate) fn new(transaction: Transaction, id: TransactionId) -> Self {
        // Decoding allows no payload larger than MAX_PAYLOAD_BYTES, and callers of `sign` check it.
        let bytes = u32::try_from(transaction.encoded_len()).unwrap_or(u32::MAX);
        VerifiedTransaction(Arc::new(Checked { transaction, id, bytes }))
    }

    /// Makes and signs a transaction as [`Transaction::sign`] does. It counts as verified, because the
    /// key is the caller's own.
    pub fn sign(
        chain: &ChainId,
        key: &SecretKey,
        nonce: u64,
        valid_until: Timestamp,
        payload: Payload,
    ) -> Self {
        let transaction = Transaction::sign(chain, key, nonce, valid_until, payload);
        let id = transaction.id();
        VerifiedTransaction::new(transaction, id)
    }

    /// Restores a transaction that this node itself verified before it stored it.
    pub fn from_own_storage(transaction: Transaction) -> Self {
        let id = transaction.id();
        VerifiedTransaction::new(transaction, id)
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.0.transaction
    }

    /// Its id, computed once.
    pub fn id(&self) -> TransactionId {
        self.0.id
    }

    /// Bytes of its encoding.
    pub fn bytes(&self) -> u32 {
        self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

    fn signed(nonce: u64) -> Transaction {
        let key = SecretKey::from_bytes(&[5; 32]).unwrap();
        Transaction::sign(&CHAIN, &key, nonce, Timestamp(1000), Payload::Data(b"data".to_vec()))
    }

    #[test]
    fn every_changed_field_breaks_the_signature() {
        let good = signed(1);
        assert!(good.clone().verify(&CHAIN).is_ok());
        let other_key = SecretKey::from_bytes(&[6; 32]).unwrap().public();
        let changes: [fn(&mut Transaction, PublicKey); 5] = [
            |t, other| t.sender = other,
            |t, _| t.nonce += 1,
            |t, _| t.valid_until.0 += 1,
            |t, _| t.payload = Payload::Data(b"Data".to_vec()),
            |t, _| t.payload = Payload::Governance(b"data".to_vec()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = good.clone();
            change(&mut changed, other_key);
            assert_eq!(
                changed.verify(&CHAIN).unwrap_err(),
                TransactionError::BadSignature { chain: CHAIN },
                "change {number}"
            );
        }
    }

    #[test]
    fn a_signature_is_valid_on_one_chain_only() {
        assert!(signed(1).verify(&ChainId::from_bytes([2; 32])).is_err());
    }

    #[test]
    fn the_length_is_known_without_encoding() {
        let transaction = signed(7);
        assert_eq!(transaction.encoded_len(), transaction.to_bytes().len() as u64);
    }

    #[test]
    fn an_encoding_is_split_off_without_decoding_it() {
        let (first, second) = (signed(1).to_bytes(), signed(2).to_bytes());
        let both = [first.clone(), second.clone()].concat();
        let (split, rest) = Transaction::split_encoding(&both).unwrap();
        assert_eq!((split, rest), (&first[..], &second[..]));
        for length in 0..first.len() {
            assert!(Transaction::split_encoding(&first[..length]).is_err(), "{length} bytes");
        }
        let mut endless = first;
        endless[50..54].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Transaction::split_encoding(&endless).is_err());
    }

    #[test]
    fn trailing_bytes_and_long_payloads_do_not_decode() {
        let mut bytes = signed(1).to_bytes();
        assert_eq!(Transaction::from_bytes(&bytes).unwrap(), signed(1));
        bytes.push(0);
        assert!(Transaction::from_bytes(&bytes).is_err());
        bytes.pop();
        bytes[50..54].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Transaction::from_bytes(&bytes).unwrap_err().reason.contains("at most"));
    }
}
