use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, CertificateError, ChainId, Committee, Header, Signature, SignatureSet, Signed, SignedError,
    Verified, View,
};

use crate::messages::{CheckedProposal, PrePrepare, Prepare};

/// Proof that no other block can be prepared at this height in this view (R8): the primary's PRE-PREPARE and
/// the PREPAREs of a quorum less one of backups.
///
/// It carries the header but no transactions, so that view changes stay small.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PreparedCertificate {
    header: Header,
    view: View,
    pre_prepare: Signature,
    prepares: SignatureSet,
}

/// Why a claimed prepared certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreparedError {
    /// The PRE-PREPARE is not the primary's.
    #[error("pre-prepare: {0}")]
    PrePrepare(#[from] SignedError),
    /// The primary's PREPARE would count it twice.
    #[error("the primary is among the signers of PREPARE")]
    PrimaryPrepared,
    /// The PREPAREs do not hold.
    #[error("prepares: {0}")]
    Prepares(#[from] CertificateError),
}

/// PREPAREs in a prepared certificate: a quorum less the primary, whose PRE-PREPARE counts (R8, R9).
pub(crate) fn prepares_needed(committee: &Committee) -> usize {
    committee.quorum() - 1 - usize::from(is(Mutant::PreparedOneShort) && committee.quorum() > 1)
}

impl PreparedCertificate {
    /// Makes a certificate of a proposal and the votes of backups for it.
    pub(crate) fn assemble(proposal: &CheckedProposal, prepares: SignatureSet) -> Verified<Self> {
        Verified::from_own_storage(PreparedCertificate {
            header: proposal.outline().header().clone(),
            view: proposal.ballot().view,
            pre_prepare: proposal.vote().signature,
            prepares,
        })
    }

    /// Checks a claimed certificate: a quorum of verifications.
    ///
    /// # Errors
    /// [`PreparedError`].
    pub fn verify(self, chain: &ChainId, committee: &Committee) -> Result<Verified<Self>, PreparedError> {
        self.check(chain, committee)?;
        Ok(Verified::from_own_storage(self))
    }

    /// As [`PreparedCertificate::verify`], without taking it.
    ///
    /// # Errors
    /// [`PreparedError`].
    pub fn check(&self, chain: &ChainId, committee: &Committee) -> Result<(), PreparedError> {
        self.check_form(committee)?;
        let ballot = self.ballot();
        let primary = committee.primary(ballot.epoch, ballot.view);
        Signed { body: PrePrepare(ballot), signer: primary, signature: self.pre_prepare }
            .verify(chain, committee)?;
        self.prepares.check(chain, committee, &Prepare(ballot), self.needed(committee))?;
        Ok(())
    }

    /// PREPAREs that this certificate must have.
    fn needed(&self, committee: &Committee) -> usize {
        let claimed = self.prepares.signers().count();
        let weak = is(Mutant::WeakPrepared) && claimed >= committee.faults();
        if weak { claimed } else { prepares_needed(committee) }
    }

    /// Checks what costs no verification: the signers of PREPARE are a quorum less one of backups.
    ///
    /// # Errors
    /// [`PreparedError`]; no signature was looked at.
    pub fn check_form(&self, committee: &Committee) -> Result<(), PreparedError> {
        let primary = committee.primary(self.header.epoch, self.view);
        if self.prepares.signers().contains(primary) && !is(Mutant::PrimaryAmongPrepares) {
            return Err(PreparedError::PrimaryPrepared);
        }
        Ok(self.prepares.check_form(committee, self.needed(committee))?)
    }

    /// What was prepared.
    pub fn ballot(&self) -> Ballot {
        Ballot {
            epoch: self.header.epoch,
            view: self.view,
            height: self.header.height,
            block: self.header.hash(),
        }
    }

    /// Signatures in it, whether or not they hold.
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
