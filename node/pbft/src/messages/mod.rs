//! The messages between members: claims as they arrive, and their checked forms.

pub(crate) mod statement;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, BlockError, BlockHash, BlockSkeleton, CertificateError, ChainId, Commit, Committee, Domain,
    Epoch, Header, Height, MAX_TRANSACTIONS, ReplicaId, Signable, Signed, SignedError, Signers,
    TransactionId, Verified, View, bounded,
};

use crate::checkpoint::certificate::Checkpoint;
use crate::config::MAX_WINDOW;
use crate::evidence::proof::Evidence;
use crate::signing::seen::{HighWaterMark, Seen};
use crate::view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};

/// PRE-PREPARE: its signer, the primary, proposes this block at this height in this view. It counts
/// as the primary's PREPARE (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare(pub Ballot);

impl Signable for PrePrepare {
    const DOMAIN: Domain = Domain::PrePrepare;
}

/// PREPARE: its signer has accepted this proposal, and holds the whole body (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Prepare(pub Ballot);

impl Signable for Prepare {
    const DOMAIN: Domain = Domain::Prepare;
}

/// A PRE-PREPARE with its block skeleton. The signature covers the hash of the header, and the
/// header covers the ids.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The signed PRE-PREPARE.
    pub vote: Signed<PrePrepare>,
    /// The proposed header.
    pub header: Header,
    /// The ids of its transactions, in order.
    #[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")]
    pub ids: Vec<TransactionId>,
}

/// Most slots in a STATUS: 2 W for the largest window.
pub const MAX_STATUS_SLOTS: u32 = 64;
const _: () = assert!(MAX_STATUS_SLOTS as u64 == 2 * MAX_WINDOW, "a STATUS has room for every open height");

/// The progress of a replica, so that others can send what it lacks (R14). It is not signed, but
/// arrives on an authenticated channel. A replica uses it only as R12, R14, R15 and R24 say.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Whether that view has begun at the sender. Otherwise it waits for the NEW-VIEW.
    pub active: bool,
    /// Height of its last committed block.
    pub committed: Height,
    /// Hash of that block.
    pub committed_hash: BlockHash,
    /// Height of its stable checkpoint.
    pub stable: Height,
    /// Its high-water mark (R24b).
    pub mark: HighWaterMark,
    /// Whether it is probing: it asks which of its statements others have received (R24a).
    pub probing: bool,
    /// The PRE-PREPARE of the last superseded proposal of its view (R14d). A receiver that
    /// remembers the PRE-PREPARE of the final block can prove the equivocation (R22a).
    pub superseded: Option<Signed<PrePrepare>>,
    /// The open heights in its view, ascending.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub slots: Vec<SlotStatus>,
}

impl Status {
    /// Whether the sender needs the NEW-VIEW of this view.
    pub(crate) fn lacks_view(&self, view: View) -> bool {
        self.view < view || self.view == view && !self.active
    }
}

/// What a replica holds of one open height in its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlotStatus {
    /// The height.
    pub height: Height,
    /// The proposed block, if it has the proposal.
    pub proposal: Option<BlockHash>,
    /// The members whose PREPARE it has.
    pub prepares: Signers,
    /// The members whose COMMIT it has.
    pub commits: Signers,
}

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

