//! Clients submit transactions, resubmit them, and receive the results.

pub mod operators;
pub mod orders;

use std::time::Duration;

use quorate_engine::{Event, Submission};
use quorate_ledger::{Height, NotPermitted, Refusal, ReplicaId, Transaction, TransactionId};

use crate::clients::orders::{Answered, Attempt, End, Kind, read};
use crate::oracle::{Check, Violation, require};
use crate::world::{Occurrence, World};

/// A client tries a transaction this often while faults happen; afterwards until it receives a
/// result.
const ATTEMPTS_MAX: u64 = 6;

/// The most blocks that become final together.
const TOGETHER: u64 = 64;

const DOOR: &str = "the door";

impl World {
    /// A client creates a transaction and sends it to one or two members; sometimes it resends an
    /// old one.
    pub(crate) fn submit_new(&mut self) -> Check {
        let gap = self.random.millis(0, self.knobs.submission_gap_ms);
        if self.agenda.now() + gap < self.knobs.chaos {
            self.agenda.after(gap, Occurrence::Submit);
        }
        let number = if self.random.permille(self.knobs.repeats) && !self.orders.all.is_empty() {
            self.random.index(self.orders.all.len())
        } else {
            self.orders.place(self.agenda.now())
        };
        let burst = if self.random.permille(50) { 10 } else { 0 };
        for _ in 0..burst {
            let number = self.orders.place(self.agenda.now());
            self.send_somewhere(number, Duration::ZERO);
        }
        self.send_somewhere(number, Duration::ZERO);
        if self.random.permille(400) {
            let delay = self.random.millis(0, 100);
            self.send_somewhere(number, delay);
        }
        Ok(())
    }

    /// A client creates a valid transaction; returns its number.
    pub(crate) fn place_good(&mut self) -> usize {
        loop {
            let number = self.orders.place(self.agenda.now());
            if self.orders.all[number].kind == Kind::Good {
                return number;
            }
            self.orders.all[number].end = Some(End::Refused); // never sent
        }
    }

    pub(crate) fn send_somewhere(&mut self, number: usize, delay: Duration) {
        let to = self.random.choose(&self.members).replica;
        self.agenda.after(delay, Occurrence::Attempt(Attempt { number, to }));
    }

    /// Delivers a transaction to a member, through the checks that precede the engine.
    pub(crate) fn attempt(&mut self, attempt: Attempt) -> Check {
        let Attempt { number, to } = attempt;
        let order = &mut self.orders.all[number];
        order.attempts += 1;
        let (kind, id) = (order.kind, order.id);
        let transaction = Transaction::from_bytes(&order.bytes)
            .map_err(|error| Violation { rule: DOOR, what: error.to_string() })?;
        if !self.members[to.index()].is_up() {
            self.try_again(number);
            return Ok(());
        }
        let Ok(transaction) = self.signatures.verify(transaction) else {
            require(matches!(kind, Kind::BadSignature | Kind::OtherChain), DOOR, || {
                format!("the signature of {id} was refused, which is {kind:?}")
            })?;
            self.coverage.saw("a transaction refused: signature");
            self.orders.all[number].end = Some(End::Refused);
            return Ok(());
        };
        if !self.accepts_transaction(to, &transaction) {
            return Ok(());
        }
        let process = self.member(to).process().expect("it is up");
        let ticket = process.ticket();
        process.submissions.insert(ticket, number);
        self.note(format_args!("client > {to} {id} {kind:?}"));
        self.give(to, Event::Submitted { ticket, transaction });
        Ok(())
    }

    fn try_again(&mut self, number: usize) {
        if !self.healed && self.orders.all[number].attempts < ATTEMPTS_MAX {
            let delay = self.random.millis(100, 800);
            self.send_somewhere(number, delay);
        }
    }

