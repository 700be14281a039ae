//! Proof that a member lied (R22).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{ChainId, Commit, Committee, Epoch, ReplicaId, Signed, Verified};

use crate::checkpoint::Checkpoint;
use crate::messages::{PrePrepare, Prepare, Rejected};
use crate::statement::{Statement, Subject};
use crate::view_change::{NewView, ViewChange};

/// Two statements of one member about one subject. A correct member never makes two, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pair<T> {
    /// The one that was heard first.
    pub first: Signed<T>,
    /// The other one.
    pub second: Signed<T>,
}

/// Proof that a member made two different statements where one is allowed.
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

macro_rules! each {
    ($evidence:expr, $pair:ident => $what:expr) => {
        match $evidence {
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
    /// Checks that both statements are signed by one member, about one subject, and differ: two verifications.
    ///
    /// # Errors
    /// [`Rejected`]: it accuses nobody but its sender.
    pub fn check(
        self,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
    ) -> Result<Verified<Self>, Rejected> {
        each!(&self, pair => pair.check(chain, epoch, committee))?;
        Ok(Verified::from_own_storage(self))
    }

    /// Who lied.
    pub fn culprit(&self) -> ReplicaId {
        each!(self, pair => pair.first.signer)
    }

    /// About what.
    pub fn subject(&self) -> Subject {
        each!(self, pair => pair.first.body.subject())
    }
}

/// Two verified statements, made into evidence.
pub(crate) fn pair<T: Clone>(first: &Signed<T>, second: &Signed<T>) -> Pair<T> {
    Pair { first: first.clone(), second: second.clone() }
}
