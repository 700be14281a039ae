//! What must be durable before a message leaves (R13a), and how it is read back.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, BlockSkeleton, CommitCertificate, DecodeError, Epoch, Header, Height, ReplicaId, Signed,
    Verified, View, decode, encode,
};

use crate::checkpoint::certificate::{Checkpoint, CheckpointCertificate};
use crate::config::EpochRoot;
use crate::evidence::proof::Evidence;
use crate::messages::proposal::{CheckedProposal, PrePrepare};
use crate::signing::seen::{HighWaterMark, Seen};
use crate::view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};
use crate::votes::prepared::PreparedCertificate;

/// A journal record. It must be durable before the message that depends on it leaves (R13a), or the
/// replica needs it after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Before PRE-PREPARE or PREPARE: the proposal was accepted in its view. The engine stores the
    /// body with it, because a prepared certificate promises that the body can be fetched (R5).
    Accepted(CheckedProposal),
    /// Before COMMIT: the prepared certificate, which every later VIEW-CHANGE must contain (R19a).
    /// The last one of each height counts.
    Prepared(Verified<PreparedCertificate>),
    /// Before `committed` is sent to a client: the certificate that finalised a block.
    Finalised(Verified<CommitCertificate>),
    /// Before VIEW-CHANGE: the replica left all views below. The last one counts.
    ViewChange(CheckedViewChange),
    /// Before NEW-VIEW, and before any vote in the view: the replica entered it. The last one
    /// counts.
    NewView(CheckedNewView),
    /// Before CHECKPOINT: the CHECKPOINT. The last two count.
    Checkpoint(Verified<Signed<Checkpoint>>),
    /// The stable checkpoint (R23). The last one counts.
    Stable(Verified<CheckpointCertificate>),
    /// The high-water mark of this replica in this epoch (R24b). The last one counts.
    Mark(Epoch, HighWaterMark),
    /// The furthest statements received of another member (R24b). The last one of each member
    /// counts. No message depends on it, so it is written along with other records.
    Heard(ReplicaId, Box<Seen>),
    /// Others have received statements of this replica that its files lack. It does not sign again
    /// with these files in this epoch (R24c). Contains the high-water mark that they showed.
    Recovering(Epoch, HighWaterMark),
    /// Evidence that a member is faulty (R22c).
    Evidence(Verified<Evidence>),
    /// The log has dropped an accepted block of a past view (R20d). Its record may be deleted, and
    /// with `with_body` its body too.
    Dropped {
        /// The view in which it was accepted.
        view: View,
        /// The height.
        height: Height,
        /// The block.
        block: BlockHash,
        /// Whether the log has it in no other view.
        with_body: bool,
    },
    /// Before anything that the replica signs in an epoch after the first (R26e). The rows of the
    /// epoch before are deleted in the same write.
    EpochStart(Epoch),
}

/// The stored form of [`Record::Accepted`]. The ids of the transactions are in the body, which is
/// stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct StoredProposal {
    vote: Signed<PrePrepare>,
    header: Header,
}

/// The bytes of a record are not what this version writes. Contains a text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Unreadable(error.to_string())
    }
}

impl Record {
    /// Height the record is about. `None` if it is about no height: such a record is not collected
    /// with final heights (R13c).
    pub fn height(&self) -> Option<Height> {
        match self {
            Record::Accepted(proposal) => Some(proposal.ballot().height),
            Record::Prepared(certificate) => Some(certificate.header().height),
            Record::Finalised(certificate) => Some(certificate.ballot().height),
            Record::Dropped { height, .. } => Some(*height),
            Record::ViewChange(_)
            | Record::NewView(_)
            | Record::Checkpoint(_)
            | Record::Stable(_)
            | Record::Mark(..)
            | Record::Heard(..)
            | Record::Recovering(..)
            | Record::Evidence(_)
            | Record::EpochStart(_) => None,
        }
    }