    /// A client receives the response of a member to its submission.
    pub(crate) fn submission_answered(
        &mut self,
        replica: ReplicaId,
        number: usize,
        answer: &Result<Submission, Refusal>,
    ) -> Check {
        let order = &mut self.orders.all[number];
        let (id, kind) = (order.id, order.kind);
        let may_be_forbidden = kind.is_orderable() || kind == Kind::LongLived;
        if may_be_forbidden && matches!(answer, Err(Refusal::NotPermitted(_))) {
            order.end.get_or_insert(End::Refused);
            let (situation, possible) = match kind {
                Kind::Operation => ("an operation of a key without rights", self.knobs.candidates > 0),
                _ => ("a transaction of a client that is not registered", self.knobs.registry),
            };
            self.coverage.saw(situation);
            return require(possible, DOOR, || format!("member {replica} refused {id}, which is {kind:?}"));
        }
        match read(answer) {
            Answered::Waits => require(kind.is_orderable(), DOOR, || {
                format!("member {replica} accepted {id}, which is {kind:?}")
            }),
            Answered::Placed(height, index) => {
                order.end = Some(End::Committed);
                self.coverage.saw("a resubmission answered with its place");
                let member = self.member(replica);
                member.answered = member.answered.max(height);
                self.answers.placed(replica, &id, (height, index), &self.chain)
            }
            Answered::Never(situation) => {
                self.coverage.saw(situation);
                order.end = Some(End::Refused);
                require(kind.is_refused(), DOOR, || {
                    format!("member {replica} refused {id} permanently, which is {kind:?}")
                })
            }
            Answered::Later(situation) => {
                self.coverage.saw(situation);
                // After all faults are over, a client believes that its transaction expired until
                // it receives a better result.
                let expired = self.healed && matches!(answer, Err(Refusal::Expired { .. }));
                if expired || kind == Kind::LongLived {
                    order.end.get_or_insert(End::Refused);
                } else {
                    self.try_again(number);
                }
                Ok(())
            }
        }
    }

    /// Notifies clients of this member that a block is final.
    pub(crate) fn notify_committed(&mut self, replica: ReplicaId, height: Height) {
        let ids = self.chain.at(height).map(|link| link.ids.clone()).unwrap_or_default();
        for id in ids {
            if let Some(order) = self.orders.of_mut(&id) {
                order.end = Some(End::Committed);
            }
        }
        let member = self.member(replica);
        member.answered = member.answered.max(height);
    }

    /// Notifies clients of this member that the configuration does not permit a transaction any more.
    pub(crate) fn notify_rejected(
        &mut self,
        replica: ReplicaId,
        id: &TransactionId,
        reason: NotPermitted,
    ) -> Check {
        self.note(format_args!("{replica} rejects {id}: {reason}"));
        self.coverage.saw("a waiting transaction rejected");
        // Several blocks may have become final together. A later one may permit it again.
        let next = self.chain.tip_of(replica).next();
        let configs: Vec<_> = (next.0.saturating_sub(TOGETHER)..=next.0)
            .filter_map(|height| self.chain.config(Height(height)).cloned())
            .collect();
        let Some(order) = self.orders.of_mut(id) else {
            return require(false, "validity", || format!("no client submitted {id}, which was rejected"));
        };
        order.end.get_or_insert(End::Refused);
        order.rejected = true;
        let permitted = configs.iter().all(|config| order.is_permitted(config));
        require(!permitted, "validity", || format!("member {replica} rejects {id}: {reason}"))
    }

    /// Notifies clients of this member that a transaction can never be in a block.
    pub(crate) fn notify_expired(&mut self, replica: ReplicaId, id: &TransactionId) -> Check {
        self.coverage.saw("a waiting transaction expired");
        let tip = self.chain.tip_of(replica);
        let Some(order) = self.orders.of_mut(id) else {
            return require(false, "validity", || format!("no client submitted {id}, which expired"));
        };
        order.end.get_or_insert(End::Expired);
        let valid_until = order.valid_until.0;
        self.answers.expired(replica, tip, id, valid_until, &self.chain)
    }
}
