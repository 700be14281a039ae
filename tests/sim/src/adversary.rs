//! How liars take part: with a correct engine, and somebody else's mouth.

use std::time::Duration;

use quorate_engine::{Answer, Ask, Effects, MemberMessage};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::{Message, To};

use crate::byzantine::{Liar, Utterance};
use crate::oracle::Check;
use crate::packet::Packet;
use crate::world::{Occurrence, World};

impl World {
    /// Lets the liar of a machine do something, with the brain of all liars at hand.
    fn with_liar<T>(&mut self, machine: ReplicaId, act: impl FnOnce(&mut Self, &mut Liar) -> T) -> Option<T> {
        let mut liar = self.members[machine.index()].liar.take()?;
        let result = act(self, &mut liar);
        self.members[machine.index()].liar = Some(liar);
        Some(result)
    }

    /// A liar's engine wants to say something.
    pub(crate) fn speak_as_liar(&mut self, machine: ReplicaId, effects: Effects) -> Check {
        let me = self.members[machine.index()].identity;
        let Effects { messages, gossip, reminders, asks, answers, submissions, .. } = effects;
        for (to, message) in messages {
            let to = match to {
                To::All => self.brain.others(me),
                To::One(to) => vec![to],
            };
            let said: Vec<Utterance> = to.into_iter().map(|to| Utterance::new(to, message.clone())).collect();
            let saying = self.with_liar(machine, |world, liar| {
                let (brain, coverage) = (&mut world.brain, &mut world.coverage);
                said.into_iter()
                    .flat_map(|said| liar.utter(brain, said, |lie| coverage.saw(lie.situation())))
                    .collect()
            });
            self.utter_all(machine, saying.unwrap_or_default());
        }
        for batch in gossip.iter().chain([&reminders]).filter(|batch| !batch.is_empty()) {
            let packet = Packet::new(me, MemberMessage::transactions(batch));
            for to in self.brain.others(me) {
                let shares = self.with_liar(machine, |world, liar| liar.shares(&mut world.brain, to));
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
            process.submissions.remove(&ticket); // nobody believes what it says
        }
        self.next_wake(machine);
        Ok(())
    }

    /// What a liar answers instead.
    pub(crate) fn twist(&mut self, machine: ReplicaId, by: ReplicaId, ask: &Ask, answer: Answer) -> Answer {
        let to = self.members[by.index()].identity;
        let told = answer.clone();
        let twisted = self.with_liar(machine, |world, liar| {
            let (brain, coverage) = (&mut world.brain, &mut world.coverage);
            liar.answer(brain, to, ask, told, |lie| coverage.saw(lie.situation()))
        });
        twisted.unwrap_or(answer)
    }

    /// Whether the engine of a machine hears of a transaction.
    pub(crate) fn takes(&mut self, machine: ReplicaId, transaction: &VerifiedTransaction) -> bool {
        let takes = self.with_liar(machine, |world, liar| {
            let (brain, coverage) = (&mut world.brain, &mut world.coverage);
            liar.takes(brain, transaction, |lie| coverage.saw(lie.situation()))
        });
        takes.unwrap_or(true)
    }

    /// A liar hears something before its engine does.
    pub(crate) fn prick_up(&mut self, machine: ReplicaId, from: ReplicaId, packet: &Packet) {
        let Ok(MemberMessage::Consensus(message)) = MemberMessage::from_bytes(packet.bytes()) else { return };
        self.brain.note(from, &message);
        let saying = self.with_liar(machine, |world, liar| {
            let (brain, coverage) = (&mut world.brain, &mut world.coverage);
            liar.hear(brain, from, &message, |lie| coverage.saw(lie.situation()))
        });
        self.utter_all(machine, saying.unwrap_or_default());
    }

    /// A liar thinks of something to say, and plans to do so again.
    pub(crate) fn scheme(&mut self, machine: ReplicaId) {
        let interval = self.knobs.status_interval_ms;
        let pause = self.random.millis(interval / 2, 2 * interval);
        self.agenda.after(pause, Occurrence::Scheme(machine));
        if !self.members[machine.index()].is_up() {
            return;
        }
        let saying = self.with_liar(machine, |world, liar| {
            let (brain, coverage) = (&mut world.brain, &mut world.coverage);
            liar.tick(brain, |lie| coverage.saw(lie.situation()))
        });
        self.utter_all(machine, saying.unwrap_or_default());
    }

    fn utter_all(&mut self, machine: ReplicaId, saying: Vec<Utterance>) {
        let me = self.members[machine.index()].identity;
        let mut last: Option<(Message, Packet)> = None;
        for utterance in saying {
            if utterance.delay > Duration::ZERO {
                let (delay, life) = (utterance.delay, self.members[machine.index()].life);
                let utterance = Box::new(Utterance { delay: Duration::ZERO, ..utterance });
                self.agenda.after(delay, Occurrence::Utter { member: machine, life, utterance });
                continue;
            }
            let packet = match &last {
                Some((message, packet)) if *message == utterance.message => packet.clone(),
                _ => Packet::new(me, MemberMessage::consensus(utterance.message.clone())),
            };
            self.votes.learn(&utterance.message);
            self.learn_headers(&utterance.message);
            self.send(machine, utterance.to, &packet, false);
            last = Some((utterance.message, packet));
        }
    }

    /// A liar says something now.
    pub(crate) fn utter(&mut self, machine: ReplicaId, utterance: Utterance) {
        self.utter_all(machine, vec![utterance]);
    }
}
