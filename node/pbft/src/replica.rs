//! The state of a replica, and its entry point [`Replica::step`].

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, BlockHash, Commit, CommitCertificate, Header, Height, ReplicaId, Signed, Verified, View,
};

use crate::chain::Chain;
use crate::checkpoint::stable::Checkpoints;
use crate::config::{Config, MAX_WINDOW};
use crate::epoch::schedule::Schedule;
use crate::evidence::Faults;
use crate::evidence::proof::Evidence;
use crate::input::Input;
use crate::journal::record::Record;
use crate::messages::proposal::Prepare;
use crate::messages::{Checked, CheckedContent};
use crate::repair::peers::Peers;
use crate::signing::Signing;
use crate::signing::signer::Signer;
use crate::step::Step;
use crate::time::{Moment, Now};
use crate::timer::ViewTimers;
use crate::view_change::state::Views;
use crate::votes::Log;
use crate::votes::slot::{Recorded, Slot, Stage};

/// Counters for metrics. They count from the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Equivocations, crossed votes and hidden certificates that were proven (R22).
    pub contradictions: u64,
    /// Proposals that were refused because they break a rule (R5).
    pub bad_proposals: u64,
    /// Proposals, votes and CHECKPOINTs that were dropped: outside the windows of heights and views
    /// (R7, R11), or at a height that has no checkpoint (R23).
    pub outside_window: u64,
    /// PREPAREs of the primary of their view, ignored (R9).
    pub primary_prepares: u64,
    /// Proposals and votes that were resent because a STATUS lacked them (R14b).
    pub repaired: u64,
    /// Views left because no block was committed in time (R15b).
    pub no_progress: u64,
    /// Views left because of censorship (R21d).
    pub censorship: u64,
    /// Views left because of evidence against their primary (R22c).
    pub proven_primaries: u64,
    /// Views left because f + 1 others had left them (R19c).
    pub joined: u64,
    /// Views left because no NEW-VIEW arrived in time (R15c).
    pub no_new_view: u64,
    /// Views entered.
    pub views_entered: u64,
    /// Checkpoints that became stable.
    pub stable_checkpoints: u64,
}

impl Counters {
    /// The sums of both: a node counts on from one epoch to the next.
    #[must_use]
    pub fn plus(self, other: Counters) -> Counters {
        Counters {
            contradictions: self.contradictions + other.contradictions,
            bad_proposals: self.bad_proposals + other.bad_proposals,
            outside_window: self.outside_window + other.outside_window,
            primary_prepares: self.primary_prepares + other.primary_prepares,
            repaired: self.repaired + other.repaired,
            no_progress: self.no_progress + other.no_progress,
            censorship: self.censorship + other.censorship,
            proven_primaries: self.proven_primaries + other.proven_primaries,
            joined: self.joined + other.joined,
            no_new_view: self.no_new_view + other.no_new_view,
            views_entered: self.views_entered + other.views_entered,
            stable_checkpoints: self.stable_checkpoints + other.stable_checkpoints,
        }
    }
}

/// A replica keeps proposals and votes of its view and of this many views after it (R11).
///
/// The number of slots does not depend on what others send. In an active view there are at most 2 W
/// slots in each of 1 + 2 views (W is at most [`MAX_WINDOW`]). While a view has not begun, at most
/// 3 more views have 2 W slots each. The blocks that a view proposes again (R20c) and the accepted
/// blocks of past views (R20d) come on top. A slot holds one proposal, and one PREPARE and one
/// COMMIT of each member.
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
    pub(crate) schedule: Schedule,
    pub(crate) first_step: FirstStep,
}

/// What the next step of a replica must do before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstStep {
    /// Nothing: it was taken, or the replica began with the chain.
    Done,
    /// The step is the first one after a restart (R13b).
    Restores,
    /// The step is the first one of an epoch that follows another (R26e).
    Begins,
}

impl Replica {
    /// A replica on a chain that ends in `root`, its genesis, without journal records.
    /// [`Replica::restore`] makes one from its records, [`Replica::begin`] one for a later epoch.
    /// `schedule` is that of the governance state which is known here (R26).
    ///
    /// # Panics
    /// If the window is not within 1 to [`MAX_WINDOW`], or an interval is zero. A checked genesis
    /// contains no such value. And if `root` is not the root of the configuration.
    pub fn new(config: Config, signer: Signer, root: Header, schedule: Schedule) -> Self {
        config.context.root.assert_is(&root);
        Replica::on(Chain::new(root, None), config, signer, schedule)
    }

