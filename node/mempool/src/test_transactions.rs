//! Transactions for tests. Their signatures are not valid: the pool relies on the type and does not
//! verify them.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use quorate_ledger::{
    ChainId, Payload, PublicKey, SecretKey, Signature, Timestamp, Transaction, TransactionLimits,
    VerifiedTransaction,
};

use crate::{Group, MempoolLimits, Selection, Share};

/// Bytes of a transaction without payload.
pub(crate) const EMPTY_BYTES: u32 = 118;

/// Limits that no test reaches.
pub(crate) const WIDE: MempoolLimits = MempoolLimits {
    max_transactions: 100_000,
    max_bytes: 1 << 40,
    max_transactions_per_sender: 100_000,
    max_bytes_per_sender: 1 << 40,
};

/// A selection with only these limits.
pub(crate) fn up_to(max_transactions: u32, max_body_bytes: u32) -> Selection {
    Selection {
        max_transactions,
        max_body_bytes,
        transaction: TransactionLimits { max_bytes: u32::MAX, max_lifetime_ms: 120_000 },
    }
}

/// The share of one of this many groups.
pub(crate) fn group(number: u8, groups: u64) -> Share {
    Share::Group { group: Group([number; Group::BYTES]), groups }
}

/// A sender with this number. Any number works, because the key is never parsed.
pub(crate) fn sender(number: u32) -> PublicKey {
    let mut bytes = [2; 33];
    bytes[29..].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(bytes).unwrap()
}

/// A transaction of a sender, by its nonce, of a total size, valid until a time.
pub(crate) fn transaction(from: u32, nonce: u64, bytes: u32, valid_until: u64) -> VerifiedTransaction {
    static SIGNATURE: OnceLock<Signature> = OnceLock::new();
    let signature = *SIGNATURE.get_or_init(|| {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let chain = ChainId::from_bytes([7; 32]);
        Transaction::sign(&chain, &key, 0, Timestamp(0), Payload::Data(Vec::new())).signature
    });
    let payload = vec![0; (bytes - EMPTY_BYTES) as usize];
    let checked = VerifiedTransaction::from_own_storage(Transaction {
        sender: sender(from),
        nonce,
        valid_until: Timestamp(valid_until),
        payload: Payload::Data(payload),
        signature,
    });
    assert_eq!(checked.bytes(), bytes);
    checked
}
