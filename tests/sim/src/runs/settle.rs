//! The second half of a run: no more faults occur, and all work must be finished.

use std::time::Duration;

use quorate_governance::{Name, Operation};
use quorate_ledger::{Height, ReplicaId, TransactionId};
use quorate_pbft::SigningStatus;

use crate::clients::orders::{Attempt, End, Kind};
use crate::oracle::{Check, finality, journal, require};
use crate::world::{Occurrence, World};

/// How often clients ask for the status of their transactions.
const SWEEP: Duration = Duration::from_millis(400);

/// Time in addition to what transactions and empty blocks need: requests to members that are gone.
const BOUND: Duration = Duration::from_secs(40);

/// Milliseconds in which a healed network orders pending transactions, even if its primary first
/// requests missing blocks from a dead member.
const AMPLE_MS: u64 = 10_000;

/// If a view change is needed for the last empty block, this many periods contain one without work.
const SPELLS: usize = 12;

/// Intervals of K heights between two renewals of a member.
const RENEWAL_PAUSE: u64 = 16;

const LONELY: &str = "no member leaves a view alone in a timely network";
const PROGRESS: &str = "progress";
const QUIET: &str = "no messages when idle";

impl World {
    /// Heals the network and runs it until no work is left.
    ///
    /// # Errors
    /// A rule is broken, or the time is over.
    pub(crate) fn settle(&mut self) -> Check {
        self.heal();
        let held = self.held_in_time();
        let lifetimes = Duration::from_millis(self.knobs.lifetime_ms + 2 * self.knobs.empty_block_gap_ms);
        let end = self.agenda.now() + BOUND + 2 * lifetimes;
        while !self.is_settled() {
            require(self.agenda.now() < end, PROGRESS, || self.what_is_open())?;
            self.sweep();
            self.run_until(self.agenda.now() + SWEEP)?;
        }
        self.done = true;
        for (member, id) in held {
            let rejected = self.orders.of(&id).is_some_and(|order| order.rejected);
            require(rejected || self.chain.place(&id).is_some(), PROGRESS, || {
                format!("{id} was in the pool of member {member} with enough time and was not committed")
            })?;
        }
        Ok(())
    }

    /// Pooled transactions at members that run, with more remaining lifetime than ordering can
    /// take.
    fn held_in_time(&self) -> Vec<(ReplicaId, TransactionId)> {
        let (most, slowest) = (self.knobs.block_transactions, self.knobs.delay_ms.1);
        if most < 10 || slowest > 10 || self.core.len() < self.members.len() {
            return Vec::new(); // the queue, or traffic of others, may take longer than the lifetime
        }
        let enough = self.orders.present(self.agenda.now()) + AMPLE_MS;
        let mut held = Vec::new();
        for member in self.members.iter().filter(|member| !member.doomed && member.is_correct()) {
            let Some(engine) = member.engine() else { continue };
            let orders = self.orders.all.iter();
            let waiting =
                orders.filter(|order| order.valid_until.0 >= enough && engine.is_pending(&order.id));
            held.extend(waiting.map(|order| (member.replica, order.id)));
        }
        held
    }

    fn sweep(&mut self) {
        let up: Vec<ReplicaId> = self.up().into_iter().filter(|up| self.core.contains(up)).collect();
        if up.is_empty() {
            return;
        }
        for number in self.orders.open() {
            let to = *self.random.choose(&up);
            let delay = self.random.millis(0, 50);
            self.agenda.after(delay, Occurrence::Attempt(Attempt { number, to }));
        }
    }

    /// Whether all members that should run have the same head and no open work.
    fn is_settled(&self) -> bool {
        for replica in &self.core {
            let Some(stands) = self.members[replica.index()].overview(self.agenda.now()) else {
                return false;
            };
            if stands.mempool.transactions > 0 || stands.examining > 0 {
                return false;
            }
            if self.epoch_of(*replica) != self.chain.state().next_config().epoch() {
                return false;
            }
            if stands.pbft.committed != self.chain.height() || stands.pbft.signing != SigningStatus::Voting {
                return false;
            }
        }
        self.orders.open().is_empty() && self.chain.state().scheduled().is_empty()
    }

