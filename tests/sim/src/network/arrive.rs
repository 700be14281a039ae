//! Messages arrive at members, through the checks that precede the engine.

use quorate_engine::Event;
use quorate_ledger::ReplicaId;
use quorate_pbft::{CheckedContent, Message, Screen};

use crate::network::packet::{Opened, Packet};
use crate::oracle::{Check, require};
use crate::world::World;

impl World {
    pub(crate) fn arrive(&mut self, to: ReplicaId, life: u64, packet: &Packet) -> Check {
        if !self.lives(to, life) {
            return Ok(());
        }
        let sender = packet.from();
        let Some(from) = self.rules_of(to).seat(sender) else {
            self.coverage.saw("a message of a member of another epoch");
            return Ok(());
        };
        if let Some(message) = packet.consensus()
            && message.epoch() != self.epoch_of(to)
        {
            self.arrive_from_epoch(to, from, message);
            return Ok(());
        }
        let opened = match packet.open(from, self.rules_of(to).context(), &self.signatures) {
            Ok(opened) => opened,
            Err(reason) => {
                require(self.lies(sender), "messages of correct members are valid", || {
                    format!("from {sender} to {to}: {reason}")
                })?;
                self.coverage.saw("a Byzantine member's message refused");
                return Ok(());
            }
        };
        self.note(format_args!(
            "{sender} > {to} {} bytes, first {:?}",
            packet.bytes().len(),
            packet.bytes()[1]
        ));
        if self.members[to.index()].adversary.is_some() {
            self.adversary_receives(to, from, packet);
        }
        match opened {
            Opened::Consensus(message) => {
                if !self.screened(to, from, packet) {
                    return Ok(());
                }
                if let CheckedContent::NewView(new_view) = message.content()
                    && self.is_correct(to)
                {
                    self.new_view_arrives(new_view)?;
                }
                self.give(to, Event::Consensus { from, message });
            }
            Opened::Transactions(mut transactions) => {
                transactions.retain(|transaction| self.accepts_transaction(to, transaction));
                self.give(to, Event::Gossiped(transactions));
            }
        }
        Ok(())
    }

    /// A message of another epoch arrives. It is dropped, but a STATUS of a later epoch shows that the
    /// receiver is behind (R26f).
    fn arrive_from_epoch(&mut self, to: ReplicaId, from: ReplicaId, message: &Message) {
        let epoch = self.epoch_of(to);
        self.note(format_args!("{from} > {to} of epoch {}, not {epoch}", message.epoch()));
        match message {
            Message::Status(status) if status.epoch > epoch => {
                self.coverage.saw("a STATUS of a later epoch");
                self.give(to, Event::Ahead { from, committed: status.committed });
            }
            _ if message.epoch() > epoch => self.coverage.saw("a message of a later epoch"),
            _ => self.coverage.saw("a message of an earlier epoch"),
        }
    }

    /// Whether a node would check this message (R25). The message is checked before, because that
    /// costs less here than to decide first.
    fn screened(&mut self, to: ReplicaId, from: ReplicaId, packet: &Packet) -> bool {
        let Some(message) = packet.consensus() else { return true };
        let now = self.agenda.now();
        let config = &self.epochs.of(self.members[to.index()].epoch).config;
        let member = &mut self.members[to.index()];
        let me = self.epochs.of(member.epoch).seat(member.identity).expect("only members run");
        let Some(process) = member.process() else { return true };
        let moment = process.moment(now);
        let screen =
            process.screens.entry(from).or_insert_with(|| Screen::new(config.pbft.clone(), me, from));
        let position = process.position.get_or_insert_with(|| process.engine.position());
        // The screen removes what is known from the message. The engine here receives all of it.
        let admitted = screen.admit(moment, position, &mut message.clone()).is_ok();
        if !admitted {
            self.coverage.saw("a message not worth checking");
        }
        admitted
    }
}
