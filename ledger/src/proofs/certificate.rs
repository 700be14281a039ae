//! Certificates: signatures of a quorum over one statement.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::bounded;
use crate::committee::Committee;
use crate::hash::{BlockHash, ChainId, Domain};
use crate::keys::Signature;
use crate::limits::MAX_SIGNATURES;
use crate::signing::{Signable, Signed, Verified, VerifySignatures, signing_hash};
use crate::units::{Epoch, Height, ReplicaId, View};

/// The content of PRE-PREPARE, PREPARE and COMMIT: one block at one height in one view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Ballot {
    /// Committee that votes.
    pub epoch: Epoch,
    /// View in which the vote counts.
    pub view: View,
    /// Position of the block.
    pub height: Height,
    /// The block.
    pub block: BlockHash,
}

/// A COMMIT: its signer has a prepared certificate for this block. A quorum of COMMITs finalises
/// the block and its ancestors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit(pub Ballot);

impl Signable for Commit {
    const DOMAIN: Domain = Domain::Commit;
}

/// Why a certificate is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A bit is set for a member that the committee does not have.
    #[error("the certificate names a signer, but the committee has no member with this index")]
    UnknownSigner,
    /// The votes are for another epoch than that of the committee.
    #[error("the certificate is of epoch {got}, but the committee orders epoch {wanted}")]
    Epoch {
        /// Epoch of the committee.
        wanted: Epoch,
        /// Epoch of the ballot.
        got: Epoch,
    },
    /// More or fewer signers than the rule requires. Exactly a quorum is accepted.
    #[error("the certificate has {got} signers, but exactly {wanted} are required")]
    Count {
        /// Required number of signers.
        wanted: usize,
        /// Actual number of signers.
        got: usize,
    },
    /// The number of signatures differs from the number of signers.
    #[error("the certificate has {signatures} signatures for {signers} signers")]
    Mismatch {
        /// Signers named.
        signers: usize,
        /// Signatures given.
        signatures: usize,
    },
    /// A signature that the named member did not make.
    #[error("the signature of member {0} does not verify")]
    BadSignature(ReplicaId),
}

/// A set of members as a bit mask: bit i is member i.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signers(u32);

impl Signers {
    /// The set with these members.
    ///
    /// # Panics
    /// For an index above 31, which no committee has.
    pub fn of(replicas: impl IntoIterator<Item = ReplicaId>) -> Self {
        Signers(replicas.into_iter().fold(0, |mask, replica| mask | 1 << replica.0))
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = ReplicaId> {
        (0..32).filter(move |bit| self.0 >> bit & 1 == 1).map(ReplicaId)
    }

    /// Number of members.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether a member is in the set.
    pub fn contains(self, replica: ReplicaId) -> bool {
        replica.0 < 32 && self.0 >> replica.0 & 1 == 1
    }
}

/// Signatures of several members over the same statement, in ascending order of members.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignatureSet {
    signers: Signers,
    #[borsh(deserialize_with = "bounded::<MAX_SIGNATURES, _, _>")]
    signatures: Vec<Signature>,
}

impl SignatureSet {
    /// The first `count` members' signatures; `None` if there are fewer.
    pub fn first(count: usize, votes: &BTreeMap<ReplicaId, Signature>) -> Option<Self> {
        if votes.len() < count {
            return None;
        }
        let chosen = || votes.iter().take(count);
        Some(SignatureSet {
            signers: Signers::of(chosen().map(|(replica, _)| *replica)),
            signatures: chosen().map(|(_, signature)| *signature).collect(),
        })
    }

    /// An unverified set of signatures.
    pub fn claimed(signers: Signers, signatures: Vec<Signature>) -> Self {
        SignatureSet { signers, signatures }
    }

    /// The members that signed.
    pub fn signers(&self) -> Signers {
        self.signers
    }

