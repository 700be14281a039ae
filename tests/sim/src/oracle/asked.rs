//! Questions: one for blocks at a time, and not to the same silent member again and again.

use std::collections::BTreeMap;
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
    blocks: BTreeMap<ReplicaId, (FetchId, Height, Duration)>,
    bodies: BTreeMap<(ReplicaId, BlockHash), (ReplicaId, FetchId, u32)>,
}

impl Asked {
    /// Nothing was asked yet.
    pub fn new(knobs: &Knobs) -> Self {
        let one_honest = u32::try_from(knobs.tolerated()).expect("few") + 1;
        Asked {
            patience: Duration::from_millis(knobs.status_interval_ms) / (2 * one_honest),
            members: knobs.members,
            blocks: BTreeMap::new(),
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
                let open = self.blocks.insert(by, (fetch, *from, now));
                // A member that went on by itself, or lost the member it asked, may ask anew at once.
                let Some((_, before, since)) = open.filter(|(_, before, _)| before == from) else {
                    return Ok(());
                };
                require(now >= since + self.patience, ONE_QUESTION, || {
                    format!(
                        "member {by} at {tip} asks for {before} at {since:?} and again at {now:?}, unanswered"
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
        self.blocks.retain(|member, (open, _, _)| *member != by || *open != fetch);
    }

    /// An answer about a body brought something.
    pub fn helped(&mut self, by: ReplicaId, fetch: FetchId) {
        self.bodies.retain(|(member, _), (_, open, _)| *member != by || *open != fetch);
    }

    /// A member lost a connection: what it asked there is not answered any more.
    pub fn lost(&mut self, by: ReplicaId) {
        self.blocks.remove(&by);
    }

    /// A member's process is over.
    pub fn forget(&mut self, by: ReplicaId) {
        self.blocks.remove(&by);
        self.bodies.retain(|(member, _), _| *member != by);
    }
}
