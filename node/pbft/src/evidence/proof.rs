//! Proof that a member lied (R22).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, ChainId, Commit, Committee, Epoch, ReplicaId, Signed, Verified, View};

use crate::checkpoint::certificate::Checkpoint;
use crate::messages::statement::{Statement, Subject};
use crate::messages::{PrePrepare, Prepare, Rejected};
use crate::view_change::messages::{Knowledge, NewView, ViewChange, ViewChangeMessage};
use crate::votes::prepared::PreparedCertificate;

/// Two statements of one member about one subject. A correct member never makes two, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pair<T> {
    /// The one that was heard first.
    pub first: Signed<T>,
    /// The other one.
    pub second: Signed<T>,
}

/// A COMMIT and a VIEW-CHANGE of one member that cannot both be true (R19, R22). COMMIT says that the member holds a
/// prepared certificate, and a VIEW-CHANGE for a later view must contain it, or one of a later view for that height,
/// or a base at or above that height.
///
/// The order of both does not matter: a COMMIT in a view that was left is a lie too.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HiddenCertificate {
    /// The COMMIT.
    pub commit: Signed<Commit>,
    /// The VIEW-CHANGE for a view above that of the COMMIT, whole: its signature covers a hash of what it knows.
    pub view_change: ViewChangeMessage,
}

/// Proof that a member made two statements that a correct member never makes both.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Evidence {
    /// Two blocks proposed at one height in one view.
    PrePrepare(Pair<PrePrepare>) = 0,
    /// Two blocks accepted at one height in one view.
    Prepare(Pair<Prepare>) = 1,
    /// Two blocks committed to at one height in one view.
    Commit(Pair<Commit>) = 2,
    /// Two accounts of one departure.
    ViewChange(Pair<ViewChange>) = 3,
    /// Two beginnings of one view.
    NewView(Pair<NewView>) = 4,
    /// Two states at one height.
    Checkpoint(Pair<Checkpoint>) = 5,
    /// A COMMIT whose prepared certificate a later VIEW-CHANGE does not contain.
    Hidden(HiddenCertificate) = 6,
}

impl<T: Statement> Pair<T> {
    fn check(&self, chain: &ChainId, epoch: Epoch, committee: &Committee) -> Result<(), Rejected> {
        let (first, second) = (&self.first, &self.second);
        let subject = first.body.subject();
        if subject.epoch != epoch {
            return Err(Rejected::Epoch(subject.epoch));
        }
        let proves =
            first.signer == second.signer && subject == second.body.subject() && first.body != second.body;
        if !proves && !is(Mutant::EvidenceUnchecked) {
            return Err(Rejected::Evidence);
        }
        first.clone().verify(chain, committee)?;
        second.clone().verify(chain, committee)?;
        Ok(())
    }
}

impl HiddenCertificate {
    /// Checks both signatures, after all that needs none. The certificates in the VIEW-CHANGE are not checked: what a
    /// correct member claims to know always accounts for its COMMITs, and holds.
    fn check(&self, chain: &ChainId, epoch: Epoch, committee: &Committee) -> Result<(), Rejected> {
        let HiddenCertificate { commit, view_change: ViewChangeMessage { vote, knowledge } } = self;
        for claimed in [commit.body.0.epoch, vote.body.epoch] {
            if claimed != epoch {
                return Err(Rejected::Epoch(claimed));
            }
        }
        if commit.signer != vote.signer || !hides(vote.body.view, knowledge, &commit.body.0) {
            return Err(Rejected::Evidence);
        }
        if vote.body.content != knowledge.hash() {
            return Err(Rejected::ViewChange("its content is not what was signed"));
        }
        commit.clone().verify(chain, committee)?;
        vote.clone().verify(chain, committee)?;
        Ok(())
    }

    /// The departure, and the height of which it hides something: a pair of VIEW-CHANGEs is about height 0.
    fn subject(&self) -> Subject {
        Subject { height: self.commit.body.0.height, ..self.view_change.vote.body.subject() }
    }
}

/// Whether a member that gave COMMIT for this ballot hides that, if it leaves for this view with this knowledge (R19).
pub(crate) fn hides(view: View, knowledge: &Knowledge, ballot: &Ballot) -> bool {
    let accounts = |certificate: &PreparedCertificate| {
        certificate.header().height == ballot.height && certificate.view() >= ballot.view
    };
    view > ballot.view && knowledge.base_height() < ballot.height && !knowledge.prepared.iter().any(accounts)
}

macro_rules! each {
    ($evidence:expr, $pair:ident => $what:expr, $hidden:ident => $else:expr) => {
        match $evidence {
            Evidence::Hidden($hidden) => $else,
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
    /// Checks that both statements are signed by one member and cannot both be made by a correct one: two verifications.
    ///
    /// # Errors
    /// [`Rejected`]: it accuses nobody but its sender.
    pub fn check(
        self,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
    ) -> Result<Verified<Self>, Rejected> {
        each!(&self,
            pair => pair.check(chain, epoch, committee),
            hidden => hidden.check(chain, epoch, committee)
        )?;
        Ok(Verified::from_own_storage(self))
    }

    /// Who lied.
    pub fn culprit(&self) -> ReplicaId {
        each!(self, pair => pair.first.signer, hidden => hidden.commit.signer)
    }

    /// About what.
    pub fn subject(&self) -> Subject {
        each!(self, pair => pair.first.body.subject(), hidden => hidden.subject())
    }
}

/// Two verified statements, made into evidence.
pub(crate) fn pair<T: Clone>(first: &Signed<T>, second: &Signed<T>) -> Pair<T> {
    Pair { first: first.clone(), second: second.clone() }
}
