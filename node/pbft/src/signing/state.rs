//! Whether this replica may sign (R24), and what it remembers of how far others have gone.

use std::collections::BTreeSet;

use quorate_ledger::ReplicaId;

use crate::journal::record::Record;
use crate::messages::{Checked, Message, Status};
use crate::replica::Replica;
use crate::signing::seen::{Mark, Seen};
use crate::step::{Request, Step, To};

/// Whether new statements may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Just started: others are asked how far they have seen us go. These have answered. An older ledger than the
    /// journal knew has to be caught up besides.
    Probing(BTreeSet<ReplicaId>),
    /// A quorum, we included, has seen nothing that we do not remember.
    Free,
    /// Others have seen more than we remember: what else was promised is unknown, so nothing is ever signed.
    Recovering { seen: Mark },
}

impl Voice {
    pub(crate) fn is_free(&self) -> bool {
        *self == Voice::Free
    }
}

impl Replica {
    /// Takes note of how far a member has gone.
    pub(crate) fn hear(&mut self, message: &Checked) {
        let me = self.signing.signer.replica();
        let mut heard = |signer: ReplicaId, note: &dyn Fn(&mut Seen) -> bool| {
            if signer != me && note(self.signing.heard.entry(signer).or_default()) {
                self.signing.unwritten.insert(signer);
            }
        };
        match message {
            Checked::PrePrepare(proposal) => {
                heard(proposal.vote().signer, &|seen| seen.pre_prepared(proposal.vote()));
            }
            Checked::Prepare(vote) => heard(vote.signer, &|seen| seen.prepared(vote)),
            Checked::Commit(vote) => heard(vote.signer, &|seen| seen.committed(vote)),
            Checked::ViewChange(change) => heard(change.signer(), &|seen| seen.left(change.vote())),
            Checked::NewView(new_view) => {
                heard(new_view.vote().signer, &|seen| seen.opened(new_view.vote()));
            }
            _ => {}
        }
    }

    /// Shows a member what it signed, if it asks or seems to have forgotten it.
    pub(crate) fn remind(&self, member: ReplicaId, status: &Status, step: &mut Step) {
        let seen = self.signing.heard.get(&member).cloned().unwrap_or_default();
        if status.probing || seen.mark().exceeds(&status.mark) {
            step.send(To::One(member), Message::Seen(seen));
        }
    }

    /// R24: compares what others have seen of us with what we remember.
    pub(crate) fn on_seen(&mut self, from: ReplicaId, seen: Option<(ReplicaId, Mark)>, step: &mut Step) {
        let remembered = self.signing.signer.mark();
        if let Some((whose, seen)) = seen {
            if whose != self.signing.signer.replica() {
                return;
            }
            if seen.exceeds(&remembered) {
                match self.signing.state {
                    Voice::Probing(_) => {
                        self.signing.state = Voice::Recovering { seen };
                        step.records.push(Record::Recovering(seen));
                        step.requests.push(Request::Recovering { seen, remembered });
                    }
                    Voice::Free => step.requests.push(Request::SecondInstance),
                    Voice::Recovering { .. } => {}
                }
                return;
            }
        }
        if let Voice::Probing(answers) = &mut self.signing.state {
            answers.insert(from);
            self.find_voice();
        }
    }

    /// Speaks once enough others have answered, and the ledger is not older than the journal.
    pub(crate) fn find_voice(&mut self) {
        if let Voice::Probing(answers) = &self.signing.state
            && answers.len() + 1 >= self.config.committee.quorum()
            && self.chain.tip.height >= self.signing.pruned_through
        {
            self.signing.state = Voice::Free;
        }
    }
}
