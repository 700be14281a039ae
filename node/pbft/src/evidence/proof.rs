//! Evidence: two signed statements that prove a member faulty (R22).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, Commit, Height, ReplicaId, Signed, Verifiable, Verified, View};

use crate::checkpoint::certificate::Checkpoint;
use crate::config::EpochContext;
use crate::messages::proposal::{PrePrepare, Prepare};
use crate::messages::rejected::Rejected;
use crate::messages::statement::{Statement, Subject, Vote};
use crate::view_change::messages::ViewChangeMessage;
use crate::view_change::statements::{NewView, ViewChange, ViewChangePayload};
use crate::votes::prepared::PreparedCertificate;

/// Two different statements of one member about one subject (R22a). A correct member never makes
/// two, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pair<T> {
    /// The one that arrived first.
    pub first: Signed<T>,
    /// The other one.
    pub second: Signed<T>,
}

/// Crossed votes of one member (R22a): a COMMIT, and a PREPARE or PRE-PREPARE for another block, at
/// the same height in the same view. A correct member sends COMMIT only for the block that it has
/// accepted or proposed there, and it accepts or proposes one block there (R4).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Crossed<T> {
    /// The PREPARE of a backup, or the PRE-PREPARE of the primary, which stands for its PREPARE.
    pub accepted: Signed<T>,
    /// The COMMIT for another block.
    pub commit: Signed<Commit>,
}

/// A COMMIT and a VIEW-CHANGE of one member that a correct member never makes both (R22b). COMMIT
/// says that the member holds a prepared certificate. A VIEW-CHANGE for a later view must contain
/// that certificate, or one of a later view for the same height, or an anchor at or above that
/// height (R19a). A certificate of the same view for another block does not do.
///
/// The order of the two does not matter: a COMMIT in a view that its member has left is a fault
/// too.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HiddenCertificate {
    /// The COMMIT.
    pub commit: Signed<Commit>,
    /// The VIEW-CHANGE for a view above that of the COMMIT. It is whole because the signature
    /// covers a hash of the payload.
    pub view_change: ViewChangeMessage,
}

/// Two signed statements that a correct member never makes both. They prove that the member is
/// faulty.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Evidence {
    /// Two blocks proposed at one height in one view.
    PrePrepare(Pair<PrePrepare>) = 0,
    /// Two blocks for which the member sent PREPARE at one height in one view.
    Prepare(Pair<Prepare>) = 1,
    /// Two blocks for which the member sent COMMIT at one height in one view.
    Commit(Pair<Commit>) = 2,
    /// Two VIEW-CHANGEs for one view.
    ViewChange(Pair<ViewChange>) = 3,
    /// Two NEW-VIEWs for one view.
    NewView(Pair<NewView>) = 4,
    /// Two CHECKPOINTs at one height.
    Checkpoint(Pair<Checkpoint>) = 5,
    /// A COMMIT whose prepared certificate a VIEW-CHANGE for a later view does not contain.
    Hidden(HiddenCertificate) = 6,
    /// A PREPARE for one block and a COMMIT for another one, at one height in one view.
    PrepareCommit(Crossed<Prepare>) = 7,
    /// A PRE-PREPARE for one block and a COMMIT for another one, at one height in one view.
    PrePrepareCommit(Crossed<PrePrepare>) = 8,
}

/// Only this module can make it, so only this module seals evidence.
#[derive(Debug)]
pub struct EvidenceSeal(());

impl Verifiable for Evidence {
    type Seal = EvidenceSeal;
}

impl<T: Statement> Pair<T> {
    fn check(&self, context: &EpochContext) -> Result<(), Rejected> {
        let (first, second) = (&self.first, &self.second);
        let subject = first.body.subject();
        if subject.epoch != context.epoch() {
            return Err(Rejected::Epoch(subject.epoch));
        }
        let proves =
            first.signer == second.signer && subject == second.body.subject() && first.body != second.body;
        if !proves && !is(Mutant::EvidenceUnchecked) {
            return Err(Rejected::Evidence);
        }
        context.verify(first.clone())?;
        context.verify(second.clone())?;
        Ok(())
    }
}

impl<T: Vote> Crossed<T> {
    fn check(&self, context: &EpochContext) -> Result<(), Rejected> {
        let Crossed { accepted, commit } = self;
        let (one, other) = (accepted.body.ballot(), &commit.body.0);
        if other.epoch != context.epoch() {
            return Err(Rejected::Epoch(other.epoch));
        }
        let proves = accepted.signer == commit.signer
            && (one.epoch, one.view, one.height) == (other.epoch, other.view, other.height)
            && one.block != other.block;
        if !proves && !is(Mutant::EvidenceUnchecked) {
            return Err(Rejected::Evidence);
        }
        context.verify(accepted.clone())?;
        context.verify(commit.clone())?;
        Ok(())
    }
}