    /// A replica on this chain, with nothing in its log.
    pub(crate) fn on(chain: Chain, config: Config, signer: Signer, schedule: Schedule) -> Self {
        assert!(
            (1..=MAX_WINDOW).contains(&config.context.window),
            "the window must be 1 to {MAX_WINDOW} heights"
        );
        assert!(!config.request_timeout.is_zero(), "the request timeout must be above zero");
        assert!(!config.new_view_timeout.is_zero(), "the new-view timeout must be above zero");
        assert!(!config.status_interval.is_zero(), "the status interval must be above zero");
        assert!(config.checkpoint_interval > 0, "the checkpoint interval must be above zero");
        Replica {
            signing: Signing::new(signer, config.context.epoch()),
            chain,
            log: Log::default(),
            views: Views::default(),
            timers: ViewTimers::new(&config),
            checkpoints: Checkpoints::on(config.context.root.height),
            config,
            peers: Peers::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            schedule,
            first_step: FirstStep::Done,
        }
    }

    /// Handles one event. This is the only way to change a replica.
    pub fn step(&mut self, now: Now, input: Input) -> Step {
        let mut step = Step::default();
        match std::mem::replace(&mut self.first_step, FirstStep::Done) {
            FirstStep::Done => {}
            // A restart needs this step: only a step can make requests to the engine.
            FirstStep::Restores => self.begin_again(now, &mut step),
            // R26e: before anything that is signed in this epoch.
            FirstStep::Begins => step.records.push(Record::EpochStart(self.config.context.epoch())),
        }
        match input {
            Input::Received { from, message } => self.on_message(now, from, message, &mut step),
            Input::PeerUp(peer) => self.greet(now, peer, &mut step),
            Input::PeerDown(peer) => self.peers.lost(peer),
            Input::Proposed(skeleton) => self.on_proposed(now, skeleton, &mut step),
            Input::SkeletonFetched(skeleton) => self.on_skeleton(&skeleton),
            Input::Examined { ballot, verdict } => self.on_examined(now, ballot, verdict, &mut step),
            Input::CaughtUp { headers, certificate } => self.on_caught_up(now, headers, certificate),
            Input::Durable(height) => self.checkpoints.durable(height),
            Input::Scheduled(schedule) => self.on_scheduled(schedule),
            Input::Executed { height, state_root } => self.checkpoints.executed(height, state_root),
            Input::Pending(work) => self.timers.set_work(work),
            Input::Censored => self.on_censored(now, &mut step),
            Input::Late(lateness) => self.timers.put_off(lateness),
            Input::Tick => {}
        }
        self.settle(now, &mut step);
        if self.watch_progress(now, &mut step) {
            // The replica may begin the next view at once; otherwise its new-view timer may start.
            self.settle(now, &mut step);
            self.watch_progress(now, &mut step);
        }
        // STATUS comes after all conclusions of this step, so that it shows their result.
        self.report_status(now, &mut step);
        self.write_marks(&mut step);
        step
    }

    fn on_message(&mut self, now: Now, from: ReplicaId, message: Checked, step: &mut Step) {
        // R15d and R24b need every message, also one that is ignored below.
        self.peers.heard(from, now.moment);
        self.signing.observe(&message);
        let vote = message.vote();
        match message.into_content() {
            CheckedContent::PrePrepare(proposal) => self.on_pre_prepare(now, from, proposal, step),
            CheckedContent::Prepare(vote) => self.on_prepare(now, &vote, step),
            CheckedContent::Commit(vote) => self.on_commit(now, &vote, step),
            CheckedContent::Status(status) => self.on_status(now, from, &status, step),
            CheckedContent::ViewChange(change) => self.on_view_change(change, step),
            CheckedContent::NewView(new_view) => self.on_new_view(now, new_view, step),
            CheckedContent::Checkpoint(vote) => self.on_checkpoint(&vote, step),
            CheckedContent::Evidence(evidence) => self.on_evidence(&evidence, step),
            CheckedContent::Seen(seen) => self.on_seen(from, seen, step),
        }
        // After the vote is stored, whichever way the rules above took.
        if let Some((signer, ballot)) = vote {
            self.examine_crossing(signer, &ballot, step);
        }
    }

    fn on_prepare(&mut self, now: Now, vote: &Verified<Signed<Prepare>>, step: &mut Step) {
        let (ballot, signer) = (vote.body.0, vote.signer);
        // R9: the PRE-PREPARE is the primary's PREPARE, so another one must not count. It is not
        // evidence: some implementations send it.
        let by_primary = signer == self.config.context.committee.primary(ballot.view);
        if by_primary && !is(Mutant::PrimaryPrepareCounts) {
            self.counters.primary_prepares += 1;
            return;
        }
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        if let Recorded::Conflicting(first) = slot.prepares.record(vote.clone())
            && !is(Mutant::EquivocationIgnored)
        {
            self.accuse(&Evidence::of_pair(Evidence::Prepare, &first, vote), step);
        }
    }

    fn on_commit(&mut self, now: Now, vote: &Verified<Signed<Commit>>, step: &mut Step) {
        let ballot = vote.body.0;
        // Before the window is checked: the COMMIT may prove a fault at any height (R22b).
        self.examine_late_commit(vote, step);
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        if let Recorded::Conflicting(first) = slot.commits.record(vote.clone())
            && !is(Mutant::EquivocationIgnored)
        {
            self.accuse(&Evidence::of_pair(Evidence::Commit, &first, vote), step);
        }
    }

