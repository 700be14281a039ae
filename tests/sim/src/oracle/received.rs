//! What a member must conclude from what has reached it: follow others out of a view, stop waiting for a view that
//! does not begin, prove a lie, leave a liar; and what it must not do before it has heard enough: speak, or leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Effects, Event, Notice, Overview};
use quorate_ledger::{Ballot, BlockHash, Domain, Height, ReplicaId, Verified, View};
use quorate_pbft::{Cause, Checked, Evidence, Standing};

use crate::knobs::Knobs;
use crate::oracle::{Check, require};

const JOIN: &str = "f + 1 others are followed";
const NO_NEW_VIEW: &str = "a view that does not begin is left";
const PROOF: &str = "two statements of one member are proof";
const LIAR: &str = "a primary that is proven to lie is left";
const PROBE: &str = "no member signs before a quorum has answered";
const ALONE: &str = "no member leaves a view without contact";
const BEHIND: &str = "no member leaves a view while others are ahead";
const DOUBLED: &str = "a view that never began doubles the timeout";
const HALVED: &str = "progress halves the timeout";

/// Timeouts of progress after which a timeout is halved.
const CALM: u32 = 10;

/// Proofs kept against one member.
const PROOFS: usize = 16;

/// A statement about a height in a view: kind, view, height, signer.
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

/// Where a member stood after it handled something.
#[derive(Debug, Clone)]
struct Stood {
    view: View,
    active: bool,
    voting: bool,
    committed: Height,
    stable: Height,
    timeout: Duration,
}

/// What one member has heard in its present life.
#[derive(Debug, Default)]
struct Ears {
    arrivals: Vec<Arrival>,
    contacts: BTreeMap<ReplicaId, Duration>,
    heads: BTreeMap<ReplicaId, Height>,
    changes: BTreeMap<ReplicaId, View>,
    answered: BTreeSet<ReplicaId>,
    statements: BTreeMap<Place, BlockHash>,
    before: Option<Stood>,
    /// Since when a quorum has left for the view that this member waits for, or later ones.
    waiting: Option<(View, Duration)>,
    /// Since when it makes progress with this timeout.
    calm: Option<(Duration, Duration)>,
}

/// What every correct member has heard.
#[derive(Debug)]
pub struct Heard {
    members: BTreeMap<ReplicaId, Ears>,
    quorum: usize,
    faults: usize,
    window: u64,
    log_window: u64,
    status_ms: u64,
    base: Duration,
    cap: Duration,
    /// No disk holds a process up for so long that deadlines are put off.
    prompt: bool,
}

/// What the checks need to know about one member besides what it heard.
#[derive(Debug)]
pub struct Look<'a> {
    /// The member.
    pub member: ReplicaId,
    /// The time.
    pub now: Duration,
    /// Where it stands.
    pub stands: &'a Overview,
    /// What came of the last events.
    pub effects: &'a Effects,
    /// The proofs it holds.
    pub evidence: &'a [Verified<Evidence>],
    /// Its disk is slow at present, which puts its deadlines off.
    pub slow: bool,
    /// Up to this height its view began with blocks of earlier views.
    pub again: Height,
    /// Its last block was certified in a later view than its own: it signs nothing.
    pub overtaken: bool,
}

impl Heard {
    /// Nothing was heard yet.
    pub fn new(knobs: &Knobs) -> Self {
        let request = Duration::from_millis(knobs.request_timeout_ms);
        Heard {
            members: BTreeMap::new(),
            quorum: knobs.quorum(),
            faults: knobs.tolerated(),
            window: knobs.window,
            log_window: knobs.log_window,
            status_ms: knobs.status_interval_ms,
            base: request,
            prompt: knobs.disk_ms * 8 < knobs.request_timeout_ms,
            cap: Duration::from_millis(knobs.timeout_cap_ms.max(knobs.new_view_timeout_ms)).max(request),
        }
    }

    /// Something reaches a member that runs.
    pub fn arrives(&mut self, to: ReplicaId, event: &Event) {
        let ears = self.members.entry(to).or_default();
        let ballot = |domain, ballot: &Ballot, signer| {
            Arrival::Statement((domain, ballot.view, ballot.height, signer), ballot.block)
        };
        match event {
            Event::PeerDown(peer) => ears.arrivals.push(Arrival::Gone(*peer)),
            Event::Consensus { from, message } => {
                ears.arrivals.push(Arrival::From(*from));
                let arrival = match message {
                    Checked::Status(status) => Arrival::Status(*from, status.claim().committed),
                    Checked::ViewChange(change) => Arrival::Change(change.signer(), change.view()),
                    Checked::Seen(whose) if whose.is_none_or(|(whose, _)| whose == to) => {
                        Arrival::Seen(*from)
                    }
                    Checked::PrePrepare(proposal) => {
                        ballot(Domain::PrePrepare, proposal.ballot(), proposal.vote().signer)
                    }
                    Checked::Prepare(vote) => ballot(Domain::Prepare, &vote.body.0, vote.signer),
                    Checked::Commit(vote) => ballot(Domain::Commit, &vote.body.0, vote.signer),
                    _ => return,
                };
                ears.arrivals.push(arrival);
            }
            _ => {}
        }
    }

