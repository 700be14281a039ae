//! Signed statements: from bytes to [`Signed`] (unverified) to [`Verified`].

use std::ops::Deref;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::encode;
use crate::committee::Committee;
use crate::hash::{ChainId, Domain, Hash, tagged_hash};
use crate::keys::{SecretKey, Signature};
use crate::mutant::{Mutant, is};
use crate::units::ReplicaId;

/// A statement that a key may sign, with the domain of its signatures.
pub trait Signable: BorshSerialize {
    /// Separates the signatures of different kinds of messages.
    const DOMAIN: Domain;
}

/// The hash that is signed: over protocol, version, kind, chain and body.
pub fn signing_hash<T: Signable>(chain: &ChainId, body: &T) -> Hash {
    tagged_hash(T::DOMAIN, &[chain.as_bytes(), &encode(body)])
}

/// Verifies signatures of a committee's members.
///
/// A [`Committee`] verifies every signature. A node that receives the same signature several times
/// passes a verifier with a [`SignatureMemo`](crate::SignatureMemo) instead.
pub trait VerifySignatures {
    /// The committee whose members sign.
    fn committee(&self) -> &Committee;

    /// Whether a member signed this hash; false if there is no such member.
    fn verifies(&self, replica: ReplicaId, hash: &Hash, signature: &Signature) -> bool;
}

impl VerifySignatures for Committee {
    fn committee(&self) -> &Committee {
        self
    }

    fn verifies(&self, replica: ReplicaId, hash: &Hash, signature: &Signature) -> bool {
        Committee::verifies(self, replica, hash, signature)
    }
}

/// Why a member's signed statement is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// The committee has no such member.
    #[error("the committee has no member {0}")]
    UnknownSigner(ReplicaId),
    /// The signature is not this member's over this body on this chain.
    #[error("the signature of member {0} does not verify")]
    BadSignature(ReplicaId),
}

/// An unverified signed statement: a body, the claimed signer, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signed<T> {
    /// The statement.
    pub body: T,
    /// The claimed signer.
    pub signer: ReplicaId,
    /// To be checked by [`Signed::verify`].
    pub signature: Signature,
}

impl<T: Signable> Signed<T> {
    /// Signs a body as member `signer`. The result counts as verified, because the key is the
    /// caller's own.
    pub fn sign(chain: &ChainId, key: &SecretKey, signer: ReplicaId, body: T) -> Verified<Self> {
        let signature = key.sign(&signing_hash(chain, &body));
        Verified(Signed { body, signer, signature })
    }

    /// Checks the signature against the member's key.
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn verify(
        self,
        chain: &ChainId,
        verifier: &impl VerifySignatures,
    ) -> Result<Verified<Self>, SignedError> {
        if verifier.committee().member(self.signer).is_none() {
            return Err(SignedError::UnknownSigner(self.signer));
        }
        if !verifier.verifies(self.signer, &signing_hash(chain, &self.body), &self.signature) {
            return Err(SignedError::BadSignature(self.signer));
        }
        Ok(Verified(self))
    }
}

/// A type whose values another crate verifies.
///
/// The module of the type keeps the only field of its `Seal` private. So no other module can make a
/// seal, and each use of [`Verified::sealed`] is beside the check of the type.
pub trait Verifiable {
    /// What only the module of this type can make.
    type Seal;
}

/// A verified value. Code that must not act on unverified values requires this type.
///
/// Only the module of a type makes it from values that arrived: in this crate by the `verify` of
/// the type or by signing, in other crates as [`Verifiable`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Wraps a value that a check in this crate has accepted.
    pub(crate) fn checked(value: T) -> Self {
        Verified(value)
    }

    /// Verifies a value, unless a deliberate fault skips that. Without the feature `mutants`, it
    /// always verifies.
    ///
    /// # Errors
    /// Those of `verify`.
    pub fn unless<E>(fault: Mutant, value: T, verify: impl FnOnce(T) -> Result<Self, E>) -> Result<Self, E> {
        if is(fault) { Ok(Verified(value)) } else { verify(value) }
    }

    /// Restores a value that this node itself verified before it stored it.
    ///
    /// Use it only for values read from the node's own journal or ledger, whose files carry
    /// checksums. Every value that crossed a network must pass the `verify` of its type.
    pub fn from_own_storage(value: T) -> Self {
        Verified(value)
    }

    /// The value, no longer marked as verified.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: Verifiable> Verified<T> {
    /// Wraps a value that the module of its type has checked, or made of verified values.
    pub fn sealed(value: T, _seal: T::Seal) -> Self {
        Verified(value)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
