//! Whom to ask for certified blocks, and when (R12). The same for members and for observers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::{Config, Moment};

use crate::event::FetchId;

/// Whoever has not answered after this is not waited for, however long others take: time for some megabytes and their
/// signatures over a slow line.
const RUN_PATIENCE: Duration = Duration::from_secs(10);

/// How soon to ask, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A gap of so many heights may close by itself within a status interval. 0 for whoever gets blocks in no other way.
    window: u64,
    status_interval: Duration,
    /// Members among which one is honest.
    one_honest: u32,
}

impl Pace {
    /// For a member, which takes part in ordering.
    pub(crate) fn of_member(config: &Config) -> Self {
        let one_honest = u32::try_from(config.committee.one_honest()).unwrap_or(u32::MAX);
        Pace { window: config.window, status_interval: config.status_interval, one_honest }
    }

    /// How long one member may take to answer before the next is asked as well (R12), when so many questions were given
    /// up. What we lack can be all that a block waits for, so liars that never answer must not take long; but much may be
    /// asked for and the line slow, so each question that was given up lets the next have more time.
    pub(crate) fn patience(&self, given_up: u32) -> Duration {
        let least = self.status_interval / (2 * self.one_honest);
        RUN_PATIENCE.min(least.saturating_mul(given_up.saturating_add(1)))
    }

    /// For an observer, which gets every block by asking.
    pub(crate) fn of_observer(config: &Config) -> Self {
        Pace { window: 0, ..Pace::of_member(config) }
    }
}

/// Who claims to be where, and what is being done about it.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pace: Pace,
    /// Last committed height of each member, as it says itself. A claim that is not answered costs one question, and
    /// turns of growing length as long as it is repeated.
    heads: BTreeMap<ReplicaId, Height>,
    /// A certificate says that this height is committed.
    certain: Height,
    /// Since when we are behind without having made progress.
    behind_since: Option<Moment>,
    open: Option<Question>,
    /// Questions that were given up since we are behind. Each makes us more patient: the line may be slow.
    given_up: u32,
    /// Members to whom they were put. Others are asked before them.
    silent: BTreeSet<ReplicaId>,
    /// Who was asked last, to ask somebody else next.
    last: Option<ReplicaId>,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Question {
    fetch: FetchId,
    peer: ReplicaId,
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
            given_up: 0,
            silent: BTreeSet::new(),
            last: None,
        }
    }

    pub(crate) fn heard(&mut self, from: ReplicaId, committed: Height) {
        self.heads.insert(from, committed);
    }

    /// A member is gone. Its answer is not waited for, and what it claims does not count until it is back.
    pub(crate) fn lost(&mut self, peer: ReplicaId) {
        self.heads.remove(&peer);
        self.open.take_if(|open| open.peer == peer);
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

    /// The next member to ask that claims to have more than `tip`: they take turns, those that answered or were not
    /// asked before those that were silent.
    fn candidate(&self, tip: Height) -> Option<ReplicaId> {
        let ahead = |silent: bool| {
            let claims = self.heads.iter().filter(move |(_, head)| **head > tip).map(|(replica, _)| *replica);
            claims.filter(move |replica| self.silent.contains(replica) == silent)
        };
        let turn = |silent| {
            let next = ahead(silent).find(|replica| Some(*replica) > self.last);
            next.or_else(|| ahead(silent).next())
        };
        turn(false).or_else(|| turn(true))
    }

    fn give_up(&mut self) {
        if let Some(question) = self.open.take() {
            self.given_up = self.given_up.saturating_add(1);
            self.silent.insert(question.peer);
        }
    }

    fn arrived(&mut self) {
        (self.behind_since, self.open, self.given_up) = (None, None, 0);
        self.silent.clear();
    }

    fn target(&self) -> Height {
        self.heads.values().copied().max().unwrap_or_default().max(self.certain)
    }

    /// The next question for blocks above `tip`, if it is time for one: whom to ask, and the height that somebody claims
    /// to have. It is open as `fetch` from now on.
    ///
    /// It is time if others are ahead and normal operation will not close the gap: the gap is larger than the window, or
    /// it has lasted for a whole status interval.
    pub(crate) fn ask(&mut self, now: Moment, tip: Height, fetch: FetchId) -> Option<(ReplicaId, Height)> {
        let target = self.target();
        if target <= tip {
            self.arrived();
            return None;
        }
        self.behind_since.get_or_insert(now);
        if now < self.next_question(tip, target) {
            return None;
        }
        self.give_up();
        let peer = self.candidate(tip)?;
        self.last = Some(peer);
        let until = now.after(self.pace.patience(self.given_up));
        self.open = Some(Question { fetch, peer, until });
        Some((peer, target))
    }

    /// When to call [`CatchUp::ask`] next.
    pub(crate) fn deadline(&self, tip: Height) -> Option<Moment> {
        // Without anybody to ask there is nothing to wake up for: a claim will come as an event.
        if self.target() <= tip || self.candidate(tip).is_none() {
            return None;
        }
        Some(self.next_question(tip, self.target()))
    }

    /// When to ask next: not while an answer may still come, nor while normal operation may close the gap.
    fn next_question(&self, tip: Height, target: Height) -> Moment {
        let far = target > tip.plus(self.pace.window);
        let answered = self.open.as_ref().map_or(Moment::default(), |open| open.until);
        match self.behind_since {
            Some(since) if !far => answered.max(since.after(self.pace.status_interval)),
            _ => answered,
        }
    }

    /// Takes the open question, if this is its answer.
    pub(crate) fn answered(&mut self, fetch: FetchId) -> Option<Question> {
        let question = self.open.take_if(|open| open.fetch == fetch || is(Mutant::AnyAnswer))?;
        self.silent.remove(&question.peer);
        Some(question)
    }

    /// Nothing came of a question: until it proves otherwise, that member has no more than we do.
    pub(crate) fn fruitless(&mut self, now: Moment, question: &Question, tip: Height) {
        self.heads.insert(question.peer, tip);
        self.behind_since = Some(now);
    }
}
