//! The start of a run: members, clients and faults.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_ledger::{SignatureCache, SignatureMemo};

use crate::byzantine::Lie;
use crate::members::Slot;
use crate::world::{Occurrence, World};

/// Signatures in the shared memo: more than a run creates.
const MEMO: usize = 200_000;

/// Transactions in the shared memo.
const TRANSACTIONS: usize = 100_000;

impl World {
    /// Lets all members share a memo of signatures that one of them has verified or created.
    ///
    /// A memo cannot hide errors: a signature is only valid for the bytes that were signed, so a
    /// member that signs the wrong bytes is detected when the signature is checked for the right
    /// ones.
    pub(crate) fn share_memo(&mut self) {
        let memo = Arc::new(SignatureMemo::new(MEMO));
        self.collusion.keys.share(&memo);
        self.epochs.share(&memo);
        self.signatures = Rc::new(SignatureCache::new(self.genesis.chain_id(), TRANSACTIONS));
        self.orders.share(&self.signatures);
    }

    /// Starts all members except silent ones.
    pub(crate) fn start_members(&mut self) {
        for index in 0..self.members.len() {
            let replica = self.members[index].replica;
            match self.members[index].slot {
                Slot::Correct(_) => {}
                Slot::Silent => {
                    self.coverage.saw("a silent member");
                    continue;
                }
                Slot::Outside => continue,
            }
            let delay = self.random.millis(0, 200);
            self.agenda.after(delay, Occurrence::Revive(replica));
            if self.members[index].adversary.is_some() {
                self.agenda.after(delay, Occurrence::AdversaryTick(replica));
                if self.knobs.calm {
                    self.coverage.saw("Byzantine members in calm");
                }
            }
            if self.members[index].identity != replica {
                self.coverage.saw(Lie::Twin.situation());
            }
        }
    }

    /// Starts members, clients and faults.
    pub(crate) fn begin(&mut self) {
        self.start_members();
        self.spoil_links();
        self.agenda.after(Duration::ZERO, Occurrence::Submit);
        if self.knobs.fault_gap_ms > 0 {
            self.agenda.after(Duration::from_millis(200), Occurrence::Fault);
        }
        self.begin_scenario();
        self.begin_governance();
    }
}