    /// The state of all members, for messages.
    pub(crate) fn what_is_open(&self) -> String {
        let open = self.orders.open();
        let mut text = format!("{} transactions without a result", open.len());
        if let Some(number) = open.first() {
            let order = &self.orders.all[*number];
            text += &format!(", first {} ({:?}, until {})", order.id, order.kind, order.valid_until);
        }
        for member in &self.members {
            for order in &self.orders.all {
                if member.engine().is_some_and(|engine| engine.is_pending(&order.id)) {
                    text += &format!(
                        "\n  member {} holds {} ({:?}, until {}, ended {:?})",
                        member.replica, order.id, order.kind, order.valid_until, order.end
                    );
                }
            }
            text += &match member.overview(self.agenda.now()) {
                Some(stands) => {
                    let slots: Vec<_> = stands
                        .pbft
                        .slots
                        .iter()
                        .map(|slot| (slot.height.0, slot.view.0, slot.phase))
                        .collect();
                    format!(
                        "\n  member {} at height {}, epoch {}, view {} {}, {:?}, stable {}, {} transactions, slots {slots:?}, {} \
                         examined, in the core: {}",
                        member.replica,
                        stands.pbft.committed,
                        member.epoch,
                        stands.pbft.view,
                        if stands.pbft.active { "active" } else { "left" },
                        stands.pbft.signing,
                        stands.pbft.stable,
                        stands.mempool.transactions,
                        stands.examining,
                        self.core.contains(&member.replica)
                    )
                }
                None => format!("\n  member {} is down", member.replica),
            };
        }
        text
    }

    /// Runs a network without work: soon it must create no block, leave no view and send only
    /// STATUS.
    ///
    /// # Errors
    /// It continues to do something.
    pub(crate) fn rest(&mut self) -> Check {
        // The ledger becomes durable within a second, and the last resends are in flight.
        let calm = self.agenda.now() + Duration::from_millis(1500 + 4 * self.knobs.status_interval_ms);
        self.run_until(calm)?;
        self.resting = true;
        let spell = Duration::from_millis(6 * self.knobs.status_interval_ms + self.knobs.empty_block_gap_ms);
        for _ in 0..SPELLS {
            let before = (self.chain.height(), self.work, self.departures);
            self.run_until(self.agenda.now() + spell)?;
            let after = (self.chain.height(), self.work, self.departures);
            // Members that were not healed may always send something.
            if before == after || self.outsiders {
                return self.check_rested();
            }
        }
        require(false, QUIET, || "the network never becomes idle".to_owned())
    }

    fn check_rested(&mut self) -> Check {
        let height = self.chain.height();
        let rules = self.epochs.of(self.epochs.newest());
        let interval = rules.knobs.checkpoint_interval;
        // The root of the epoch is its low watermark before the first checkpoint.
        let stable = (height.0 / interval * interval).max(rules.root().0);
        for replica in self.core.clone() {
            let stands = self.members[replica.index()].overview(self.agenda.now());
            let stands = stands.expect("it was made whole");
            journal::check_quiet(&stands, &self.rules_of(replica).knobs)?;
            require(stands.pbft.stable.0 == stable, PROGRESS, || {
                format!("member {replica} is idle at {height}, stable is {}", stands.pbft.stable)
            })?;
            if !stands.pbft.active {
                self.coverage.saw("a member excluded from its view at the end");
                let excused = !self.knobs.is_prompt();
                require(excused, LONELY, || {
                    format!(
                        "member {replica} left for view {} alone: {}",
                        stands.pbft.view,
                        self.what_is_open()
                    )
                })?;
            }
        }
        Ok(())
    }

