//! Inputs of the replicas, and the delivery of messages.

use std::time::Duration;

use quorate_ledger::{ReplicaId, decode, encode};
use quorate_pbft::{Checked, CheckedContent, Dropped, Input, Message, Rejected, Screen, To};

use super::{Envelope, Net, id};

impl Net {
    /// Gives one node an input, then writes its records and sends its messages.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.now(node);
        let before = self.nodes[node].finalised.len();
        if self.nodes[node].runs() {
            self.positions[node] = Some(self.nodes[node].replica().position());
        }
        self.nodes[node].input(now, input);
        self.flush(node, before);
    }

    /// Screens a message for the node that it is sent to, as R25 says.
    fn admit(&mut self, from: ReplicaId, to: ReplicaId, message: &mut Message) -> Result<(), Dropped> {
        let config = &self.config;
        let new = || Screen::new(config.clone(), to, from);
        let screen = self.screens.entry((to, from)).or_insert_with(new);
        let earlier = self.positions[to.index()].as_ref().expect("a node that runs has a position");
        screen.useful(earlier, message)?;
        screen.admit(self.moment, &self.nodes[to.index()].replica().position(), message)
    }

    /// R25: a message that the screen calls useless changes nothing when the replica receives it.
    fn assert_useless(&mut self, node: usize, from: ReplicaId, message: Checked) {
        // First give the replica an input without content. It lets time and contact take effect, so
        // a difference after the second input comes from the message. STATUS brings contact, too,
        // and the screen never drops it.
        let nothing = self.seen_of[self.another_member_than(node).index()].clone();
        self.input(node, Input::Received { from, message: nothing });
        if !self.nodes[node].runs() {
            return;
        }
        let (position, sent) = (self.nodes[node].replica().position(), self.links.sent);
        let text = format!("{message:?}");
        let proofs = self.proofs_of_hiding(node, from);
        self.input(node, Input::Received { from, message });
        // The exception in R25b: a late COMMIT or an old VIEW-CHANGE that proves a hidden
        // certificate. The screen may drop it although the position does not show what it proves.
        if self.proofs_of_hiding(node, from) > proofs {
            return;
        }
        assert_eq!(self.nodes[node].replica().position(), position, "{text}");
        assert_eq!(self.links.sent, sent, "{text}");
    }

    fn another_member_than(&self, node: usize) -> ReplicaId {
        id((node + 1) % self.size())
    }

    pub(super) fn flush(&mut self, node: usize, finalised_before: usize) {
        for finalised in &self.nodes[node].finalised[finalised_before..] {
            self.oracle.certified(&self.nodes[node], finalised);
        }
        let (ran, before) = (self.nodes[node].runs(), self.nodes[node].durable());
        let messages = self.nodes[node].flush();
        self.oracle.agrees(&self.nodes[node]);
        self.oracle.wrote(&self.nodes[node]);
        for (to, message) in messages {
            self.oracle.sends(&self.nodes[node], &message);
            self.post(id(node), to, &message);
        }
        if ran && !self.nodes[node].runs() {
            self.links.cut_off(id(node));
        }
        let durable = self.nodes[node].durable();
        if durable > before && self.nodes[node].runs() && !self.nodes[node].ledger_lags {
            self.input(node, Input::Durable(durable));
        }
    }

    fn post(&mut self, from: ReplicaId, to: To, message: &Message) {
        for member in self.config.context.committee.replicas() {
            if member != from && (to == To::All || to == To::One(member)) {
                self.links.send(Envelope { from, to: member, message: message.clone() });
            }
        }
    }

    /// Sends a message that no correct node made.
    pub(crate) fn inject(&mut self, from: usize, to: usize, message: Message) {
        self.oracle.injected(&message);
        self.links.send(Envelope { from: id(from), to: id(to), message });
    }

    /// Sends a message that no correct node made to several members.
    pub(crate) fn inject_to_all(&mut self, from: usize, to: &[usize], message: &Message) {
        for to in to {
            self.inject(from, *to, message.clone());
        }
    }

    /// Delivers a message at once. Returns why the check refused it, if it did.
    pub(crate) fn receive(&mut self, envelope: Envelope) -> Result<(), Rejected> {
        let Envelope { from, to, mut message } = envelope;
        let node = to.index();
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let admitted = if self.screening { self.admit(from, to, &mut message) } else { Ok(()) };
        if let Err(why) = admitted {
            *self.dropped.entry(why).or_default() += 1;
            if why != Dropped::Useless {
                return Ok(());
            }
        }
        // These messages prove themselves: the result of the check does not depend on the sender.
        let proves_itself = matches!(
            message,
            Message::PrePrepare(_) | Message::NewView(_) | Message::Evidence(_) | Message::Seen(_)
        );
        let claimant = if proves_itself { ReplicaId(0) } else { from };
        let key = (claimant, encode(&message));
        let checked = match self.checked.get(&key) {
            Some(checked) => checked.clone(),
            None => {
                let message: Message = decode(&key.1).unwrap();
                let checked = message.check(from, &self.config.context)?;
                self.checked.insert(key, checked.clone());
                checked
            }
        };
        if admitted.is_err() {
            self.assert_useless(node, from, checked);
            return Ok(());
        }
        if let CheckedContent::Status(status) = checked.content() {
            self.nodes[node].heads.insert(from, status.claim().committed);
        }
        self.input(node, Input::Received { from, message: checked });
        Ok(())
    }

    /// Delivers until no message is in flight. Fails if a correct member sends a message that
    /// another refuses.
    pub(crate) fn deliver_all(&mut self) {
        while let Some(envelope) = self.links.next() {
            self.answer_as_byzantine(&envelope);
            let corrupt = !self.nodes[envelope.from.index()].runs();
            let delivered = self.receive(envelope);
            assert!(corrupt || delivered.is_ok(), "{delivered:?}");
            self.catch_up();
            self.find_skeletons();
        }
    }

    /// Passes a message that reaches a Byzantine member to the Byzantine members. Their answers
    /// arrive before all messages in flight.
    fn answer_as_byzantine(&mut self, envelope: &Envelope) {
        if self.nodes[envelope.to.index()].runs() {
            return;
        }
        let Some(mut byzantine) = self.byzantine.take() else { return };
        for answer in byzantine(self, envelope).into_iter().rev() {
            self.oracle.injected(&answer.message);
            self.links.queue_mut().push_front(answer);
        }
        self.byzantine = Some(byzantine);
    }

    /// Lets time pass. Nodes get a tick at their deadlines and at no other time.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.moment.after(duration);
        for _ in 0..10_000 {
            self.deliver_all();
            let deadlines = self.nodes.iter().filter(|node| node.runs());
            let next = deadlines.filter_map(|node| node.replica().deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.moment = end;
                return;
            };
            self.moment = self.moment.max(next);
            for node in 0..self.size() {
                let due = |replica: &quorate_pbft::Replica| replica.deadline() <= Some(self.moment);
                if self.nodes[node].runs() && due(self.nodes[node].replica()) {
                    self.input(node, Input::Tick);
                }
            }
        }
        panic!("some deadline stays in the past: ticks do not move it");
    }

    /// Loses all messages between the two sides, in both directions.
    pub(crate) fn partition(&mut self, side: &'static [u16]) {
        self.links.lose(move |envelope| side.contains(&envelope.from.0) != side.contains(&envelope.to.0));
    }
}
