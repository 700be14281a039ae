//! No transaction waits for ever under a primary that orders other transactions: the bound of R21.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_engine::Overview;
use quorate_ledger::{TransactionId, View};

use crate::oracle::{Check, require};

const CENSORSHIP: &str = "no transaction is censored";

/// If a transaction waits at all correct members, it is ordered, or the view is left, within this
/// many timeouts.
const BOUND: u32 = 18;

/// Additional time: gossip, and the interval between two checks.
const SLACK: Duration = Duration::from_secs(1);

/// Since when each transaction has waited at all correct members in one view.
#[derive(Debug, Default)]
pub struct Waits {
    view: View,
    since: BTreeMap<TransactionId, Duration>,
}

impl Waits {
    /// All correct members of a timely network are in this state, and these transactions wait at
    /// all of them.
    ///
    /// # Errors
    /// One of them has waited too long in this view.
    pub fn looked(
        &mut self,
        now: Duration,
        stands: &[Overview],
        waiting: impl Iterator<Item = TransactionId>,
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
        for id in waiting {
            let start = self.since.get(&id).copied().unwrap_or(now);
            require(now - start <= timeout * BOUND + SLACK, CENSORSHIP, || {
                format!("{id} waits at all correct members since {start:?} in view {}", self.view)
            })?;
            since.insert(id, start);
        }
        self.since = since;
        Ok(())
    }
}
