//! What VIEW-CHANGE and NEW-VIEW state, and the payload of a VIEW-CHANGE (R19a, R20a).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    CommitCertificate, Domain, Epoch, Hash, Header, Height, Signable, View, bounded, encode, tagged_hash,
};

use crate::messages::status::MAX_STATUS_SLOTS;
use crate::votes::prepared::PreparedCertificate;

/// States that its signer has left all views below this one, with this payload (R19a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that its signer waits for, above 0.
    pub view: View,
    /// Hash of the payload, a [`ViewChangePayload`]. The hash keeps evidence of two VIEW-CHANGEs short.
    pub content: Hash,
}

impl Signable for ViewChange {
    const DOMAIN: Domain = Domain::ViewChange;
}

/// States that a quorum has left the views below, and how this view begins (R20a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The epoch.
    pub epoch: Epoch,
    /// The view, above 0.
    pub view: View,
    /// Hash of the VIEW-CHANGEs and of the PRE-PREPAREs of the blocks that are proposed again.
    pub content: Hash,
}

impl Signable for NewView {
    const DOMAIN: Domain = Domain::NewView;
}

/// The payload of a VIEW-CHANGE (R19a): the committed anchor, and what is prepared above it. No
/// later view may lose it.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChangePayload {
    /// The committed anchor: the certificate of the last committed block. `None` for the root of the
    /// epoch.
    pub anchor: Option<CommitCertificate>,
    /// For each height above the anchor, the prepared certificate of the highest view, ascending by
    /// height.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub prepared: Vec<PreparedCertificate>,
}

impl ViewChangePayload {
    /// The hash that a [`ViewChange`] signs.
    pub fn hash(&self) -> Hash {
        tagged_hash(Domain::ViewChangeContent, &[&encode(self)])
    }

    /// Whether it has a prepared certificate for this block, of any view.
    pub(crate) fn has_prepared(&self, block: &Header) -> bool {
        self.prepared.iter().any(|certificate| certificate.header() == block)
    }

    /// Height of the committed anchor, in an epoch on a root at this height.
    pub fn anchor_height(&self, root: Height) -> Height {
        self.anchor.as_ref().map_or(root, |certificate| certificate.ballot().height)
    }
}
