use std::collections::BTreeMap;

use quorate_ledger::{
    Ballot, BlockHash, ChainId, Commit, Domain, Height, ReplicaId, SecretKey, Signable, Signed, Verified,
    View,
};

use crate::messages::{PrePrepare, Prepare};

/// A vote: one of the messages that sign a [`Ballot`].
pub(crate) trait Vote: Signable {
    fn of(ballot: Ballot) -> Self;
}

impl Vote for PrePrepare {
    fn of(ballot: Ballot) -> Self {
        PrePrepare(ballot)
    }
}

impl Vote for Prepare {
    fn of(ballot: Ballot) -> Self {
        Prepare(ballot)
    }
}

impl Vote for Commit {
    fn of(ballot: Ballot) -> Self {
        Commit(ballot)
    }
}

/// Owns this replica's key and its word (R4): for one kind of vote, view and height it signs one block and
/// panics rather than sign another. A contradiction here is a bug above, and a node that stops is better than
/// one that lies.
#[derive(Debug)]
pub struct Signer {
    chain: ChainId,
    key: SecretKey,
    replica: ReplicaId,
    given: BTreeMap<(Height, View, Domain), BlockHash>,
}

impl Signer {
    /// A signer that has promised nothing yet. After a restart [`crate::Replica::restore`] reminds it.
    pub fn new(chain: ChainId, key: SecretKey, replica: ReplicaId) -> Self {
        Signer { chain, key, replica, given: BTreeMap::new() }
    }

    /// Whose votes these are.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Signs a vote. RFC 6979 makes the same vote the same bytes every time.
    pub(crate) fn vote<V: Vote>(&mut self, ballot: Ballot) -> Verified<Signed<V>> {
        let given = *self.given.entry((ballot.height, ballot.view, V::DOMAIN)).or_insert(ballot.block);
        assert_eq!(given, ballot.block, "R4: a second block for one kind of vote, view and height");
        Signed::sign(&self.chain, &self.key, self.replica, V::of(ballot))
    }

    /// Forgets what was promised up to a committed height: nothing is signed there any more.
    pub(crate) fn forget_through(&mut self, height: Height) {
        self.given = self.given.split_off(&(height.next(), View(0), Domain::Transaction));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_ledger::Epoch;

    use super::*;

    fn ballot(view: u64, block: u8) -> Ballot {
        Ballot {
            epoch: Epoch(0),
            view: View(view),
            height: Height(1),
            block: BlockHash::from_bytes([block; 32]),
        }
    }

    fn signer() -> Signer {
        Signer::new(ChainId::from_bytes([1; 32]), SecretKey::from_bytes(&[1; 32]).unwrap(), ReplicaId(0))
    }

    #[test]
    fn the_same_vote_can_be_signed_again_and_is_the_same() {
        let mut signer = signer();
        let first = signer.vote::<Prepare>(ballot(0, 1));
        assert_eq!(signer.vote::<Prepare>(ballot(0, 1)), first);
        signer.vote::<Commit>(ballot(0, 1));
        signer.vote::<Prepare>(ballot(1, 2));
    }

    #[test]
    #[should_panic(expected = "R4")]
    fn another_block_for_the_same_view_and_height_is_never_signed() {
        let mut signer = signer();
        signer.vote::<Prepare>(ballot(0, 1));
        signer.vote::<Prepare>(ballot(0, 2));
    }
}
