//! What a member must do after the messages that it received: follow others out of a view, stop
//! waiting for a view that does not begin, create evidence, leave a view with a faulty primary. And
//! what it must not do before it has received enough: sign, or leave a view.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Effects, Event, Notice, Overview};
use quorate_ledger::{Ballot, BlockHash, Domain, Height, ReplicaId, Verified, View};
use quorate_pbft::{Cause, CheckedContent, Evidence, SigningStatus};

use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, require};

const JOIN: &str = "a member follows f + 1 others";
const NO_NEW_VIEW: &str = "a member leaves a view that does not begin";
const PROBE: &str = "no member signs before a quorum has responded";
const ALONE: &str = "no member leaves a view without contact with a quorum";
const BEHIND: &str = "no member leaves a view while others are ahead";
const DOUBLED: &str = "a view that does not begin doubles the timeout";
const HALVED: &str = "progress halves the timeout";

/// Timeouts of progress after which the timeout is halved.
const CALM: u32 = 10;

/// The subject of a statement about a height in a view: kind, view, height, signer.
type Place = (Domain, View, Height, ReplicaId);

/// Something that reached a member and that it has not handled yet.
#[derive(Debug)]
enum Arrival {
    From(ReplicaId),
    Status(ReplicaId, Height),
    Change(ReplicaId, View),
    Seen(ReplicaId),
    Statement(Place, BlockHash),
    Gone(ReplicaId),
}

/// The state of a member after it handled something.
#[derive(Debug, Clone)]
struct Stood {
    view: View,
    active: bool,
    voting: bool,
    committed: Height,
    stable: Height,
    timeout: Duration,
}

/// What one member has received in its current life, in one epoch.
#[derive(Debug, Default)]
struct Inputs {
    arrivals: Vec<Arrival>,
    contacts: BTreeMap<ReplicaId, Duration>,
    heads: BTreeMap<ReplicaId, Height>,
    changes: BTreeMap<ReplicaId, View>,
    answered: BTreeSet<ReplicaId>,
    continued: bool,
    statements: BTreeMap<Place, BlockHash>,
    before: Option<Stood>,
    /// Since when a quorum has left for the view for which this member waits, or later ones.
    waiting: Option<(View, Duration)>,
    /// Since when the member makes progress with this timeout.
    calm: Option<(Duration, Duration)>,
}

/// What every correct member has received in one epoch.
#[derive(Debug)]
pub struct Heard {
    members: BTreeMap<ReplicaId, Inputs>,
    quorum: usize,
    faults: usize,
    window: u64,
    log_window: u64,
    status_ms: u64,
    anchor: Duration,
    cap: Duration,
    /// No disk delays a process so long that its deadlines are postponed.
    prompt: bool,
}

/// What the checks need to know about one member in addition to what it received.
#[derive(Debug)]
pub struct Look<'a> {
    /// The member.
    pub member: ReplicaId,
    /// The time.
    pub now: Duration,
    /// Its state.
    pub stands: &'a Overview,
    /// The effects of the last events.
    pub effects: &'a Effects,
    /// The evidence that it holds.
    pub evidence: &'a [Verified<Evidence>],
    /// Its disk is currently slow, which postpones its deadlines.
    pub slow: bool,
    /// Up to this height its view began with blocks of earlier views.
    pub again: Height,
    /// Its last block was certified in a later view than its own, so it must sign nothing.
    pub overtaken: bool,
    /// Its epoch is over, so it signs nothing and leaves no view (R26d).
    pub over: bool,
    /// The last height of its epoch, once it is scheduled. Members ignore votes above it (R26b).
    pub end: Option<Height>,
}

impl Heard {
    /// Starts without received messages.
    pub fn new(knobs: &Knobs) -> Self {
        let request = Duration::from_millis(knobs.request_timeout_ms);
        Heard {
            members: BTreeMap::new(),
            quorum: knobs.quorum(),
            faults: knobs.tolerated(),
            window: knobs.window,
            log_window: knobs.log_window,
            status_ms: knobs.status_interval_ms,
            anchor: request,
            prompt: knobs.disk_ms * 8 < knobs.request_timeout_ms,
            cap: Duration::from_millis(knobs.timeout_cap_ms.max(knobs.new_view_timeout_ms)).max(request),
        }
    }

