use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_ledger::{Timestamp, TransactionId};

/// The ids that a new block must not contain again (R16). They are those of all blocks so young
/// that one of their transactions could still be valid.
///
/// It holds the ids that were committed within one transaction lifetime, so its size follows from
/// the rate of the network. The `valid_until` of older transactions excludes their repetition.
#[derive(Debug)]
pub(crate) struct RecentIds {
    lifetime_ms: u64,
    ids: BTreeSet<TransactionId>,
    blocks: VecDeque<(Timestamp, Arc<[TransactionId]>)>,
}

impl RecentIds {
    pub(crate) fn new(lifetime_ms: u64) -> Self {
        RecentIds { lifetime_ms, ids: BTreeSet::new(), blocks: VecDeque::new() }
    }

    /// Adds a committed block. Times strictly increase along the chain.
    pub(crate) fn push(&mut self, time: Timestamp, ids: Arc<[TransactionId]>) {
        // Every later block has a later time than this one, so all its transactions are valid
        // beyond this time. A transaction in a block that is one lifetime old or more expired by
        // now: R5 limits `valid_until` to one lifetime after its block.
        while self.blocks.front().is_some_and(|(old, _)| old.plus_ms(self.lifetime_ms) <= time) {
            let (_, gone) = self.blocks.pop_front().expect("there is a front");
            for id in gone.iter() {
                self.ids.remove(id);
            }
        }
        self.ids.extend(ids.iter().copied());
        self.blocks.push_back((time, ids));
    }

    pub(crate) fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains(id)
    }

    /// The time of the last committed block; `None` if no block is recent enough to be held here.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.blocks.back().map(|(time, _)| *time)
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(number: u8) -> Arc<[TransactionId]> {
        Arc::from([TransactionId::from_bytes([number; 32])])
    }

    /// R16: an id is kept exactly as long as a further block could contain its transaction.
    #[test]
    fn an_id_is_remembered_for_one_lifetime() {
        let mut recent = RecentIds::new(100);
        recent.push(Timestamp(1000), ids(1));
        // Its transaction is valid until 1100 at most. After a block of time 1099, a block of time
        // 1100 may follow.
        recent.push(Timestamp(1099), ids(2));
        assert!(recent.contains(&ids(1)[0]));
        // After a block of time 1100, every block is later than 1100.
        recent.push(Timestamp(1100), ids(3));
        assert!(!recent.contains(&ids(1)[0]));
        assert!(recent.contains(&ids(2)[0]) && recent.contains(&ids(3)[0]));
        assert_eq!(recent.len(), 2);
    }
}
