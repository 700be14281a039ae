//! Makes the READYs of a key while a proposal makes it a consensus key.

use std::time::Duration;

use quorate_governance::limits::READY_INTERVALS;
use quorate_governance::{Operation, State};
use quorate_ledger::{Height, Payload, PublicKey, SecretKey, Timestamp, VerifiedTransaction};
use quorate_pbft::{Moment, Now};

/// Makes READYs: a candidate those of its key, and a validator those of its next key.
///
/// A READY names the newest block. It counts for 2 K heights, and the next one follows K heights
/// later, so that one always counts while blocks follow each other. On an idle network there is no
/// block and no need of another READY. There is at most one in K heights: until a block contains it,
/// the same transaction is sent again.
pub(crate) struct ReadySender {
    key: SecretKey,
    /// The READY that no block contains yet.
    sent: Option<Sent>,
}

/// A READY on its way into a block.
struct Sent {
    transaction: VerifiedTransaction,
    height: Height,
    /// When to send it again.
    due: Moment,
}

impl ReadySender {
    pub(crate) fn new(key: SecretKey) -> Self {
        ReadySender { key, sent: None }
    }

    /// The key that the READYs are of.
    pub(crate) fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// When to call [`ReadySender::update`] if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.sent.as_ref().map(|sent| sent.due)
    }

    /// Forgets the READY that no block contains yet. The node lacks blocks, or no proposal has the key.
    pub(crate) fn stop(&mut self) {
        self.sent = None;
    }

    /// Takes note of the present state, whose newest block has the time `newest`. Returns a READY if one
    /// is due to be sent.
    pub(crate) fn update(
        &mut self,
        now: Now,
        state: &State,
        newest: Timestamp,
    ) -> Option<VerifiedTransaction> {
        if !self.is_due(state) {
            self.stop();
            return None;
        }
        let present = now.wall.max(newest);
        let interval = checkpoint_interval(state);
        let is_current = |sent: &Sent| {
            let valid_until = sent.transaction.transaction().valid_until;
            valid_until >= present && state.height() < sent.height.plus(interval)
        };
        let mut sent = match self.sent.take().filter(is_current) {
            Some(sent) if now.moment < sent.due => {
                self.sent = Some(sent);
                return None;
            }
            Some(sent) => sent,
            None => self.sign(state, present),
        };
        let wait = state.next_config().parameters().consensus.request_timeout_ms;
        sent.due = now.moment.after(Duration::from_millis(wait));
        let transaction = sent.transaction.clone();
        self.sent = Some(sent);
        Some(transaction)
    }

    /// Whether the chain has no READY of the key that is younger than K heights.
    fn is_due(&self, state: &State) -> bool {
        let key = self.key();
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
        let transaction =
            VerifiedTransaction::sign(&state.chain(), &self.key, height.0, valid_until, payload);
        Sent { transaction, height, due: Moment::default() }
    }
}

/// Whether the next block may contain a READY of this key.
pub(crate) fn may_send_ready(key: &PublicKey, state: &State) -> bool {
    state.next_config().candidates().contains(key)
}

/// The height in the READY of this key, if it counts in the next block.
pub(crate) fn ready_height(key: &PublicKey, state: &State) -> Option<Height> {
    let height = state.ready().get(key).copied()?;
    (counts_until(state, height) >= state.height().next()).then_some(height)
}

/// The last height at which a READY that names `height` counts.
pub(crate) fn counts_until(state: &State, height: Height) -> Height {
    height.plus(checkpoint_interval(state).saturating_mul(READY_INTERVALS))
}

/// K at the next height.
fn checkpoint_interval(state: &State) -> u64 {
    state.next_config().parameters().consensus.checkpoint_interval
}
