//! Checks that need no signature and no hash of a tree: useless, repeated and too frequent messages
//! (R25).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use quorate_ledger::{Ballot, Domain, Epoch, Height, ReplicaId, Signed, View};

use crate::checkpoint::certificate::Checkpoint;
use crate::checkpoint::stable::KEPT;
use crate::config::Config;
use crate::evidence::PROOFS_MAX;
use crate::evidence::proof::Evidence;
use crate::evidence::superseded::final_other_than;
use crate::messages::Message;
use crate::messages::proposal::PrePrepare;
use crate::messages::statement::{Statement, Subject};
use crate::replica::VIEWS_AHEAD;
use crate::screen::position::{Known, Position, Stamp};
use crate::signing::seen::Seen;
use crate::time::Moment;
use crate::view_change::messages::{NewViewMessage, ViewChangeMessage};
use crate::view_change::statements::{NewView, ViewChange};

/// Proposals and votes of one member that are remembered to find repetitions (R25c). This is its
/// PREPARE and COMMIT for each of 2 W = 64 heights of the largest window, and as many proposals.
const REMEMBERED: usize = 192;

/// Why a message is not checked. It says nothing against its sender: correct members resend
/// messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// The replica would ignore it at its position (R25b).
    Useless,
    /// The same member sent it before, and the position has not changed since (R25c).
    Repeated,
    /// The member has sent more of this expensive kind than are checked in a status interval
    /// (R25d).
    TooOften,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dropped::Useless => "the replica would ignore it",
            Dropped::Repeated => "the same member sent it before",
            Dropped::TooOften => "the member sent too many of its kind in a status interval",
        })
    }
}

/// Decides which messages of one member are checked. Each member has its own screen, so one member
/// cannot cause messages of another to be dropped.
///
/// It drops what the replica would ignore (R25b) and what this member has sent before (R25c). Of
/// the expensive kinds it also drops what comes too often (R25d), because correct members resend
/// it.
#[derive(Debug)]
pub struct Screen {
    config: Config,
    me: ReplicaId,
    from: ReplicaId,
    /// Proposals and votes that passed, each with the stamp of the position at that time.
    passed: VecDeque<(Domain, Ballot, Stamp)>,
    view_changes: Allowance,
    new_views: Allowance,
    seen: Allowance,
    evidence: Allowance,
    /// Of all VIEW-CHANGEs and NEW-VIEWs that passed, the one of the highest view.
    latest_view_change: Option<ViewChange>,
    latest_new_view: Option<NewView>,
}

/// In a status interval: one message of an expensive kind, and one more if it is urgent (R25d).
#[derive(Debug, Default)]
struct Allowance {
    since: Option<Moment>,
    urgent_used: bool,
}

impl Allowance {
    fn admit(&mut self, now: Moment, interval: Duration, urgent: bool) -> Result<(), Dropped> {
        if self.since.is_none_or(|since| now.since(since) >= interval) {
            *self = Allowance { since: Some(now), urgent_used: false };
            return Ok(());
        }
        if urgent && !self.urgent_used {
            self.urgent_used = true;
            return Ok(());
        }
        Err(Dropped::TooOften)
    }
}

fn useless_if(useless: bool) -> Result<(), Dropped> {
    if useless { Err(Dropped::Useless) } else { Ok(()) }
}

impl Screen {
    /// A screen for the messages that `from` sends to `me`.
    pub fn new(config: Config, me: ReplicaId, from: ReplicaId) -> Self {
        Screen {
            config,
            me,
            from,
            passed: VecDeque::new(),
            view_changes: Allowance::default(),
            new_views: Allowance::default(),
            seen: Allowance::default(),
            evidence: Allowance::default(),
            latest_view_change: None,
            latest_new_view: None,
        }
    }

