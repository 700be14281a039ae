//! Repair by STATUS: resending what other members lack (R14).

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId, Signers, View};

use crate::messages::Message;
use crate::messages::proposal::CheckedProposal;
use crate::messages::status::{CheckedStatus, MAX_STATUS_SLOTS, SlotStatus, Status};
use crate::repair::peers::{ANSWERS_PER_INTERVAL, Answer};
use crate::replica::Replica;
use crate::step::{Step, To};
use crate::time::{Moment, Now};
use crate::votes::slot::Slot;

impl Replica {
    /// Upon a new channel: sends STATUS, and this replica's VIEW-CHANGE at most once in a status
    /// interval (R14a, R14c).
    pub(crate) fn greet(&mut self, now: Now, peer: ReplicaId, step: &mut Step) {
        let is_new = self.peers.connected(peer, now.moment, self.config.status_interval);
        step.send(To::One(peer), Message::Status(self.status()));
        let Some(change) = self.own_view_change().filter(|_| is_new) else { return };
        self.peers.greeted(peer, now.moment);
        step.send(To::One(peer), change);
    }

    /// This replica's VIEW-CHANGE; `None` if its view has begun.
    fn own_view_change(&self) -> Option<Message> {
        let own = self.views.change_of(self.signing.replica()).filter(|own| own.view() == self.views.view());
        own.filter(|_| !self.views.is_active() && !is(Mutant::ViewChangeSaidOnce))
            .map(|own| Message::ViewChange(own.message().clone()))
    }

    pub(crate) fn report_status(&mut self, now: Now, step: &mut Step) {
        if now.moment >= self.status_due() {
            self.peers.set_status_sent(now.moment);
            step.send(To::All, Message::Status(self.status()));
            // R19a: resend until the view begins, since a lost VIEW-CHANGE could keep a quorum from
            // forming.
            if let Some(change) = self.own_view_change() {
                step.send(To::All, change);
                // R22c: a member that lacks the evidence would stay in the view.
                let parting = self.views.departure_evidence().cloned().into_iter().map(Message::Evidence);
                parting.for_each(|evidence| step.send(To::All, evidence));
            }
        }
    }

    /// When STATUS to all is due (R14a): after an interval, but as often as STATUS is answered
    /// while probing (R24a), or while a height is stalled (R14e).
    pub(crate) fn status_due(&self) -> Moment {
        let Some(sent) = self.peers.status_sent() else { return Moment::default() };
        let soon = sent.after(self.config.status_interval / ANSWERS_PER_INTERVAL);
        let late = sent.after(self.config.status_interval);
        if self.signing.is_probing() {
            return soon;
        }
        self.stalled_since().map_or(late, |since| soon.max(since.after(self.stall_threshold())).min(late))
    }

    /// The last activity of the lowest open height that correct members work on (R14e). Claims of f
    /// or fewer members do not count, since they would raise the rate of STATUS.
    fn stalled_since(&self) -> Option<Moment> {
        let open = |height: Height, view: View, slot: &Slot| {
            view == self.views.view() && self.in_flight_at(height).is_some()
                || view >= self.views.view() && self.is_voted_on(slot)
        };
        let stalled = self.log.slots().find(|(height, view, slot)| open(*height, *view, slot));
        stalled.map(|(_, _, slot)| slot.since)
    }

    /// Whether f + 1 members have voted in this slot, at least one of them correct.
    fn is_voted_on(&self, slot: &Slot) -> bool {
        let voters = Signers::of(slot.prepares.signers().iter().chain(slot.commits.signers().iter())).count();
        voters >= self.config.context.committee.weak_quorum()
    }

    /// R14e: a height without activity for this long is stalled. It is longer than
    /// [`Replica::youth`]: another replica may have seen the activity a little later, and must find
    /// it old enough to resend.
    fn stall_threshold(&self) -> Duration {
        self.config.status_interval / 2
    }

    /// R14b: heights with activity within this time are not resent. Their messages may be in
    /// flight.
    fn youth(&self) -> Duration {
        self.config.status_interval * 3 / 8
    }

