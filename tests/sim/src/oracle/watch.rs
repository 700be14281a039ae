//! Checks what members do, before any other member receives it: all rules that hold at every
//! moment, and the situations of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Effects, Notice, Overview};
use quorate_ledger::{Header, Height, ReplicaId, View};
use quorate_pbft::{CheckedNewView, Message, NewViewMessage, Phase, SigningStatus};

use crate::oracle::accepted::{Accepted, Voter};
use crate::oracle::received::Look;
use crate::oracle::{Check, failed, journal};
use crate::world::World;

/// State of members that is kept from one moment to the next.
#[derive(Debug, Default)]
pub struct Watch {
    timeouts: BTreeMap<ReplicaId, Duration>,
    pub(super) left: BTreeMap<ReplicaId, View>,
    pub(super) entered: BTreeMap<ReplicaId, View>,
    pub(super) proofs: BTreeMap<(ReplicaId, u64, ReplicaId), u64>,
    /// The highest block that each member ever had.
    tops: BTreeMap<ReplicaId, Height>,
    /// NEW-VIEWs that were already checked.
    openings: BTreeSet<[u8; 64]>,
    /// Members that lost power together with all others, and have sent nothing since.
    dark: BTreeSet<ReplicaId>,
}

impl Watch {
    /// The highest block that a member ever had.
    pub fn top_of(&self, member: ReplicaId) -> Height {
        self.tops.get(&member).copied().unwrap_or(Height(0))
    }

    /// These members lost power together.
    pub fn cut_all_power(&mut self, members: &[ReplicaId]) {
        self.dark = members.iter().copied().collect();
    }
}

impl World {
    /// A correct member has handled something; its messages are not sent yet.
    pub(crate) fn examine(&mut self, replica: ReplicaId, effects: &Effects) -> Check {
        let now = self.agenda.now();
        let stands = self.members[replica.index()].overview(now).expect("it just handled something");
        let faulty = self.faulty();
        journal::check(&stands, &self.knobs)?;
        let tip = self.chain.tip_of(replica);
        self.accepts(replica, effects, &stands, tip)?;
        for (_, message) in &effects.messages {
            self.votes.given(replica, message, tip)?;
            self.votes.is_prepared(replica, message, &faulty, &self.knobs)?;
            self.locks.given(replica, message, &faulty)?;
        }
        self.votes.stands(replica, &stands.pbft)?;
        self.commits(replica, effects)?;
        self.accepted.stands(&stands.pbft, &self.chain, &self.locks, &self.knobs)?;
        self.check_conclusions(replica, effects, &stands)?;
        for (_, message) in &effects.messages {
            self.checkpoints.given(&stands, message, &self.knobs, &self.chain)?;
        }
        self.checkpoints.stands(&stands, &self.knobs, &faulty)?;
        self.watch.tops.insert(replica, stands.pbft.committed.max(self.watch.top_of(replica)));
        if self.member(replica).behind.is_some_and(|top| top <= stands.pbft.committed) {
            self.member(replica).behind = None;
        }
        for notice in &effects.notices {
            self.noticed(replica, notice, &faulty)?;
        }
        self.cover(replica, &stands);
        Ok(())
    }

    /// Whether a correct member may sign the new statements in its messages.
    fn accepts(&mut self, replica: ReplicaId, effects: &Effects, stands: &Overview, tip: Height) -> Check {
        let wall = self.members[replica.index()].clock.read(self.agenda.now());
        for (_, message) in &effects.messages {
            self.learn_headers(message);
            if !self.votes.is_new(replica, message) {
                continue;
            }
            let voter = Voter { tip, stands: &stands.pbft, wall };
            self.accepted.votes(replica, message, &voter, &self.chain, &self.locks, &self.knobs)?;
            if let Message::ViewChange(change) = message
                && change.vote.signer == replica
            {
                Accepted::leaves(replica, change, &stands.pbft)?;
            }
        }
        Ok(())
    }

    /// A member sends a message: its headers are recorded.
    pub(crate) fn learn_headers(&mut self, message: &Message) {
        let mut learn = |header: &Header| {
            let block = header.hash();
            self.votes.learn(block, header);
            self.accepted.learn(block, header);
        };
        match message {
            Message::PrePrepare(proposal) => learn(&proposal.header),
            Message::ViewChange(change) => {
                change.payload.prepared.iter().for_each(|certificate| learn(certificate.header()));
            }
            Message::NewView(new_view) => self.learn_parents(new_view),
            _ => {}
        }
    }

    fn learn_parents(&mut self, new_view: &NewViewMessage) {
        let prepared = new_view.view_changes.iter().flat_map(|change| &change.payload.prepared);
        for certificate in prepared {
            let header = certificate.header();
            self.votes.learn(header.hash(), header);
        }
    }

