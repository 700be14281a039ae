//! What a replica does with evidence (R22c).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Domain, Verified};

use crate::evidence::Kept;
use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::replica::Replica;
use crate::step::{Cause, Request, Step, To};

impl Replica {
    /// Upon two verified statements that contradict each other: records and broadcasts the
    /// evidence. Leaves the view if it proves that its primary equivocated in it.
    pub(crate) fn accuse(&mut self, evidence: &Verified<Evidence>, step: &mut Step) {
        let new = self.accuse_quietly(evidence.clone(), step);
        if self.leave_faulty_primary(evidence, step) && !new {
            // Known evidence was not broadcast again above. Other members may lack it, and a
            // replica that leaves the view alone is excluded from it. It leaves a view once, so
            // this is one message a view.
            step.send(To::All, Message::Evidence(evidence.clone().into_inner()));
        }
    }

    /// Like [`Replica::accuse`], but never leaves the view. `true` if the evidence is new.
    pub(crate) fn accuse_quietly(&mut self, evidence: Verified<Evidence>, step: &mut Step) -> bool {
        let new = self.keep_evidence(evidence.clone(), step);
        if new {
            step.send(To::All, Message::Evidence(evidence.into_inner()));
        }
        new
    }

    pub(crate) fn on_evidence(&mut self, evidence: &Verified<Evidence>, step: &mut Step) {
        self.keep_evidence(evidence.clone(), step);
        self.leave_faulty_primary(evidence, step);
    }

    /// Keeps and records evidence. `true` if it is new and there was room for it.
    fn keep_evidence(&mut self, evidence: Verified<Evidence>, step: &mut Step) -> bool {
        let kept = self.faults.keep(&evidence);
        self.counters.contradictions += u64::from(kept != Kept::Known);
        if kept != Kept::New {
            return false;
        }
        step.records.push(Record::Evidence(evidence.clone()));
        step.requests.push(Request::Evidence(evidence));
        true
    }

    /// Leaves the view if the evidence proves that its primary equivocated in it. Known evidence
    /// counts too: it may have arrived while this replica could not sign, or while there was no
    /// room for it. `true` if it left.
    fn leave_faulty_primary(&mut self, evidence: &Evidence, step: &mut Step) -> bool {
        let subject = evidence.subject();
        let about_view = matches!(subject.kind, Domain::PrePrepare | Domain::NewView);
        let faulty = self.votes()
            && about_view
            && subject.view == self.views.view()
            && evidence.culprit() == self.primary();
        let faulty = faulty && !is(Mutant::ProvenPrimaryStays);
        if faulty {
            self.counters.proven_primaries += 1;
            self.leave(self.views.view().next(), Cause::Evidence, step);
            self.views.set_departure_evidence(evidence.clone());
        }
        faulty
    }
}