    /// Something reaches a member that runs.
    pub fn arrives(&mut self, to: ReplicaId, event: &Event) {
        let inputs = self.members.entry(to).or_default();
        let ballot = |domain, ballot: &Ballot, signer| {
            Arrival::Statement((domain, ballot.view, ballot.height, signer), ballot.block)
        };
        match event {
            Event::PeerDown(peer) => inputs.arrivals.push(Arrival::Gone(*peer)),
            Event::Consensus { from, message } => {
                inputs.arrivals.push(Arrival::From(*from));
                let arrival = match message.content() {
                    CheckedContent::Status(status) => Arrival::Status(*from, status.claim().committed),
                    CheckedContent::ViewChange(change) => Arrival::Change(change.signer(), change.view()),
                    CheckedContent::Seen(whose) if whose.is_none_or(|(whose, _)| whose == to) => {
                        Arrival::Seen(*from)
                    }
                    CheckedContent::PrePrepare(proposal) => {
                        ballot(Domain::PrePrepare, proposal.ballot(), proposal.vote().signer)
                    }
                    CheckedContent::Prepare(vote) => ballot(Domain::Prepare, &vote.body.0, vote.signer),
                    CheckedContent::Commit(vote) => ballot(Domain::Commit, &vote.body.0, vote.signer),
                    _ => return,
                };
                inputs.arrivals.push(arrival);
            }
            _ => {}
        }
    }

    /// A member begins the epoch, and could sign at the end of the one before in the same process. It
    /// need not ask others (R26e).
    pub fn continues(&mut self, member: ReplicaId) {
        self.members.entry(member).or_default().continued = true;
    }

    /// A member's process has ended, or is in another epoch.
    pub fn forget(&mut self, member: ReplicaId) {
        self.members.remove(&member);
    }

    /// A correct member has handled everything that reached it.
    ///
    /// # Errors
    /// It did not do what it must, or did what it must not.
    pub fn handled(&mut self, look: &Look<'_>) -> Check {
        let mut inputs = self.members.remove(&look.member).unwrap_or_default();
        let behind = inputs.heads.clone();
        let stands = &look.stands.pbft;
        let after = Stood {
            view: stands.view,
            active: stands.active,
            voting: stands.signing == SigningStatus::Voting && !look.over,
            committed: stands.committed,
            stable: stands.stable,
            timeout: stands.request_timeout,
        };
        let mut statements = Vec::new();
        // It may have left before it noticed that a connection is closed.
        let mut gone = BTreeSet::new();
        for arrival in std::mem::take(&mut inputs.arrivals) {
            match arrival {
                Arrival::From(from) => {
                    gone.remove(&from);
                    inputs.contacts.insert(from, look.now);
                }
                Arrival::Status(from, height) => _ = inputs.heads.insert(from, height),
                Arrival::Change(signer, view) => {
                    let known = inputs.changes.entry(signer).or_default();
                    *known = view.max(*known);
                }
                Arrival::Seen(from) => _ = inputs.answered.insert(from),
                Arrival::Statement(place, block) => statements.push((place, block)),
                Arrival::Gone(peer) => {
                    gone.insert(peer);
                    inputs.heads.remove(&peer);
                }
            }
        }
        self.follows(look, &inputs, &after)?;
        self.leaves_late_view(look, &mut inputs, &after)?;
        let may_vote = inputs.continued || inputs.answered.len() + 1 >= self.quorum;
        require(!after.voting || may_vote, PROBE, || {
            format!("member {} votes, but only {:?} have responded", look.member, inputs.answered)
        })?;
        self.leaves(look, &inputs, &behind)?;
        inputs.contacts.retain(|peer, _| !gone.contains(peer));
        if let Some(before) = inputs.before.clone() {
            self.proves(look, &mut inputs, &before, &after, statements)?;
            Self::leaves_faulty_primary(look, &before, &after)?;
            self.backs_off(look, &mut inputs, &before, &after)?;
        }
        inputs.before = Some(after);
        self.members.insert(look.member, inputs);
        Ok(())
    }

    /// The highest view that f + 1 others have reached or passed.
    fn reached(&self, look: &Look<'_>, inputs: &Inputs) -> View {
        let others = inputs.changes.iter().filter(|(signer, _)| **signer != look.member);
        let mut views: Vec<View> = others.map(|(_, view)| *view).collect();
        views.sort_unstable();
        views.iter().rev().nth(self.faults).copied().unwrap_or_default()
    }