    /// An epoch change needs no traffic: it completes in an idle network, which is silent again after
    /// it. A member that lost its journal votes again then.
    ///
    /// # Errors
    /// The change does not complete, or something continues.
    pub(crate) fn change_when_idle(&mut self) -> Check {
        if self.knobs.governance_gap_ms == 0 || self.core.is_empty() {
            return Ok(());
        }
        let state = self.chain.state();
        let interval = self.epochs.of(self.epochs.newest()).knobs.checkpoint_interval;
        let next = self.chain.height().next();
        let may_renew = |name: &Name| {
            let last = state.renewals().get(name);
            last.is_none_or(|last| next.0 >= last.0 + RENEWAL_PAUSE * interval)
        };
        let members = state.next_config().members();
        let Some(member) = members.iter().find(|member| may_renew(&member.name)) else { return Ok(()) };
        let key = self.operators.secret(&member.governance_key);
        let before = self.epochs.newest();
        self.resting = false;
        let renewal = Operation::Renew.to_bytes();
        let number = self.orders.place_operation(self.agenda.now(), &key, Kind::Operation, renewal);
        self.send_to_core(number);
        let end = self.agenda.now() + BOUND;
        while !(self.is_settled() && self.epochs.newest() > before && self.returned()) {
            require(self.agenda.now() < end, PROGRESS, || {
                format!("no epoch after {before}: {}", self.what_is_open())
            })?;
            self.sweep();
            self.run_until(self.agenda.now() + SWEEP)?;
        }
        self.coverage.saw("an epoch change in an idle network");
        self.rest()
    }

    /// Whether all members that lost statements in earlier epochs vote again, as far as they run and are
    /// connected.
    fn returned(&mut self) -> bool {
        let now = self.agenda.now();
        let mut all = true;
        for member in &self.members {
            let lost = member.tainted.is_some() && member.adversary.is_none();
            let away = self.buried.contains(&member.replica) || self.severed.contains(&member.replica);
            if !lost || away || !member.is_up() {
                continue;
            }
            all &= member.is_correct()
                && member.overview(now).is_some_and(|stands| stands.pbft.signing == SigningStatus::Voting);
        }
        all
    }

    fn send_to_core(&mut self, number: usize) {
        let core: Vec<ReplicaId> = self.core.iter().copied().collect();
        let to = *self.operators.random.choose(&core);
        self.agenda.after(Duration::ZERO, Occurrence::Attempt(Attempt { number, to }));
    }

    /// An idle network is ready: one more transaction, sent to any healed member, is committed.
    ///
    /// # Errors
    /// It is not committed in time.
    pub(crate) fn order_one_more(&mut self) -> Check {
        self.resting = false;
        let core: Vec<ReplicaId> = self.core.iter().copied().collect();
        let Some(to) = (!core.is_empty()).then(|| *self.random.choose(&core)) else { return Ok(()) };
        let number = self.place_good();
        self.agenda.after(Duration::ZERO, Occurrence::Attempt(Attempt { number, to }));
        let end = self.agenda.now() + BOUND + Duration::from_millis(2 * self.knobs.lifetime_ms);
        while self.orders.all[number].end.is_none() {
            require(self.agenda.now() < end, PROGRESS, || self.what_is_open())?;
            self.run_until(self.agenda.now() + SWEEP)?;
            self.sweep(); // clocks differ: it may have been refused because its lifetime is too long
        }
        Ok(())
    }

    /// Checks the final ledgers, also after a last power loss of all members.
    ///
    /// # Errors
    /// Something is missing or cannot be proven.
    pub(crate) fn final_checks(&mut self) -> Check {
        let up: Vec<ReplicaId> = self.core.iter().copied().collect();
        for replica in &up {
            self.crash_machine(*replica);
            self.agenda.after(Duration::ZERO, Occurrence::Revive(*replica));
        }
        let now = self.agenda.now();
        self.run_until(now)?;
        let back = up.iter().all(|replica| self.members[replica.index()].is_up());
        require(back, "members start again", || "not all members restarted".to_owned())?;
        for replica in up {
            let reader = self.members[replica.index()].engine().expect("it is up").reader();
            finality::check(replica, &reader, &self.chain, &self.genesis, &mut self.random)?;
            self.count_life(replica);
        }
        for order in &self.orders.all {
            let committed = self.chain.place(&order.id).is_some();
            require(committed == (order.end == Some(End::Committed)), PROGRESS, || {
                format!("transaction {} has the result {:?}, committed: {committed}", order.id, order.end)
            })?;
        }
        Ok(())
    }

    /// The last height, for the report.
    pub(crate) fn height(&self) -> Height {
        self.chain.height()
    }
}
