//! A follower on its way into the committee: it sends READY by itself.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{Candidacy, CandidacyState};
use quorate_engine::ObserverOverview;
use quorate_governance::{Operation, ProposalId, State};
use quorate_ledger::{Height, Payload, ReplicaId, SecretKey, Timestamp, Transaction};
use quorate_pbft::{Moment, Now};

use super::candidacy::{assess, checkpoint_interval, may_send_ready, ready_height};

/// Sends READY for the key of this node while a proposal adds it, and says what is still missing.
///
/// A READY names the newest block. It counts for 2 K heights, and the candidate sends the next one K
/// heights later, so that one always counts while blocks follow each other. On an idle network there is
/// no block and no need of another READY. The candidate sends at most one in K heights: until a block
/// contains it, it sends the same transaction again, each time to the next validator.
pub(super) struct Candidate {
    key: SecretKey,
    /// The READY that no block contains yet.
    sent: Option<Sent>,
    /// Counts the requests, so that they go to one validator after the other.
    requests: usize,
    latest: Arc<Candidacy>,
    /// What was logged last.
    logged: Option<(CandidacyState, Option<ProposalId>)>,
}

/// A READY on its way into a block.
struct Sent {
    transaction: Transaction,
    height: Height,
    /// When to send it to the next validator.
    due: Moment,
}

impl Candidate {
    pub(super) fn new(key: SecretKey, state: &State, overview: &ObserverOverview) -> Self {
        let latest = Arc::new(assess(&key.public(), state, overview));
        Candidate { key, sent: None, requests: 0, latest, logged: None }
    }

    /// What the node still lacks.
    pub(super) fn candidacy(&self) -> &Arc<Candidacy> {
        &self.latest
    }

    /// When to call [`Candidate::update`] if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.sent.as_ref().map(|sent| sent.due)
    }

    /// Takes note of the present state. Returns a READY to send, and the validator to send it to.
    pub(super) fn update(
        &mut self,
        now: Now,
        state: &State,
        overview: &ObserverOverview,
    ) -> Option<(ReplicaId, Transaction)> {
        let candidacy = assess(&self.key.public(), state, overview);
        self.log(&candidacy);
        let in_step = matches!(candidacy.state, CandidacyState::SendingReady | CandidacyState::Ready);
        if *self.latest != candidacy {
            self.latest = Arc::new(candidacy);
        }
        if !in_step || !self.is_due(state) {
            self.sent = None;
            return None;
        }
        let present = now.wall.max(overview.head.timestamp);
        let interval = checkpoint_interval(state);
        let is_current = |sent: &Sent| {
            sent.transaction.valid_until >= present && state.height() < sent.height.plus(interval)
        };
        let parameters = state.next_config().parameters();
        let mut sent = match self.sent.take().filter(is_current) {
            Some(sent) if now.moment < sent.due => {
                self.sent = Some(sent);
                return None;
            }
            Some(sent) => sent,
            None => self.sign(state, present),
        };
        sent.due = now.moment.after(Duration::from_millis(parameters.consensus.request_timeout_ms));
        let transaction = sent.transaction.clone();
        self.sent = Some(sent);
        let to = *overview.contacts.get(self.requests % overview.contacts.len().max(1))?;
        self.requests = self.requests.wrapping_add(1);
        Some((to, transaction))
    }

    /// Whether the chain has no READY of the key that is younger than K heights.
    fn is_due(&self, state: &State) -> bool {
        let key = self.key.public();
        let is_old = |height: Height| state.height() >= height.plus(checkpoint_interval(state));
        may_send_ready(&key, state) && ready_height(&key, state).is_none_or(is_old)
    }

    /// A READY for the newest block. Half of the longest lifetime leaves as much for a clock that is
    /// ahead.
    fn sign(&self, state: &State, present: Timestamp) -> Sent {
        let (height, block) = (state.height(), state.head().block);
        let lifetime = state.next_config().block_limits().transaction.max_lifetime_ms / 2;
        let payload = Payload::Governance(Operation::Ready { height, block }.to_bytes());
        let valid_until = present.plus_ms(lifetime);
        let transaction = Transaction::sign(&state.chain(), &self.key, height.0, valid_until, payload);
        Sent { transaction, height, due: Moment::default() }
    }

    /// Logs each state once.
    fn log(&mut self, candidacy: &Candidacy) {
        let kind = (candidacy.state, candidacy.proposal);
        if self.logged != Some(kind) {
            let action = candidacy.action.as_deref().unwrap_or("none: the node goes on by itself");
            tracing::info!(state = %candidacy.state, action, "candidate: {}", candidacy.text);
            self.logged = Some(kind);
        }
    }
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
