//! A client that is left out.

use std::collections::BTreeSet;

use quorate_ledger::{PublicKey, VerifiedTransaction};

use crate::byzantine::{Brain, Strategy};

/// Is deaf to the transactions of one client, so that it proposes none of them.
#[derive(Debug)]
pub(super) struct Censor {
    /// Clients it has heard of, and the place of the victim among them.
    heard: BTreeSet<PublicKey>,
    victim: usize,
}

impl Censor {
    /// A victim by chance.
    pub(super) fn new(brain: &mut Brain) -> Self {
        Censor { heard: BTreeSet::new(), victim: brain.random.index(brain.clients) }
    }
}

impl Strategy for Censor {
    fn takes(&mut self, brain: &mut Brain, transaction: &VerifiedTransaction) -> bool {
        let sender = transaction.transaction().sender;
        if self.heard.len() < brain.clients {
            self.heard.insert(sender);
        }
        self.heard.iter().nth(self.victim) != Some(&sender)
    }
}
