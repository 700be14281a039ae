//! Which member to ask for certified blocks, and when (R12b). Validators and observers share it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::{Config, Moment};

use crate::event::FetchId;

/// The longest wait for an answer: enough for some megabytes and their signatures over a slow
/// connection.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The number of expired requests beyond which the wait does not grow. The wait reaches
/// [`LONGEST_WAIT`] earlier.
const EXPIRED_MAX: u32 = 16;

/// When to ask, and how long to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A gap of at most this many heights may close without a request within a status interval. It
    /// is 0 for an observer, which gets blocks only by requests.
    window: u64,
    /// 2 W: an answer may end this far below the claimed height, because it must end in a block with
    /// a certificate.
    uncertified_max: u64,
    status_interval: Duration,
    /// f + 1: among so many members, at least one is correct.
    weak_quorum: u32,
}

impl Pace {
    /// For a validator, which takes part in ordering.
    pub(crate) fn of_member(config: &Config) -> Self {
        let weak_quorum = u32::try_from(config.context.committee.weak_quorum()).unwrap_or(u32::MAX);
        let window = config.context.window;
        let uncertified_max = window.saturating_mul(2);
        Pace { window, uncertified_max, status_interval: config.status_interval, weak_quorum }
    }

    /// For an observer, which gets every block by a request.
    pub(crate) fn of_observer(config: &Config) -> Self {
        Pace { window: 0, ..Pace::of_member(config) }
    }

    /// The shortest wait for an answer (R12b). f faulty members that never answer cost less than
    /// half a status interval.
    fn least(&self) -> Duration {
        self.status_interval / (2 * self.weak_quorum)
    }

    /// How long to wait for the parts of a block before asking the next member as well (R12c),
    /// after this many requests expired. Each expired request makes the wait longer: the connection
    /// may be slow.
    pub(crate) fn wait(&self, given_up: u32) -> Duration {
        LONGEST_WAIT.min(self.least().saturating_mul(given_up.saturating_add(1)))
    }

    /// How long to wait for blocks from a member that let this many requests expire (R12b).
    fn wait_for(&self, expired: u32) -> Duration {
        LONGEST_WAIT.min(self.least().saturating_mul(1 << expired.min(EXPIRED_MAX)))
    }
}

/// The committed heights that members claim, and the request for the blocks that are missing here.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pace: Pace,
    /// The highest committed height that each member claims since it is connected, or the tip of this
    /// node if its last answer had nothing new. A false claim costs a request, and never delays one
    /// to a member that let fewer requests expire.
    heads: BTreeMap<ReplicaId, Height>,
    /// A certificate proves that this height is committed.
    certain: Height,
    /// Since when this node is behind without progress.
    behind_since: Option<Moment>,
    open: Option<OpenRequest>,
    /// The number of requests that each member let expire. A quick useful answer takes one back, so
    /// the wait for a member follows the speed of its connection.
    expired: BTreeMap<ReplicaId, u32>,
    /// Until when a member is not asked again, because its last answer contained no new blocks.
    rests: BTreeMap<ReplicaId, Moment>,
    /// The member that was asked last. Members with equally many expired requests take turns.
    last: Option<ReplicaId>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    fetch: FetchId,
    peer: ReplicaId,
    asked: Moment,
    until: Moment,
}

impl CatchUp {
    pub(crate) fn new(pace: Pace) -> Self {
        CatchUp {
            pace,
            heads: BTreeMap::new(),
            certain: Height(0),
            behind_since: None,
            open: None,
            expired: BTreeMap::new(),
            rests: BTreeMap::new(),
            last: None,
        }
    }

    /// A member claims this committed height. A lower claim than before is a late one: a member's
    /// height never falls while it is connected.
    pub(crate) fn heard(&mut self, from: ReplicaId, committed: Height) {
        let head = self.heads.entry(from).or_default();
        *head = committed.max(*head);
    }

    /// The channel to a member was closed. Its answer is not awaited, and its claim does not count
    /// until it connects again and claims anew. An open request counts as expired, and expired
    /// requests stay counted: a member must gain nothing by connecting anew instead of answering.
    pub(crate) fn lost(&mut self, peer: ReplicaId) {
        self.heads.remove(&peer);
        if self.open.take_if(|open| open.peer == peer).is_some() {
            self.count_expired(peer);
        }
    }

    fn count_expired(&mut self, peer: ReplicaId) {
        let expired = self.expired.entry(peer).or_default();
        *expired = (*expired + 1).min(EXPIRED_MAX);
    }

    pub(crate) fn certain(&mut self, height: Height) {
        self.certain = self.certain.max(height);
    }

    pub(crate) fn progressed(&mut self) {
        self.behind_since = None;
    }

