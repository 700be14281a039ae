use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, CertificateError, ChainId, Committee, Header, ReplicaId, Signature, SignatureSet, Signed,
    SignedError, Verifiable, Verified, VerifySignatures, View,
};

use crate::messages::proposal::{CheckedProposal, PrePrepare, Prepare};

/// Proof that no other block can be prepared at this height in this view (R8). It has the
/// PRE-PREPARE of the primary and the PREPAREs of exactly q - 1 backups.
///
/// It contains the header and no transactions, so that VIEW-CHANGEs stay small.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PreparedCertificate {
    header: Header,
    view: View,
    pre_prepare: Signature,
    prepares: SignatureSet,
}

/// Only this module can make it, so only this module seals prepared certificates.
#[derive(Debug)]
pub struct PreparedSeal(());

impl Verifiable for PreparedCertificate {
    type Seal = PreparedSeal;
}

/// Why a claimed prepared certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreparedError {
    /// The PRE-PREPARE is not signed by the primary.
    #[error("its PRE-PREPARE: {0}")]
    PrePrepare(#[from] SignedError),
    /// It contains a PREPARE of the primary, which would count twice (R9).
    #[error("the primary is among the signers of PREPARE")]
    PrimaryPrepared,
    /// The PREPAREs are not valid signatures of as many members as needed.
    #[error("its PREPAREs: {0}")]
    Prepares(#[from] CertificateError),
}

/// PREPAREs in a prepared certificate: a quorum less the primary, whose PRE-PREPARE counts as its
/// PREPARE (R8, R9).
pub(crate) fn prepares_needed(committee: &Committee) -> usize {
    committee.quorum() - 1 - usize::from(is(Mutant::PreparedOneShort) && committee.quorum() > 1)
}

impl PreparedCertificate {
    /// Joins an accepted proposal and the verified PREPAREs of exactly `count` backups for it; `None`
    /// if fewer of these votes are for its block (R8). The votes are of its view and height.
    pub(crate) fn assemble<'a>(
        proposal: &CheckedProposal,
        votes: impl ExactSizeIterator<Item = &'a Verified<Signed<Prepare>>>,
        count: usize,
    ) -> Option<Verified<Self>> {
        if votes.len() < count {
            return None; // called after every step, and mostly with too few votes
        }
        let block = proposal.ballot().block;
        let votes: BTreeMap<ReplicaId, Signature> = votes
            .filter(|vote| vote.body.0.block == block || is(Mutant::VotesForAnyBlock))
            .map(|vote| (vote.signer, vote.signature))
            .collect();
        let prepares = SignatureSet::first(count, &votes)?;
        let certificate = PreparedCertificate {
            header: proposal.skeleton().header().clone(),
            view: proposal.ballot().view,
            pre_prepare: proposal.vote().signature,
            prepares,
        };
        Some(Verified::sealed(certificate, PreparedSeal(())))
    }

    /// Verifies a claimed certificate: q signatures.
    ///
    /// # Errors
    /// [`PreparedError`].
    pub fn verify(
        self,
        chain: &ChainId,
        verifier: &impl VerifySignatures,
    ) -> Result<Verified<Self>, PreparedError> {
        self.check(chain, verifier)?;
        Ok(Verified::sealed(self, PreparedSeal(())))
    }

    /// Like [`PreparedCertificate::verify`], on a borrowed certificate.
    ///
    /// # Errors
    /// [`PreparedError`].
    pub fn check(&self, chain: &ChainId, verifier: &impl VerifySignatures) -> Result<(), PreparedError> {
        let committee = verifier.committee();
        self.check_form(committee)?;
        let ballot = self.ballot();
        let primary = committee.primary(ballot.view);
        Signed { body: PrePrepare(ballot), signer: primary, signature: self.pre_prepare }
            .verify(chain, verifier)?;
        self.prepares.check(chain, verifier, &Prepare(ballot), self.needed(committee))?;
        Ok(())
    }

    /// The number of PREPAREs that this certificate must have.
    fn needed(&self, committee: &Committee) -> usize {
        let claimed = self.prepares.signers().count();
        let weak = is(Mutant::WeakPrepared) && claimed >= committee.faults();
        if weak { claimed } else { prepares_needed(committee) }
    }

    /// Checks what needs no signature: exactly q - 1 signers of PREPARE, without the primary.
    ///
    /// # Errors
    /// [`PreparedError`]. No signature was verified.
    pub fn check_form(&self, committee: &Committee) -> Result<(), PreparedError> {
        let primary = committee.primary(self.view);
        if self.prepares.signers().contains(primary) && !is(Mutant::PrimaryAmongPrepares) {
            return Err(PreparedError::PrimaryPrepared);
        }
        Ok(self.prepares.check_form(committee, self.needed(committee))?)
    }

    /// What is prepared.
    pub fn ballot(&self) -> Ballot {
        Ballot {
            epoch: self.header.epoch,
            view: self.view,
            height: self.header.height,
            block: self.header.hash(),
        }
    }

    /// The number of signatures in it, verified or not.
    pub(crate) fn signature_count(&self) -> usize {
        1 + self.prepares.signatures().len()
    }

    /// The prepared header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The view it was prepared in.
    pub fn view(&self) -> View {
        self.view
    }
}
