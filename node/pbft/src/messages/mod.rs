//! The messages between members: claims as they arrive, and their checked forms.

pub(crate) mod proposal;
pub(crate) mod rejected;
pub(crate) mod statement;
pub(crate) mod status;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, BlockSkeleton, Commit, Epoch, ReplicaId, Signed, Verified};

use crate::checkpoint::certificate::Checkpoint;
use crate::config::EpochContext;
use crate::evidence::proof::Evidence;
use crate::messages::proposal::{CheckedProposal, Prepare, Proposal};
use crate::messages::rejected::Rejected;
use crate::messages::status::{CheckedStatus, Status};
use crate::signing::seen::{HighWaterMark, Seen};
use crate::view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};

/// A message as it arrives: an unchecked claim.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "messages are moved once or twice, never kept")]
pub enum Message {
    /// From the primary, or relayed by any member to one that lacks it (R2).
    PrePrepare(Proposal) = 0,
    /// From a backup.
    Prepare(Signed<Prepare>) = 1,
    /// From any member.
    Commit(Signed<Commit>) = 2,
    /// From any member, every status interval and upon a new channel (R14a).
    Status(Status) = 3,
    /// From a member that has left a view, resent until the next one begins (R19a).
    ViewChange(ViewChangeMessage) = 4,
    /// From the primary of the new view, or relayed by any member to one that lacks it (R20b).
    NewView(NewViewMessage) = 5,
    /// From any member, at every checkpoint height (R23).
    Checkpoint(Signed<Checkpoint>) = 6,
    /// From any member: proof that a member is faulty (R22).
    Evidence(Evidence) = 7,
    /// The furthest statements of the receiver that the sender received (R24a).
    Seen(Seen) = 8,
}

impl Message {
    /// The first bytes of the messages for which [`Message::is_dear`] holds. A node that has not
    /// decoded a message yet compares its first byte with these.
    pub const DEAR_TAGS: [u8; 2] = [4, 5];

    /// The first byte of a STATUS.
    pub const STATUS_TAG: u8 = 3;

    /// Whether the check of such a message may cost as much as thousands of others.
    pub fn is_dear(&self) -> bool {
        match self {
            Message::ViewChange(_) | Message::NewView(_) => true,
            Message::PrePrepare(_)
            | Message::Prepare(_)
            | Message::Commit(_)
            | Message::Status(_)
            | Message::Checkpoint(_)
            | Message::Evidence(_)
            | Message::Seen(_) => false,
        }
    }
}

impl Message {
    /// The epoch that the message claims to be of. Views of different epochs do not compare (R26f).
    pub fn epoch(&self) -> Epoch {
        match self {
            Message::PrePrepare(proposal) => proposal.vote.body.0.epoch,
            Message::Prepare(vote) => vote.body.0.epoch,
            Message::Commit(vote) => vote.body.0.epoch,
            Message::Status(status) => status.epoch,
            Message::ViewChange(change) => change.vote.body.epoch,
            Message::NewView(new_view) => new_view.vote.body.epoch,
            Message::Checkpoint(vote) => vote.body.epoch,
            Message::Evidence(evidence) => evidence.subject().epoch,
            Message::Seen(seen) => seen.epoch,
        }
    }
}

impl CheckedProposal {
    /// As it goes over the wire.
    pub fn to_message(&self) -> Message {
        Message::PrePrepare(Proposal {
            vote: self.vote().clone().into_inner(),
            header: self.skeleton().header().clone(),
            ids: self.skeleton().ids().to_vec(),
        })
    }
}

/// A message whose signatures are verified, so that it proves what its signers state.
/// [`Message::check`] is the only source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(CheckedContent);

impl Checked {
    /// What was checked.
    pub fn content(&self) -> &CheckedContent {
        &self.0
    }

    /// What was checked. It cannot become a [`Checked`] again.
    pub fn into_content(self) -> CheckedContent {
        self.0
    }

    /// The signer and the ballot of a PRE-PREPARE, PREPARE or COMMIT.
    pub(crate) fn vote(&self) -> Option<(ReplicaId, Ballot)> {
        match &self.0 {
            CheckedContent::PrePrepare(proposal) => Some((proposal.vote().signer, *proposal.ballot())),
            CheckedContent::Prepare(vote) => Some((vote.signer, vote.body.0)),
            CheckedContent::Commit(vote) => Some((vote.signer, vote.body.0)),
            CheckedContent::Status(_)
            | CheckedContent::ViewChange(_)
            | CheckedContent::NewView(_)
            | CheckedContent::Checkpoint(_)
            | CheckedContent::Evidence(_)
            | CheckedContent::Seen(_) => None,
        }
    }
}

