//! Sends a member's messages once all its records are durable.

use std::time::Duration;

use quorate_engine::{Effects, FetchId, FetchRequest, FetchResponse, MemberMessage, Ticket, serve_committed};
use quorate_ledger::{Height, ReplicaId, TransactionId, VerifiedTransaction, encode};
use quorate_pbft::{Message, To};

use crate::clients::orders::End;
use crate::members::{Crash, Speech};
use crate::network::Fate;
use crate::network::packet::Packet;
use crate::oracle::{Check, require};
use crate::world::failed;
use crate::world::{Occurrence, World};

/// How long a member waits for a response before it counts as lost.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

const LIMITS: &str = "wire limits";

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
            self.notify_expired(replica, &end.id)?;
        }
        self.next_wake(replica);
        Ok(())
    }

    /// Sometimes a new primary crashes with its NEW-VIEW journaled and not sent.
    fn dies_opening(&mut self, replica: ReplicaId, effects: &Effects) -> bool {
        let faults = !self.healed && self.knobs.fault_gap_ms > 0;
        let opens = effects.messages.iter().any(|(to, message)| {
            matches!(message, Message::NewView(new_view) if new_view.vote.signer == replica) && *to == To::All
        });
        faults && opens && self.random.permille(80)
    }

    pub(crate) fn next_wake(&mut self, replica: ReplicaId) {
        let now = self.agenda.now();
        let member = self.member(replica);
        let time = member.now(now);
        let Some(process) = member.process() else { return };
        let deadline = process.engine.deadline(time).map(|moment| process.time_of(moment));
        let waiting = !process.inbox.is_empty();
        if let Some(deadline) = deadline {
            self.plan_wake(replica, deadline);
        }
        if waiting {
            self.plan_wake(replica, now);
        }
    }

    fn send_protocol(&mut self, replica: ReplicaId, to: To, message: Message) -> Check {
        self.votes.learn(&message);
        self.learn_headers(&message);
        if self.is_correct(replica) {
            // Blocks that a restored ledger no longer has were committed when the vote was signed.
            let tip = self.chain.tip_of(replica).max(self.watch.top_of(replica));
            self.votes.sent(replica, &message, tip, &self.chain)?;
        }
        self.count_work(replica, to, &message);
        let bytes = MemberMessage::consensus(message);
        require(bytes.len() <= self.limits.message, LIMITS, || format!("message of {} bytes", bytes.len()))?;
        match to {
            To::All => {
                self.send_all(replica, bytes, false);
            }
            To::One(to) => {
                let packet = Packet::new(replica, bytes);
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
                To::One(to) => self.core.contains(&to),
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
        let limit = if gossip { self.limits.gossip } else { self.limits.message };
        require(bytes.len() <= limit, LIMITS, || format!("transactions of {} bytes", bytes.len()))?;
        self.send_all(replica, bytes, gossip);
        Ok(())
    }

    pub(crate) fn answer(&mut self, replica: ReplicaId, ticket: Ticket, answer: FetchResponse) -> Check {
        let process = self.member(replica).process().expect("it speaks");
        let (by, life, fetch, ask) = process.requests.remove(&ticket).expect("it was asked");
        // A block that is not in flight may be committed: the node around an engine then reads the
        // ledger.
        let answer = match answer {
            FetchResponse::Nothing => {
                serve_committed(&process.engine.reader(), &ask).map_err(|error| failed(replica, &error))?
            }
            answer => answer,
        };
        let answer = self.adversary_response(replica, by, &ask, answer);
        let bytes = encode(&answer);
        require(bytes.len() <= self.limits.answer, LIMITS, || format!("answer of {} bytes", bytes.len()))?;
        let from = self.members[replica.index()].identity;
        if let Fate::Arrives(times) = self.net.send(self.agenda.now(), replica, by) {
            // Responses have a stream of their own: they arrive once or not at all.
            let bytes = Some(bytes);
            self.agenda.at(times[0], Occurrence::Answered { to: by, life, fetch, from, bytes });
        }
        Ok(())
    }

    fn send_all(&mut self, from: ReplicaId, bytes: Vec<u8>, gossip: bool) {
        let me = self.members[from.index()].identity;
        let packet = Packet::new(me, bytes);
        for to in self.genesis.committee().replicas().filter(|to| *to != me) {
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

    pub(crate) fn ask(&mut self, by: ReplicaId, to: ReplicaId, fetch: FetchId, ask: &FetchRequest) -> Check {
        self.work += u64::from(self.core.contains(&by) && self.core.contains(&to));
        if matches!(ask, FetchRequest::Ids { .. }) {
            self.coverage.saw("the ids of a block requested");
        }
        let bytes = encode(ask);
        require(bytes.len() <= self.limits.ask, LIMITS, || format!("request of {} bytes", bytes.len()))?;
        let life = self.member(by).life;
        let machines = self.machines_of(to);
        let machine = machines.iter().copied().find(|machine| self.net.is_connected(by, *machine));
        match self.net.send(self.agenda.now(), by, machine.unwrap_or(to)) {
            Fate::Arrives(times) => {
                let to = machine.unwrap_or(to);
                self.agenda.at(times[0], Occurrence::Asked { by, life, fetch, to, bytes });
            }
            // Some networks report a failed request, others leave it to the member's timeout.
            Fate::Lost if self.random.permille(500) => {
                let over = Occurrence::Answered { to: by, life, fetch, from: to, bytes: None };
                self.agenda.after(ANSWER_PATIENCE, over);
            }
            Fate::Lost => {}
        }
        Ok(())
    }

    /// Notifies clients of this member that a block is final.
    fn notify_committed(&mut self, replica: ReplicaId, height: Height) {
        let ids = self.chain.at(height).map(|link| link.ids.clone()).unwrap_or_default();
        for id in ids {
            if let Some(order) = self.orders.of_mut(&id) {
                order.end = Some(End::Committed);
            }
        }
        let member = self.member(replica);
        member.answered = member.answered.max(height);
    }

    /// Notifies clients of this member that a transaction can never be in a block.
    fn notify_expired(&mut self, replica: ReplicaId, id: &TransactionId) -> Check {
        self.coverage.saw("a waiting transaction expired");
        let tip = self.chain.tip_of(replica);
        let Some(order) = self.orders.of_mut(id) else {
            return require(false, "validity", || format!("no client submitted {id}, which expired"));
        };
        order.end.get_or_insert(End::Expired);
        let valid_until = order.valid_until.0;
        self.answers.expired(replica, tip, id, valid_until, &self.chain)
    }

    /// Crashes a member in a random way, and plans its restart.
    pub(crate) fn crash_any(&mut self, replica: ReplicaId) {
        if self.random.permille(400) {
            self.crash(replica, Crash::Killed);
        } else {
            self.crash_machine(replica);
        }
        self.revive_later(replica);
    }
}
