//! The state of a replica and the one way in.

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, BlockHash, Commit, CommitCertificate, Header, Height, Outline, ReplicaId, Signed, Verified, View,
};

use crate::chain::Chain;
use crate::checkpoint::stable::Checkpoints;
use crate::config::{Config, MAX_WINDOW};
use crate::evidence::Faults;
use crate::evidence::proof::{Evidence, pair};
use crate::journal::record::Record;
use crate::messages::{Checked, Prepare};
use crate::repair::peers::Peers;
use crate::signing::Signing;
use crate::signing::signer::Signer;
use crate::step::Step;
use crate::time::{Moment, Now};
use crate::timer::{ViewTimers, Work};
use crate::view_change::state::Views;
use crate::votes::Log;
use crate::votes::slot::{Recorded, Slot, Stage};

/// Everything that can happen to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "inputs are moved once or twice, never kept")]
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
    /// The channel to this member is gone: it is not in contact until it is heard of again (R15).
    PeerDown(ReplicaId),
    /// The engine made a block on [`Replica::proposal_parent`] and holds its body.
    Proposed(Outline),
    /// The answer to [`crate::Request::Outline`].
    Outlined(Outline),
    /// The answer to [`crate::Request::Examine`].
    Examined {
        /// Which proposal was examined.
        ballot: Ballot,
        /// What came out.
        verdict: Verdict,
    },
    /// The engine appended these blocks, without a gap; the certificate is for the last (R12).
    CaughtUp {
        /// Their headers.
        headers: Vec<Header>,
        /// For the last of them.
        certificate: Verified<CommitCertificate>,
    },
    /// The ledger up to this height would survive a power cut (R23).
    Durable(Height),
    /// What waits for a next block.
    Pending(Work),
    /// A transaction at the head of the queue was passed over for too long (R21).
    Starved,
    /// The process stood still for so long: deadlines that passed meanwhile are put off by as much (R15).
    Late(Duration),
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
    /// Two different statements of one member where one is allowed.
    pub contradictions: u64,
    /// Proposals that break a rule.
    pub bad_proposals: u64,
    /// Messages outside the window of heights and views, dropped.
    pub outside_window: u64,
    /// PREPAREs sent by a primary, ignored.
    pub primary_prepares: u64,
    /// Messages sent again because a STATUS showed that they were lacking.
    pub repaired: u64,
    /// Views left because nothing was committed in time.
    pub no_progress: u64,
    /// Views left because a transaction was passed over.
    pub censorship: u64,
    /// Views left because their primary lied.
    pub proven_liars: u64,
    /// Views left because f + 1 others had left them.
    pub joined: u64,
    /// Views given up because no NEW-VIEW came.
    pub no_new_view: u64,
    /// Views entered.
    pub views_entered: u64,
    /// Checkpoints that became stable.
    pub stable_checkpoints: u64,
}

/// Proposals and votes are kept this many views ahead of the current one (R11). With [`MAX_WINDOW`] it bounds
/// the memory that others can fill: 2 W slots for each of 1 + 2 views, each with one proposal and two votes
/// of every member.
pub(crate) const VIEWS_AHEAD: u64 = 2;

/// One member's part in PBFT. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) signing: Signing,
    pub(crate) chain: Chain,
    pub(crate) log: Log,
    pub(crate) views: Views,
    pub(crate) timers: ViewTimers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) peers: Peers,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    /// The next step is the first one after a restart.
    pub(crate) restored: bool,
}

impl Replica {
    /// A replica on a chain that ends in `root`, its genesis. It has promised nothing; see [`Replica::restore`]
    /// for one that may have.
    ///
    /// # Panics
    /// If the window is not within 1 to [`MAX_WINDOW`], or an interval is zero: no checked genesis says so.
    pub fn new(config: Config, signer: Signer, root: Header) -> Self {
        Replica::on(Chain::new(root, None), config, signer)
    }

    /// A replica on this chain, with nothing in its log.
    pub(crate) fn on(chain: Chain, config: Config, signer: Signer) -> Self {
        assert!((1..=MAX_WINDOW).contains(&config.window), "a window of 1 to {MAX_WINDOW} heights");
        assert!(!config.request_timeout.is_zero(), "a request timeout above zero");
        assert!(!config.new_view_timeout.is_zero(), "a new-view timeout above zero");
        assert!(!config.status_interval.is_zero(), "a status interval above zero");
        assert!(config.checkpoint_interval > 0, "a checkpoint interval above zero");
        Replica {
            signing: Signing::new(signer),
            chain,
            log: Log::default(),
            views: Views::default(),
            timers: ViewTimers::new(&config),
            config,
            checkpoints: Checkpoints::default(),
            peers: Peers::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            restored: false,
        }
    }

