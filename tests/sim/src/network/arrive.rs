//! Messages arrive at members, through the checks that precede the engine.

use quorate_engine::Event;
use quorate_ledger::ReplicaId;
use quorate_pbft::{CheckedContent, Screen};

use crate::network::packet::{Opened, Packet};
use crate::oracle::{Check, require};
use crate::world::World;

impl World {
    pub(crate) fn arrive(&mut self, to: ReplicaId, life: u64, packet: &Packet) -> Check {
        if !self.lives(to, life) {
            return Ok(());
        }
        let from = packet.from();
        let opened = match packet.open(&self.config.pbft.context, &self.signatures) {
            Ok(opened) => opened,
            Err(reason) => {
                let lie = self.collusion.keys.knows(from);
                require(lie, "messages of correct members are valid", || {
                    format!("from {from} to {to}: {reason}")
                })?;
                self.coverage.saw("a Byzantine member's message refused");
                return Ok(());
            }
        };
        self.note(format_args!(
            "{from} > {to} {} bytes, first {:?}",
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

    /// Whether a node would check this message (R25). The message is checked before, because that
    /// costs less here than to decide first.
    fn screened(&mut self, to: ReplicaId, from: ReplicaId, packet: &Packet) -> bool {
        let Some(message) = packet.consensus() else { return true };
        let now = self.agenda.now();
        let member = &mut self.members[to.index()];
        let identity = member.identity;
        let Some(process) = member.process() else { return true };
        let moment = process.moment(now);
        let screen = process
            .screens
            .entry(from)
            .or_insert_with(|| Screen::new(self.config.pbft.clone(), identity, from));
        let position = process.position.get_or_insert_with(|| process.engine.position());
        // The screen removes what is known from the message. The engine here receives all of it.
        let admitted = screen.admit(moment, position, &mut message.clone()).is_ok();
        if !admitted {
            self.coverage.saw("a message not worth checking");
        }
        admitted
    }
}
