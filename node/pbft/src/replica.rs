//! The state of a replica and the one way in.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Commit, Header, Height, Outline, ReplicaId, Signed, Verified, View};

use crate::config::{Config, MAX_WINDOW};
use crate::messages::{Checked, Prepare};
use crate::signer::Signer;
use crate::slot::{Recorded, Slot, Stage};
use crate::step::{Overdue, Request, Step};
use crate::time::{Moment, Now};

/// Everything that can happen to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A checked message arrived on the authenticated channel of this member.
    Received {
        /// The member at the other end of the channel.
        from: ReplicaId,
        /// What it said.
        message: Checked,
    },
    /// A channel to this member came to be, or came back: what was lost is exchanged again (R14).
    PeerUp(ReplicaId),
    /// The engine made a block on [`Replica::proposal_parent`] and holds its body.
    Proposed(Outline),
    /// The answer to [`Request::Examine`].
    Examined {
        /// Which proposal was examined.
        ballot: Ballot,
        /// What came out.
        verdict: Verdict,
    },
    /// The engine appended certified blocks up to this header (R12).
    CaughtUp(Header),
    /// Whether transactions wait that a next block could contain.
    Pending(bool),
    /// [`Replica::deadline`] has come. Late or needless ticks do no harm.
    Tick,
}

/// What the engine found about a proposal's transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All are here and none breaks a rule; the body is held by the engine.
    Good,
    /// A rule is broken, for this reason.
    Bad(String),
}

/// What a replica has seen others do, for metrics. Counted since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Two different votes of one member where one is allowed.
    pub contradictions: u64,
    /// Proposals that break a rule.
    pub bad_proposals: u64,
    /// Messages outside the window of heights and views, dropped.
    pub outside_window: u64,
    /// PREPAREs sent by a primary, ignored.
    pub primary_prepares: u64,
    /// Messages sent again because a STATUS showed that they were lacking.
    pub repaired: u64,
    /// Times that pending work was overdue.
    pub overdue: u64,
}

/// Proposals and votes are kept this many views ahead of the current one (R11). With [`MAX_WINDOW`] it bounds
/// the memory that others can fill: 2 W slots for each of 1 + 2 views, each with one proposal and two votes
/// of every member.
const VIEWS_AHEAD: u64 = 2;

/// One member's part in PBFT. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) signer: Signer,
    pub(crate) view: View,
    /// The last committed block.
    pub(crate) tip: Header,
    pub(crate) tip_hash: BlockHash,
    /// By height first, so that committed heights can be split off. At most 2 W heights of 1 + 2 views.
    pub(crate) slots: BTreeMap<(Height, View), Slot>,
    /// Highest height for which catching up was asked for.
    pub(crate) behind: Height,
    pub(crate) status_due: Moment,
    /// When each member's STATUS was last answered.
    pub(crate) answered: BTreeMap<ReplicaId, Moment>,
    pub(crate) waiting_transactions: bool,
    /// Since when work is pending and nothing was committed.
    pub(crate) pending_since: Option<Moment>,
    /// When the primary was last reported overdue, in the current stretch.
    pub(crate) reported: Option<Moment>,
    pub(crate) counters: Counters,
}

impl Replica {
    /// A replica on a chain that ends in `tip`. It has promised nothing; see [`Replica::restore`] for one
    /// that may have.
    ///
    /// # Panics
    /// If the window is not within 1 to [`MAX_WINDOW`], or an interval is zero: no checked genesis says so.
    pub fn new(config: Config, signer: Signer, tip: Header) -> Self {
        assert!((1..=MAX_WINDOW).contains(&config.window), "a window of 1 to {MAX_WINDOW} heights");
        assert!(!config.request_timeout.is_zero(), "a request timeout above zero");
        assert!(!config.status_interval.is_zero(), "a status interval above zero");
        let tip_hash = tip.hash();
        Replica {
            behind: tip.height,
            config,
            signer,
            view: View(0),
            tip,
            tip_hash,
            slots: BTreeMap::new(),
            status_due: Moment::default(),
            answered: BTreeMap::new(),
            waiting_transactions: false,
            pending_since: None,
            reported: None,
            counters: Counters::default(),
        }
    }

    /// The only way in.
    pub fn step(&mut self, now: Now, input: Input) -> Step {
        let mut step = Step::default();
        match input {
            Input::Received { from, message } => self.on_message(now, from, message, &mut step),
            Input::PeerUp(peer) => self.greet(peer, &mut step),
            Input::Proposed(outline) => self.on_proposed(now, outline, &mut step),
            Input::Examined { ballot, verdict } => self.on_examined(now, ballot, verdict, &mut step),
            Input::CaughtUp(tip) => self.on_caught_up(now, tip),
            Input::Pending(waiting) => self.waiting_transactions = waiting,
            Input::Tick => {}
        }
        self.settle(now, &mut step);
        self.watch_progress(now, &mut step);
        self.report_status(now, &mut step);
        step
    }

    fn on_message(&mut self, now: Now, from: ReplicaId, message: Checked, step: &mut Step) {
        match message {
            Checked::PrePrepare(proposal) => self.on_pre_prepare(now, from, proposal, step),
            Checked::Prepare(vote) => self.on_prepare(now, vote, step),
            Checked::Commit(vote) => self.on_commit(now, vote, step),
            Checked::Status(status) => self.on_status(now, from, &status, step),
        }
    }