    /// The only way in.
    pub fn step(&mut self, now: Now, input: Input) -> Step {
        let mut step = Step::default();
        if std::mem::take(&mut self.restored) {
            self.begin_again(now, &mut step);
        }
        match input {
            Input::Received { from, message } => self.on_message(now, from, message, &mut step),
            Input::PeerUp(peer) => self.greet(now, peer, &mut step),
            Input::PeerDown(peer) => self.peers.lost(peer),
            Input::Proposed(outline) => self.on_proposed(now, outline, &mut step),
            Input::Outlined(outline) => self.on_outlined(&outline),
            Input::Examined { ballot, verdict } => self.on_examined(now, ballot, verdict, &mut step),
            Input::CaughtUp { headers, certificate } => self.on_caught_up(now, headers, certificate),
            Input::Durable(height) => self.checkpoints.durable(height),
            Input::Pending(work) => self.timers.set_work(work),
            Input::Starved => self.on_starved(now, &mut step),
            Input::Late(lateness) => self.timers.put_off(lateness),
            Input::Tick => {}
        }
        self.settle(now, &mut step);
        if self.watch_progress(now, &mut step) {
            self.settle(now, &mut step);
            self.watch_progress(now, &mut step);
        }
        self.report_status(now, &mut step);
        self.write_marks(&mut step);
        step
    }

    fn on_message(&mut self, now: Now, from: ReplicaId, message: Checked, step: &mut Step) {
        self.peers.heard(from, now.moment);
        self.signing.observe(&message);
        match message {
            Checked::PrePrepare(proposal) => self.on_pre_prepare(now, from, proposal, step),
            Checked::Prepare(vote) => self.on_prepare(now, &vote, step),
            Checked::Commit(vote) => self.on_commit(now, &vote, step),
            Checked::Status(status) => self.on_status(now, from, &status, step),
            Checked::ViewChange(change) => self.on_view_change(change, step),
            Checked::NewView(new_view) => self.on_new_view(now, new_view, step),
            Checked::Checkpoint(vote) => self.on_checkpoint(&vote, step),
            Checked::Evidence(evidence) => self.on_evidence(&evidence, step),
            Checked::Seen(seen) => self.on_seen(from, seen, step),
        }
    }

    fn on_prepare(&mut self, now: Now, vote: &Verified<Signed<Prepare>>, step: &mut Step) {
        let (ballot, signer) = (vote.body.0, vote.signer);
        // R9: the PRE-PREPARE is the primary's PREPARE; another one does not count, and accuses nobody.
        let by_primary = signer == self.config.committee.primary(ballot.epoch, ballot.view);
        if by_primary && !is(Mutant::PrimaryPrepareCounts) {
            self.counters.primary_prepares += 1;
            return;
        }
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        if let Recorded::Conflicting(first) = slot.prepares.record(vote.clone())
            && !is(Mutant::ContradictionIgnored)
        {
            self.accuse(&Evidence::Prepare(pair(&first, vote)), step);
        }
    }

    fn on_commit(&mut self, now: Now, vote: &Verified<Signed<Commit>>, step: &mut Step) {
        let ballot = vote.body.0;
        self.examine_late_commit(vote, step);
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        if let Recorded::Conflicting(first) = slot.commits.record(vote.clone())
            && !is(Mutant::ContradictionIgnored)
        {
            self.accuse(&Evidence::Commit(pair(&first, vote)), step);
        }
    }

    /// The highest height at which proposals and votes are taken: R7, R23.
    pub(crate) fn top(&self) -> Height {
        self.chain.height().plus(2 * self.config.window).min(self.high_watermark())
    }

    /// The slot a vote belongs to, made if need be; `None` outside the window of heights (R7) and views (R11).
    pub(crate) fn slot_for(&mut self, now: Now, ballot: &Ballot) -> Option<&mut Slot> {
        let heights = self.chain.height().next()..=self.top();
        // Votes of past views can still complete a certificate, but start nothing new.
        let views = self.views.view()..=View(self.views.view().0.saturating_add(VIEWS_AHEAD));
        let key = (ballot.height, ballot.view);
        let (high, late) = (is(Mutant::WindowUnbounded), is(Mutant::ViewsUnbounded));
        let heights = if high { *heights.start()..=Height(u64::MAX) } else { heights };
        let views = if late { self.views.view()..=View(u64::MAX) } else { views };
        if !heights.contains(&ballot.height)
            || !(views.contains(&ballot.view) || self.log.slot(key.0, key.1).is_some())
        {
            self.counters.outside_window += 1;
            return None;
        }
        Some(self.log.open(now.moment, key.0, key.1))
    }

