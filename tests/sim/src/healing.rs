//! The second half of a run: nothing goes wrong any more, and everything must come to its end.

use std::time::Duration;

use quorate_ledger::{Height, ReplicaId, TransactionId};

use crate::oracle::{Check, finality, journal, require};
use crate::orders::{Attempt, End};
use crate::world::{Occurrence, World};

/// How often clients ask what became of their transactions.
const SWEEP: Duration = Duration::from_millis(400);

/// Beyond what transactions and empty blocks take by themselves: questions to members that have gone.
const BOUND: Duration = Duration::from_secs(40);

/// Milliseconds in which a healed network orders what waits, even if its primary first asks a dead member
/// for what it missed.
const AMPLE_MS: u64 = 10_000;

const PROGRESS: &str = "progress";
const QUIET: &str = "quiet when idle";

impl World {
    /// Heals the network and runs it until nothing is open.
    ///
    /// # Errors
    /// A rule is broken, or time is up.
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
        for (member, id) in held {
            require(self.chain.place(&id).is_some(), PROGRESS, || {
                format!("{id} waited at member {member} with time to spare and was not committed")
            })?;
        }
        Ok(())
    }

    /// What waits at members that are up and has more time than ordering it can take.
    fn held_in_time(&self) -> Vec<(ReplicaId, TransactionId)> {
        let (most, slowest) = (self.knobs.block_transactions, self.knobs.delay_ms.1);
        if most < 10 || slowest > 10 {
            return Vec::new(); // the queue may be longer than the lifetime
        }
        let enough = self.orders.present(self.agenda.now()) + AMPLE_MS;
        let mut held = Vec::new();
        for member in self.members.iter().filter(|member| !member.doomed) {
            let Some(engine) = member.engine() else { continue };
            let orders = self.orders.all.iter();
            let waiting =
                orders.filter(|order| order.valid_until.0 >= enough && engine.is_pending(&order.id));
            held.extend(waiting.map(|order| (member.replica, order.id)));
        }
        held
    }

    fn sweep(&mut self) {
        let up = self.up();
        if up.is_empty() {
            return;
        }
        for number in self.orders.open() {
            let to = *self.random.choose(&up);
            let delay = self.random.millis(0, 50);
            self.agenda.after(delay, Occurrence::Attempt(Attempt { number, to }));
        }
    }

    /// Whether all members that should run stand at the same block and hold nothing.
    fn is_settled(&self) -> bool {
        let mut tips = Vec::new();
        for member in &self.members {
            if self.buried.contains(&member.replica) || !(member.is_up() || member.is_down()) {
                continue;
            }
            let Some(engine) = member.engine() else { return false };
            let stands = engine.overview();
            if stands.mempool.transactions > 0 || stands.in_flight > 0 || stands.examining > 0 {
                return false;
            }
            tips.push(stands.pbft.committed);
        }
        self.orders.open().is_empty() && tips.iter().all(|tip| *tip == self.chain.height())
    }

    fn what_is_open(&self) -> String {
        let open = self.orders.open();
        let mut text = format!("{} transactions without an end", open.len());
        if let Some(number) = open.first() {
            let order = &self.orders.all[*number];
            text += &format!(", first {} ({:?}, until {})", order.id, order.kind, order.valid_until);
        }
        for member in &self.members {
            text += &match member.engine() {
                Some(engine) => {
                    let stands = engine.overview();
                    let slots: Vec<_> =
                        stands.pbft.slots.iter().map(|slot| (slot.height.0, slot.phase)).collect();
                    format!(
                        "\n  member {} at height {}, {} transactions, slots {slots:?}, {} examined",
                        member.replica, stands.pbft.committed, stands.mempool.transactions, stands.examining
                    )
                }
                None => format!("\n  member {} is not up", member.replica),
            };
        }
        text
    }

    /// Runs a network that has nothing to do: it makes no block and says nothing but STATUS.
    ///
    /// # Errors
    /// It does something.
    pub(crate) fn rest(&mut self) -> Check {
        // The ledger is made durable within a second, and the last repairs are under way.
        let calm = self.agenda.now() + Duration::from_millis(1500 + 4 * self.knobs.status_interval_ms);
        self.run_until(calm)?;
        let (height, work) = (self.chain.height(), self.work);
        let end =
            calm + Duration::from_millis(6 * self.knobs.status_interval_ms + self.knobs.empty_block_gap_ms);
        self.run_until(end)?;
        require(self.chain.height() == height, QUIET, || {
            format!("blocks from height {height} to {} without a reason", self.chain.height())
        })?;
        require(self.work == work, QUIET, || format!("{} messages without a reason", self.work - work))?;
        for member in &self.members {
            if let Some(engine) = member.engine() {
                journal::check_quiet(&engine.overview())?;
            }
        }
        Ok(())
    }

    /// Looks at what is left in the ledgers, also after a last power loss of everybody.
    ///
    /// # Errors
    /// Something is missing or cannot be proven.
    pub(crate) fn final_checks(&mut self) -> Check {
        let up = self.up();
        for replica in &up {
            self.crash_machine(*replica);
            self.agenda.after(Duration::ZERO, Occurrence::Revive(*replica));
        }
        let now = self.agenda.now();
        self.run_until(now)?;
        require(self.up() == up, "members start again", || "not all came back".to_owned())?;
        for replica in up {
            let reader = self.members[replica.index()].engine().expect("it is up").reader();
            finality::check(replica, &reader, &self.chain, &self.genesis, &self.knobs, &mut self.random)?;
            self.retire(replica);
        }
        for order in &self.orders.all {
            let committed = self.chain.place(&order.id).is_some();
            require(committed == (order.end == Some(End::Committed)), PROGRESS, || {
                format!("transaction {} ended as {:?}, committed: {committed}", order.id, order.end)
            })?;
        }
        Ok(())
    }

    /// The last height, for the report.
    pub(crate) fn height(&self) -> Height {
        self.chain.height()
    }
}