    /// Whether to check a message. `position` is the last one that the replica published. Takes the
    /// superseded proposal out of a STATUS, unless it would prove its signer faulty.
    ///
    /// # Errors
    /// [`Dropped`]: do not check the message.
    pub fn admit(&mut self, now: Moment, position: &Position, message: &mut Message) -> Result<(), Dropped> {
        self.useful(position, message)?;
        let interval = self.config.status_interval;
        match message {
            Message::PrePrepare(proposal) => self.repeated_proposal(position, &proposal.vote),
            Message::Prepare(vote) => self.first(Domain::Prepare, vote.body.0, position.stamp()),
            Message::Commit(vote) => self.first(Domain::Commit, vote.body.0, position.stamp()),
            Message::ViewChange(change) => {
                let body = change.vote.body;
                let urgent = self
                    .latest_view_change
                    .is_none_or(|latest| is_news(body.view, latest.view, body != latest));
                self.view_changes.admit(now, interval, urgent)?;
                self.latest_view_change = later(self.latest_view_change, body, |body| body.view);
                Ok(())
            }
            Message::NewView(new_view) => {
                let body = new_view.vote.body;
                let urgent =
                    self.latest_new_view.is_none_or(|latest| is_news(body.view, latest.view, body != latest));
                self.new_views.admit(now, interval, urgent)?;
                self.latest_new_view = later(self.latest_new_view, body, |body| body.view);
                Ok(())
            }
            Message::Seen(_) => self.seen.admit(now, interval, false),
            Message::Evidence(evidence) => {
                let urgent = self.is_about_primary(position, evidence);
                self.evidence.admit(now, interval, urgent)
            }
            Message::Status(status) => {
                status.superseded.take_if(|vote| !proves_a_fault(position, vote));
                Ok(())
            }
            Message::Checkpoint(_) => Ok(()),
        }
    }

    /// Like [`Screen::admit`], for the proposal that begins with this vote, so that the rest of it
    /// need not be read. Call only one of the two for a proposal.
    ///
    /// # Errors
    /// [`Dropped`]: do not check the proposal.
    pub fn admit_proposal(&mut self, position: &Position, vote: &Signed<PrePrepare>) -> Result<(), Dropped> {
        self.of_epoch(position, vote.body.0.epoch)?;
        self.useful_proposal(position, vote)?;
        self.repeated_proposal(position, vote)
    }

    fn repeated_proposal(&mut self, position: &Position, vote: &Signed<PrePrepare>) -> Result<(), Dropped> {
        self.first(Domain::PrePrepare, vote.body.0, position.stamp())
    }

    /// R25c: drops a proposal or vote that this member has sent before, if the position has the
    /// same stamp as then. The replica received the first copy at that position or a later one, and
    /// would treat this copy alike.
    fn first(&mut self, kind: Domain, ballot: Ballot, stamp: Stamp) -> Result<(), Dropped> {
        let entry = (kind, ballot, stamp);
        if self.passed.contains(&entry) {
            return Err(Dropped::Repeated);
        }
        if self.passed.len() == REMEMBERED {
            self.passed.pop_front();
        }
        self.passed.push_back(entry);
        Ok(())
    }