    /// R12: what is final already is not final twice; another block in its place is a fork.
    fn on_caught_up(&mut self, now: Now, headers: Vec<Header>, certificate: Verified<CommitCertificate>) {
        let Some(last) = headers.last() else { return };
        assert_eq!(last.hash(), certificate.ballot().block, "the certificate is for the last block");
        if last.height > self.chain.height() {
            self.advance_tip(now.moment, headers, certificate);
        } else if last.height == self.chain.height() {
            assert_eq!(
                last.hash(),
                self.chain.hash(),
                "FORK: two certified blocks at height {}",
                last.height
            );
        }
    }

    /// Moves the committed end of the chain and forgets what lies below (R12).
    pub(crate) fn advance_tip(
        &mut self,
        moment: Moment,
        headers: Vec<Header>,
        certificate: Verified<CommitCertificate>,
    ) {
        self.note_final(&headers, certificate.ballot().view);
        for header in &headers {
            self.checkpoints.reached(self.config.checkpoint_interval, header);
        }
        let tip = headers.into_iter().next_back().expect("the chain advances by a block at least");
        self.chain.advance(tip, certificate);
        self.log.prune_through(self.chain.height());
        self.views.clear_suspects();
        let interval = self.config.checkpoint_interval;
        self.signing
            .forget_through(self.chain.height(), Height(self.chain.height().0.saturating_sub(2 * interval)));
        self.try_enable_signing();
        self.timers.committed(moment, self.views.is_active());
    }

    /// Draws all conclusions that are possible, until there is none left.
    fn settle(&mut self, now: Now, step: &mut Step) {
        loop {
            let concluded = self.follow_others(step)
                || self.open_view(now, step)
                || self.examine_next(step)
                || self.accept_held(now, step)
                || self.prepare_next(step)
                || self.finalise_highest(now, step)
                || self.finalise_base(now, step)
                || self.checkpoint_next(step)
                || self.stabilise(step);
            if !concluded {
                return;
            }
        }
    }

    /// Whether new statements may be signed, and the view has begun and is not known to be over.
    pub(crate) fn votes(&self) -> bool {
        self.views.is_active() && self.signing.is_enabled() && !self.is_overtaken()
    }

    /// R12: whether the committed chain ends in a block that was certified in a later view. A quorum has left ours,
    /// so what is proposed in it can lead nowhere, and need not fit the chain.
    fn is_overtaken(&self) -> bool {
        let certified = self.chain.certified_in();
        certified > Some(self.views.view()) && !is(Mutant::VotesWhenOvertaken)
    }

    /// R24: with every promise goes what we know of how far everybody has gone.
    fn write_marks(&mut self, step: &mut Step) {
        if step.records.iter().any(Record::is_promise) {
            step.records.extend(self.signing.take_records());
        }
    }

    pub(crate) fn has_open_proposal(&self) -> bool {
        // What the view began with is work, also for those who have not found what is in it. A block whose parent
        // was replaced by what was committed is none: no primary can bring it to an end.
        self.views.is_again(self.chain.height().next())
            || self.log.slots_of(self.views.view()).any(|(height, _)| self.in_flight_at(height).is_some())
    }

    /// When to call [`Replica::step`] with [`Input::Tick`] if nothing else happens before. Ticking at deadlines
    /// alone is enough; a tick that comes late only delays what it would have done.
    pub fn deadline(&self) -> Option<Moment> {
        let held = self.log.slots().filter_map(|(_, _, slot)| match slot.stage {
            Stage::Held { until, .. } if self.votes() => Some(until),
            _ => None,
        });
        held.chain(self.view_deadline()).chain([self.status_due()]).min()
    }

    /// Who proposes in the current view.
    pub fn primary(&self) -> ReplicaId {
        self.config.committee.primary(self.config.epoch, self.views.view())
    }

    /// Whether this replica proposes in the current view.
    pub fn is_primary(&self) -> bool {
        self.primary() == self.signing.replica()
    }

    /// The current view.
    pub fn view(&self) -> View {
        self.views.view()
    }

    /// Whether the current view has begun here.
    pub fn is_active(&self) -> bool {
        self.views.is_active()
    }

    /// The last committed block.
    pub fn tip(&self) -> &Header {
        self.chain.tip()
    }

    /// Its hash.
    pub fn tip_hash(&self) -> BlockHash {
        self.chain.hash()
    }

    /// What others were seen to do.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
