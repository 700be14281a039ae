//! Requests: one for blocks at a time, and not repeatedly to the same silent member.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{FetchId, FetchRequest};
use quorate_ledger::{BlockHash, Height, ReplicaId};

use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, require};

const ONE_QUESTION: &str = "one request for blocks at a time";
const OTHERS: &str = "requests do not all go to a silent member";

/// Unanswered requests about one block that may go to the same member in a row.
const IN_A_ROW: u32 = 3;

/// Open requests of correct members.
#[derive(Debug)]
pub struct Asked {
    /// How long a member has to respond to a request for blocks before another one is asked.
    wait: Duration,
    members: usize,
    blocks: BTreeMap<ReplicaId, Open>,
    /// Which member let a request of which other one expire. The requester need not wait for it
    /// again.
    expired: BTreeSet<(ReplicaId, ReplicaId)>,
    bodies: BTreeMap<(ReplicaId, BlockHash), (ReplicaId, FetchId, u32)>,
}

/// An open request for blocks.
#[derive(Debug, Clone, Copy)]
struct Open {
    fetch: FetchId,
    to: ReplicaId,
    from: Height,
    since: Duration,
}

impl Asked {
    /// Starts without open requests.
    pub fn new(knobs: &Knobs) -> Self {
        let weak_quorum = u32::try_from(knobs.tolerated()).expect("few") + 1;
        Asked {
            wait: Duration::from_millis(knobs.status_interval_ms) / (2 * weak_quorum),
            members: knobs.members,
            blocks: BTreeMap::new(),
            expired: BTreeSet::new(),
            bodies: BTreeMap::new(),
        }
    }

    /// A correct member sends a request to another one.
    ///
    /// # Errors
    /// It did not wait for the response to its last request, or asks only the same silent member.
    pub fn asks(
        &mut self,
        now: Duration,
        by: ReplicaId,
        to: ReplicaId,
        fetch: FetchId,
        ask: &FetchRequest,
        tip: Height,
    ) -> Check {
        match ask {
            FetchRequest::Blocks { from } => {
                let Some(open) = self.blocks.insert(by, Open { fetch, to, from: *from, since: now }) else {
                    return Ok(());
                };
                let waited = now >= open.since + self.wait;
                let known = self.expired.contains(&(open.to, by));
                if waited {
                    self.expired.insert((open.to, by));
                }
                // A member that made progress, or lost the connection to the peer that it asked,
                // may send a new request at once.
                require(waited || known || open.from != *from, ONE_QUESTION, || {
                    format!(
                        "member {by} at {tip} asks {} for {from} at {:?} and {to} at {now:?}, unanswered",
                        open.to, open.since
                    )
                })
            }
            FetchRequest::Transactions { block, .. } | FetchRequest::Ids { block } => {
                let row = match self.bodies.get(&(by, *block)) {
                    Some((last, _, row)) if *last == to => row + 1,
                    _ => 1,
                };
                self.bodies.insert((by, *block), (to, fetch, row));
                require(row <= IN_A_ROW || self.members <= 2, OTHERS, || {
                    format!("member {by} asks {to} for block {block}, request {row} in a row")
                })
            }
        }
    }

    /// A response to this request of a member arrived, or none will. The member handles it at `now`.
    /// A useless one that took half of the wait counts as expired (R12b).
    pub fn answered(&mut self, now: Duration, by: ReplicaId, fetch: FetchId) {
        let Some(open) = self.blocks.get(&by).filter(|open| open.fetch == fetch) else { return };
        if now >= open.since + self.wait / 2 {
            self.expired.insert((open.to, by));
        }
        self.blocks.remove(&by);
    }

    /// A response about a body was useful.
    pub fn helped(&mut self, by: ReplicaId, fetch: FetchId) {
        self.bodies.retain(|(member, _), (_, open, _)| *member != by || *open != fetch);
    }

    /// A member lost its connection to a peer, so its request there gets no response. It counts as
    /// expired (R12b).
    pub fn lost(&mut self, by: ReplicaId, peer: ReplicaId) {
        if self.blocks.get(&by).is_some_and(|open| open.to == peer) {
            self.blocks.remove(&by);
            self.expired.insert((peer, by));
        }
    }

    /// A member's process has ended.
    pub fn forget(&mut self, by: ReplicaId) {
        self.blocks.remove(&by);
        self.expired.retain(|(_, asking)| *asking != by);
        self.bodies.retain(|(member, _), _| *member != by);
    }
}
