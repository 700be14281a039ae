//! Connects Byzantine members to the network: a correct engine with changed messages.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_engine::{Effects, FetchRequest, FetchResponse, MemberMessage};
use quorate_ledger::{Epoch, ReplicaId, SecretKey, VerifiedTransaction};
use quorate_pbft::{Message, To};

use crate::byzantine::{Adversary, Outgoing};
use crate::members::{Member, Slot};
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
        self.liar_seat(machine)?;
        let mut adversary = self.members[machine.index()].adversary.take()?;
        let result = act(self, &mut adversary);
        self.members[machine.index()].adversary = Some(adversary);
        Some(result)
    }

    /// A Byzantine member's engine sends messages.
    pub(crate) fn send_as_adversary(&mut self, machine: ReplicaId, effects: Effects) -> Check {
        let Effects { messages, gossip, resends, asks, answers, submissions, .. } = effects;
        for (to, message) in messages {
            let to = match to {
                To::All => self.targets(machine),
                To::One(to) => self.seat_among_liars(message.epoch(), to).into_iter().collect(),
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
            let me = self.members[machine.index()].identity;
            let packet = Packet::new(me, MemberMessage::transactions(batch));
            for to in self.targets(machine) {
                let shares = self.with_adversary(machine, |world, adversary| {
                    adversary.relays_to(&mut world.collusion, to)
                });
                if shares == Some(true) {
                    self.send_to_seat(machine, to, &packet);
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
        if self.members[machine.index()].leaving {
            return self.retire(machine);
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
        let Some(to) = self.liar_seat(by) else { return answer };
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
        if self.epoch_of(machine) != self.collusion.keys.epoch {
            return;
        }
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

    /// A Byzantine member is in this epoch. All of them lie in the context of the newest one from now
    /// on.
    pub(super) fn collusion_enters(&mut self, epoch: Epoch) {
        if epoch > self.collusion.keys.epoch {
            self.coverage.saw("Byzantine members in a later epoch");
            let keys = self.keys_of_liars(epoch);
            self.collusion.old_keys = self.old_keys(epoch);
            self.collusion.begin_epoch(&self.epochs.of(epoch).config, keys);
            for machine in 0..self.members.len() {
                let seat = self.liar_seat(self.members[machine].replica);
                if let (Some(adversary), Some(seat)) = (&mut self.members[machine].adversary, seat) {
                    adversary.sit(seat);
                }
            }
        }
    }

    /// The keys of the Byzantine members in an epoch, by index.
    fn keys_of_liars(&self, epoch: Epoch) -> BTreeMap<ReplicaId, SecretKey> {
        let rules = self.epochs.of(epoch);
        let liars = self.members.iter().filter(|member| member.adversary.is_some());
        let key = |member: &Member| {
            let seat = rules.seat(member.identity)?;
            let public = rules.context().committee.member(seat)?;
            let key = member.keys.iter().find(|key| key.public() == *public)?;
            Some((seat, key.clone()))
        };
        liars.filter_map(key).collect()
    }

    /// Keys that are void in an epoch: of members that have another one, by index, and of removed members,
    /// by the index of a member that has none.
    fn old_keys(&self, epoch: Epoch) -> BTreeMap<ReplicaId, SecretKey> {
        let rules = self.epochs.of(epoch);
        let committee = &rules.context().committee;
        let void = |key: &&SecretKey| committee.index_of(&key.public()).is_none();
        let mut old = BTreeMap::new();
        let mut removed = Vec::new();
        for member in self.members.iter().filter(|member| member.epoch <= epoch) {
            let Some(key) = member.keys.iter().find(void) else { continue };
            match rules.seat(member.identity) {
                Some(seat) => drop(old.insert(seat, key.clone())),
                None if !matches!(member.slot, Slot::Outside) || member.life > 0 => removed.push(key.clone()),
                None => {} // it was no member yet
            }
        }
        for seat in committee.replicas() {
            if !old.contains_key(&seat) {
                old.extend(removed.pop().map(|key| (seat, key)));
            }
        }
        old
    }

    /// The index of a machine's member in the epoch in which Byzantine members lie.
    fn liar_seat(&self, machine: ReplicaId) -> Option<ReplicaId> {
        self.seat_in(self.collusion.keys.epoch, machine)
    }

    /// The index there of a member with this index in an epoch.
    fn seat_among_liars(&self, epoch: Epoch, seat: ReplicaId) -> Option<ReplicaId> {
        let identity = self.epochs.of(epoch).member(seat)?;
        self.epochs.of(self.collusion.keys.epoch).seat(identity)
    }

    /// The members to which a Byzantine one sends what it sends to all.
    fn targets(&self, machine: ReplicaId) -> Vec<ReplicaId> {
        self.liar_seat(machine).map(|me| self.collusion.others(me)).unwrap_or_default()
    }

    fn send_to_seat(&mut self, machine: ReplicaId, to: ReplicaId, packet: &Packet) {
        if let Some(to) = self.epochs.of(self.collusion.keys.epoch).member(to) {
            self.send(machine, to, packet, false);
        }
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
            self.send_to_seat(machine, outgoing.to, &packet);
            last = Some((outgoing.message, packet));
        }
    }

    /// A Byzantine member sends a message now.
    pub(crate) fn on_send(&mut self, machine: ReplicaId, outgoing: Outgoing) {
        self.send_delayed(machine, vec![outgoing]);
    }
}