    /// A member's process is over.
    pub fn forget(&mut self, member: ReplicaId) {
        self.members.remove(&member);
    }

    /// A correct member has handled everything that reached it.
    ///
    /// # Errors
    /// It did not conclude what it must, or did what it must not.
    pub fn handled(&mut self, look: &Look<'_>) -> Check {
        let mut ears = self.members.remove(&look.member).unwrap_or_default();
        let behind = ears.heads.clone();
        let stands = &look.stands.pbft;
        let after = Stood {
            view: stands.view,
            active: stands.active,
            voting: stands.standing == Standing::Voting,
            committed: stands.committed,
            stable: stands.stable,
            timeout: stands.request_timeout,
        };
        let mut statements = Vec::new();
        // It may have left before it heard that a connection is gone.
        let mut gone = BTreeSet::new();
        for arrival in std::mem::take(&mut ears.arrivals) {
            match arrival {
                Arrival::From(from) => {
                    gone.remove(&from);
                    ears.contacts.insert(from, look.now);
                }
                Arrival::Status(from, height) => _ = ears.heads.insert(from, height),
                Arrival::Change(signer, view) => {
                    let known = ears.changes.entry(signer).or_default();
                    *known = view.max(*known);
                }
                Arrival::Seen(from) => _ = ears.answered.insert(from),
                Arrival::Statement(place, block) => statements.push((place, block)),
                Arrival::Gone(peer) => {
                    gone.insert(peer);
                    ears.heads.remove(&peer);
                }
            }
        }
        self.follows(look, &ears, &after)?;
        self.gives_up_waiting(look, &mut ears, &after)?;
        require(!after.voting || ears.answered.len() + 1 >= self.quorum, PROBE, || {
            format!("member {} votes, {:?} have answered", look.member, ears.answered)
        })?;
        self.leaves(look, &ears, &behind)?;
        ears.contacts.retain(|peer, _| !gone.contains(peer));
        if let Some(before) = ears.before.clone() {
            self.proves(look, &mut ears, &before, &after, statements)?;
            Self::leaves_liar(look, &before, &after)?;
            self.backs_off(look, &mut ears, &before, &after)?;
        }
        ears.before = Some(after);
        self.members.insert(look.member, ears);
        Ok(())
    }

    /// The highest view that f + 1 others have reached or passed.
    fn reached(&self, look: &Look<'_>, ears: &Ears) -> View {
        let others = ears.changes.iter().filter(|(signer, _)| **signer != look.member);
        let mut views: Vec<View> = others.map(|(_, view)| *view).collect();
        views.sort_unstable();
        views.iter().rev().nth(self.faults).copied().unwrap_or_default()
    }

    /// R19: the highest view that f + 1 others have reached or passed is this member's at least.
    fn follows(&self, look: &Look<'_>, ears: &Ears, after: &Stood) -> Check {
        let reached = self.reached(look, ears);
        require(!after.voting || after.view >= reached, JOIN, || {
            format!("member {} stays in view {}, others are at {:?}", look.member, after.view, ears.changes)
        })
    }

    /// R15: once a quorum has left for the view or a later one, a view that does not begin is left.
    fn gives_up_waiting(&self, look: &Look<'_>, ears: &mut Ears, after: &Stood) -> Check {
        let left = 1 + ears
            .changes
            .iter()
            .filter(|(signer, view)| **signer != look.member && **view >= after.view)
            .count();
        let waits = after.voting && !after.active && left >= self.quorum && self.prompt && !look.slow;
        if !waits {
            ears.waiting = None;
            return Ok(());
        }
        let (view, since) = *ears.waiting.get_or_insert((after.view, look.now));
        if view != after.view {
            ears.waiting = Some((after.view, look.now));
            return Ok(());
        }
        let slack = Duration::from_millis(500);
        require(look.now <= since + self.cap + slack, NO_NEW_VIEW, || {
            format!("member {} waits for view {view} since {since:?}, it is {:?}", look.member, look.now)
        })
    }