    /// Whether a correct member did what it must after the messages that it received.
    fn check_conclusions(&mut self, replica: ReplicaId, effects: &Effects, stands: &Overview) -> Check {
        let member = &self.members[replica.index()];
        let look = Look {
            member: replica,
            now: self.agenda.now(),
            stands,
            effects,
            evidence: member.engine().expect("it is up").evidence(),
            slow: member.slowness > 1,
            again: self.locks.end(stands.pbft.view),
            overtaken: self.accepted.is_overtaken(replica, stands.pbft.view),
        };
        self.heard.handled(&look)?;
        if self.knobs.keeps_claims() {
            let (now, tip) = (self.agenda.now(), stands.pbft.committed);
            for (to, fetch, ask) in &effects.asks {
                self.asked.asks(now, replica, *to, *fetch, ask, tip)?;
            }
        }
        Ok(())
    }

    /// A member to which only the agreement rule applies has handled something.
    pub(crate) fn check_agreement_only(&mut self, replica: ReplicaId, effects: &Effects) -> Check {
        for notice in &effects.notices {
            if let Notice::Recovering { .. } = notice {
                self.coverage.saw("a recovering member");
            }
        }
        let member = &self.members[replica.index()];
        if member.adversary.is_none() {
            return self.commits(replica, effects);
        }
        let Some(stands) = member.overview(self.agenda.now()) else { return Ok(()) };
        self.collusion.view = self.collusion.view.max(stands.pbft.view);
        for block in &effects.committed {
            if block.height() > self.collusion.tip.0 {
                self.collusion.tip = (block.height(), block.hash());
            }
        }
        let me = member.identity;
        for (_, message) in &effects.messages {
            self.collusion.note(me, message);
        }
        Ok(())
    }

    fn commits(&mut self, replica: ReplicaId, effects: &Effects) -> Check {
        if effects.committed.is_empty() {
            return Ok(());
        }
        let faulty = self.faulty();
        let reader = self.members[replica.index()].engine().expect("it is up").reader();
        for block in &effects.committed {
            let (height, hash) = (block.height(), block.hash());
            self.note(format_args!("{replica} commits {height} {hash}"));
            self.chain.committed(replica, block, &self.orders)?;
            self.answers.committed(block.body().ids())?;
            if block.body().ids().is_empty() {
                self.coverage.saw("an empty block for an expired transaction");
            }
            let certificate = |height| reader.certificate(height).map_err(|error| failed(replica, &error));
            if let Some(certificate) = certificate(height)? {
                self.votes.is_certified(&certificate, &faulty)?;
                self.accepted.certified(replica, certificate.ballot().view);
                continue;
            }
            self.coverage.saw("a block finalised through a descendant");
            let mut above = height;
            while above < effects.committed.last().expect("there is one").height() {
                above = Height(above.0 + 1);
                if let Some(found) = certificate(above)? {
                    let view = found.ballot().view;
                    let primary = view.0 % self.knobs.members as u64;
                    if u64::from(block.header().proposer.0) != primary && view > View(0) {
                        self.coverage.saw("a block final through a descendant of a later view");
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn cover(&mut self, replica: ReplicaId, stands: &Overview) {
        for slot in &stands.pbft.slots {
            match slot.phase {
                Phase::WaitingForParent => self.coverage.saw("a proposal waits for its parent"),
                Phase::WaitingForClock => self.coverage.saw("a proposal held for the clock"),
                _ => {}
            }
        }
        if stands.in_flight > 1 {
            self.coverage.saw("several blocks in flight");
        }
        let top = stands.pbft.slots.last().map_or(stands.pbft.committed, |slot| slot.height);
        let full = top.0 >= stands.pbft.stable.0 + self.knobs.log_window;
        if full && stands.pbft.primary == replica && stands.mempool.transactions > 0 {
            self.coverage.saw("proposals held back by the watermark");
        }
        let timeout = stands.pbft.request_timeout;
        match self.watch.timeouts.insert(replica, timeout) {
            Some(before) if timeout > before => self.coverage.saw("a timeout doubled"),
            Some(before) if timeout < before && stands.pbft.active => {
                self.coverage.saw("a timeout halved");
            }
            _ => {}
        }
        if self.watch.dark.contains(&replica) && stands.pbft.signing == SigningStatus::Voting {
            self.watch.dark.remove(&replica);
            self.coverage.saw("probes answered after a power loss of all");
        }
    }

    /// A correct member received a NEW-VIEW that passed all production checks.
    pub(crate) fn new_view_arrives(&mut self, new_view: &CheckedNewView) -> Check {
        let message = new_view.message();
        if !self.watch.openings.insert(*message.vote.signature.as_bytes()) {
            return Ok(());
        }
        self.learn_parents(message);
        self.votes.is_wanted(message, &self.faulty(), &self.knobs)?;
        let shape = self.locks.opened(message, &self.chain)?;
        match shape.again {
            0 => {}
            1 => self.coverage.saw("a new view with one block proposed again"),
            _ => self.coverage.saw("a new view with several blocks proposed again"),
        }
        if shape.truncated {
            self.coverage.saw("a new view that drops a prepared block");
        }
        if shape.inherited {
            self.coverage.saw("a block proposed again by another primary");
        }
        Ok(())
    }
}
