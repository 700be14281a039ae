//! A follower on its way into the committee: it sends READY by itself.

use std::sync::Arc;

use quorate_api::{Candidacy, CandidacyState};
use quorate_engine::ObserverOverview;
use quorate_governance::{ProposalId, State};
use quorate_ledger::{ReplicaId, SecretKey, Transaction};
use quorate_pbft::{Moment, Now};

use super::candidacy::assess;
use crate::runtime::ready::ReadySender;

/// Sends READY for the key of this node while a proposal adds it, each time to the next validator, and
/// says what is still missing.
pub(super) struct Candidate {
    ready: ReadySender,
    /// Counts the requests, so that they go to one validator after the other.
    requests: usize,
    latest: Option<Arc<Candidacy>>,
    /// What was logged last.
    logged: Option<(CandidacyState, Option<ProposalId>)>,
}

impl Candidate {
    pub(super) fn new(key: SecretKey, state: &State, overview: &ObserverOverview) -> Self {
        let latest = assess(&key.public(), state, overview).map(Arc::new);
        Candidate { ready: ReadySender::new(key), requests: 0, latest, logged: None }
    }

    /// What the node still lacks; `None` if it is a member.
    pub(super) fn candidacy(&self) -> Option<&Arc<Candidacy>> {
        self.latest.as_ref()
    }

    /// When to call [`Candidate::update`] if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.ready.deadline()
    }

    /// Takes note of the present state. Returns a READY to send, and the validator to send it to.
    pub(super) fn update(
        &mut self,
        now: Now,
        state: &State,
        overview: &ObserverOverview,
    ) -> Option<(ReplicaId, Transaction)> {
        let candidacy = assess(&self.ready.key(), state, overview);
        self.log(candidacy.as_ref());
        let in_step = candidacy.as_ref().is_some_and(|candidacy| {
            matches!(candidacy.state, CandidacyState::SendingReady | CandidacyState::Ready)
        });
        if self.latest.as_deref() != candidacy.as_ref() {
            self.latest = candidacy.map(Arc::new);
        }
        if !in_step {
            self.ready.stop();
            return None;
        }
        let transaction = self.ready.update(now, state, overview.head.timestamp)?;
        let to = *overview.contacts.get(self.requests % overview.contacts.len().max(1))?;
        self.requests = self.requests.wrapping_add(1);
        Some((to, transaction.transaction().clone()))
    }

    /// Logs each state once.
    fn log(&mut self, candidacy: Option<&Candidacy>) {
        let kind = candidacy.map(|candidacy| (candidacy.state, candidacy.proposal));
        if self.logged == kind {
            return;
        }
        self.logged = kind;
        if let Some(candidacy) = candidacy {
            let action = candidacy.action.as_deref().unwrap_or("none: the node goes on by itself");
            tracing::info!(state = %candidacy.state, action, "candidate: {}", candidacy.text);
        }
    }
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