    /// The signatures, ascending by signer.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks everything except the signatures: exactly `count` signers, all of them members, and
    /// one signature of each.
    ///
    /// # Errors
    /// [`CertificateError`], never [`CertificateError::BadSignature`].
    pub fn check_form(&self, committee: &Committee, count: usize) -> Result<(), CertificateError> {
        if self.signers.count() != count {
            return Err(CertificateError::Count { wanted: count, got: self.signers.count() });
        }
        if self.signatures.len() != count {
            return Err(CertificateError::Mismatch { signers: count, signatures: self.signatures.len() });
        }
        if self.signers.iter().any(|replica| committee.member(replica).is_none()) {
            return Err(CertificateError::UnknownSigner);
        }
        Ok(())
    }

    /// Checks that exactly `count` members signed `body`, and that every signature is valid.
    ///
    /// All signatures are checked, so that a certificate cannot carry an invalid one.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn check<T: Signable>(
        &self,
        chain: &ChainId,
        verifier: &impl VerifySignatures,
        body: &T,
        count: usize,
    ) -> Result<(), CertificateError> {
        self.check_form(verifier.committee(), count)?;
        let hash = signing_hash(chain, body);
        for (replica, signature) in self.signers.iter().zip(&self.signatures) {
            if !verifier.verifies(replica, &hash, signature) {
                return Err(CertificateError::BadSignature(replica));
            }
        }
        Ok(())
    }
}

/// Exactly a quorum of COMMITs for one block in one view: proof that the block and all its
/// ancestors are final.
///
/// Nodes receive votes of different signers first, so different nodes may hold different
/// certificates for the same block. All of them are equally valid.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommitCertificate {
    ballot: Ballot,
    votes: SignatureSet,
}

impl CommitCertificate {
    /// An unverified certificate.
    pub fn claimed(ballot: Ballot, votes: SignatureSet) -> Self {
        CommitCertificate { ballot, votes }
    }