    /// R15: no member leaves by itself while it is cut off or behind.
    fn leaves(&self, look: &Look<'_>, ears: &Ears, before: &BTreeMap<ReplicaId, Height>) -> Check {
        let departures = look.effects.notices.iter().filter_map(|notice| match notice {
            Notice::LeftView(departure) => Some(departure),
            _ => None,
        });
        for departure in departures {
            if departure.cause == Cause::Joined {
                let reached = self.reached(look, ears);
                require(departure.to <= reached, JOIN, || {
                    format!(
                        "member {} joins view {}, others are at {:?}",
                        look.member, departure.to, ears.changes
                    )
                })?;
            }
            if !matches!(departure.cause, Cause::NoProgress | Cause::Censorship) {
                continue;
            }
            let lately = |milliseconds: u64| {
                let limit = Duration::from_millis(milliseconds);
                ears.contacts.values().filter(|last| look.now - **last <= limit).count()
            };
            let limit_ms = if departure.cause == Cause::NoProgress {
                self.status_ms * 5 / 4
            } else {
                self.status_ms * 3
            };
            require(lately(limit_ms + 1) + 1 >= self.quorum, ALONE, || {
                format!("member {} leaves view {}, heard of {:?}", look.member, departure.from, ears.contacts)
            })?;
            let tip = look.stands.pbft.committed;
            let ahead =
                before.iter().filter(|(from, height)| **height > tip && ears.heads.get(from) == Some(height));
            let ahead = ahead.count();
            require(ahead <= self.faults, BEHIND, || {
                format!("member {} at {tip} leaves view {}, {ahead} are ahead", look.member, departure.from)
            })?;
        }
        Ok(())
    }

    /// R22: two statements about one subject, both within the window of an active view, are evidence.
    fn proves(
        &self,
        look: &Look<'_>,
        ears: &mut Ears,
        before: &Stood,
        after: &Stood,
        statements: Vec<(Place, BlockHash)>,
    ) -> Check {
        ears.statements.retain(|(_, view, height, _), _| *view >= after.view && *height > after.committed);
        let top = before.committed.plus(self.window).min(before.stable.plus(self.log_window));
        for (place, block) in statements {
            let (kind, view, height, signer) = place;
            let in_view = |stood: &Stood| stood.active && stood.view == view;
            let open = height > after.committed && height <= top && height > look.again;
            if !in_view(before) || !in_view(after) || !open || signer == look.member {
                continue;
            }
            if kind == Domain::Prepare && signer == look.stands.pbft.primary {
                continue;
            }
            let first = *ears.statements.entry(place).or_insert(block);
            let against = look.evidence.iter().filter(|proof| proof.culprit() == signer);
            let known = || {
                against.clone().count() >= PROOFS
                    || against.clone().any(|proof| {
                        let subject = proof.subject();
                        (subject.kind, subject.view, subject.height) == (kind, view, height)
                    })
            };
            require(first == block || known(), PROOF, || {
                format!(
                    "member {} heard {kind:?} of {signer} for two blocks at {height}, view {view}",
                    look.member
                )
            })?;
        }
        Ok(())
    }

    /// R22: a member that finds a proof against its primary leaves.
    fn leaves_liar(look: &Look<'_>, before: &Stood, after: &Stood) -> Check {
        let stays =
            before.voting && after.voting && before.active && after.active && before.view == after.view;
        if !stays || look.overtaken {
            return Ok(());
        }
        let primary = look.stands.pbft.primary;
        let found = look.effects.notices.iter().find_map(|notice| match notice {
            Notice::Contradiction { replica, subject }
                if *replica == primary
                    && subject.view == after.view
                    && matches!(subject.kind, Domain::PrePrepare | Domain::NewView) =>
            {
                Some(subject)
            }
            _ => None,
        });
        require(found.is_none(), LIAR, || {
            format!("member {} stays in view {} of {primary}, knowing {found:?}", look.member, after.view)
        })
    }

    /// R15: timeouts double with views that fail and halve with progress.
    fn backs_off(&self, look: &Look<'_>, ears: &mut Ears, before: &Stood, after: &Stood) -> Check {
        let committed = !look.effects.committed.is_empty();
        let failed = look.effects.notices.iter().any(
            |notice| matches!(notice, Notice::LeftView(departure) if departure.cause == Cause::NoNewView),
        );
        let doubled = (before.timeout * 2).min(self.cap.max(self.base));
        require(!failed || committed || after.timeout >= doubled.min(before.timeout * 2), DOUBLED, || {
            format!("member {} waited {:?} and waits {:?} now", look.member, before.timeout, after.timeout)
        })?;
        let changed = before.view != after.view
            || !after.active
            || before.timeout != after.timeout
            || look.slow
            || !self.prompt;
        // At the cap nothing shows how often it was doubled.
        if changed || after.timeout <= self.base || after.timeout >= self.cap {
            ears.calm = None;
            return Ok(());
        }
        if !committed {
            return Ok(());
        }
        let (since, timeout) = *ears.calm.get_or_insert((look.now, after.timeout));
        let bound = timeout * CALM + Duration::from_millis(300);
        require(look.now <= since + bound, HALVED, || {
            format!("member {} commits since {since:?} and its timeout is still {timeout:?}", look.member)
        })
    }
}
