//! From a claim to a checked statement: bytes, then [`Signed`], then [`Verified`].

use std::ops::Deref;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::encode;
use crate::committee::Committee;
use crate::hash::{ChainId, Domain, Hash, tagged_hash};
use crate::keys::{SecretKey, Signature};
use crate::units::ReplicaId;

/// Something a key may sign, with the domain its signatures belong to.
pub trait Signable: BorshSerialize {
    /// Keeps a signature for one kind of message from counting as another.
    const DOMAIN: Domain;
}

/// What is signed: protocol, version, kind and chain come before the body.
pub fn signing_hash<T: Signable>(chain: &ChainId, body: &T) -> Hash {
    tagged_hash(T::DOMAIN, &[chain.as_bytes(), &encode(body)])
}

/// Why a claim of a member was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// The committee has no such member.
    #[error("the committee has no member {0}")]
    UnknownSigner(ReplicaId),
    /// The signature is not this member's over this body on this chain.
    #[error("the signature of member {0} does not verify")]
    BadSignature(ReplicaId),
}

/// A claim: a body, who is said to have signed it, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signed<T> {
    /// What is claimed.
    pub body: T,
    /// Who is said to claim it.
    pub signer: ReplicaId,
    /// To be checked by [`Signed::verify`].
    pub signature: Signature,
}

impl<T: Signable> Signed<T> {
    /// Signs a body as member `signer`. The result is verified: the key is our own.
    pub fn sign(chain: &ChainId, key: &SecretKey, signer: ReplicaId, body: T) -> Verified<Self> {
        let signature = key.sign(&signing_hash(chain, &body));
        Verified(Signed { body, signer, signature })
    }

    /// Checks the signature against the member's key, by [`Committee::verifies`].
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn verify(self, chain: &ChainId, committee: &Committee) -> Result<Verified<Self>, SignedError> {
        if committee.member(self.signer).is_none() {
            return Err(SignedError::UnknownSigner(self.signer));
        }
        if !committee.verifies(self.signer, &signing_hash(chain, &self.body), &self.signature) {
            return Err(SignedError::BadSignature(self.signer));
        }
        Ok(Verified(self))
    }
}

/// A claim that was checked. Code that must not act on unchecked claims asks for this type.
///
/// Made by the `verify` of the claim's own type, by signing, or from one's own storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Wraps what a check in this crate has accepted.
    pub(crate) fn checked(value: T) -> Self {
        Verified(value)
    }

    /// Takes back what this node itself had verified before it stored it.
    ///
    /// Only for values read from the node's own journal or ledger, whose files carry checksums. Everything
    /// that crossed a network goes through the `verify` of its type.
    pub fn from_own_storage(value: T) -> Self {
        Verified(value)
    }

    /// The claim, no longer marked as checked.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
