//! The statements in a message, each with its subject.

use quorate_ledger::{Ballot, BlockHash, Hash, Height, ReplicaId, View, encode};
use quorate_pbft::Message;

/// The kind of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    PrePrepare,
    Prepare,
    Commit,
    ViewChange,
    NewView,
    Checkpoint,
}

impl Kind {
    pub(super) fn is_vote(self) -> bool {
        self <= Kind::Commit
    }
}

/// The subject of a statement: kind, view and height.
pub(super) type Place = (Kind, View, Height);

pub(super) fn of_ballot(kind: Kind, ballot: &Ballot) -> (Place, Hash) {
    ((kind, ballot.view, ballot.height), ballot.block.into_hash())
}

pub(super) trait IntoHash {
    fn into_hash(self) -> Hash;
}

impl IntoHash for BlockHash {
    fn into_hash(self) -> Hash {
        Hash::from_bytes(*self.as_bytes())
    }
}

/// The statements of a member in a message.
pub(super) fn statements(member: ReplicaId, message: &Message) -> Vec<(Place, Hash)> {
    match message {
        Message::PrePrepare(proposal) if proposal.vote.signer == member => {
            vec![of_ballot(Kind::PrePrepare, &proposal.vote.body.0)]
        }
        Message::Prepare(vote) if vote.signer == member => vec![of_ballot(Kind::Prepare, &vote.body.0)],
        Message::Commit(vote) if vote.signer == member => vec![of_ballot(Kind::Commit, &vote.body.0)],
        Message::ViewChange(change) if change.vote.signer == member => {
            vec![((Kind::ViewChange, change.vote.body.view, Height(0)), change.vote.body.content)]
        }
        Message::NewView(new_view) if new_view.vote.signer == member => {
            let body = new_view.vote.body;
            let again = new_view.pre_prepares.iter().map(|vote| of_ballot(Kind::PrePrepare, &vote.body.0));
            again.chain([((Kind::NewView, body.view, Height(0)), body.content)]).collect()
        }
        Message::Checkpoint(vote) if vote.signer == member => {
            let body = encode(&vote.body);
            let hash = quorate_ledger::tagged_hash(quorate_ledger::Domain::StateValue, &[&body]);
            vec![((Kind::Checkpoint, View(0), vote.body.height), hash)]
        }
        _ => Vec::new(),
    }
}