/// The content of a checked message, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedContent {
    /// A proposal of the primary of its view.
    PrePrepare(CheckedProposal),
    /// A vote of the replica that sent it.
    Prepare(Verified<Signed<Prepare>>),
    /// A vote of the replica that sent it.
    Commit(Verified<Signed<Commit>>),
    /// Not signed, except for the superseded proposal.
    Status(CheckedStatus),
    /// A VIEW-CHANGE of the replica that sent it.
    ViewChange(CheckedViewChange),
    /// A NEW-VIEW, which proves itself.
    NewView(CheckedNewView),
    /// A CHECKPOINT of the replica that sent it.
    Checkpoint(Verified<Signed<Checkpoint>>),
    /// Evidence, which proves itself.
    Evidence(Verified<Evidence>),
    /// The member whose statements SEEN contains, and their high-water mark. `None` if it is empty.
    Seen(Option<(ReplicaId, HighWaterMark)>),
}

impl Message {
    /// Checks that the signer may make this statement, and verifies all signatures: one for most
    /// kinds, and all certificates of a VIEW-CHANGE or NEW-VIEW. Compares the Merkle root of a
    /// proposal with its ids. It needs no state, so it can run on any thread.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn check(self, from: ReplicaId, context: &EpochContext) -> Result<Checked, Rejected> {
        self.check_content(from, context).map(Checked)
    }

    fn check_content(self, from: ReplicaId, context: &EpochContext) -> Result<CheckedContent, Rejected> {
        let of_epoch =
            |claimed: Epoch| if claimed == context.epoch() { Ok(()) } else { Err(Rejected::Epoch(claimed)) };
        let own_vote = |signer| {
            let own = signer == from || is(Mutant::VotesRelayed);
            if own { Ok(()) } else { Err(Rejected::Relayed { from, signer }) }
        };
        match self {
            Message::PrePrepare(proposal) => {
                let (ballot, signer) = (proposal.vote.body.0, proposal.vote.signer);
                of_epoch(ballot.epoch)?;
                // R2: any member may relay a proposal, but only the primary signs it.
                let by_primary = signer == context.committee.primary(ballot.view);
                if !by_primary && !is(Mutant::ProposalByAnyone) {
                    return Err(Rejected::NotPrimary { signer, view: ballot.view });
                }
                if proposal.header.height != ballot.height || proposal.header.hash() != ballot.block {
                    return Err(Rejected::OtherHeader);
                }
                let vote = context.verify_unless(Mutant::ProposalUnsigned, proposal.vote)?;
                let skeleton = BlockSkeleton::new(proposal.header, proposal.ids)?;
                Ok(CheckedContent::PrePrepare(CheckedProposal::new(vote, skeleton)))
            }
            Message::Prepare(vote) => {
                of_epoch(vote.body.0.epoch)?;
                own_vote(vote.signer)?;
                Ok(CheckedContent::Prepare(context.verify_unless(Mutant::PrepareUnsigned, vote)?))
            }
            Message::Commit(vote) => {
                of_epoch(vote.body.0.epoch)?;
                own_vote(vote.signer)?;
                Ok(CheckedContent::Commit(context.verify_unless(Mutant::CommitUnsigned, vote)?))
            }
            Message::Status(status) => {
                of_epoch(status.epoch)?;
                Ok(CheckedContent::Status(CheckedStatus::check(status, context)?))
            }
            Message::ViewChange(change) => {
                own_vote(change.vote.signer)?;
                Ok(CheckedContent::ViewChange(change.check(context)?))
            }
            Message::NewView(new_view) => Ok(CheckedContent::NewView(new_view.check(context)?)),
            Message::Checkpoint(vote) => {
                of_epoch(vote.body.epoch)?;
                own_vote(vote.signer)?;
                // R26: the epoch before certifies heights up to the root.
                if vote.body.height <= context.root.height {
                    return Err(Rejected::Checkpoint(vote.body.height));
                }
                Ok(CheckedContent::Checkpoint(context.verify(vote)?))
            }
            Message::Evidence(evidence) => Ok(CheckedContent::Evidence(evidence.check(context)?)),
            Message::Seen(seen) => {
                let whose = seen.check(context)?;
                Ok(CheckedContent::Seen(whose.map(|replica| (replica, seen.mark()))))
            }
        }
    }
}
