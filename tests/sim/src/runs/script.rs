//! A world controlled by a script: for named scenarios, and for known failures.
//!
//! The script decides everything that is random in a seeded run: start from [`Knobs::plain`], name
//! the Byzantine members in [`Knobs::faulty`], and control events with the methods below. All rules
//! are checked.

use std::fmt;
use std::time::Duration;

use quorate_engine::Overview;
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::Message;

use crate::clients::orders::{Attempt, End};
use crate::members::Crash;
use crate::network::packet::Packet;
use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, require};
use crate::random::Random;
use crate::world::{Occurrence, World};

/// Decides for each message whether it is sent: sending machine, receiving machine, message.
type Passes = Box<dyn FnMut(ReplicaId, ReplicaId, &Message) -> bool>;

/// The message filter of a script.
pub(crate) struct Filter(Passes);

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

impl Filter {
    /// A filter with this decision.
    pub(crate) fn of(passes: impl FnMut(ReplicaId, ReplicaId, &Message) -> bool + 'static) -> Self {
        Filter(Box::new(passes))
    }

    /// Whether a packet is sent. Transactions always are.
    pub(crate) fn passes(&mut self, from: ReplicaId, to: ReplicaId, packet: &Packet) -> bool {
        packet.consensus().is_none_or(|message| (self.0)(from, to, message))
    }
}

impl World {
    /// A network whose members are about to start, without clients and random faults.
    pub fn scripted(seed: u64, knobs: Knobs) -> Self {
        let mut world = World::new(seed, knobs, Random::new(seed), false);
        world.share_memo();
        world.start_members();
        world
    }

    /// Runs for this duration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn run_for(&mut self, duration: Duration) -> Check {
        self.run_until(self.agenda.now() + duration)
    }

    /// Runs until a condition is true, at most for this duration.
    ///
    /// # Errors
    /// The first rule that is broken, or that the condition did not become true.
    pub fn wait(&mut self, what: &str, most: Duration, is_so: impl Fn(&World) -> bool) -> Check {
        let end = self.agenda.now() + most;
        while !is_so(self) {
            require(self.agenda.now() < end, "the script", || format!("{what} does not happen"))?;
            self.run_for(Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// A client creates a transaction and sends it to one member. Returns its number.
    pub fn order(&mut self, to: ReplicaId) -> usize {
        let number = self.place_good();
        self.agenda.after(Duration::ZERO, Occurrence::Attempt(Attempt { number, to }));
        number
    }

    /// Whether a client received the result that its transaction is committed.
    pub fn is_committed(&self, number: usize) -> bool {
        self.orders.all[number].end == Some(End::Committed)
    }

    /// The state of a member; `None` if it is down.
    pub fn stands(&self, replica: ReplicaId) -> Option<Overview> {
        self.members[replica.index()].overview(self.agenda.now())
    }

    /// The highest block that any member committed.
    pub fn committed(&self) -> Height {
        self.height()
    }

    /// How often a situation occurred.
    pub fn saw(&self, situation: &str) -> u64 {
        self.coverage.counts().find(|(known, _)| *known == situation).map_or(0, |(_, count)| count)
    }

    /// Ends a member's process.
    pub fn stop(&mut self, replica: ReplicaId, crash: Crash) {
        self.crash(replica, crash);
    }

    /// Starts a member that is down.
    pub fn start(&mut self, replica: ReplicaId) {
        self.agenda.after(Duration::ZERO, Occurrence::Revive(replica));
    }

    /// Blocks delivery from one member to another until [`World::unblock`].
    pub fn block(&mut self, from: ReplicaId, to: ReplicaId) {
        self.net.block(from, to);
    }

    /// Ends all blocks.
    pub fn unblock(&mut self) {
        self.net.unblock_all();
    }

    /// From now on this decides about every protocol message.
    pub fn filter(&mut self, passes: impl FnMut(ReplicaId, ReplicaId, &Message) -> bool + 'static) {
        self.filter = Some(Filter::of(passes));
    }

    /// Removes the filter.
    pub fn unfilter(&mut self) {
        self.filter = None;
    }

    /// Copies a member's disks, for [`World::put_back`].
    pub fn copy_disks(&mut self, replica: ReplicaId) {
        self.member(replica).copy_disks();
    }

    /// Cuts the power of a member and restores its old disks; only the ledger unless `both`. The
    /// member stays down.
    pub fn put_back(&mut self, replica: ReplicaId, both: bool) {
        self.exchange_disks(replica, both);
    }

    /// Heals everything and runs until no work is left, then checks that the network is idle,
    /// orders one more transaction, and checks all ledgers.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn finish(&mut self) -> Check {
        self.unfilter();
        self.settle()?;
        self.rest()?;
        self.change_when_idle()?;
        self.order_one_more()?;
        self.final_checks()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::byzantine::Lie;
    use crate::occasions::knobs::Fault;

    const SECOND: Duration = Duration::from_secs(1);

    fn ready(knobs: Knobs) -> World {
        let mut world = World::scripted(1, knobs);
        world.run_for(SECOND).unwrap();
        world
    }

    #[test]
    fn a_dead_primary_is_replaced() {
        let mut world = ready(Knobs::plain(4));
        world.stop(ReplicaId(0), Crash::PowerLoss);
        let order = world.order(ReplicaId(2));
        world
            .wait("a commit without the first primary", 4 * SECOND, |world| world.is_committed(order))
            .unwrap();
        assert_eq!(world.stands(ReplicaId(1)).unwrap().pbft.view.0, 1);
        world.start(ReplicaId(0));
        world.finish().unwrap();
    }

    #[test]
    fn a_primary_that_proposes_several_blocks_is_detected() {
        let faulty = vec![(0, Fault::Lies(vec![Lie::Equivocate]))];
        let mut world = ready(Knobs { faulty, ..Knobs::plain(4) });
        let order = world.order(ReplicaId(3));
        world.wait("a commit", 8 * SECOND, |world| world.is_committed(order)).unwrap();
        world.finish().unwrap();
    }

    #[test]
    fn a_block_that_only_one_member_saw_prepared_survives_the_silence_of_that_member() {
        let mut world = ready(Knobs::plain(4));
        // COMMITs are lost: all members prepare, none commits.
        world.filter(|_, _, message| !matches!(message, Message::Commit(_)));
        let order = world.order(ReplicaId(1));
        let prepared = |world: &World| world.saw("a new view with one block proposed again") > 0;
        world.wait("a new view with the prepared block", 8 * SECOND, prepared).unwrap();
        world.unfilter();
        world.wait("a commit", 8 * SECOND, |world| world.is_committed(order)).unwrap();
        world.finish().unwrap();
    }

    #[test]
    fn a_member_with_an_old_journal_stops_signing() {
        let mut world = ready(Knobs { old_images: 1, ..Knobs::plain(4) });
        world.copy_disks(ReplicaId(3));
        let order = world.order(ReplicaId(0));
        world.wait("a commit", 2 * SECOND, |world| world.is_committed(order)).unwrap();
        world.put_back(ReplicaId(3), true);
        world.start(ReplicaId(3));
        world
            .wait("the detection of the old journal", 2 * SECOND, |world| {
                world.saw("a recovering member") > 0
            })
            .unwrap();
        world.finish().unwrap();
    }
}