/// Why a message was refused. The sender is faulty in all cases: a correct member sends no such
/// message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// R2: a vote is taken only from the channel of its signer. A member that collects votes of
    /// others could release them at a time of its choice.
    #[error("a vote signed by member {signer} arrived from member {from}")]
    Relayed {
        /// The member that sent it.
        from: ReplicaId,
        /// The claimed signer.
        signer: ReplicaId,
    },
    /// R2: the signer is not the primary of the view.
    #[error("member {signer} proposed in view {view}, whose primary is another")]
    NotPrimary {
        /// The claimed signer.
        signer: ReplicaId,
        /// The view.
        view: View,
    },
    /// The message is of another epoch.
    #[error("it is of epoch {0}, not of the present one")]
    Epoch(Epoch),
    /// The signature is not valid.
    #[error(transparent)]
    Signature(#[from] SignedError),
    /// The signed ballot is for another header.
    #[error("the proposal's header is not the one that was signed")]
    OtherHeader,
    /// The header and the ids do not match.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A commit certificate in a VIEW-CHANGE is not valid.
    #[error("a commit certificate in a VIEW-CHANGE: {0}")]
    Certificate(#[from] CertificateError),
    /// A prepared certificate in a VIEW-CHANGE is not valid.
    #[error("a prepared certificate in a VIEW-CHANGE: {0}")]
    Prepared(#[from] crate::votes::prepared::PreparedError),
    /// A VIEW-CHANGE breaks a rule (R19b).
    #[error("a VIEW-CHANGE: {0}")]
    ViewChange(&'static str),
    /// A NEW-VIEW does not follow from its VIEW-CHANGEs (R20b).
    #[error("a NEW-VIEW: {0}")]
    NewView(&'static str),
    /// The statements are no evidence, or SEEN is not of one member.
    #[error("its statements are not of one member, or a correct member could make both")]
    Evidence,
    /// A CHECKPOINT at a height that has none: 0.
    #[error("a CHECKPOINT at height {0}, which has none")]
    Checkpoint(Height),
}

/// A proposal of which the signature, the header and the ids were checked against each other.
/// Cloning shares the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProposal {
    vote: Verified<Signed<PrePrepare>>,
    skeleton: BlockSkeleton,
}

impl CheckedProposal {
    /// Joins a verified PRE-PREPARE with its block skeleton.
    pub(crate) fn new(vote: Verified<Signed<PrePrepare>>, skeleton: BlockSkeleton) -> Self {
        assert_eq!(vote.body.0.block, skeleton.hash(), "the vote must be for this block skeleton");
        CheckedProposal { vote, skeleton }
    }

    /// The primary's PRE-PREPARE.
    pub fn vote(&self) -> &Verified<Signed<PrePrepare>> {
        &self.vote
    }

    /// The ballot of the PRE-PREPARE.
    pub fn ballot(&self) -> &Ballot {
        &self.vote.body.0
    }

    /// The block skeleton: header and ids.
    pub fn skeleton(&self) -> &BlockSkeleton {
        &self.skeleton
    }

    /// As it goes over the wire.
    pub fn to_message(&self) -> Message {
        Message::PrePrepare(Proposal {
            vote: self.vote.clone().into_inner(),
            header: self.skeleton.header().clone(),
            ids: self.skeleton.ids().to_vec(),
        })
    }
}

/// A STATUS. Its superseded proposal, if it contains one, was signed by the primary of that view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStatus {
    status: Status,
    superseded: Option<Verified<Signed<PrePrepare>>>,
}

impl CheckedStatus {
    fn check(
        mut status: Status,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
    ) -> Result<Self, Rejected> {
        let Some(vote) = status.superseded.take() else {
            return Ok(CheckedStatus { status, superseded: None });
        };
        let (ballot, signer) = (vote.body.0, vote.signer);
        if ballot.epoch != epoch {
            return Err(Rejected::Epoch(ballot.epoch));
        }
        if signer != committee.primary(epoch, ballot.view) {
            return Err(Rejected::NotPrimary { signer, view: ballot.view });
        }
        let superseded = Some(vote.verify(chain, committee)?);
        Ok(CheckedStatus { status, superseded })
    }

    /// The unsigned claims of the sender, without the superseded proposal.
    pub fn claim(&self) -> &Status {
        &self.status
    }

    /// The superseded proposal that it contains.
    pub(crate) fn superseded(&self) -> Option<&Verified<Signed<PrePrepare>>> {
        self.superseded.as_ref()
    }
}

/// A message whose signatures are verified, so that it proves what its signers state.
/// [`Message::check`] is the only source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
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

impl Checked {
    /// The signer and the ballot of a PRE-PREPARE, PREPARE or COMMIT.
    pub(crate) fn vote(&self) -> Option<(ReplicaId, Ballot)> {
        match self {
            Checked::PrePrepare(proposal) => Some((proposal.vote().signer, *proposal.ballot())),
            Checked::Prepare(vote) => Some((vote.signer, vote.body.0)),
            Checked::Commit(vote) => Some((vote.signer, vote.body.0)),
            Checked::Status(_)
            | Checked::ViewChange(_)
            | Checked::NewView(_)
            | Checked::Checkpoint(_)
            | Checked::Evidence(_)
            | Checked::Seen(_) => None,
        }
    }
}

impl Message {
    /// Checks that the signer may make this statement, and verifies all signatures: one for most
    /// kinds, and all certificates of a VIEW-CHANGE or NEW-VIEW. Compares the Merkle root of a
    /// proposal with its ids. `window` is W (R7, R19b). It needs no state, so it can run on any
    /// thread.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn check(
        self,
        from: ReplicaId,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
        window: u64,
    ) -> Result<Checked, Rejected> {
        let of_epoch = |claimed: Epoch| if claimed == epoch { Ok(()) } else { Err(Rejected::Epoch(claimed)) };
        let own_vote = |signer| {
            let own = signer == from || is(Mutant::VotesRelayed);
            if own { Ok(()) } else { Err(Rejected::Relayed { from, signer }) }
        };
        match self {
            Message::PrePrepare(proposal) => {
                let (ballot, signer) = (proposal.vote.body.0, proposal.vote.signer);
                of_epoch(ballot.epoch)?;
                // R2: any member may relay a proposal, but only the primary signs it.
                let by_primary = signer == committee.primary(ballot.epoch, ballot.view);
                if !by_primary && !is(Mutant::ProposalByAnyone) {
                    return Err(Rejected::NotPrimary { signer, view: ballot.view });
                }
                if proposal.header.height != ballot.height || proposal.header.hash() != ballot.block {
                    return Err(Rejected::OtherHeader);
                }
                let vote = verify_unless(Mutant::ProposalUnsigned, proposal.vote, chain, committee)?;
                let skeleton = BlockSkeleton::new(proposal.header, proposal.ids)?;
                Ok(Checked::PrePrepare(CheckedProposal { vote, skeleton }))
            }
            Message::Prepare(vote) => {
                of_epoch(vote.body.0.epoch)?;
                own_vote(vote.signer)?;
                Ok(Checked::Prepare(verify_unless(Mutant::PrepareUnsigned, vote, chain, committee)?))
            }
            Message::Commit(vote) => {
                of_epoch(vote.body.0.epoch)?;
                own_vote(vote.signer)?;
                Ok(Checked::Commit(verify_unless(Mutant::CommitUnsigned, vote, chain, committee)?))
            }
            Message::Status(status) => {
                of_epoch(status.epoch)?;
                Ok(Checked::Status(CheckedStatus::check(status, chain, epoch, committee)?))
            }
            Message::ViewChange(change) => {
                own_vote(change.vote.signer)?;
                Ok(Checked::ViewChange(change.check(chain, epoch, committee, window)?))
            }
            Message::NewView(new_view) => {
                Ok(Checked::NewView(new_view.check(chain, epoch, committee, window)?))
            }
            Message::Checkpoint(vote) => {
                of_epoch(vote.body.epoch)?;
                own_vote(vote.signer)?;
                if vote.body.height == Height(0) {
                    return Err(Rejected::Checkpoint(vote.body.height));
                }
                Ok(Checked::Checkpoint(vote.verify(chain, committee)?))
            }
            Message::Evidence(evidence) => Ok(Checked::Evidence(evidence.check(chain, epoch, committee)?)),
            Message::Seen(seen) => {
                let whose = seen.check(chain, epoch, committee)?;
                Ok(Checked::Seen(whose.map(|replica| (replica, seen.mark()))))
            }
        }
    }
}

/// Verifies a signature, unless the deliberate fault skips that.
pub(crate) fn verify_unless<S: Signable>(
    fault: Mutant,
    signed: Signed<S>,
    chain: &ChainId,
    committee: &Committee,
) -> Result<Verified<Signed<S>>, SignedError> {
    if is(fault) { Ok(Verified::from_own_storage(signed)) } else { signed.verify(chain, committee) }
}