    /// The STATUS of this replica.
    pub fn status(&self) -> Status {
        let slots = self
            .log
            .slots_of(self.views.view())
            .take(MAX_STATUS_SLOTS as usize)
            .map(|(height, slot)| SlotStatus {
                height,
                proposal: slot.proposal().map(|proposal| proposal.ballot().block),
                prepares: slot.prepares.signers(),
                commits: slot.commits.signers(),
            })
            .collect();
        Status {
            epoch: self.config.context.epoch(),
            view: self.views.view(),
            active: self.views.is_active(),
            committed: self.chain.height(),
            committed_hash: self.chain.hash(),
            stable: self.checkpoints.stable_height(),
            mark: self.signing.mark(),
            probing: self.signing.is_probing(),
            superseded: self.faults.superseded_in(self.views.view()).map(|vote| (**vote).clone()),
            slots,
        }
    }

    pub(crate) fn on_status(&mut self, now: Now, from: ReplicaId, checked: &CheckedStatus, step: &mut Step) {
        let status = checked.claim();
        self.peers.claims(from, status.committed);
        if let Some(theirs) = checked.superseded() {
            self.accuse_of_other_than_final(theirs, step);
        }
        let answer = self.peers.answer(from, now.moment, self.config.status_interval);
        let Some(Answer { fresh_channel, early }) = answer else { return };
        let mut out_of_turn = early;
        self.show_seen(from, status, step);
        self.repeat_checkpoints(from, status, step);
        if let Some(entered) = self.views.entered()
            && status.lacks_view(entered.view())
        {
            step.send(To::One(from), Message::NewView(entered.message().clone()));
        }
        let mut lacking = Vec::new();
        // A view that this replica has left counts too: its votes may still complete a certificate.
        for (height, slot) in self.log.slots_of(status.view) {
            let young = now.moment.since(slot.since) < self.youth();
            if height <= status.committed {
                continue;
            }
            let theirs = status.slots.iter().find(|theirs| theirs.height == height);
            let contradicts = slot.contradicts(theirs.and_then(|theirs| theirs.proposal));
            // R14b: two proposals that contradict each other must meet, also recent ones.
            if young && !fresh_channel && !contradicts {
                continue;
            }
            let before = lacking.len();
            lacking.extend(self.lacking(slot, theirs));
            out_of_turn |= young && fresh_channel && lacking.len() > before;
        }
        if out_of_turn {
            self.peers.answered_out_of_turn(from, now.moment);
        }
        self.counters.repaired += lacking.len() as u64;
        for message in lacking.into_iter().filter(|_| !is(Mutant::NothingRepaired)) {
            step.send(To::One(from), message);
        }
    }

    /// What this replica holds of a slot and the other lacks: the accepted proposal, and the own
    /// PREPARE and COMMIT.
    fn lacking<'a>(
        &'a self,
        slot: &'a Slot,
        theirs: Option<&SlotStatus>,
    ) -> impl Iterator<Item = Message> + use<'a> {
        let me = self.signing.replica();
        let (proposal, prepares, commits) = theirs
            .map_or((None, Signers::default(), Signers::default()), |theirs| {
                (theirs.proposal, theirs.prepares, theirs.commits)
            });
        // R14b: if the other names another proposal, send this one. The two are evidence (R22a).
        let proposal = match proposal {
            None => slot.accepted(),
            theirs => slot.proposal().filter(|_| slot.contradicts(theirs)),
        };
        let proposal = proposal.map(CheckedProposal::to_message);
        let prepare = (!prepares.contains(me)).then(|| slot.prepares.of(me)).flatten();
        let commit = (!commits.contains(me)).then(|| slot.commits.of(me)).flatten();
        proposal
            .into_iter()
            .chain(prepare.map(|vote| Message::Prepare(vote.clone().into_inner())))
            .chain(commit.map(|vote| Message::Commit(vote.clone().into_inner())))
    }
}
