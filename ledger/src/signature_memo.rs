//! A cache of valid signatures of members.

use std::fmt;
use std::sync::Mutex;

use crate::generations::{Generations, lock};
use crate::hash::Hash;
use crate::keys::{PublicKey, Signature};

/// All inputs of a verification. Two entries are equal only if all their bytes are.
type Good = (Hash, PublicKey, Signature);

/// Caches valid signatures. A vote that arrives again inside a certificate, a VIEW-CHANGE or a
/// NEW-VIEW is then not verified again.
///
/// An entry is the hash that was signed, the key and the signature, 129 bytes plus the map's
/// overhead. The lookup compares all of them, so an entry never applies to other bytes. Invalid
/// signatures are not stored, so they cannot displace valid ones. Dropping an entry costs a second
/// verification.
///
/// Attach it with [`Committee::with_memo`](crate::Committee::with_memo), and to the node's own key
/// with [`SecretKey::with_memo`](crate::SecretKey::with_memo). Threads may share it: verifications
/// run outside of its lock.
pub struct SignatureMemo {
    capacity: usize,
    good: Mutex<Generations<Good, ()>>,
}

impl SignatureMemo {
    /// A memo that holds at most `capacity` signatures (at least two), and always the last half of
    /// that number.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2);
        SignatureMemo { capacity, good: Mutex::new(Generations::new(capacity / 2)) }
    }

    /// Whether this key made this signature of this hash, according to the memo or else to
    /// `verify`.
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

    /// Adds a signature that was just made with the secret half of this key. %* Good %%
    /// VerifiedSignature
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
