//! Connects Byzantine members to the network: a correct engine with changed messages.

use std::time::Duration;

use quorate_engine::{Effects, FetchRequest, FetchResponse, MemberMessage};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::{Message, To};

use crate::byzantine::{Adversary, Outgoing};
use crate::network::packet::Packet;
use crate::oracle::Check;
use crate::world::{Occurrence, World};

impl World {
    /// Runs a function on the Byzantine member of a machine, with the shared state at hand.
    fn with_adversary<T>(
        &mut self,
        machine: ReplicaId,
        act: impl FnOnce(&mut Self, &mut Adversary) -> T,
    ) -> Option<T> {
        let mut adversary = self.members[machine.index()].adversary.take()?;
        let result = act(self, &mut adversary);
        self.members[machine.index()].adversary = Some(adversary);
        Some(result)
    }

    /// A Byzantine member's engine sends messages.
    pub(crate) fn send_as_adversary(&mut self, machine: ReplicaId, effects: Effects) -> Check {
        let me = self.members[machine.index()].identity;
        let Effects { messages, gossip, resends, asks, answers, submissions, .. } = effects;
        for (to, message) in messages {
            let to = match to {
                To::All => self.collusion.others(me),
                To::One(to) => vec![to],
            };
            let outgoing: Vec<Outgoing> =
                to.into_iter().map(|to| Outgoing::new(to, message.clone())).collect();
            let messages = self.with_adversary(machine, |world, adversary| {
                let (collusion, coverage) = (&mut world.collusion, &mut world.coverage);
                outgoing
                    .into_iter()
                    .flat_map(|outgoing| {
                        adversary.on_send(collusion, outgoing, |lie| coverage.saw(lie.situation()))
                    })
                    .collect()
            });
            self.send_delayed(machine, messages.unwrap_or_default());
        }
        for batch in gossip.iter().chain([&resends]).filter(|batch| !batch.is_empty()) {
            let packet = Packet::new(me, MemberMessage::transactions(batch));
            for to in self.collusion.others(me) {
                let shares = self.with_adversary(machine, |world, adversary| {
                    adversary.relays_to(&mut world.collusion, to)
                });
                if shares == Some(true) {
                    self.send(machine, to, &packet, false);
                }
            }
        }
        for (to, fetch, ask) in asks {
            self.ask(machine, to, fetch, &ask)?;
        }
        for (ticket, answer) in answers {
            self.answer(machine, ticket, answer)?;
        }
        let process = self.member(machine).process().expect("it speaks");
        for (ticket, _) in submissions {
            process.submissions.remove(&ticket); // no client believes its responses
        }
        self.next_wake(machine);
        Ok(())
    }

    /// The response of a Byzantine member, instead of its engine's.
    pub(crate) fn adversary_response(
        &mut self,
        machine: ReplicaId,
        by: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        let to = self.members[by.index()].identity;
        let original = answer.clone();
        let twisted = self.with_adversary(machine, |world, adversary| {
            let (collusion, coverage) = (&mut world.collusion, &mut world.coverage);
            adversary.answer(collusion, to, ask, original, |lie| coverage.saw(lie.situation()))
        });
        twisted.unwrap_or(answer)
    }

    /// Whether the engine of a machine receives a transaction.
    pub(crate) fn accepts_transaction(
        &mut self,
        machine: ReplicaId,
        transaction: &VerifiedTransaction,
    ) -> bool {
        let takes = self.with_adversary(machine, |world, adversary| {
            let (collusion, coverage) = (&mut world.collusion, &mut world.coverage);
            adversary.accepts_transaction(collusion, transaction, |lie| coverage.saw(lie.situation()))
        });
        takes.unwrap_or(true)
    }

    /// A Byzantine member receives a message before its engine does.
    pub(crate) fn adversary_receives(&mut self, machine: ReplicaId, from: ReplicaId, packet: &Packet) {
        let Some(message) = packet.consensus() else { return };
        self.collusion.note(from, message);
        let messages = self.with_adversary(machine, |world, adversary| {
            let (collusion, coverage) = (&mut world.collusion, &mut world.coverage);
            adversary.on_receive(collusion, from, message, |lie| coverage.saw(lie.situation()))
        });
        self.send_delayed(machine, messages.unwrap_or_default());
    }

    /// A Byzantine member sends messages at a regular time, and plans the next time.
    pub(crate) fn adversary_tick(&mut self, machine: ReplicaId) {
        let interval = self.knobs.status_interval_ms;
        let pause = self.random.millis(interval / 2, 2 * interval);
        self.agenda.after(pause, Occurrence::AdversaryTick(machine));
        if !self.members[machine.index()].is_up() {
            return;
        }
        let messages = self.with_adversary(machine, |world, adversary| {
            let (collusion, coverage) = (&mut world.collusion, &mut world.coverage);
            adversary.tick(collusion, |lie| coverage.saw(lie.situation()))
        });
        self.send_delayed(machine, messages.unwrap_or_default());
    }

    fn send_delayed(&mut self, machine: ReplicaId, messages: Vec<Outgoing>) {
        let me = self.members[machine.index()].identity;
        let mut last: Option<(Message, Packet)> = None;
        for outgoing in messages {
            if outgoing.delay > Duration::ZERO {
                let (delay, life) = (outgoing.delay, self.members[machine.index()].life);
                let outgoing = Box::new(Outgoing { delay: Duration::ZERO, ..outgoing });
                self.agenda.after(delay, Occurrence::SendAsAdversary { member: machine, life, outgoing });
                continue;
            }
            let packet = match &last {
                Some((message, packet)) if *message == outgoing.message => packet.clone(),
                _ => Packet::new(me, MemberMessage::consensus(outgoing.message.clone())),
            };
            self.learn_headers(&outgoing.message);
            self.send(machine, outgoing.to, &packet, false);
            last = Some((outgoing.message, packet));
        }
    }

    /// A Byzantine member sends a message now.
    pub(crate) fn on_send(&mut self, machine: ReplicaId, outgoing: Outgoing) {
        self.send_delayed(machine, vec![outgoing]);
    }
}
