//! What was lost on the way is found by exchange of STATUS and sent again (R14).

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId, Signers, View};

use crate::messages::{CheckedProposal, CheckedStatus, MAX_STATUS_SLOTS, Message, SlotStatus, Status};
use crate::replica::Replica;
use crate::signing::state::Voice;
use crate::step::{Step, To};
use crate::time::{Moment, Now};
use crate::votes::slot::Slot;

/// STATUS of one member is answered at most this many times per status interval: whoever asks more often is
/// not lacking more.
const ANSWERS_PER_INTERVAL: u32 = 4;

/// What a member was sent in answer to its STATUS and its connections, whatever the channel.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// When its STATUS was last answered.
    last: Option<Moment>,
    /// When the first STATUS on a new channel was last answered before its turn, or with messages that are young.
    out_of_turn: Option<Moment>,
    /// Whether the first STATUS on the present channel was answered as such.
    knows_channel: bool,
    /// When our VIEW-CHANGE was last sent because it connected.
    greeted: Option<Moment>,
}

impl Replica {
    /// Tells a member that just connected where we stand. Our VIEW-CHANGE goes with it once in a status interval:
    /// connecting again buys nothing that is not sent anyway.
    pub(crate) fn greet(&mut self, now: Now, peer: ReplicaId, step: &mut Step) {
        let interval = self.config.status_interval;
        let answered = self.peers.answered.entry(peer).or_default();
        answered.knows_channel = false;
        let is_new = answered.greeted.is_none_or(|last| now.moment.since(last) >= interval);
        step.send(To::One(peer), Message::Status(self.status()));
        let Some(change) = self.own_view_change().filter(|_| is_new) else { return };
        self.peers.answered.entry(peer).or_default().greeted = Some(now.moment);
        step.send(To::One(peer), change);
    }

    /// Our VIEW-CHANGE, as long as the view has not begun.
    fn own_view_change(&self) -> Option<Message> {
        let own = self
            .views
            .changes
            .get(&self.signing.signer.replica())
            .filter(|own| own.view() == self.views.view);
        own.filter(|_| !self.views.active && !is(Mutant::ViewChangeSaidOnce))
            .map(|own| Message::ViewChange(own.message().clone()))
    }

    pub(crate) fn report_status(&mut self, now: Now, step: &mut Step) {
        if now.moment >= self.status_due() {
            self.peers.status_sent = Some(now.moment);
            step.send(To::All, Message::Status(self.status()));
            // R19: said again and again until the view begins: a lost round of it must not end everything.
            if let Some(change) = self.own_view_change() {
                step.send(To::All, change);
                // Who did not hear why would stay.
                let parting = self.views.departure_evidence.iter().cloned().map(Message::Evidence);
                parting.for_each(|evidence| step.send(To::All, evidence));
            }
        }
    }

    /// When STATUS is said to all again: after an interval, but as often as it may be answered while nothing may be
    /// signed yet (R24), or while something stands still.
    pub(crate) fn status_due(&self) -> Moment {
        let Some(sent) = self.peers.status_sent else { return Moment::default() };
        let soon = sent.after(self.config.status_interval / ANSWERS_PER_INTERVAL);
        let late = sent.after(self.config.status_interval);
        if matches!(self.signing.state, Voice::Probing(_)) {
            return soon;
        }
        self.standing_since()
            .map_or(late, |since| soon.max(since.after(self.patience_with_heights())).min(late))
    }

    /// Since when the lowest height stands still that correct members work on. What liars alone speak of does not
    /// count: it would make everybody talk for nothing.
    fn standing_since(&self) -> Option<Moment> {
        let open = |height: Height, view: View, slot: &Slot| {
            view == self.views.view && self.in_flight_at(height).is_some()
                || view >= self.views.view && self.is_voted_on(slot)
        };
        self.log
            .slots
            .iter()
            .find(|((height, view), slot)| open(*height, *view, slot))
            .map(|(_, slot)| slot.since)
    }

    /// Whether f + 1 members have voted there, one of them at least correct.
    fn is_voted_on(&self, slot: &Slot) -> bool {
        let voters = Signers::of(slot.prepares.signers().iter().chain(slot.commits.signers().iter())).count();
        voters >= self.config.committee.one_honest()
    }

