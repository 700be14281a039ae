//! A cache of valid signatures of members.

use std::fmt;
use std::sync::Mutex;

use crate::committee::Committee;
use crate::generations::{Generations, lock};
use crate::hash::{ChainId, Hash};
use crate::keys::{PublicKey, SecretKey, Signature};
use crate::signing::{Signable, Signed, Verified, signing_hash};
use crate::units::ReplicaId;

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
/// It only stores what it verifies or signs itself, so no caller can add an invalid signature.
/// Threads may share it: verifications run outside of its lock.
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

    /// Whether a member signed this hash, according to the memo or else to the committee. False if
    /// there is no such member.
    pub fn verifies(
        &self,
        committee: &Committee,
        replica: ReplicaId,
        hash: &Hash,
        signature: &Signature,
    ) -> bool {
        let Some(member) = committee.member(replica) else { return false };
        self.knows_or((*hash, *member, *signature), || committee.verifies(replica, hash, signature))
    }

    /// Whether the memo has this signature, or `verify` accepts it, which adds it.
    fn knows_or(&self, entry: Good, verify: impl FnOnce() -> bool) -> bool {
        if lock(&self.good).get(&entry).is_some() {
            return true;
        }
        let holds = verify();
        if holds {
            lock(&self.good).insert(entry, ());
        }
        holds
    }

    /// Signs a statement as [`Signed::sign`] does, and adds the signature. A node's own signatures
    /// return in certificates.
    pub fn sign<T: Signable>(
        &self,
        chain: &ChainId,
        key: &SecretKey,
        signer: ReplicaId,
        body: T,
    ) -> Verified<Signed<T>> {
        let hash = signing_hash(chain, &body);
        let signature = key.sign(&hash);
        lock(&self.good).insert((hash, key.public(), signature), ());
        Verified::checked(Signed { body, signer, signature })
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
