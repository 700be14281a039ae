//! Sends a member's messages once all its records are durable.

use quorate_engine::{Effects, End, MemberMessage};
use quorate_ledger::{Epoch, ReplicaId, VerifiedTransaction};
use quorate_pbft::{Message, To};

use crate::members::Speech;
use crate::network::Fate;
use crate::network::packet::Packet;
use crate::oracle::{Check, require};
use crate::world::{Occurrence, World};

pub(super) const LIMITS: &str = "wire limits";

impl World {
    /// Sends everything, unless a crash happens in between.
    pub(crate) fn send_effects(&mut self, replica: ReplicaId, effects: Effects) -> Check {
        if self.members[replica.index()].adversary.is_some() {
            return self.send_as_adversary(replica, effects);
        }
        if self.dies_opening(replica, &effects) {
            self.coverage.saw("a crash before a new view was sent");
            self.crash_any(replica);
            return Ok(());
        }
        let crash = self.member(replica).crash_when_speaking;
        if crash == Some(Speech::Before) {
            self.coverage.saw("a crash between journaling and sending");
            self.crash_any(replica);
            return Ok(());
        }
        let Effects { messages, gossip, resends, asks, answers, submissions, committed, ended, .. } = effects;
        let said = match crash {
            Some(_) if messages.len() > 1 => self.random.index(messages.len()),
            _ => messages.len(),
        };
        let amid = said < messages.len();
        for (to, message) in messages.into_iter().take(said) {
            self.send_protocol(replica, to, message)?;
        }
        if amid {
            self.coverage.saw("a crash in the middle of sending");
            self.crash_any(replica);
            return Ok(());
        }
        for batch in gossip {
            self.pass_on(replica, &batch, true)?;
        }
        if !resends.is_empty() {
            self.coverage.saw("a transaction resent");
            self.pass_on(replica, &resends, false)?;
        }
        for (to, fetch, ask) in asks {
            self.ask(replica, to, fetch, &ask)?;
        }
        for (ticket, answer) in answers {
            self.answer(replica, ticket, answer)?;
        }
        for (ticket, answer) in submissions {
            let process = self.member(replica).process().expect("it speaks");
            let number = process.submissions.remove(&ticket).expect("it was submitted");
            self.submission_answered(replica, number, &answer)?;
        }
        for block in committed {
            self.notify_committed(replica, block.height());
        }
        for end in ended {
            match end.end {
                End::Expired => self.notify_expired(replica, &end.id)?,
                End::Rejected(reason) => self.notify_rejected(replica, &end.id, reason)?,
            }
        }
        if self.members[replica.index()].leaving {
            return self.retire(replica);
        }
        self.next_wake(replica);
        Ok(())
    }

    /// Sometimes a new primary crashes with its NEW-VIEW journaled and not sent.
    fn dies_opening(&mut self, replica: ReplicaId, effects: &Effects) -> bool {
        let faults = !self.healed && self.knobs.fault_gap_ms > 0;
        let opens = effects.messages.iter().any(|(to, message)| {
            matches!(message, Message::NewView(new_view) if Some(new_view.vote.signer) == self.seat_in(new_view.vote.body.epoch, replica))
                && *to == To::All
        });
        faults && opens && self.random.permille(80)
    }

    fn send_protocol(&mut self, replica: ReplicaId, to: To, message: Message) -> Check {
        // The oracle knows the messages of a correct member since the member signed them.
        let epoch = message.epoch();
        if !self.members[replica.index()].is_correct_in(epoch) {
            self.learn_headers(&message);
        } else {
            // Blocks that a restored ledger no longer has were committed when the vote was signed.
            let tip = self.chain.tip_of(replica).max(self.watch.top_of(replica));
            let seat = self.seat_in(epoch, replica).expect("it signed in this epoch");
            self.epochs.of_mut(epoch).votes.sent(seat, &message, tip, &self.chain)?;
        }
        self.count_work(replica, to, &message);
        let bytes = MemberMessage::consensus(message);
        let limits = self.epochs.of(epoch).limits;
        require(bytes.len() <= limits.message, LIMITS, || format!("message of {} bytes", bytes.len()))?;
        match to {
            To::All => {
                self.send_all(replica, epoch, bytes, false);
            }
            To::One(to) => {
                let packet = Packet::new(replica, bytes);
                let to = self.epochs.of(epoch).member(to).expect("members send to members");
                self.send(replica, to, &packet, false);
            }
        }
        Ok(())
    }

    /// Counts the messages of healed members, except STATUS and evidence.
    fn count_work(&mut self, replica: ReplicaId, to: To, message: &Message) {
        let counted = self.core.contains(&replica)
            && match to {
                To::All => true,
                To::One(to) => {
                    self.epochs.of(message.epoch()).member(to).is_some_and(|to| self.core.contains(&to))
                }
            };
        // A member that left its view alone resends its VIEW-CHANGE until others follow, which they
        // do when there is work.
        let mute = matches!(message, Message::ViewChange(_))
            && self.members[replica.index()]
                .overview(self.agenda.now())
                .is_some_and(|stands| !stands.pbft.active);
        if counted && !mute && !matches!(message, Message::Status(_) | Message::Evidence(_)) {
            self.work += 1;
            if self.resting {
                self.note(format_args!("{replica} works on: {message:?}"));
            }
        }
    }

    fn pass_on(&mut self, replica: ReplicaId, batch: &[VerifiedTransaction], gossip: bool) -> Check {
        self.work += u64::from(self.core.contains(&replica));
        let bytes = MemberMessage::transactions(batch);
        let limits = self.rules_of(replica).limits;
        let limit = if gossip { limits.gossip } else { limits.message };
        require(bytes.len() <= limit, LIMITS, || format!("transactions of {} bytes", bytes.len()))?;
        self.send_all(replica, self.epoch_of(replica), bytes, gossip);
        Ok(())
    }

    /// Sends bytes to all other members of an epoch.
    fn send_all(&mut self, from: ReplicaId, epoch: Epoch, bytes: Vec<u8>, gossip: bool) {
        let me = self.members[from.index()].identity;
        let packet = Packet::new(me, bytes);
        let members = self.epochs.of(epoch).members().to_vec();
        for to in members.into_iter().filter(|to| *to != me) {
            self.send(from, to, &packet, gossip);
        }
    }

    /// Sends a message from a machine to a member, which means to all its machines.
    pub(crate) fn send(&mut self, from: ReplicaId, to: ReplicaId, packet: &Packet, gossip: bool) {
        for machine in self.machines_of(to) {
            self.send_to_machine(from, machine, packet, gossip);
        }
    }

    fn send_to_machine(&mut self, from: ReplicaId, to: ReplicaId, packet: &Packet, gossip: bool) {
        if self.filter.as_mut().is_some_and(|filter| !filter.passes(from, to, packet)) {
            return;
        }
        let now = self.agenda.now();
        let fate = if gossip { self.net.gossip(now, from, to) } else { self.net.send(now, from, to) };
        match fate {
            Fate::Lost => self.coverage.saw(if gossip { "gossip lost" } else { "a message lost" }),
            Fate::Arrives(times) => {
                if times.len() > 1 {
                    self.coverage.saw("a message duplicated");
                }
                let life = self.member(to).life;
                for at in times {
                    self.agenda.at(at, Occurrence::Arrive { to, life, packet: packet.clone() });
                }
            }
        }
    }
}