    /// R19: this member's view is at least the highest view that f + 1 others have reached or
    /// passed.
    fn follows(&self, look: &Look<'_>, inputs: &Inputs, after: &Stood) -> Check {
        let reached = self.reached(look, inputs);
        require(!after.voting || after.view >= reached, JOIN, || {
            format!("member {} stays in view {}, others are at {:?}", look.member, after.view, inputs.changes)
        })
    }

    /// R15: once a quorum has left for the view or a later one, a member leaves a view that does
    /// not begin.
    fn leaves_late_view(&self, look: &Look<'_>, inputs: &mut Inputs, after: &Stood) -> Check {
        let left = 1 + inputs
            .changes
            .iter()
            .filter(|(signer, view)| **signer != look.member && **view >= after.view)
            .count();
        let waits = after.voting && !after.active && left >= self.quorum && self.prompt && !look.slow;
        if !waits {
            inputs.waiting = None;
            return Ok(());
        }
        let (view, since) = *inputs.waiting.get_or_insert((after.view, look.now));
        if view != after.view {
            inputs.waiting = Some((after.view, look.now));
            return Ok(());
        }
        let slack = Duration::from_millis(500);
        require(look.now <= since + self.cap + slack, NO_NEW_VIEW, || {
            format!("member {} waits for view {view} since {since:?}, it is {:?}", look.member, look.now)
        })
    }

    /// R15: no member leaves by itself while it is cut off or behind.
    fn leaves(&self, look: &Look<'_>, inputs: &Inputs, before: &BTreeMap<ReplicaId, Height>) -> Check {
        let departures = look.effects.notices.iter().filter_map(|notice| match notice {
            Notice::LeftView(departure) => Some(departure),
            _ => None,
        });
        for departure in departures {
            if departure.cause == Cause::Joined {
                let reached = self.reached(look, inputs);
                require(departure.to <= reached, JOIN, || {
                    format!(
                        "member {} joins view {}, others are at {:?}",
                        look.member, departure.to, inputs.changes
                    )
                })?;
            }
            if !matches!(departure.cause, Cause::NoProgress | Cause::Censorship) {
                continue;
            }
            let lately = |milliseconds: u64| {
                let limit = Duration::from_millis(milliseconds);
                inputs.contacts.values().filter(|last| look.now - **last <= limit).count()
            };
            let limit_ms = if departure.cause == Cause::NoProgress {
                self.status_ms * 5 / 4
            } else {
                self.status_ms * 3
            };
            require(lately(limit_ms + 1) + 1 >= self.quorum, ALONE, || {
                format!(
                    "member {} leaves view {}, contacts: {:?}",
                    look.member, departure.from, inputs.contacts
                )
            })?;
            let tip = look.stands.pbft.committed;
            let ahead = before
                .iter()
                .filter(|(from, height)| **height > tip && inputs.heads.get(from) == Some(height));
            let ahead = ahead.count();
            require(ahead <= self.faults, BEHIND, || {
                format!(
                    "member {} at {tip} leaves view {}, {ahead} members are ahead",
                    look.member, departure.from
                )
            })?;
        }
        Ok(())
    }

    /// R15: failed views double the timeout, progress halves it.
    fn backs_off(&self, look: &Look<'_>, inputs: &mut Inputs, before: &Stood, after: &Stood) -> Check {
        let committed = !look.effects.committed.is_empty();
        let failed = look.effects.notices.iter().any(
            |notice| matches!(notice, Notice::LeftView(departure) if departure.cause == Cause::NoNewView),
        );
        let doubled = (before.timeout * 2).min(self.cap.max(self.anchor));
        require(!failed || committed || after.timeout >= doubled.min(before.timeout * 2), DOUBLED, || {
            format!("member {} had timeout {:?} and has {:?} now", look.member, before.timeout, after.timeout)
        })?;
        let changed = before.view != after.view
            || !after.active
            || before.timeout != after.timeout
            || look.slow
            || !self.prompt;
        // At the cap it is unknown how often the timeout was doubled.
        if changed || after.timeout <= self.anchor || after.timeout >= self.cap {
            inputs.calm = None;
            return Ok(());
        }
        if !committed {
            return Ok(());
        }
        let (since, timeout) = *inputs.calm.get_or_insert((look.now, after.timeout));
        let bound = timeout * CALM + Duration::from_millis(300);
        require(look.now <= since + bound, HALVED, || {
            format!("member {} commits since {since:?} and its timeout is still {timeout:?}", look.member)
        })
    }
}
