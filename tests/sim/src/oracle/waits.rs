//! No transaction waits for ever under a primary that orders other transactions: the bound of R21.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_engine::Overview;
use quorate_ledger::{ReplicaId, TransactionId, View};

use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, require};

const CENSORSHIP: &str = "no transaction is censored";

/// Timeouts in which the watches of one view may end, in addition to [`PACE`] for each watch but
/// the first (R21c, R21e).
const LONGEST: u64 = 9;

/// Timeouts for each further watch (R21c, R21e).
const PACE: u64 = 3;

/// Additional time: gossip, and the interval between two checks.
const SLACK: Duration = Duration::from_secs(1);

/// R21e: the number of timeouts after which a transaction is ordered, or a replica that holds it
/// leaves the view, if its watch is the k-th after the one that runs there.
pub const fn timeouts(k: u64) -> u64 {
    LONGEST + PACE * k
}

/// A transaction that waits at a correct member.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// The member.
    pub member: ReplicaId,
    /// Its id.
    pub id: TransactionId,
    /// Other transactions that wait at this member.
    pub others: u64,
    /// Those among them that have the same sender.
    pub of_sender: u64,
}

/// Since when each transaction has waited at each correct member in one view, and the k of R21e at
/// that time.
#[derive(Debug)]
pub struct Waits {
    /// Transactions in a full block. The clients' transactions are so small that no block reaches
    /// its limit in bytes before.
    block_transactions: u64,
    view: View,
    since: BTreeMap<(ReplicaId, TransactionId), (Duration, u64)>,
}

impl Waits {
    /// Starts without transactions.
    pub fn new(knobs: &Knobs) -> Self {
        Waits { block_transactions: knobs.block_transactions, view: View(0), since: BTreeMap::new() }
    }

    /// All correct members of a timely network are in this state, and these transactions wait at
    /// them.
    ///
    /// # Errors
    /// One of them has waited too long in this view.
    pub fn looked(
        &mut self,
        now: Duration,
        stands: &[Overview],
        waiting: impl Iterator<Item = Waiting>,
    ) -> Check {
        let views = || stands.iter().map(|stands| stands.pbft.view);
        let one = views().all(|view| view == self.view) && stands.iter().all(|stands| stands.pbft.active);
        if !one {
            self.since.clear();
            self.view = views().max().unwrap_or_default();
            return Ok(());
        }
        let timeout = stands.iter().map(|stands| stands.pbft.request_timeout).max().unwrap_or_default();
        let mut since = BTreeMap::new();
        for Waiting { member, id, others, of_sender } in waiting {
            // The rule counts only what waits before the transaction. Of what arrives between two
            // looks, the order is unknown, so all of it counts here.
            let k = 1 + of_sender + others / self.block_transactions;
            let (start, k) = self.since.get(&(member, id)).copied().unwrap_or((now, k));
            let limit = timeout.saturating_mul(u32::try_from(timeouts(k)).unwrap_or(u32::MAX));
            require(now - start <= limit.saturating_add(SLACK), CENSORSHIP, || {
                format!(
                    "{id} waits at member {member} since {start:?} in view {}, for more than {limit:?}",
                    self.view
                )
            })?;
            since.insert((member, id), (start, k));
        }
        self.since = since;
        Ok(())
    }
}
