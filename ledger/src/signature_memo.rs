//! Which signatures of members were found good.

use std::fmt;
use std::sync::Mutex;

use crate::generations::{Generations, lock};
use crate::hash::Hash;
use crate::keys::{PublicKey, Signature};

/// Everything a verification looks at. Two of these are equal only if all their bytes are.
type Good = (Hash, PublicKey, Signature);

/// Remembers good signatures, so that a vote which comes again inside a certificate, a VIEW-CHANGE or a
/// NEW-VIEW is not verified again.
///
/// An entry is the hash that was signed, the key and the signature, 129 bytes and the map's overhead; it is
/// found again by all of them, so it can never stand for other bytes. Bad signatures leave no trace: a
/// stranger who sends them fills nothing. Forgetting costs a second verification.
///
/// Attach it with [`Committee::with_memo`](crate::Committee::with_memo), and to the node's own key with
/// [`SecretKey::with_memo`](crate::SecretKey::with_memo). It may be shared by threads: a verification runs
/// outside of its lock.
pub struct SignatureMemo {
    capacity: usize,
    good: Mutex<Generations<Good, ()>>,
}

impl SignatureMemo {
    /// A memo that never holds more than `capacity` signatures, at least two, and always the last half of
    /// that number.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2);
        SignatureMemo { capacity, good: Mutex::new(Generations::new(capacity / 2)) }
    }

    /// Whether this key is known to have made this signature of this hash, or is now found to by `verify`.
    pub(crate) fn verifies(
        &self,
        hash: &Hash,
        key: &PublicKey,
        signature: &Signature,
        verify: impl FnOnce() -> bool,
    ) -> bool {
        let entry = (*hash, *key, *signature);
        if lock(&self.good).get(&entry).is_some() {
            return true;
        }
        let holds = verify();
        if holds {
            lock(&self.good).insert(entry, ());
        }
        holds
    }

    /// Remembers a signature that was just made with the secret half of this key.
    pub(crate) fn made(&self, hash: &Hash, key: &PublicKey, signature: &Signature) {
        lock(&self.good).insert((*hash, *key, *signature), ());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.good).len()
    }
}

impl fmt::Debug for SignatureMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureMemo").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "signature_memo_tests.rs"]
mod tests;
