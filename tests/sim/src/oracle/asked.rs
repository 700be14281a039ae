//! Questions: one for blocks at a time, and not to the same silent member again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Ask, FetchId};
use quorate_ledger::{BlockHash, Height, ReplicaId};

use crate::knobs::Knobs;
use crate::oracle::{Check, require};

const ONE_QUESTION: &str = "one question for blocks at a time";
const OTHERS: &str = "who does not answer is not the only one to be asked";

/// Questions about one block that may go to one member in a row although it answers none.
const IN_A_ROW: u32 = 3;

/// What correct members asked and were not told.
#[derive(Debug)]
pub struct Asked {
    /// How long a member that was asked for blocks has to answer before another one is asked.
    patience: Duration,
    members: usize,
    blocks: BTreeMap<ReplicaId, Open>,
    /// Which member let a question of which other one expire. It need not be waited for again.
    expired: BTreeSet<(ReplicaId, ReplicaId)>,
    bodies: BTreeMap<(ReplicaId, BlockHash), (ReplicaId, FetchId, u32)>,
}

/// A question for blocks that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Open {
    fetch: FetchId,
    to: ReplicaId,
    from: Height,
    since: Duration,
}

impl Asked {
    /// Nothing was asked yet.
    pub fn new(knobs: &Knobs) -> Self {
        let one_honest = u32::try_from(knobs.tolerated()).expect("few") + 1;
        Asked {
            patience: Duration::from_millis(knobs.status_interval_ms) / (2 * one_honest),
            members: knobs.members,
            blocks: BTreeMap::new(),
            expired: BTreeSet::new(),
            bodies: BTreeMap::new(),
        }
    }

    /// A correct member asks another one.
    ///
    /// # Errors
    /// It did not wait for the answer to its last question, or asks the same silent member only.
    pub fn asks(
        &mut self,
        now: Duration,
        by: ReplicaId,
        to: ReplicaId,
        fetch: FetchId,
        ask: &Ask,
        tip: Height,
    ) -> Check {
        match ask {
            Ask::Blocks { from } => {
                let Some(open) = self.blocks.insert(by, Open { fetch, to, from: *from, since: now }) else {
                    return Ok(());
                };
                let waited = now >= open.since + self.patience;
                let known = self.expired.contains(&(open.to, by));
                if waited {
                    self.expired.insert((open.to, by));
                }
                // A member that went on by itself, or lost the member it asked, may ask anew at once.
                require(waited || known || open.from != *from, ONE_QUESTION, || {
                    format!(
                        "member {by} at {tip} asks {} for {from} at {:?} and {to} at {now:?}, unanswered",
                        open.to, open.since
                    )
                })
            }
            Ask::Transactions { block, .. } | Ask::Ids { block } => {
                let row = match self.bodies.get(&(by, *block)) {
                    Some((last, _, row)) if *last == to => row + 1,
                    _ => 1,
                };
                self.bodies.insert((by, *block), (to, fetch, row));
                require(row <= IN_A_ROW || self.members <= 2, OTHERS, || {
                    format!("member {by} asks {to} for block {block} for the {row}th time in a row")
                })
            }
        }
    }

    /// An answer to this question of a member arrived, or none will.
    pub fn answered(&mut self, by: ReplicaId, fetch: FetchId) {
        self.blocks.retain(|member, open| *member != by || open.fetch != fetch);
    }

    /// An answer about a body brought something.
    pub fn helped(&mut self, by: ReplicaId, fetch: FetchId) {
        self.bodies.retain(|(member, _), (_, open, _)| *member != by || *open != fetch);
    }

    /// A member lost its connection to another one: what it asked there is not answered any more.
    pub fn lost(&mut self, by: ReplicaId, peer: ReplicaId) {
        self.blocks.retain(|member, open| *member != by || open.to != peer);
    }

    /// A member's process is over.
    pub fn forget(&mut self, by: ReplicaId) {
        self.blocks.remove(&by);
        self.expired.retain(|(_, asking)| *asking != by);
        self.bodies.retain(|(member, _), _| *member != by);
    }
}
