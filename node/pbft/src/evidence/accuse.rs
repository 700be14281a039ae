//! Lies that can be proven (R22).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Domain, Verified};

use crate::evidence::Kept;
use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::replica::Replica;
use crate::step::{Cause, Request, Step, To};

impl Replica {
    /// Two statements that were both verified contradict each other: everybody shall know, and a primary that
    /// lies about its view is left.
    pub(crate) fn accuse(&mut self, evidence: &Evidence, step: &mut Step) {
        let new = self.accuse_quietly(evidence.clone(), step);
        if self.leave_liar(evidence, step) && !new {
            // Whoever leaves alone is only mute. One message a view at most.
            step.send(To::All, Message::Evidence(evidence.clone()));
        }
    }

    /// The same, without leaving the view. `true` if it was not known.
    pub(crate) fn accuse_quietly(&mut self, evidence: Evidence, step: &mut Step) -> bool {
        let checked = Verified::from_own_storage(evidence);
        let new = self.keep_evidence(checked.clone(), step);
        if new {
            step.send(To::All, Message::Evidence(checked.into_inner()));
        }
        new
    }

    pub(crate) fn on_evidence(&mut self, evidence: &Verified<Evidence>, step: &mut Step) {
        self.keep_evidence(evidence.clone(), step);
        self.leave_liar(evidence, step);
    }

    /// Keeps evidence, and records it. `true` if it is new, and there is room for another proof against its culprit.
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

    /// Leaves the view if its primary lied about it, also if that is not new: it may have been heard while nothing
    /// could be signed, or when there was no room for another proof. Whether it did.
    fn leave_liar(&mut self, evidence: &Evidence, step: &mut Step) -> bool {
        let subject = evidence.subject();
        let about_view = matches!(subject.kind, Domain::PrePrepare | Domain::NewView);
        let liar = self.votes()
            && about_view
            && subject.view == self.views.view()
            && evidence.culprit() == self.primary();
        let liar = liar && !is(Mutant::ProvenLiarStays);
        if liar {
            self.counters.proven_liars += 1;
            self.leave(self.views.view().next(), Cause::Evidence, step);
            self.views.set_departure_evidence(evidence.clone());
        }
        liar
    }
}