    /// Drops what the replica would ignore at its position (R25b). Compares fields only, whether or
    /// not the signatures are valid. [`Message::check`] refuses the rest.
    ///
    /// # Errors
    /// [`Dropped::Useless`].
    pub fn useful(&self, position: &Position, message: &Message) -> Result<(), Dropped> {
        self.of_epoch(position, message.epoch())?;
        match message {
            Message::PrePrepare(proposal) => self.useful_proposal(position, &proposal.vote),
            Message::Prepare(vote) if vote.signer == self.from => {
                let said = position.member(self.from).and_then(|known| known.said.prepare);
                let primary = self.config.context.committee.primary(vote.body.0.view);
                self.useful_vote(position, &vote.body.0, said)?;
                // R9: the replica ignores it, unless R24b has to remember it.
                useless_if(vote.signer == primary && !is_further(&vote.body.0, said))
            }
            Message::Commit(vote) if vote.signer == self.from => self.useful_commit(position, &vote.body.0),
            Message::ViewChange(change) if change.vote.signer == self.from => {
                self.useful_view_change(position, change)
            }
            Message::NewView(new_view) => useful_new_view(position, new_view),
            Message::Checkpoint(vote) if vote.signer == self.from => self.useful_checkpoint(position, vote),
            Message::Evidence(evidence) => self.useful_evidence(position, evidence),
            Message::Seen(seen) => self.useful_seen(position, seen),
            Message::Prepare(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::Checkpoint(_)
            | Message::Status(_) => Ok(()),
        }
    }

    /// R26f: drops messages of other epochs before any comparison of views. The position and this
    /// screen may be of different epochs for a moment.
    fn of_epoch(&self, position: &Position, claimed: Epoch) -> Result<(), Dropped> {
        useless_if(claimed != position.epoch || claimed != self.config.context.epoch())
    }

    fn useful_proposal(&self, position: &Position, vote: &Signed<PrePrepare>) -> Result<(), Dropped> {
        let (ballot, signer) = (&vote.body.0, vote.signer);
        // R9: a primary takes its own proposals from its journal alone.
        useless_if(signer == self.me)?;
        let Some(known) = position.member(signer) else { return Ok(()) };
        if is_further(ballot, known.said.pre_prepare) {
            return Ok(());
        }
        let here = position.slots.get(&(ballot.height, ballot.view)).copied().flatten();
        // The slot has this proposal; relayed copies change nothing.
        useless_if(here == Some(ballot.block))?;
        // R14d: another block than the one that became final in this view proves a fault, once.
        if proves_a_fault(position, vote) {
            return Ok(());
        }
        // R20c: another block than the one that the view proposes again proves a fault, whatever
        // has become final since.
        if ballot.view == position.view
            && position.again_through.is_some_and(|end| ballot.height <= end)
            && !known.accused.contains(&vote.body.subject())
        {
            return Ok(());
        }
        self.useful_vote(position, ballot, known.said.pre_prepare)
    }

    /// R22b: a COMMIT that the member's VIEW-CHANGE may not account for proves a fault, once,
    /// whatever its height and view.
    fn useful_commit(&self, position: &Position, ballot: &Ballot) -> Result<(), Dropped> {
        let Some(known) = position.member(self.from) else { return Ok(()) };
        let may_be_hidden =
            known.view_change.is_some_and(|left| left.view > ballot.view) && known.anchor < ballot.height;
        if may_be_hidden && !known.accused.iter().any(Subject::is_hidden_certificate) {
            return Ok(());
        }
        self.useful_vote(position, ballot, known.said.commit)
    }

    /// R7, R11: keeps a ballot whose slot the replica has or may make.
    fn useful_vote(
        &self,
        position: &Position,
        ballot: &Ballot,
        said: Option<(View, Height)>,
    ) -> Result<(), Dropped> {
        // R24b: what goes further than all known of the member is remembered, outside of the window
        // too.
        if is_further(ballot, said) {
            return Ok(());
        }
        useless_if(ballot.height <= position.committed)?;
        let is_past = ballot.view < position.view;
        useless_if(is_past && !position.slots.contains_key(&(ballot.height, ballot.view)))?;
        // The replica may have advanced since, so the bounds ahead are twice as wide as its own.
        useless_if(ballot.height > position.top.plus(2 * self.config.context.window))?;
        // The member may have sent a NEW-VIEW before, and the replica be in that view by now.
        let shown = self.latest_new_view.map_or(position.view, |latest| latest.view.max(position.view));
        useless_if(ballot.view.0 > shown.0.saturating_add(2 * VIEWS_AHEAD))
    }

    fn useful_view_change(&self, position: &Position, change: &ViewChangeMessage) -> Result<(), Dropped> {
        let Some(known) = position.member(self.from) else { return Ok(()) };
        let body = &change.vote.body;
        let Some(latest) = &known.view_change else { return Ok(()) };
        let is_further = known.said.view_change.is_none_or(|view| body.view > view);
        useless_if(!is_further && (body.view < latest.view || body == latest))
    }

    fn useful_checkpoint(&self, position: &Position, vote: &Signed<Checkpoint>) -> Result<(), Dropped> {
        let Some(known) = position.member(self.from) else { return Ok(()) };
        let height = vote.body.height;
        useless_if(!height.0.is_multiple_of(self.config.checkpoint_interval))?;
        let lowest = known.checkpoints.first().filter(|_| known.checkpoints.len() == KEPT);
        useless_if(lowest.is_some_and(|lowest| height < lowest.height))?;
        useless_if(known.checkpoints.contains(&vote.body))
    }

    /// Evidence that is known, or for which there is no room, is useful if the replica may leave a
    /// view because of it (R22c).
    fn useful_evidence(&self, position: &Position, evidence: &Evidence) -> Result<(), Dropped> {
        let Some(known) = position.member(evidence.culprit()) else { return Ok(()) };
        let subject = evidence.subject();
        let is_kept = known.accused.contains(&subject) || known.accused.len() >= PROOFS_MAX;
        let may_end_view =
            matches!(subject.kind, Domain::PrePrepare | Domain::NewView) && subject.view >= position.view;
        useless_if(is_kept && !may_end_view)
    }

    fn is_about_primary(&self, position: &Position, evidence: &Evidence) -> bool {
        let subject = evidence.subject();
        let primary = self.config.context.committee.primary(position.view);
        matches!(subject.kind, Domain::PrePrepare | Domain::NewView)
            && subject.view == position.view
            && evidence.culprit() == primary
    }

    /// R24: SEEN is useful while this replica is probing and the member has not answered, or if it
    /// goes further than the high-water mark here.
    fn useful_seen(&self, position: &Position, seen: &Seen) -> Result<(), Dropped> {
        useless_if(seen.whose().is_some_and(|whose| whose != self.me))?;
        let is_awaited = position.probing.as_ref().is_some_and(|answered| !answered.contains(&self.from));
        useless_if(!is_awaited && !seen.mark().exceeds(&position.mark))
    }
}

/// Whether a ballot goes further than all statements of its kind that are known of the member.
fn is_further(ballot: &Ballot, said: Option<(View, Height)>) -> bool {
    said.is_none_or(|said| (ballot.view, ballot.height) > said)
}

/// Whether a statement is urgent (R25d): for a later view than the latest, or contradicting it.
fn is_news(view: View, latest: View, differs: bool) -> bool {
    view > latest || view == latest && differs
}

/// Of these two statements, the one for the later view; the first if the views are equal.
fn later<T: Copy>(known: Option<T>, new: T, view: impl Fn(&T) -> View) -> Option<T> {
    known.filter(|known| view(known) >= view(&new)).or(Some(new))
}

fn useful_new_view(position: &Position, new_view: &NewViewMessage) -> Result<(), Dropped> {
    let (body, signer) = (&new_view.vote.body, new_view.vote.signer);
    let Some(known) = position.member(signer) else { return Ok(()) };
    if known.said.new_view.is_none_or(|view| body.view > view) {
        return Ok(());
    }
    let Some(begun) = &position.begun else { return useless_if(body.view < position.view) };
    // Another NEW-VIEW for the view that was entered last is evidence (R22a).
    useless_if(begun == body || begun.view != body.view && body.view < position.view)
}

/// R14d: whether another block became final in the view of this proposal, and there is no evidence
/// about it yet.
fn proves_a_fault(position: &Position, vote: &Signed<PrePrepare>) -> bool {
    let accused = |known: &Known| known.accused.contains(&vote.body.subject());
    final_other_than(&position.final_proposals, &vote.body.0).is_some()
        && position.member(vote.signer).is_some_and(|known| !accused(known))
}

impl Message {
    /// Upper bound of the cost of checking this message, at least 1. The unit is one verification
    /// of a signature, about 50 µs. Hashing 32 ids into their tree costs as much.
    pub fn cost(&self) -> u64 {
        let of_change = |change: &ViewChangeMessage| {
            let anchor =
                change.payload.anchor.iter().map(|anchor| anchor.votes().signatures().len()).sum::<usize>();
            let prepared: usize = change.payload.prepared.iter().map(|it| it.signature_count()).sum();
            1 + anchor + prepared
        };
        let verifications = match self {
            Message::PrePrepare(proposal) => 1 + proposal.ids.len() / 32,
            Message::Prepare(_) | Message::Commit(_) | Message::Status(_) | Message::Checkpoint(_) => 1,
            Message::ViewChange(change) => of_change(change),
            Message::NewView(new_view) => {
                let changes: usize = new_view.view_changes.iter().map(of_change).sum();
                1 + changes + new_view.pre_prepares.len()
            }
            Message::Evidence(_) => 2,
            Message::Seen(_) => 5,
        };
        verifications as u64
    }
}
