//! Lies that can be proven (R22).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Domain, Verified};

use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::statement::Subject;
use crate::replica::{PROOFS_MAX, Replica};
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
        let new = self.believe(checked.clone(), step);
        if new {
            step.send(To::All, Message::Evidence(checked.into_inner()));
        }
        new
    }

    pub(crate) fn on_evidence(&mut self, evidence: &Verified<Evidence>, step: &mut Step) {
        self.believe(evidence.clone(), step);
        self.leave_liar(evidence, step);
    }

    /// Remembers evidence; `true` if it is new, about a member against whom there is room for another proof.
    fn believe(&mut self, evidence: Verified<Evidence>, step: &mut Step) -> bool {
        let proofs = self.evidence.accused.entry(evidence.culprit()).or_default();
        // Proof that something was hidden holds a whole VIEW-CHANGE, which can be long: one against a member is kept.
        let hidden_before =
            evidence.subject().is_hidden_certificate() && proofs.iter().any(Subject::is_hidden_certificate);
        if proofs.contains(&evidence.subject()) || hidden_before {
            return false;
        }
        self.counters.contradictions += 1;
        if proofs.len() >= PROOFS_MAX {
            return false;
        }
        proofs.insert(evidence.subject());
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
            && subject.view == self.views.view
            && evidence.culprit() == self.primary();
        let liar = liar && !is(Mutant::ProvenLiarStays);
        if liar {
            self.counters.proven_liars += 1;
            self.leave(self.views.view.next(), Cause::Evidence, step);
            self.views.departure_evidence = Some(evidence.clone());
        }
        liar
    }
}
