//! What this replica has signed and may sign, and what others have seen signed (R13, R24).

pub(crate) mod seen;
pub(crate) mod signer;
pub(crate) mod state;

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Height, ReplicaId};

use self::seen::Seen;
use self::signer::Signer;
use self::state::Voice;

/// See the module.
#[derive(Debug)]
pub(crate) struct Signing {
    pub(crate) signer: Signer,
    pub(crate) state: Voice,
    /// The ledger once reached this height: the journal has no records up to here, or holds records of blocks above.
    /// Nothing is signed while the ledger ends lower.
    pub(crate) pruned_through: Height,
    /// The furthest statements of each other member.
    pub(crate) heard: BTreeMap<ReplicaId, Seen>,
    /// Members whose furthest statements are newer than the journal.
    pub(crate) unwritten: BTreeSet<ReplicaId>,
}

impl Signing {
    pub(crate) fn new(signer: Signer) -> Self {
        Signing {
            signer,
            state: Voice::Free,
            pruned_through: Height(0),
            heard: BTreeMap::new(),
            unwritten: BTreeSet::new(),
        }
    }
}
