//! Results that members report to clients stay true: a committed transaction stays committed, an
//! expired one is never committed, and both agree with the chain.

use std::collections::BTreeSet;

use quorate_ledger::{Height, ReplicaId, TransactionId};

use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

/// Ids that some member reported as expired.
#[derive(Debug, Default)]
pub struct Answers {
    expired: BTreeSet<TransactionId>,
}

const ANSWERS: &str = "reported results stay true";

impl Answers {
    /// A member reported that a transaction has expired.
    ///
    /// # Errors
    /// It is in the chain, or may still be committed.
    pub fn expired(
        &mut self,
        member: ReplicaId,
        tip: Height,
        id: &TransactionId,
        valid_until: u64,
        chain: &Chain,
    ) -> Check {
        require(chain.place(id).is_none(), ANSWERS, || {
            format!("member {member} reports {id} as expired, but it is in the chain")
        })?;
        let time = chain.at(tip).map(|link| link.time.0);
        require(time.is_some_and(|time| time > valid_until), ANSWERS, || {
            format!(
                "member {member} reports {id} as expired at {time:?}, but it is valid until {valid_until}"
            )
        })?;
        self.expired.insert(*id);
        Ok(())
    }

    /// A block with these transactions was committed.
    ///
    /// # Errors
    /// One of them was reported as expired.
    pub fn committed(&self, ids: &[TransactionId]) -> Check {
        let broken = ids.iter().find(|id| self.expired.contains(*id));
        require(broken.is_none(), ANSWERS, || format!("{broken:?} was reported as expired and is committed"))
    }

    /// A member reported the place of a transaction.
    ///
    /// # Errors
    /// It is at another place.
    pub fn placed(
        &self,
        member: ReplicaId,
        id: &TransactionId,
        place: (Height, u32),
        chain: &Chain,
    ) -> Check {
        require(chain.place(id) == Some(place), ANSWERS, || {
            format!("member {member} reports {id} at {place:?}, but it is at {:?}", chain.place(id))
        })
    }

    /// A member that had reported blocks up to `answered` to clients starts again at `height`.
    ///
    /// # Errors
    /// It has lost one of them.
    pub fn reopened(&self, member: ReplicaId, answered: Height, height: Height) -> Check {
        require(height >= answered, ANSWERS, || {
            format!("member {member} reported height {answered} and starts again at height {height}")
        })
    }
}