    pub(crate) fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        &self.heads
    }

    pub(crate) fn is_running(&self) -> bool {
        self.open.is_some()
    }

    fn expired(&self, peer: ReplicaId) -> u32 {
        self.expired.get(&peer).copied().unwrap_or_default()
    }

    /// The members that claim to have more than `tip`, in the order in which to ask them. Members
    /// with the fewest expired requests come first. Among equals, the order continues after the
    /// member that was asked last.
    fn candidates(&self, tip: Height) -> Vec<ReplicaId> {
        let ahead = self.heads.iter().filter(|(_, head)| **head > tip).map(|(peer, _)| *peer);
        let mut candidates: Vec<_> = ahead.collect();
        candidates.sort_by_key(|peer| (self.expired(*peer), Some(*peer) <= self.last, *peer));
        candidates
    }

    /// When this member may be asked: at once if the gap to its height is larger than the window,
    /// otherwise when the gap has lasted for a status interval. A useless answer delays it by a
    /// status interval. An open request delays it, unless its member let more requests expire.
    fn due(&self, peer: ReplicaId, tip: Height) -> Moment {
        let head = self.heads.get(&peer).copied().unwrap_or_default().max(self.certain);
        let gap_lasted = match self.behind_since {
            Some(since) if head <= tip.plus(self.pace.window) => since.after(self.pace.status_interval),
            _ => Moment::default(),
        };
        let rested = self.rests.get(&peer).copied().unwrap_or_default();
        let due = gap_lasted.max(rested);
        match &self.open {
            Some(open) if self.expired(open.peer) <= self.expired(peer) => due.max(open.until),
            _ => due,
        }
    }

    /// The next request for blocks above `tip`, if one is due: the member to ask, and the height
    /// that it claims or that a certificate proves. From now on the request is open as `fetch`.
    pub(crate) fn ask(&mut self, now: Moment, tip: Height, fetch: FetchId) -> Option<(ReplicaId, Height)> {
        let candidates = self.candidates(tip);
        if candidates.is_empty() {
            if self.certain <= tip {
                (self.behind_since, self.open) = (None, None);
            }
            return None;
        }
        self.behind_since.get_or_insert(now);
        let expired = self.open.as_ref().filter(|open| now >= open.until).map(|open| open.peer);
        let peer = candidates.into_iter().find(|peer| now >= self.due(*peer, tip))?;
        if let Some(silent) = expired {
            self.count_expired(silent);
        }
        self.last = Some(peer);
        let until = now.after(self.pace.wait_for(self.expired(peer)));
        self.open = Some(OpenRequest { fetch, peer, asked: now, until });
        let head = self.heads.get(&peer).copied().unwrap_or_default();
        Some((peer, head.max(self.certain)))
    }

    /// When to call [`CatchUp::ask`] next; `None` while no member claims to be ahead. A new claim
    /// comes as an event.
    pub(crate) fn deadline(&self, tip: Height) -> Option<Moment> {
        self.candidates(tip).into_iter().map(|peer| self.due(peer, tip)).min()
    }

    /// Takes the open request, if this is its answer.
    pub(crate) fn answered(&mut self, fetch: FetchId) -> Option<OpenRequest> {
        self.open.take_if(|open| open.fetch == fetch || is(Mutant::AnyAnswer))
    }

    /// The answer to a request contained new blocks. The node's chain now ends at `tip`. `full` says
    /// whether the answer was as large as answers are.
    ///
    /// A member whose answer is neither full nor reaches what it claims is not asked again within a
    /// status interval. Otherwise a faulty member could send single blocks, each at the last
    /// moment, and slow members would never be asked (R12b).
    pub(crate) fn helped(&mut self, now: Moment, request: &OpenRequest, tip: Height, full: bool) {
        let claimed = self.heads.get(&request.peer).copied().unwrap_or_default();
        if !full && claimed.0.saturating_sub(tip.0) > self.pace.uncertified_max {
            self.rests.insert(request.peer, now.after(self.pace.status_interval));
        }
        let took = now.since(request.asked);
        let shorter = self.pace.wait_for(self.expired(request.peer).saturating_sub(1));
        if took < shorter
            && let Some(expired) = self.expired.get_mut(&request.peer)
        {
            *expired = expired.saturating_sub(1);
        }
    }

    /// The answer to a request contained no new blocks. Until its next claim, this member counts as
    /// not ahead. It is asked at most once in a status interval, however often it claims. If the
    /// answer took half of the wait, the request counts as expired: it cost as much as one (R12b).
    pub(crate) fn fruitless(&mut self, now: Moment, request: &OpenRequest, tip: Height) {
        if now.since(request.asked) >= request.until.since(request.asked) / 2 {
            self.count_expired(request.peer);
        }
        self.heads.insert(request.peer, tip);
        self.rests.insert(request.peer, now.after(self.pace.status_interval));
    }
}

#[cfg(test)]
#[path = "catchup_tests.rs"]
mod tests;
