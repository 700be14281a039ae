//! What members tell each other: claims as they come off the wire, and the same after checking.

pub(crate) mod statement;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, BlockError, BlockHash, CertificateError, ChainId, Commit, Committee, Domain, Epoch, Header,
    Height, MAX_TRANSACTIONS, Outline, ReplicaId, Signable, Signed, SignedError, Signers, TransactionId,
    Verified, View, bounded,
};

use crate::checkpoint::certificate::Checkpoint;
use crate::config::MAX_WINDOW;
use crate::evidence::proof::Evidence;
use crate::signing::seen::{Mark, Seen};
use crate::view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};

/// "I propose this block at this height in this view." Counts as the primary's PREPARE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare(pub Ballot);

impl Signable for PrePrepare {
    const DOMAIN: Domain = Domain::PrePrepare;
}

/// "I accepted this proposal and hold its whole body."
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Prepare(pub Ballot);

impl Signable for Prepare {
    const DOMAIN: Domain = Domain::Prepare;
}

/// A PRE-PREPARE with what it is about. The signature covers the header's hash, the header covers the ids.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The primary's vote.
    pub vote: Signed<PrePrepare>,
    /// The proposed header.
    pub header: Header,
    /// The ids of its transactions, in order.
    #[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")]
    pub ids: Vec<TransactionId>,
}

/// Most slots one STATUS speaks of: twice the largest window.
pub const MAX_STATUS_SLOTS: u32 = 64;
const _: () = assert!(MAX_STATUS_SLOTS as u64 == 2 * MAX_WINDOW, "a STATUS speaks of every open height");

/// Where a replica stands, so that others can send what it lacks. Unsigned: it is believed no further than
/// that, and the channel it arrives on is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Whether that view has begun for it; otherwise it waits for a NEW-VIEW.
    pub active: bool,
    /// Height of its last committed block.
    pub committed: Height,
    /// Hash of that block.
    pub committed_hash: BlockHash,
    /// Height of its stable checkpoint.
    pub stable: Height,
    /// How far it has gone in what it signed, as far as it remembers (R24).
    pub mark: Mark,
    /// Whether it just started and asks what others have seen of it (R24).
    pub probing: bool,
    /// The primary's signed proposal of another block than the one that became final in its view, at the last height
    /// where that happened. A receiver that remembers the PRE-PREPARE of the final one can prove the lie (R22).
    pub superseded: Option<Signed<PrePrepare>>,
    /// What it holds of the heights above, ascending.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub slots: Vec<SlotStatus>,
}

impl Status {
    /// Whether it says that it lacks the beginning of this view.
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
    /// Whose PREPARE it has.
    pub prepares: Signers,
    /// Whose COMMIT it has.
    pub commits: Signers,
}

/// A message as it comes off the wire: a claim.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "messages are moved once or twice, never kept")]
pub enum Message {
    /// From the primary, or passed on by anyone to a replica that lacks it.
    PrePrepare(Proposal) = 0,
    /// From a backup.
    Prepare(Signed<Prepare>) = 1,
    /// From anyone.
    Commit(Signed<Commit>) = 2,
    /// From anyone, regularly and on connecting.
    Status(Status) = 3,
    /// From anyone who leaves a view, until the next one begins.
    ViewChange(ViewChangeMessage) = 4,
    /// From the primary of the new view, or passed on by anyone to a replica that lacks it.
    NewView(NewViewMessage) = 5,
    /// From anyone, at every checkpoint height.
    Checkpoint(Signed<Checkpoint>) = 6,
    /// From anyone: proof that a member lied.
    Evidence(Evidence) = 7,
    /// What the sender has seen the receiver sign.
    Seen(Seen) = 8,
}

