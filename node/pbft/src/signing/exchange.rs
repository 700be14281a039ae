//! SEEN: replicas send each other the furthest statements that they received of them (R24).

use quorate_ledger::ReplicaId;

use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::status::Status;
use crate::replica::Replica;
use crate::signing::Comparison;
use crate::signing::seen::{HighWaterMark, Seen};
use crate::step::{Request, Step, To};

impl Replica {
    /// Sends a member its own furthest statements, if it is probing, or if its STATUS has a lower
    /// high-water mark (R24a, R24b).
    pub(crate) fn show_seen(&self, member: ReplicaId, status: &Status, step: &mut Step) {
        let nothing = || Seen::nothing(self.config.context.epoch());
        let seen = self.signing.seen_of(member).cloned().unwrap_or_else(nothing);
        if status.probing || seen.mark().exceeds(&status.mark) {
            step.send(To::One(member), Message::Seen(seen));
        }
    }

    /// Upon SEEN: it contains statements of one member, or none.
    pub(crate) fn on_seen(
        &mut self,
        from: ReplicaId,
        seen: Option<(ReplicaId, HighWaterMark)>,
        step: &mut Step,
    ) {
        // Statements of another member say nothing about this replica.
        if seen.is_some_and(|(whose, _)| whose != self.signing.replica()) {
            return;
        }
        let remembered = self.signing.mark();
        match self.signing.compare(from, seen.map(|(_, mark)| mark)) {
            Comparison::Known => self.try_enable_signing(),
            Comparison::OldJournal { seen } => {
                step.records.push(Record::Recovering(self.config.context.epoch(), seen));
                step.requests.push(Request::Recovering { seen, remembered });
            }
            Comparison::SecondInstance => step.requests.push(Request::SecondInstance),
        }
    }

    pub(crate) fn try_enable_signing(&mut self) {
        self.signing.try_enable(self.config.context.committee.quorum(), self.chain.height());
    }
}
