//! Checks what members do, before any other member receives it: all rules that hold at every
//! moment, and the situations of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Effects, Notice, Overview};
use quorate_governance::{Config, Outcome};
use quorate_ledger::{Ballot, CommitCertificate, Epoch, Header, Height, ReplicaId, View};
use quorate_pbft::{CheckedNewView, Message, NewViewMessage, Phase, SigningStatus};

use crate::oracle::accepted::{Accepted, Voter};
use crate::oracle::chain::data_of_members;
use crate::oracle::received::Look;
use crate::oracle::votes::Votes;
use crate::oracle::{Check, Violation, failed, journal, require};
use crate::world::World;

const CONFIGURATION: &str = "all members have the same configuration";

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
    /// Members that lost statements, and vote again in a later epoch.
    returned: BTreeSet<ReplicaId>,
}

impl Watch {
    /// The highest block that a member ever had.
    pub fn top_of(&self, member: ReplicaId) -> Height {
        self.tops.get(&member).copied().unwrap_or(Height(0))
    }

    /// A member is in another epoch. Its views and timeouts start again.
    pub fn enter_epoch(&mut self, member: ReplicaId) {
        self.timeouts.remove(&member);
        self.left.remove(&member);
        self.entered.remove(&member);
        self.proofs.retain(|(owner, _, _), _| *owner != member);
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
        let epoch = self.epoch_of(replica);
        let faulty = self.faulty_in(epoch);
        journal::check(&stands, &self.epochs.of(epoch).knobs)?;
        let tip = self.chain.tip_of(replica);
        let me = self.seat_of(replica);
        let signs = self.accepts(replica, effects, &stands, tip)?;
        self.epochs.acts(replica, epoch, signs)?;
        let rules = self.epochs.of_mut(epoch);
        for (_, message) in &effects.messages {
            require(message.epoch() == epoch, "members speak of their epoch", || {
                format!("member {replica} in epoch {epoch} sends {message:?}")
            })?;
            rules.votes.given(me, message, tip)?;
            rules.votes.is_prepared(me, message, &faulty, &rules.knobs)?;
            rules.locks.given(me, message, &faulty)?;
        }
        rules.votes.stands(me, &stands.pbft)?;
        self.commits(replica, effects)?;
        let rules = self.epochs.of(epoch);
        rules.accepted.stands(&stands.pbft, &self.chain, &rules.locks, &rules.knobs)?;
        self.check_bounds(replica, effects)?;
        self.check_conclusions(replica, effects, &stands)?;
        let rules = self.epochs.of_mut(epoch);
        for (_, message) in &effects.messages {
            rules.checkpoints.given(&stands, message, &rules.knobs, &self.chain)?;
        }
        rules.checkpoints.stands(&stands, &rules.knobs, &faulty)?;
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

    /// Whether a correct member may sign the new statements in its messages. Returns whether there are
    /// any.
    fn accepts(
        &mut self,
        replica: ReplicaId,
        effects: &Effects,
        stands: &Overview,
        tip: Height,
    ) -> Result<bool, Violation> {
        let me = self.seat_of(replica);
        let mut signs = false;
        let wall = self.members[replica.index()].clock.read(self.agenda.now());
        for (_, message) in &effects.messages {
            self.learn_headers(message);
            let rules = self.epochs.of(self.epoch_of(replica));
            if !rules.votes.is_new(me, message) {
                continue;
            }
            signs = true;
            let voter = Voter { tip, stands: &stands.pbft, wall };
            rules.accepted.votes(me, message, &voter, &self.chain, &rules.locks, &rules.knobs)?;
            if let Message::ViewChange(change) = message
                && change.vote.signer == me
            {
                Accepted::leaves(me, change, &stands.pbft)?;
            }
        }
        Ok(signs)
    }

    /// R26b: all statements of an epoch are about its heights. The configuration of the next height is
    /// that of the chain.
    fn check_bounds(&self, replica: ReplicaId, effects: &Effects) -> Check {
        let rules = self.rules_of(replica);
        for (_, message) in &effects.messages {
            let height = match message {
                Message::PrePrepare(proposal) => proposal.vote.body.0.height,
                Message::Prepare(vote) => vote.body.0.height,
                Message::Commit(vote) => vote.body.0.height,
                Message::Checkpoint(vote) => vote.body.height,
                _ => continue,
            };
            rules.is_about(height, || format!("member {replica} sends {message:?}"))?;
        }
        let network = self.members[replica.index()].engine().expect("it is up").network();
        let known = self.chain.config(self.chain.tip_of(replica).next());
        require(known.is_some_and(|known| is_same(known, network)), CONFIGURATION, || {
            format!("member {replica} at {} has {network:?}, not {known:?}", self.chain.tip_of(replica))
        })
    }

    /// A member sends a message: its headers are recorded.
    pub(crate) fn learn_headers(&mut self, message: &Message) {
        if message.epoch() > self.epochs.newest() {
            return; // of an epoch that a Byzantine member invented
        }
        let rules = self.epochs.of_mut(message.epoch());
        let mut learn = |header: &Header| {
            let block = header.hash();
            rules.votes.learn(block, header);
            rules.accepted.learn(block, header);
        };
        match message {
            Message::PrePrepare(proposal) => learn(&proposal.header),
            Message::ViewChange(change) => {
                change.payload.prepared.iter().for_each(|certificate| learn(certificate.header()));
            }
            Message::NewView(new_view) => learn_parents(&mut rules.votes, new_view),
            _ => {}
        }
    }

    /// Whether a correct member did what it must after the messages that it received.
    fn check_conclusions(&mut self, replica: ReplicaId, effects: &Effects, stands: &Overview) -> Check {
        let (epoch, me) = (self.epoch_of(replica), self.seat_of(replica));
        let member = &self.members[replica.index()];
        let engine = member.engine().expect("it is up");
        let scheduled = self.chain.state().next_epoch_start().and_then(Height::previous);
        let is_newest = epoch == self.epochs.newest();
        let rules = self.epochs.of_mut(epoch);
        let look = Look {
            member: me,
            now: self.agenda.now(),
            stands,
            effects,
            evidence: engine.evidence(),
            slow: member.slowness > 1,
            again: rules.locks.end(stands.pbft.view),
            overtaken: rules.accepted.is_overtaken(me, stands.pbft.view),
            over: rules.last.is_some_and(|last| stands.pbft.committed >= last),
            end: rules.last.or(scheduled.filter(|_| is_newest)),
        };
        rules.heard.handled(&look)?;
        if self.knobs.keeps_claims() {
            let (now, tip) = (self.agenda.now(), stands.pbft.committed);
            for (to, fetch, ask) in &effects.asks {
                rules.asked.asks(now, me, *to, *fetch, ask, tip)?;
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
        if member.epoch == self.collusion.keys.epoch {
            self.collusion.view = self.collusion.view.max(stands.pbft.view);
        }
        for block in &effects.committed {
            if block.height() > self.collusion.tip.0 {
                self.collusion.tip = (block.height(), block.hash());
            }
        }
        if member.epoch == self.collusion.keys.epoch {
            for (_, message) in &effects.messages {
                self.collusion.note(stands.replica, message);
            }
        }
        Ok(())
    }

    /// A member that does not lie reports blocks as committed: they are the next ones of its chain.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn commits(&mut self, replica: ReplicaId, effects: &Effects) -> Check {
        if effects.committed.is_empty() {
            return Ok(());
        }
        let reader = self.members[replica.index()].engine().expect("it is up").reader();
        for block in &effects.committed {
            let (height, hash) = (block.height(), block.hash());
            self.note(format_args!("{replica} commits {height} {hash}"));
            let news = height > self.chain.height();
            self.chain.committed(replica, block, &self.orders)?;
            if news {
                self.cover_operations(height);
            }
            self.follow_chain();
            self.answers.committed(block.body().ids())?;
            if self.chain.at(height).is_some_and(|link| link.is_filler) {
                self.coverage.saw("an early empty block");
            } else if block.body().ids().is_empty() {
                self.coverage.saw("an empty block for an expired transaction");
            }
            let certificate = |height| reader.certificate(height).map_err(|error| failed(replica, &error));
            if let Some(certificate) = certificate(height)? {
                self.is_certified(&certificate)?;
                self.learn_certificate(replica, &certificate);
                continue;
            }
            self.coverage.saw("a block finalised through a descendant");
            let mut above = height;
            while above < effects.committed.last().expect("there is one").height() {
                above = Height(above.0 + 1);
                if let Some(found) = certificate(above)? {
                    let view = found.ballot().view;
                    let rules = self.epochs.of(found.ballot().epoch);
                    let primary = rules.context().committee.primary(view);
                    if block.header().proposer != primary && view > View(0) {
                        self.coverage.saw("a block final through a descendant of a later view");
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Counts the situations of the operations in a new block.
    fn cover_operations(&mut self, height: Height) {
        let Some(link) = self.chain.at(height) else { return };
        for (_, outcome) in &link.outcomes {
            self.coverage.saw(match outcome {
                Outcome::Executed => "an operation executed",
                Outcome::Failed(_) => "an operation failed",
            });
        }
        let data = data_of_members(&link.ids, &self.orders, &link.config);
        if !data.is_empty() {
            self.coverage.saw("a block with transactions of registered clients only");
        }
        if data.values().any(|count| *count == link.config.member_quota().transactions) {
            self.coverage.saw("a block that uses up a quota");
        }
        let (before, now) = (&link.config, self.chain.state().next_config());
        if before.epoch() == now.epoch() {
            if before.settings() != now.settings() || before.client_count() != now.client_count() {
                self.coverage.saw("a change within an epoch");
            }
            return;
        }
        let names =
            |config: &Config| config.members().iter().map(|it| it.name.clone()).collect::<BTreeSet<_>>();
        self.coverage.saw(if names(before) != names(now) {
            "an epoch change: members"
        } else if before.committee().members() != now.committee().members() {
            "an epoch change: rotation"
        } else if before.settings() != now.settings() {
            "an epoch change: parameters"
        } else {
            "an epoch change: renewal"
        });
        if now.epoch() > Epoch(1) {
            self.coverage.saw("several epoch changes in a run");
        }
    }

    /// A certificate is for a height of its epoch, and contains only signed statements.
    pub(super) fn is_certified(&self, certificate: &CommitCertificate) -> Check {
        let Ballot { epoch, height, .. } = *certificate.ballot();
        let rules = self.epochs.of(epoch);
        rules.is_about(height, || "a certificate".to_owned())?;
        rules.votes.is_certified(certificate, &self.faulty_in(epoch))
    }

    /// The last block of a member has this certificate.
    pub(crate) fn learn_certificate(&mut self, replica: ReplicaId, certificate: &CommitCertificate) {
        let Ballot { epoch, view, .. } = *certificate.ballot();
        if let Some(seat) = self.seat_in(epoch, replica) {
            self.epochs.of_mut(epoch).accepted.certified(seat, view);
        }
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
        let full = top.0 >= stands.pbft.stable.0 + self.rules_of(replica).knobs.log_window;
        if full && stands.pbft.primary == stands.replica && stands.mempool.transactions > 0 {
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
        let lost = self.members[replica.index()].tainted.is_some();
        if lost && stands.pbft.signing == SigningStatus::Voting && self.watch.returned.insert(replica) {
            self.coverage.saw("a recovering member that votes in the next epoch");
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
        let epoch = message.vote.body.epoch;
        let faulty = self.faulty_in(epoch);
        let rules = self.epochs.of_mut(epoch);
        learn_parents(&mut rules.votes, message);
        rules.votes.is_wanted(message, &faulty, &rules.knobs)?;
        let shape = rules.locks.opened(message, &self.chain)?;
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

/// The headers in the certificates of a NEW-VIEW show the parents of blocks.
fn learn_parents(votes: &mut Votes, new_view: &NewViewMessage) {
    let prepared = new_view.view_changes.iter().flat_map(|change| &change.payload.prepared);
    for certificate in prepared {
        let header = certificate.header();
        votes.learn(header.hash(), header);
    }
}

/// Whether two configurations judge blocks alike.
fn is_same(one: &Config, other: &Config) -> bool {
    one.epoch_start() == other.epoch_start()
        && one.committee() == other.committee()
        && one.members() == other.members()
        && one.settings() == other.settings()
        && one.candidates() == other.candidates()
        && one.client_count() == other.client_count()
}