    /// What is older without having got on stands still. More than [`Replica::youth`], so that what we ask for is old
    /// enough to be sent again where it was said a little later than it is missed here.
    fn patience_with_heights(&self) -> Duration {
        self.config.status_interval / 2
    }

    /// What is younger is on its way, and not lost.
    fn youth(&self) -> Duration {
        self.config.status_interval * 3 / 8
    }

    /// Where this replica stands.
    pub fn status(&self) -> Status {
        let slots = self
            .log
            .slots
            .iter()
            .filter(|((_, view), _)| *view == self.views.view)
            .take(MAX_STATUS_SLOTS as usize)
            .map(|((height, _), slot)| SlotStatus {
                height: *height,
                proposal: slot.proposal().map(|proposal| proposal.ballot().block),
                prepares: slot.prepares.signers(),
                commits: slot.commits.signers(),
            })
            .collect();
        Status {
            epoch: self.config.epoch,
            view: self.views.view,
            active: self.views.active,
            committed: self.chain.tip.height,
            committed_hash: self.chain.tip_hash,
            stable: self.checkpoints.stable_height(),
            mark: self.signing.signer.mark(),
            probing: matches!(self.signing.state, Voice::Probing(_)),
            superseded: self.unproven_superseded(),
            slots,
        }
    }

    pub(crate) fn on_status(&mut self, now: Now, from: ReplicaId, checked: &CheckedStatus, step: &mut Step) {
        let status = checked.claim();
        self.peers.heads.insert(from, status.committed);
        if let Some(theirs) = checked.superseded() {
            self.accuse_of_other_than_final(theirs, step);
        }
        let interval = self.config.status_interval;
        let answered = self.peers.answered.entry(from).or_default();
        // The first STATUS on a new channel: whatever was sent before it is lost, however young. One such answer in an
        // interval is all that a member gets for connecting again.
        let fresh_channel = !answered.knows_channel
            && answered.out_of_turn.is_none_or(|last| now.moment.since(last) >= interval);
        let pause = interval / ANSWERS_PER_INTERVAL;
        let paused = answered.last.is_some_and(|last| now.moment.since(last) < pause);
        if paused && !fresh_channel {
            return;
        }
        answered.last = Some(now.moment);
        answered.knows_channel |= fresh_channel;
        let mut out_of_turn = paused;
        self.remind(from, status, step);
        self.repeat_checkpoints(from, status, step);
        if let Some(entered) = &self.views.entered
            && status.lacks_view(entered.view())
        {
            step.send(To::One(from), Message::NewView(entered.message().clone()));
        }
        let mut lacking = Vec::new();
        for ((height, view), slot) in &self.log.slots {
            // What they committed they need no more.
            let young = now.moment.since(slot.since) < self.youth();
            // Also of a view that was left here: what was said there can still complete a certificate.
            if *view != status.view || *height <= status.committed {
                continue;
            }
            let theirs = status.slots.iter().find(|theirs| theirs.height == *height);
            let contradicts = slot.contradicts(theirs.and_then(|theirs| theirs.proposal));
            if young && !fresh_channel && !contradicts {
                continue;
            }
            let before = lacking.len();
            lacking.extend(self.lacking(slot, theirs));
            out_of_turn |= young && fresh_channel && lacking.len() > before;
        }
        if out_of_turn {
            self.peers.answered.entry(from).or_default().out_of_turn = Some(now.moment);
        }
        self.counters.repaired += lacking.len() as u64;
        for message in lacking.into_iter().filter(|_| !is(Mutant::NothingRepaired)) {
            step.send(To::One(from), message);
        }
    }

    /// Our part of a slot that the other side does not have.
    fn lacking<'a>(
        &'a self,
        slot: &'a Slot,
        theirs: Option<&SlotStatus>,
    ) -> impl Iterator<Item = Message> + use<'a> {
        let me = self.signing.signer.replica();
        let (proposal, prepares, commits) = theirs
            .map_or((None, Signers::default(), Signers::default()), |theirs| {
                (theirs.proposal, theirs.prepares, theirs.commits)
            });
        // R22: two proposals for one height in one view are evidence for the one who has both.
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