impl HiddenCertificate {
    /// Checks what needs no signature, and then both signatures. It does not verify the
    /// certificates in the VIEW-CHANGE: the payload of a correct member accounts for its COMMITs,
    /// and its certificates are valid.
    fn check(&self, context: &EpochContext) -> Result<(), Rejected> {
        let HiddenCertificate { commit, view_change: ViewChangeMessage { vote, payload } } = self;
        for claimed in [commit.body.0.epoch, vote.body.epoch] {
            if claimed != context.epoch() {
                return Err(Rejected::Epoch(claimed));
            }
        }
        let root = context.root.height;
        if commit.signer != vote.signer || !hides(root, vote.body.view, payload, &commit.body.0) {
            return Err(Rejected::Evidence);
        }
        if vote.body.content != payload.hash() {
            return Err(Rejected::ViewChange("its content is not what was signed"));
        }
        context.verify(commit.clone())?;
        context.verify(vote.clone())?;
        Ok(())
    }

    /// The subject of the VIEW-CHANGE, with the height of the COMMIT. A pair of VIEW-CHANGEs has
    /// height 0.
    fn subject(&self) -> Subject {
        Subject { height: self.commit.body.0.height, ..self.view_change.vote.body.subject() }
    }
}

/// Whether a VIEW-CHANGE for this view, with this payload, hides the prepared certificate of a
/// COMMIT for this ballot, in an epoch on a root at this height (R19a, R22b).
pub(crate) fn hides(root: Height, view: View, payload: &ViewChangePayload, ballot: &Ballot) -> bool {
    // A certificate of the COMMIT's own view must be for the COMMIT's block. The replica that sent
    // the COMMIT holds that certificate, and replaces it only by one of a later view.
    let accounts = |certificate: &PreparedCertificate| {
        certificate.header().height == ballot.height
            && (certificate.view() > ballot.view
                || certificate.view() == ballot.view && certificate.ballot().block == ballot.block)
    };
    view > ballot.view
        && payload.anchor_height(root) < ballot.height
        && !payload.prepared.iter().any(accounts)
}

macro_rules! each {
    ($evidence:expr, $pair:ident => $what:expr, $crossed:ident => $votes:expr, $hidden:ident => $else:expr) => {
        match $evidence {
            Evidence::Hidden($hidden) => $else,
            Evidence::PrepareCommit($crossed) => $votes,
            Evidence::PrePrepareCommit($crossed) => $votes,
            Evidence::PrePrepare($pair) => $what,
            Evidence::Prepare($pair) => $what,
            Evidence::Commit($pair) => $what,
            Evidence::ViewChange($pair) => $what,
            Evidence::NewView($pair) => $what,
            Evidence::Checkpoint($pair) => $what,
        }
    };
}

impl Evidence {
    /// Checks that one member signed both statements, and that a correct member never makes both.
    /// It verifies two signatures.
    ///
    /// # Errors
    /// [`Rejected`]: the evidence proves nothing.
    pub fn check(self, context: &EpochContext) -> Result<Verified<Self>, Rejected> {
        each!(&self,
            pair => pair.check(context),
            crossed => crossed.check(context),
            hidden => hidden.check(context)
        )?;
        Ok(Verified::sealed(self, EvidenceSeal(())))
    }

    /// Joins two verified statements of one member that contradict each other. `kind` is the kind
    /// of evidence.
    pub(crate) fn of_pair<T: Clone>(
        kind: impl FnOnce(Pair<T>) -> Evidence,
        first: &Verified<Signed<T>>,
        second: &Verified<Signed<T>>,
    ) -> Verified<Self> {
        let pair = Pair { first: first.clone().into_inner(), second: second.clone().into_inner() };
        Verified::sealed(kind(pair), EvidenceSeal(()))
    }

    /// The evidence of crossed votes. Both votes arrived in checked messages of one member. `kind`
    /// is the kind of evidence.
    pub(crate) fn of_crossed<T>(
        kind: impl FnOnce(Crossed<T>) -> Evidence,
        crossed: Crossed<T>,
    ) -> Verified<Self> {
        Verified::sealed(kind(crossed), EvidenceSeal(()))
    }

    /// The evidence of a hidden certificate. The COMMIT and the VIEW-CHANGE arrived in checked
    /// messages of one member.
    pub(crate) fn of_hidden(hidden: HiddenCertificate) -> Verified<Self> {
        Verified::sealed(Evidence::Hidden(hidden), EvidenceSeal(()))
    }

    /// The member that is proven faulty.
    pub fn culprit(&self) -> ReplicaId {
        each!(self,
            pair => pair.first.signer,
            crossed => crossed.commit.signer,
            hidden => hidden.commit.signer
        )
    }

    /// The subject of the evidence. Crossed votes have the subject of their COMMIT.
    pub fn subject(&self) -> Subject {
        each!(self,
            pair => pair.first.body.subject(),
            crossed => crossed.commit.body.subject(),
            hidden => hidden.subject()
        )
    }
}