    fn on_prepare(&mut self, now: Now, vote: Verified<Signed<Prepare>>, step: &mut Step) {
        let (ballot, signer) = (vote.body.0, vote.signer);
        // R9: the PRE-PREPARE is the primary's PREPARE; another one does not count, and accuses nobody.
        if signer == self.config.committee.primary(ballot.epoch, ballot.view) {
            self.counters.primary_prepares += 1;
            return;
        }
        if let Some(slot) = self.slot_for(now, &ballot)
            && slot.prepares.record(vote) == Recorded::Conflicting
        {
            self.contradiction(signer, &ballot, step);
        }
    }

    fn on_commit(&mut self, now: Now, vote: Verified<Signed<Commit>>, step: &mut Step) {
        let (ballot, signer) = (vote.body.0, vote.signer);
        if let Some(slot) = self.slot_for(now, &ballot)
            && slot.commits.record(vote) == Recorded::Conflicting
        {
            self.contradiction(signer, &ballot, step);
        }
    }

    /// R4: reports a member that signed two different ballots in one slot, once.
    pub(crate) fn contradiction(&mut self, replica: ReplicaId, ballot: &Ballot, step: &mut Step) {
        let Some(slot) = self.slots.get_mut(&(ballot.height, ballot.view)) else { return };
        if slot.accused.insert(replica) {
            self.counters.contradictions += 1;
            step.requests.push(Request::Contradiction { replica, view: ballot.view, height: ballot.height });
        }
    }

    /// The slot a vote belongs to, made if need be; `None` outside the window of heights (R7) and views (R11).
    pub(crate) fn slot_for(&mut self, now: Now, ballot: &Ballot) -> Option<&mut Slot> {
        let heights = self.tip.height.next()..=self.tip.height.plus(2 * self.config.window);
        // Votes of past views can still complete a certificate, but start nothing new.
        let views = self.view..=View(self.view.0.saturating_add(VIEWS_AHEAD));
        let key = (ballot.height, ballot.view);
        if !heights.contains(&ballot.height)
            || !(views.contains(&ballot.view) || self.slots.contains_key(&key))
        {
            self.counters.outside_window += 1;
            return None;
        }
        Some(self.slots.entry(key).or_insert_with(|| Slot { since: now.moment, ..Slot::default() }))
    }

    /// R12: what is final already is not final twice; another block in its place is a fork.
    fn on_caught_up(&mut self, now: Now, tip: Header) {
        if tip.height > self.tip.height {
            self.advance_tip(now, tip);
        } else if tip.height == self.tip.height {
            assert_eq!(tip.hash(), self.tip_hash, "FORK: two certified blocks at height {}", tip.height);
        }
    }

    /// Moves the committed end of the chain and forgets what lies below (R12).
    pub(crate) fn advance_tip(&mut self, now: Now, tip: Header) {
        self.tip_hash = tip.hash();
        self.tip = tip;
        self.behind = self.behind.max(self.tip.height);
        self.slots = self.slots.split_off(&(self.tip.height.next(), View(0)));
        self.signer.forget_through(self.tip.height);
        self.pending_since = None;
        self.reported = None;
        // While the chain grows nothing is lost: repair waits until it stands still (R14).
        for slot in self.slots.values_mut() {
            slot.since = now.moment;
        }
    }

    /// Draws all conclusions that are possible, until there is none left.
    fn settle(&mut self, now: Now, step: &mut Step) {
        loop {
            let concluded = self.examine_next(step)
                || self.accept_held(now, step)
                || self.prepare_next(step)
                || self.finalise_highest(now, step);
            if !concluded {
                return;
            }
        }
    }

    /// R15: pending work without a commit for the whole request timeout means that the primary is overdue.
    fn watch_progress(&mut self, now: Now, step: &mut Step) {
        if !(self.waiting_transactions || self.has_open_proposal()) {
            self.pending_since = None;
            self.reported = None;
            return;
        }
        let since = *self.pending_since.get_or_insert(now.moment);
        if self.overdue_at().is_some_and(|deadline| now.moment >= deadline) {
            self.counters.overdue += 1;
            self.reported = Some(now.moment);
            step.requests.push(Request::Overdue(Overdue { view: self.view, primary: self.primary(), since }));
        }
    }

    fn overdue_at(&self) -> Option<Moment> {
        let since = self.reported.or(self.pending_since)?;
        Some(since.after(self.config.request_timeout))
    }

    fn has_open_proposal(&self) -> bool {
        self.slots.values().any(|slot| slot.accepted().is_some())
    }

    /// When to call [`Replica::step`] with [`Input::Tick`] if nothing else happens before. Ticking at deadlines
    /// alone is enough; a tick that comes late only delays what it would have done.
    pub fn deadline(&self) -> Option<Moment> {
        let held = self.slots.values().filter_map(|slot| match slot.stage {
            Stage::Held { until, .. } => Some(until),
            _ => None,
        });
        held.chain(self.overdue_at()).chain([self.status_due]).min()
    }

    /// Who proposes in the current view.
    pub fn primary(&self) -> ReplicaId {
        self.config.committee.primary(self.config.epoch, self.view)
    }

    /// Whether this replica proposes in the current view.
    pub fn is_primary(&self) -> bool {
        self.primary() == self.signer.replica()
    }

    /// The current view.
    pub fn view(&self) -> View {
        self.view
    }

    /// The last committed block.
    pub fn tip(&self) -> &Header {
        &self.tip
    }

    /// What others were seen to do.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
