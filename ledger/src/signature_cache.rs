//! A cache of verified transactions.

use std::sync::Mutex;

use crate::generations::{Generations, lock};
use crate::hash::{ChainId, TransactionId};
use crate::keys::{PublicKey, SecretKey, VerifyingKey};
use crate::transaction::{Payload, Transaction, TransactionError, VerifiedTransaction};
use crate::units::Timestamp;

/// Senders whose parsed keys are kept in one generation, about 150 bytes each.
const KEYS: usize = 4096;

/// Caches which transactions were verified, so that a node checks each signature once, however
/// often the same bytes arrive. It also caches the parsed keys of recent senders, which saves a
/// tenth of a verification.
///
/// It holds at most twice `capacity` ids (32 bytes each, plus the map's overhead). Dropping an id
/// costs a second verification. The id covers the signature, so a cached result never applies to
/// other bytes.
#[derive(Debug)]
pub struct SignatureCache {
    chain: ChainId,
    verified: Mutex<Generations<TransactionId, ()>>,
    keys: Mutex<Generations<PublicKey, VerifyingKey>>,
}

impl SignatureCache {
    /// A cache for one chain, with `capacity` ids per generation, at least one.
    pub fn new(chain: ChainId, capacity: usize) -> Self {
        SignatureCache {
            chain,
            verified: Mutex::new(Generations::new(capacity)),
            keys: Mutex::new(Generations::new(KEYS)),
        }
    }

    /// Signs a transaction as [`Transaction::sign`] does, and adds it to the cache.
    pub fn sign(&self, key: &SecretKey, nonce: u64, valid_until: Timestamp, payload: Payload) -> Transaction {
        let transaction = Transaction::sign(&self.chain, key, nonce, valid_until, payload);
        lock(&self.verified).insert(transaction.id(), ());
        transaction
    }

    /// Verifies a transaction, unless it is in the cache. Form and limits are checked by
    /// [`Transaction::check_form`], not here.
    ///
    /// # Errors
    /// As [`Transaction::verify`].
    pub fn verify(&self, transaction: Transaction) -> Result<VerifiedTransaction, TransactionError> {
        let id = transaction.id();
        if !self.remembers(&id) {
            let key = self.key(&transaction.sender)?;
            transaction.check_signature_with(&self.chain, &key)?;
            lock(&self.verified).insert(id, ());
        }
        Ok(VerifiedTransaction::new(transaction, id))
    }

    /// Whether this transaction is in the cache.
    pub fn remembers(&self, id: &TransactionId) -> bool {
        lock(&self.verified).get(id).is_some()
    }

    fn key(&self, sender: &PublicKey) -> Result<VerifyingKey, TransactionError> {
        if let Some(key) = lock(&self.keys).get(sender) {
            return Ok(key.clone());
        }
        let key = sender.parse().map_err(|_| TransactionError::BadSignature { chain: self.chain })?;
        lock(&self.keys).insert(*sender, key.clone());
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Payload, SecretKey, Timestamp};

    const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

    fn signed(nonce: u64) -> Transaction {
        let key = SecretKey::from_bytes(&[5; 32]).unwrap();
        Transaction::sign(&CHAIN, &key, nonce, Timestamp(1000), Payload::Data(b"data".to_vec()))
    }

    #[test]
    fn the_cache_stays_within_two_generations() {
        let cache = SignatureCache::new(CHAIN, 2);
        for nonce in 0..6 {
            cache.verify(signed(nonce)).unwrap();
        }
        assert!(cache.remembers(&signed(5).id()));
        assert!(!cache.remembers(&signed(0).id()));
        assert!(lock(&cache.verified).len() <= 4);
    }

    #[test]
    fn a_refused_transaction_is_not_cached() {
        let cache = SignatureCache::new(ChainId::from_bytes([2; 32]), 8);
        assert!(cache.verify(signed(1)).is_err());
        assert!(!cache.remembers(&signed(1).id()));
    }

    #[test]
    fn a_cached_key_does_not_make_a_bad_signature_valid() {
        let cache = SignatureCache::new(CHAIN, 8);
        cache.verify(signed(1)).unwrap();
        let mut changed = signed(2);
        changed.nonce = 3;
        assert_eq!(cache.verify(changed).unwrap_err(), TransactionError::BadSignature { chain: CHAIN });
    }
}
