//! What one member sends to another.

use quorate_engine::{FetchId, FetchRequest, FetchResponse};
use quorate_ledger::{Height, ReplicaId, VerifiedTransaction, View};
use quorate_pbft::Message;

/// A message from one member to another.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
pub(crate) enum Parcel {
    Consensus(Message),
    Gossip(Vec<VerifiedTransaction>),
    Resend(Vec<VerifiedTransaction>),
    Ask(FetchId, FetchRequest),
    FetchResponse(FetchId, FetchResponse),
}

impl Parcel {
    pub(crate) fn is_gossip(&self) -> bool {
        matches!(self, Parcel::Gossip(_))
    }

    /// Whether it contains transactions of clients, gossiped or sent directly.
    pub(crate) fn is_transactions(&self) -> bool {
        matches!(self, Parcel::Gossip(_) | Parcel::Resend(_))
    }

    pub(crate) fn is_view_change(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::ViewChange(_)))
    }

    /// Whether it contains a statement that its sender, this member, signed.
    pub(crate) fn is_signed_by(&self, member: ReplicaId) -> bool {
        match self {
            Parcel::Consensus(Message::PrePrepare(proposal)) => proposal.vote.signer == member,
            Parcel::Consensus(Message::NewView(new_view)) => new_view.vote.signer == member,
            Parcel::Consensus(
                Message::Prepare(_) | Message::Commit(_) | Message::ViewChange(_) | Message::Checkpoint(_),
            ) => true,
            _ => false,
        }
    }

    pub(crate) fn is_proposal(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::PrePrepare(_)))
    }

    pub(crate) fn is_proposal_at(&self, height: Height) -> bool {
        matches!(self, Parcel::Consensus(Message::PrePrepare(proposal)) if proposal.header.height == height)
    }

    pub(crate) fn is_vote(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::Prepare(_) | Message::Commit(_)))
    }

    /// A PREPARE or COMMIT of view 0.
    pub(crate) fn is_old_vote(&self) -> bool {
        match self {
            Parcel::Consensus(Message::Prepare(vote)) => vote.body.0.view == View(0),
            _ => self.is_old_commit(),
        }
    }

    /// A COMMIT of view 0.
    pub(crate) fn is_old_commit(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::Commit(vote)) if vote.body.0.view == View(0))
    }

    pub(crate) fn is_commit(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::Commit(_)))
    }

    /// Whether it is SEEN: the statements of a member that another one has received (R24a).
    pub(crate) fn is_seen(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::Seen(_)))
    }

    pub(crate) fn is_status(&self) -> bool {
        matches!(self, Parcel::Consensus(Message::Status(_)))
    }
}