    /// The epoch that the record belongs to. `None` if it deletes a row and makes none.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Record::Accepted(proposal) => Some(proposal.ballot().epoch),
            Record::Prepared(certificate) => Some(certificate.header().epoch),
            Record::Finalised(certificate) => Some(certificate.ballot().epoch),
            Record::ViewChange(change) => Some(change.vote().body.epoch),
            Record::NewView(new_view) => Some(new_view.vote().body.epoch),
            Record::Checkpoint(vote) => Some(vote.body.epoch),
            Record::Stable(certificate) => Some(certificate.checkpoint().epoch),
            Record::Mark(epoch, _) | Record::Recovering(epoch, _) | Record::EpochStart(epoch) => Some(*epoch),
            Record::Heard(_, seen) => Some(seen.epoch),
            Record::Evidence(evidence) => Some(evidence.subject().epoch),
            Record::Dropped { .. } => None,
        }
    }

    /// Whether a message may depend on it, so that it must be written without delay (R13a).
    pub fn is_promise(&self) -> bool {
        match self {
            Record::Mark(..) | Record::Heard(..) | Record::Dropped { .. } => false,
            Record::Accepted(_)
            | Record::Prepared(_)
            | Record::Finalised(_)
            | Record::ViewChange(_)
            | Record::NewView(_)
            | Record::Checkpoint(_)
            | Record::Stable(_)
            | Record::Recovering(..)
            | Record::Evidence(_)
            | Record::EpochStart(_) => true,
        }
    }

    /// The bytes to store, without the body of an accepted block.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Record::Accepted(proposal) => encode(&StoredProposal {
                vote: proposal.vote().clone().into_inner(),
                header: proposal.skeleton().header().clone(),
            }),
            Record::Prepared(certificate) => encode(&**certificate),
            Record::Finalised(certificate) => encode(&**certificate),
            Record::ViewChange(change) => encode(change.message()),
            Record::NewView(new_view) => encode(new_view.message()),
            Record::Checkpoint(vote) => encode(&**vote),
            Record::Stable(certificate) => encode(&**certificate),
            Record::Mark(epoch, mark) | Record::Recovering(epoch, mark) => encode(&(epoch, mark)),
            Record::Heard(_, seen) => encode(&**seen),
            Record::Evidence(evidence) => encode(&**evidence),
            Record::Dropped { .. } => Vec::new(),
            Record::EpochStart(epoch) => encode(epoch),
        }
    }

    /// Reads an accepted proposal that this node stored, with the block skeleton of the body beside
    /// it.
    ///
    /// # Errors
    /// [`Unreadable`] if the bytes are not what this version writes, or the two are of different
    /// blocks.
    pub fn read_accepted(bytes: &[u8], skeleton_of: &BlockSkeleton) -> Result<Record, Unreadable> {
        let stored: StoredProposal = decode(bytes)?;
        if stored.vote.body.0.block != skeleton_of.hash() || stored.header.hash() != skeleton_of.hash() {
            return Err(Unreadable("an accepted proposal and its body do not belong together".to_owned()));
        }
        let vote = Verified::from_own_storage(stored.vote);
        Ok(Record::Accepted(CheckedProposal::new(vote, skeleton_of.clone())))
    }

    /// The header in a stored accepted proposal. The caller needs it to find the body.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn accepted_header(bytes: &[u8]) -> Result<Header, Unreadable> {
        Ok(decode::<StoredProposal>(bytes)?.header)
    }

    /// Reads a prepared certificate.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_prepared(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Prepared(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads a commit certificate.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_finalised(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Finalised(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads this replica's last VIEW-CHANGE.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_view_change(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::ViewChange(CheckedViewChange::from_own_storage(decode::<ViewChangeMessage>(bytes)?)))
    }

    /// Reads the NEW-VIEW of the view that was entered last, in an epoch on this root.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_new_view(bytes: &[u8], root: EpochRoot) -> Result<Record, Unreadable> {
        let message: NewViewMessage = decode(bytes)?;
        CheckedNewView::from_own_storage(message, root)
            .map(Record::NewView)
            .map_err(|error| Unreadable(error.to_string()))
    }

    /// Reads a CHECKPOINT of this replica.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_checkpoint(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Checkpoint(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads the stable checkpoint.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_stable(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Stable(Verified::from_own_storage(decode(bytes)?)))
    }

    /// Reads the high-water mark of this replica.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_mark(bytes: &[u8]) -> Result<Record, Unreadable> {
        let (epoch, mark) = decode(bytes)?;
        Ok(Record::Mark(epoch, mark))
    }

    /// Reads the record that these files are old.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_recovering(bytes: &[u8]) -> Result<Record, Unreadable> {
        let (epoch, seen) = decode(bytes)?;
        Ok(Record::Recovering(epoch, seen))
    }

    /// Reads the furthest statements of another member.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_heard(member: ReplicaId, bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Heard(member, Box::new(decode(bytes)?)))
    }

    /// Reads the begin of an epoch.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_epoch_start(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::EpochStart(decode(bytes)?))
    }

    /// Reads evidence.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_evidence(bytes: &[u8]) -> Result<Record, Unreadable> {
        Ok(Record::Evidence(Verified::from_own_storage(decode(bytes)?)))
    }
}
