//! Links between members: delay, loss, duplication, cuts.

mod arrive;
pub mod packet;
pub mod requests;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_ledger::ReplicaId;

use crate::occasions::knobs::Knobs;
use crate::random::Random;

/// Messages that a lossy link loses, per thousand.
const LOSSY: u64 = 700;

/// The state of all links. A message needs a connection, and may then be lost at random.
#[derive(Debug)]
pub struct SimNet {
    random: Random,
    delay_ms: (u64, u64),
    loss: u64,
    doubling: u64,
    gossip_loss: u64,
    ordered: bool,
    /// Pairs with a connection, the smaller index first.
    connected: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Directed pairs without delivery although they are connected.
    blocked: BTreeSet<(ReplicaId, ReplicaId)>,
    /// The same, permanently.
    severed: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Directed pairs that lose most messages.
    lossy: BTreeSet<(ReplicaId, ReplicaId)>,
    /// Delivery time of the last message of each link.
    last: BTreeMap<(ReplicaId, ReplicaId), Duration>,
}

/// What happens to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not delivered.
    Lost,
    /// It is delivered at these times.
    Arrives(Vec<Duration>),
}

fn pair(a: ReplicaId, b: ReplicaId) -> (ReplicaId, ReplicaId) {
    (a.min(b), a.max(b))
}

impl SimNet {
    /// A network without connections.
    pub fn new(knobs: &Knobs, random: Random) -> Self {
        SimNet {
            random,
            delay_ms: knobs.delay_ms,
            loss: knobs.loss,
            doubling: knobs.doubling,
            gossip_loss: knobs.gossip_loss,
            ordered: knobs.ordered,
            connected: BTreeSet::new(),
            blocked: BTreeSet::new(),
            severed: BTreeSet::new(),
            lossy: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    /// Decides about a direct message.
    pub fn send(&mut self, now: Duration, from: ReplicaId, to: ReplicaId) -> Fate {
        if !self.is_connected(from, to)
            || self.blocked.contains(&(from, to))
            || self.severed.contains(&(from, to))
            || self.random.permille(self.loss)
            || self.lossy.contains(&(from, to)) && self.random.permille(LOSSY)
        {
            return Fate::Lost;
        }
        let copies = 1 + usize::from(self.random.permille(self.doubling));
        Fate::Arrives((0..copies).map(|_| self.arrival(now, from, to)).collect())
    }

    /// Decides about gossip, which has additional delay and loss.
    pub fn gossip(&mut self, now: Duration, from: ReplicaId, to: ReplicaId) -> Fate {
        if self.random.permille(self.gossip_loss) {
            return Fate::Lost;
        }
        self.send(now, from, to)
    }

    fn arrival(&mut self, now: Duration, from: ReplicaId, to: ReplicaId) -> Duration {
        let mut at = now + self.random.millis(self.delay_ms.0, self.delay_ms.1);
        if self.ordered {
            let last = self.last.entry((from, to)).or_default();
            at = at.max(*last);
            *last = at;
        }
        at
    }

    /// Whether two members have a connection.
    pub fn is_connected(&self, a: ReplicaId, b: ReplicaId) -> bool {
        self.connected.contains(&pair(a, b))
    }

    /// Connects two members. `false` if they were connected.
    pub fn connect(&mut self, a: ReplicaId, b: ReplicaId) -> bool {
        self.connected.insert(pair(a, b))
    }

    /// Cuts a connection.
    pub fn disconnect(&mut self, a: ReplicaId, b: ReplicaId) {
        self.connected.remove(&pair(a, b));
    }

    /// Cuts all connections of a member. Returns the peers that were connected.
    pub fn isolate(&mut self, member: ReplicaId) -> Vec<ReplicaId> {
        let ends = |link: &&(ReplicaId, ReplicaId)| link.0 == member || link.1 == member;
        let gone: Vec<_> = self.connected.iter().filter(ends).copied().collect();
        gone.into_iter()
            .map(|(a, b)| {
                self.connected.remove(&(a, b));
                if a == member { b } else { a }
            })
            .collect()
    }

    /// Blocks delivery from one member to another; neither notices.
    pub fn block(&mut self, from: ReplicaId, to: ReplicaId) {
        self.blocked.insert((from, to));
    }

    /// Blocks delivery from one member to another permanently.
    pub fn sever(&mut self, from: ReplicaId, to: ReplicaId) {
        self.severed.insert((from, to));
    }

    /// Loses most messages from one member to another until the network is healed.
    pub fn make_lossy(&mut self, from: ReplicaId, to: ReplicaId) {
        self.lossy.insert((from, to));
    }

    /// Ends all blocks except permanent ones.
    pub fn unblock_all(&mut self) {
        self.blocked.clear();
    }

    /// Ends all losses.
    pub fn heal(&mut self) {
        self.unblock_all();
        self.lossy.clear();
        (self.loss, self.doubling, self.gossip_loss) = (0, 0, 0);
    }
}
