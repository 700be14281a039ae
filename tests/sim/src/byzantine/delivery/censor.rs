//! Censors one client.

use std::collections::BTreeSet;

use quorate_ledger::{PublicKey, VerifiedTransaction};

use crate::byzantine::{Collusion, Strategy};

/// Drops the transactions of one client, so that it proposes none of them.
#[derive(Debug)]
pub(crate) struct Censor {
    /// Clients whose transactions it has received, and the index of the victim among them.
    heard: BTreeSet<PublicKey>,
    victim: usize,
}

impl Censor {
    /// Chooses the victim at random.
    pub(crate) fn new(collusion: &mut Collusion) -> Self {
        Censor { heard: BTreeSet::new(), victim: collusion.random.index(collusion.clients) }
    }
}

impl Strategy for Censor {
    fn accepts_transaction(&mut self, collusion: &mut Collusion, transaction: &VerifiedTransaction) -> bool {
        let sender = transaction.transaction().sender;
        if self.heard.len() < collusion.clients {
            self.heard.insert(sender);
        }
        self.heard.iter().nth(self.victim) != Some(&sender)
    }
}
