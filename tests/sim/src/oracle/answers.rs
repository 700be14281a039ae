//! What members told clients stays true: committed stays committed, expired is never committed, and both
//! agree with the chain.

use std::collections::BTreeSet;

use quorate_ledger::{Height, ReplicaId, TransactionId};

use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

/// Ids that some member called expired.
#[derive(Debug, Default)]
pub struct Answers {
    expired: BTreeSet<TransactionId>,
}

const ANSWERS: &str = "answers stay true";

impl Answers {
    /// A member said that a transaction has expired.
    ///
    /// # Errors
    /// It is in the chain, or may still get there.
    pub fn expired(
        &mut self,
        member: ReplicaId,
        tip: Height,
        id: &TransactionId,
        valid_until: u64,
        chain: &Chain,
    ) -> Check {
        require(chain.place(id).is_none(), ANSWERS, || {
            format!("member {member} calls {id} expired, which is in the chain")
        })?;
        let time = chain.at(tip).map(|link| link.time.0);
        require(time.is_some_and(|time| time > valid_until), ANSWERS, || {
            format!("member {member} calls {id} expired at {time:?}, it is valid until {valid_until}")
        })?;
        self.expired.insert(*id);
        Ok(())
    }

    /// A block with these transactions was committed.
    ///
    /// # Errors
    /// One of them was called expired.
    pub fn committed(&self, ids: &[TransactionId]) -> Check {
        let broken = ids.iter().find(|id| self.expired.contains(*id));
        require(broken.is_none(), ANSWERS, || format!("{broken:?} was called expired and is committed"))
    }

    /// A member said where a transaction is.
    ///
    /// # Errors
    /// It is somewhere else.
    pub fn placed(
        &self,
        member: ReplicaId,
        id: &TransactionId,
        place: (Height, u32),
        chain: &Chain,
    ) -> Check {
        require(chain.place(id) == Some(place), ANSWERS, || {
            format!("member {member} says that {id} is at {place:?}, it is at {:?}", chain.place(id))
        })
    }

    /// A member that had told clients about blocks up to `answered` starts again at `height`.
    ///
    /// # Errors
    /// It has forgotten one of them.
    pub fn reopened(&self, member: ReplicaId, answered: Height, height: Height) -> Check {
        require(height >= answered, ANSWERS, || {
            format!("member {member} answered for height {answered} and starts again at height {height}")
        })
    }
}
