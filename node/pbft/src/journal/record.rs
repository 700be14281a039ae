//! What a replica writes down before it speaks (R13), and how it is read back.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, CommitCertificate, DecodeError, Header, Height, Outline, ReplicaId, Signed, Verified, View,
    decode, encode,
};

use crate::checkpoint::certificate::{Checkpoint, CheckpointCertificate};
use crate::evidence::proof::Evidence;
use crate::messages::{CheckedProposal, PrePrepare};
use crate::signing::seen::{Mark, Seen};
use crate::view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};
use crate::votes::prepared::PreparedCertificate;

/// A promise this replica gives, to be durable before the message that gives it leaves (R13), or something it
/// must know when it starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Before PRE-PREPARE or PREPARE: this proposal was accepted in its view. The engine stores the block's
    /// body with it, because a prepared certificate promises that the body can be fetched.
    Accepted(CheckedProposal),
    /// Before COMMIT: this certificate must reach every later view change. Of one height the last one counts.
    Prepared(Verified<PreparedCertificate>),
    /// Before a client hears of it: this certificate finalised a block.
    Finalised(Verified<CommitCertificate>),
    /// Before VIEW-CHANGE: all views below are left. The last one counts.
    ViewChange(CheckedViewChange),
    /// Before NEW-VIEW, and before any vote in the view: it was entered. The last one counts.
    NewView(CheckedNewView),
    /// Before CHECKPOINT. The last two count.
    Checkpoint(Verified<Signed<Checkpoint>>),
    /// This checkpoint is stable. The last one counts.
    Stable(Verified<CheckpointCertificate>),
    /// How far this replica has gone in what it signed. The last one counts.
    Mark(Mark),
    /// How far another member was seen to have gone. The last one of each member counts. Not a promise: it is
    /// written along with others.
    Heard(ReplicaId, Box<Seen>),
    /// Others have seen this replica sign what its files do not remember: with these files it never signs again.
    Recovering(Mark),
    /// A member lied.
    Evidence(Verified<Evidence>),
    /// An accepted block of a view that was left, kept because others might need its body, is given up: it may
    /// be deleted, and its body too if `with_body`.
    Dropped {
        /// Where it was accepted.
        view: View,
        /// Where it was accepted.
        height: Height,
        /// The block.
        block: BlockHash,
        /// Whether it was accepted in no other view.
        with_body: bool,
    },
}

/// The stored form of [`Record::Accepted`]: the transactions' ids are in the body stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct StoredProposal {
    vote: Signed<PrePrepare>,
    header: Header,
}

/// A record that is not what this version writes, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Unreadable(error.to_string())
    }
}

impl Record {
    /// Height the record is about; `None` for those that are about no height and must outlast all of them.
    pub fn height(&self) -> Option<Height> {
        match self {
            Record::Accepted(proposal) => Some(proposal.ballot().height),
            Record::Prepared(certificate) => Some(certificate.header().height),
            Record::Finalised(certificate) => Some(certificate.ballot().height),
            Record::Dropped { height, .. } => Some(*height),
            _ => None,
        }
    }

    /// Whether a message may follow from it, so that it must be written without delay.
    pub fn is_promise(&self) -> bool {
        !matches!(self, Record::Mark(_) | Record::Heard(..) | Record::Dropped { .. })
    }

    /// The bytes to store. The body of an accepted block is stored beside this, not in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Record::Accepted(proposal) => encode(&StoredProposal {
                vote: proposal.vote().clone().into_inner(),
                header: proposal.outline().header().clone(),
            }),
            Record::Prepared(certificate) => encode(&**certificate),
            Record::Finalised(certificate) => encode(&**certificate),
            Record::ViewChange(change) => encode(change.message()),
            Record::NewView(new_view) => encode(new_view.message()),
            Record::Checkpoint(vote) => encode(&**vote),
            Record::Stable(certificate) => encode(&**certificate),
            Record::Mark(mark) | Record::Recovering(mark) => encode(mark),
            Record::Heard(_, seen) => encode(&**seen),
            Record::Evidence(evidence) => encode(&**evidence),
            Record::Dropped { .. } => Vec::new(),
        }
    }

    /// Reads back an accepted proposal that this node stored, with the outline of the body stored beside it.
    ///
    /// # Errors
    /// [`Unreadable`], as for all that follow.
    pub fn read_accepted(bytes: &[u8], outline_of: &Outline) -> Result<Record, Unreadable> {
        let stored: StoredProposal = decode(bytes)?;
        if stored.vote.body.0.block != outline_of.hash() || stored.header.hash() != outline_of.hash() {
            return Err(Unreadable("an accepted proposal and its body do not belong together".to_owned()));
        }
        let vote = Verified::from_own_storage(stored.vote);
        Ok(Record::Accepted(CheckedProposal::new(vote, outline_of.clone())))
    }

    /// The header inside a stored accepted proposal, needed to join it with its body.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn accepted_header(bytes: &[u8]) -> Result<Header, Unreadable> {
        Ok(decode::<StoredProposal>(bytes)?.header)
    }

    /// Reads back a prepared certificate.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_prepared(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Prepared(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads back a commit certificate.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_finalised(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Finalised(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads back our last VIEW-CHANGE.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_view_change(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::ViewChange(CheckedViewChange::own(decode::<ViewChangeMessage>(bytes)?)))
    }

    /// Reads back the NEW-VIEW of the view that was entered last.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_new_view(bytes: &[u8]) -> Result<Record, Unreadable> {
        let message: NewViewMessage = decode(bytes)?;
        CheckedNewView::from_own_storage(message)
            .map(Record::NewView)
            .map_err(|error| Unreadable(error.to_string()))
    }

    /// Reads back a CHECKPOINT of ours.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_checkpoint(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Checkpoint(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads back the stable checkpoint.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_stable(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Stable(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads back how far this replica had gone.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_mark(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Mark(decode(bytes)?))
    }

    /// Reads back that these files are old.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_recovering(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Recovering(decode(bytes)?))
    }

    /// Reads back how far another member was seen to have gone.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_heard(member: ReplicaId, bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Heard(member, Box::new(decode(bytes)?)))
    }

    /// Reads back evidence.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_evidence(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Evidence(Verified::from_own_storage(decode(bytes)?)))
    }
}