    /// Makes a certificate of verified COMMITs for the same ballot; `None` with fewer than a quorum
    /// of distinct signers. Votes for another ballot do not count.
    pub fn assemble<'a>(
        committee: &Committee,
        ballot: Ballot,
        commits: impl IntoIterator<Item = &'a Verified<Signed<Commit>>>,
    ) -> Option<Verified<Self>> {
        let votes: BTreeMap<ReplicaId, Signature> = commits
            .into_iter()
            .filter(|commit| commit.body.0 == ballot)
            .map(|commit| (commit.signer, commit.signature))
            .collect();
        let votes = SignatureSet::first(committee.quorum(), &votes)?;
        Some(Verified::checked(CommitCertificate { ballot, votes }))
    }

    /// Verifies a claimed certificate. Costs a quorum of signature verifications, less those that
    /// the verifier remembers.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(
        self,
        chain: &ChainId,
        verifier: &impl VerifySignatures,
    ) -> Result<Verified<Self>, CertificateError> {
        self.check(chain, verifier)?;
        Ok(Verified::checked(self))
    }

    /// Like [`CommitCertificate::verify`], but does not consume the certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn check(&self, chain: &ChainId, verifier: &impl VerifySignatures) -> Result<(), CertificateError> {
        let committee = verifier.committee();
        self.check_epoch(committee)?;
        self.votes.check(chain, verifier, &Commit(self.ballot), committee.quorum())
    }

    /// Checks everything except the signatures: the epoch, and exactly a quorum of members as
    /// signers.
    ///
    /// # Errors
    /// [`CertificateError`], never [`CertificateError::BadSignature`].
    pub fn check_form(&self, committee: &Committee) -> Result<(), CertificateError> {
        self.check_epoch(committee)?;
        self.votes.check_form(committee, committee.quorum())
    }

    /// A key may be in the committees of several epochs, but each of its votes counts in one.
    fn check_epoch(&self, committee: &Committee) -> Result<(), CertificateError> {
        let (wanted, got) = (committee.epoch(), self.ballot.epoch);
        if got == wanted { Ok(()) } else { Err(CertificateError::Epoch { wanted, got }) }
    }

    /// The COMMIT of one signer, as that member signed it. It is valid if the certificate is.
    pub fn commit_of(&self, signer: ReplicaId) -> Option<Signed<Commit>> {
        let mut votes = self.votes.signers.iter().zip(&self.votes.signatures);
        let (_, signature) = votes.find(|(member, _)| *member == signer)?;
        Some(Signed { body: Commit(self.ballot), signer, signature: *signature })
    }

    /// The ballot that the signers signed.
    pub fn ballot(&self) -> &Ballot {
        &self.ballot
    }

    /// Their signatures.
    pub fn votes(&self) -> &SignatureSet {
        &self.votes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::SecretKey;

    const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

    fn committee(n: u8) -> (Committee, Vec<SecretKey>) {
        let mut keys: Vec<SecretKey> =
            (1..=n).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::public);
        (Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap(), keys)
    }

    fn ballot() -> Ballot {
        Ballot { epoch: Epoch(0), view: View(3), height: Height(9), block: BlockHash::from_bytes([4; 32]) }
    }

    fn commits(keys: &[SecretKey]) -> Vec<Verified<Signed<Commit>>> {
        (0..).zip(keys).map(|(i, key)| Signed::sign(&CHAIN, key, ReplicaId(i), Commit(ballot()))).collect()
    }

    #[test]
    fn exactly_a_quorum_is_a_certificate_for_every_size() {
        for n in 1..=7 {
            let (committee, keys) = committee(n);
            let commits = commits(&keys);
            let quorum = committee.quorum();
            assert!(CommitCertificate::assemble(&committee, ballot(), &commits[..quorum - 1]).is_none());
            let certificate =
                CommitCertificate::assemble(&committee, ballot(), &commits).unwrap().into_inner();
            assert_eq!(certificate.votes().signers().count(), quorum);
            assert!(certificate.clone().verify(&CHAIN, &committee).is_ok());
            assert!(certificate.verify(&ChainId::from_bytes([2; 32]), &committee).is_err());
        }
    }

    #[test]
    fn one_signer_does_not_count_twice() {
        let (committee, keys) = committee(4);
        let mut repeated = commits(&keys[..2]);
        repeated.push(repeated[0].clone());
        assert!(CommitCertificate::assemble(&committee, ballot(), &repeated).is_none());
    }

    #[test]
    fn too_many_too_few_unknown_and_wrong_signers_are_refused() {
        let (committee, keys) = committee(4);
        let hash = signing_hash(&CHAIN, &Commit(ballot()));
        let signature = |i: usize| keys[i].sign(&hash);
        let claim = |signers: &[u16], signatures: Vec<Signature>| {
            let signers = Signers::of(signers.iter().copied().map(ReplicaId));
            CommitCertificate::claimed(ballot(), SignatureSet::claimed(signers, signatures))
                .verify(&CHAIN, &committee)
                .map(|_| ())
                .unwrap_err()
        };
        let all = || (0..4).map(signature).collect::<Vec<_>>();
        assert_eq!(claim(&[0, 1, 2, 3], all()), CertificateError::Count { wanted: 3, got: 4 });
        assert_eq!(claim(&[0, 1], all()[..2].to_vec()), CertificateError::Count { wanted: 3, got: 2 });
        assert_eq!(claim(&[0, 1, 2], all()), CertificateError::Mismatch { signers: 3, signatures: 4 });
        assert_eq!(claim(&[0, 1, 9], all()[..3].to_vec()), CertificateError::UnknownSigner);
        // The form is checked before any signature.
        assert_eq!(claim(&[0, 1, 9], vec![signature(2); 3]), CertificateError::UnknownSigner);
        assert_eq!(
            claim(&[0, 1, 2], vec![signature(0), signature(0), signature(2)]),
            CertificateError::BadSignature(ReplicaId(1))
        );
    }

    /// A PREPARE and a COMMIT sign the same ballot; a PREPARE must not count as a COMMIT.
    #[test]
    fn another_kind_of_vote_is_not_a_commit() {
        #[derive(BorshSerialize)]
        struct Prepare(Ballot);
        impl Signable for Prepare {
            const DOMAIN: Domain = Domain::Prepare;
        }
        let (committee, keys) = committee(1);
        let prepare = Signed::sign(&CHAIN, &keys[0], ReplicaId(0), Prepare(ballot()));
        let claim = Signed { body: Commit(ballot()), signer: ReplicaId(0), signature: prepare.signature };
        assert!(claim.verify(&CHAIN, &committee).is_err());
    }
}
