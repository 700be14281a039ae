//! The transactions of a block, encoded once.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{DecodeError, bounded, decode};
use crate::hash::{Hash, TransactionId};
use crate::limits::{MAX_BODY_BYTES, MAX_TRANSACTIONS};
use crate::merkle::merkle_root;
use crate::transaction::{Transaction, VerifiedTransaction};

/// Why bytes are not the encoding of a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not the canonical encoding of a list of transactions.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More bytes than any block may have.
    #[error("a body has at most {MAX_BODY_BYTES} bytes of transactions, not {0}")]
    TooLarge(usize),
}

#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    bytes: Vec<u8>,
    ids: Vec<TransactionId>,
    /// Where each transaction ends in `bytes`.
    ends: Vec<usize>,
}

/// The transactions of one block in order, encoded once. Clones share the bytes.
///
/// The encoding is a u32 count, followed by the transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Arc<Encoded>);

/// An iterator over the encodings of the transactions in an encoded body, in order, without
/// decoding them: see [`Body::encodings`].
#[derive(Debug, Clone)]
pub struct Encodings<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Encodings<'a> {
    type Item = Result<&'a [u8], DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let split = Transaction::split_encoding(self.rest);
        match split {
            Ok((_, rest)) => self.rest = rest,
            Err(_) => self.left = 0,
        }
        Some(split.map(|(transaction, _)| transaction))
    }
}

/// Used only to decode: a list that is no longer than a block may be.
#[derive(BorshDeserialize)]
struct Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>);

const COUNT_BYTES: usize = 4;

impl Body {
    /// The body with these transactions.
    pub fn of(transactions: &[VerifiedTransaction]) -> Self {
        let ids = transactions.iter().map(VerifiedTransaction::id).collect();
        Body::build(transactions.iter().map(VerifiedTransaction::transaction), ids)
    }

    /// Reads a body from exactly these bytes. The signatures are not checked: the certificate over
    /// the header that commits to these transactions proves that they are valid.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode(bytes: Vec<u8>) -> Result<Self, BodyError> {
        if bytes.len() > MAX_BODY_BYTES as usize + COUNT_BYTES {
            return Err(BodyError::TooLarge(bytes.len().saturating_sub(COUNT_BYTES)));
        }
        let Transactions(transactions) = decode(&bytes)?;
        let mut ids = Vec::with_capacity(transactions.len());
        let mut ends = Vec::with_capacity(transactions.len());
        let mut end = COUNT_BYTES;
        for transaction in &transactions {
            let start = end;
            end += usize::try_from(transaction.encoded_len()).expect("lengths were decoded from memory");
            ids.push(Transaction::id_of(&bytes[start..end]));
            ends.push(end);
        }
        Ok(Body(Arc::new(Encoded { bytes, ids, ends })))
    }

    /// Iterates over an encoded body without decoding its transactions. Use it only for bytes that
    /// were decoded before they were stored: neither the transactions nor trailing bytes are
    /// checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the count is missing or higher than a block allows.
    pub fn encodings(bytes: &[u8]) -> Result<Encodings<'_>, DecodeError> {
        let refused = |reason: &str| DecodeError { what: "Body", reason: reason.to_owned() };
        let (count, rest) =
            bytes.split_first_chunk().ok_or_else(|| refused("the bytes end before the count"))?;
        let left = u32::from_le_bytes(*count);
        if left > MAX_TRANSACTIONS {
            return Err(refused("more transactions than a block may have"));
        }
        Ok(Encodings { rest, left })
    }

    fn build<'a>(transactions: impl Iterator<Item = &'a Transaction>, ids: Vec<TransactionId>) -> Self {
        let count = u32::try_from(ids.len()).expect("a block has at most MAX_TRANSACTIONS");
        let mut bytes = count.to_le_bytes().to_vec();
        let mut ends = Vec::with_capacity(ids.len());
        for transaction in transactions {
            transaction.serialize(&mut bytes).expect("writing to a vector cannot fail");
            ends.push(bytes.len());
        }
        Body(Arc::new(Encoded { bytes, ids, ends }))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The ids in order.
    pub fn ids(&self) -> &[TransactionId] {
        &self.0.ids
    }

    /// Number of transactions.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.ids.len()).expect("a block has at most MAX_TRANSACTIONS")
    }

    /// Bytes of all encoded transactions, without the count.
    pub fn transaction_bytes(&self) -> u32 {
        u32::try_from(self.0.bytes.len() - COUNT_BYTES).expect("a body is smaller than 4 GiB")
    }

    /// Merkle root over the ids.
    pub fn root(&self) -> Hash {
        merkle_root(&self.0.ids)
    }

    /// The transactions, decoded one by one.
    pub fn transactions(&self) -> impl Iterator<Item = Transaction> {
        (0..self.0.ends.len()).filter_map(|index| self.transaction(index))
    }

    /// The transactions with operations, each with its index, in order. Decodes only these.
    pub fn governance(&self) -> impl Iterator<Item = (u32, Transaction)> {
        let encoded = (0..self.0.ends.len()).filter_map(|index| Some((index, self.encoding(index)?)));
        let operations = encoded.filter(|(_, bytes)| Transaction::is_governance_encoding(bytes));
        operations.filter_map(|(index, _)| Some((u32::try_from(index).ok()?, self.transaction(index)?)))
    }

    /// The transaction at `index`.
    pub fn transaction(&self, index: usize) -> Option<Transaction> {
        let bytes = self.encoding(index)?;
        Some(decode(bytes).expect("every transaction of a body was decoded or encoded here"))
    }

    fn encoding(&self, index: usize) -> Option<&[u8]> {
        let end = *self.0.ends.get(index)?;
        let start = index.checked_sub(1).map_or(COUNT_BYTES, |before| self.0.ends[before]);
        self.0.bytes.get(start..end)
    }
}