/// Why a message was thrown away unread. Always the sender's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Votes are only taken from their signer; others may have collected them for later use.
    #[error("a vote signed by member {signer} arrived from member {from}")]
    Relayed {
        /// Who sent it.
        from: ReplicaId,
        /// Who is said to have signed it.
        signer: ReplicaId,
    },
    /// Proposed by somebody who is not the primary of that view.
    #[error("member {signer} proposed in view {view}, whose primary is another")]
    NotPrimary {
        /// Who is said to have signed it.
        signer: ReplicaId,
        /// The view.
        view: View,
    },
    /// Of another epoch.
    #[error("message of epoch {0}")]
    Epoch(Epoch),
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignedError),
    /// The signed ballot is about another header.
    #[error("the proposal's header is not the one that was signed")]
    OtherHeader,
    /// Header and ids do not belong together.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A certificate in a view change does not hold.
    #[error("a certificate in a view change: {0}")]
    Certificate(#[from] CertificateError),
    /// A prepared certificate in a view change does not hold.
    #[error("a prepared block in a view change: {0}")]
    Prepared(#[from] crate::votes::prepared::PreparedError),
    /// A view change breaks a rule.
    #[error("a view change: {0}")]
    ViewChange(&'static str),
    /// A NEW-VIEW does not follow from its view changes.
    #[error("a new view: {0}")]
    NewView(&'static str),
    /// Statements that prove nothing.
    #[error("statements that are not of one member, or do not contradict each other")]
    Evidence,
    /// A CHECKPOINT at a height that has none.
    #[error("a checkpoint at height {0}")]
    Checkpoint(Height),
}

/// A proposal whose signature, header and ids were checked against each other. Cloning shares the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProposal {
    vote: Verified<Signed<PrePrepare>>,
    outline: Outline,
}

impl CheckedProposal {
    /// Joins a vote and an outline that are known to belong together.
    pub(crate) fn new(vote: Verified<Signed<PrePrepare>>, outline: Outline) -> Self {
        assert_eq!(vote.body.0.block, outline.hash(), "the vote is for this outline");
        CheckedProposal { vote, outline }
    }

    /// The primary's vote.
    pub fn vote(&self) -> &Verified<Signed<PrePrepare>> {
        &self.vote
    }

    /// What is proposed, where and when.
    pub fn ballot(&self) -> &Ballot {
        &self.vote.body.0
    }

    /// The proposed header and ids.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// As it goes over the wire.
    pub fn to_message(&self) -> Message {
        Message::PrePrepare(Proposal {
            vote: self.vote.clone().into_inner(),
            header: self.outline.header().clone(),
            ids: self.outline.ids().to_vec(),
        })
    }
}

/// A STATUS whose superseded proposal, if it shows one, was signed by the primary of the proposal's view.
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

    /// What the sender says of itself: a claim.
    pub fn claim(&self) -> &Status {
        &self.status
    }

    /// The superseded proposal that it shows.
    pub(crate) fn superseded(&self) -> Option<&Verified<Signed<PrePrepare>>> {
        self.superseded.as_ref()
    }
}

/// A message that may be believed as far as its signer goes. [`Message::check`] is its only source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// A proposal by the primary of its view.
    PrePrepare(CheckedProposal),
    /// A vote by the replica that sent it.
    Prepare(Verified<Signed<Prepare>>),
    /// A vote by the replica that sent it.
    Commit(Verified<Signed<Commit>>),
    /// Unsigned, but for the proposal that it may show.
    Status(CheckedStatus),
    /// By the replica that sent it.
    ViewChange(CheckedViewChange),
    /// Proves itself.
    NewView(CheckedNewView),
    /// A vote by the replica that sent it.
    Checkpoint(Verified<Signed<Checkpoint>>),
    /// Proves itself.
    Evidence(Verified<Evidence>),
    /// Statements of one member, `None` if there are none.
    Seen(Option<(ReplicaId, Mark)>),
}

impl Message {
    /// Checks who may say this and whether they did: one signature, the Merkle root of a proposal, every
    /// certificate of a view change, which has nothing beyond the `window` W (R7). Needs no state, so it can run on
    /// any thread.
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
                // R2: anyone may pass a proposal on, only the primary can make one.
                let by_primary = signer == committee.primary(ballot.epoch, ballot.view);
                if !by_primary && !is(Mutant::ProposalByAnyone) {
                    return Err(Rejected::NotPrimary { signer, view: ballot.view });
                }
                if proposal.header.height != ballot.height || proposal.header.hash() != ballot.block {
                    return Err(Rejected::OtherHeader);
                }
                let vote = verify_unless(Mutant::ProposalUnsigned, proposal.vote, chain, committee)?;
                let outline = Outline::new(proposal.header, proposal.ids)?;
                Ok(Checked::PrePrepare(CheckedProposal { vote, outline }))
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

/// Verifies a signature, unless a deliberate fault leaves that out.
pub(crate) fn verify_unless<S: Signable>(
    fault: Mutant,
    signed: Signed<S>,
    chain: &ChainId,
    committee: &Committee,
) -> Result<Verified<Signed<S>>, SignedError> {
    if is(fault) { Ok(Verified::from_own_storage(signed)) } else { signed.verify(chain, committee) }
}