    /// The highest height at which the replica takes proposals and votes (R7, R23, R26b).
    pub(crate) fn top(&self) -> Height {
        let window = self.chain.height().plus(2 * self.config.context.window);
        window.min(self.high_watermark()).min(self.last_height())
    }

    /// The slot that a ballot belongs to. Makes it if it does not exist. `None` if the ballot is
    /// outside the windows of heights (R7) and views (R11).
    pub(crate) fn slot_for(&mut self, now: Now, ballot: &Ballot) -> Option<&mut Slot> {
        let heights = self.chain.height().next()..=self.top();
        // A vote of an earlier view may still complete a certificate, so it is kept if its slot
        // exists. No new slot is made for it (R11).
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

    /// Upon fetched blocks: advances the chain. Blocks that are final already change nothing
    /// (R12d).
    fn on_caught_up(&mut self, now: Now, headers: Vec<Header>, certificate: Verified<CommitCertificate>) {
        let Some(last) = headers.last() else { return };
        assert_eq!(
            certificate.ballot().epoch,
            self.config.context.epoch(),
            "R26: the engine gives a replica the blocks of its own epoch only"
        );
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

    /// Advances the committed chain to the last of these headers, and drops what is known about the
    /// heights up to there (R12a).
    pub(crate) fn advance_tip(
        &mut self,
        moment: Moment,
        headers: Vec<Header>,
        certificate: Verified<CommitCertificate>,
    ) {
        // Before the slots go: R14d needs the proposals of these heights.
        self.note_final(&headers, certificate.ballot().view);
        for header in &headers {
            self.assert_agrees_with_schedule(header);
            self.checkpoints.reached(self.config.checkpoint_interval, header);
        }
        let tip = headers.into_iter().next_back().expect("the chain advances by a block at least");
        self.chain.advance(tip, certificate);
        self.log.prune_through(self.chain.height());
        // R20e: suspicion holds until the committed chain grows.
        self.views.clear_suspects();
        // The last two CHECKPOINTs stay known, because they are resent (R23).
        let interval = self.config.checkpoint_interval;
        self.signing
            .forget_through(self.chain.height(), Height(self.chain.height().0.saturating_sub(2 * interval)));
        // R24d: the ledger may have reached the height that an old copy of it lacked.
        self.try_enable_signing();
        self.timers.committed(moment, self.views.is_active());
    }

    /// Applies the rules that need no further event, until none of them applies.
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

    /// Whether this replica may vote in its view: signing is enabled (R24), the epoch is not over
    /// (R26d), and the view has begun and is not known to be over (R12e).
    pub(crate) fn votes(&self) -> bool {
        self.views.is_active() && self.may_sign() && !self.is_overtaken()
    }

    /// R12e: whether the certificate of the last committed block is of a later view. A quorum has
    /// left this replica's view then, and proposals of this view need not fit the committed chain.
    fn is_overtaken(&self) -> bool {
        // The root has no certificate of this epoch: `None` is less than any view.
        let certified = self.chain.certified_in();
        certified > Some(self.views.view()) && !is(Mutant::VotesWhenOvertaken)
    }

    /// R24b: adds the high-water marks of all members to a group of records that a message waits
    /// for. Marks alone do not cause a write.
    fn write_marks(&mut self, step: &mut Step) {
        if step.records.iter().any(Record::is_promise) {
            step.records.extend(self.signing.take_records());
        }
    }

    pub(crate) fn has_open_proposal(&self) -> bool {
        // The blocks that the view proposes again are work even if their ids are not known here
        // yet. A block whose ancestor was replaced by a committed block is no work: no primary can
        // get it committed (R15b).
        self.views.is_again(self.chain.height().next())
            || self.log.slots_of(self.views.view()).any(|(height, _)| self.in_flight_at(height).is_some())
    }

    /// When to call [`Replica::step`] with [`Input::Tick`] if no other event comes before. Ticks at
    /// these deadlines are enough. A late tick only delays what it would have done.
    pub fn deadline(&self) -> Option<Moment> {
        let held = self.log.slots().filter_map(|(_, _, slot)| match slot.stage {
            // Without a vote nothing is accepted, so there is nothing to wake up for.
            Stage::Held { until, .. } if self.votes() => Some(until),
            _ => None,
        });
        held.chain(self.view_deadline()).chain([self.status_due()]).min()
    }

    /// The primary of the current view.
    pub fn primary(&self) -> ReplicaId {
        self.config.context.committee.primary(self.views.view())
    }

    /// Whether this replica is the primary of the current view.
    pub fn is_primary(&self) -> bool {
        self.primary() == self.signing.replica()
    }

    /// The current view. If it has not begun, the replica waits for its NEW-VIEW.
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

    /// Hash of the last committed block.
    pub fn tip_hash(&self) -> BlockHash {
        self.chain.hash()
    }

    /// The counters for metrics.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
