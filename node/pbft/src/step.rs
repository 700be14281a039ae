//! What a step yields, and the order in which the engine must carry it out (R13a).

use std::fmt;

use quorate_ledger::{BlockHash, CommitCertificate, Header, Height, ReplicaId, Verified, View};

use crate::checkpoint::certificate::CheckpointCertificate;
use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::proposal::CheckedProposal;
use crate::signing::seen::HighWaterMark;

/// The recipients of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To every other member.
    All,
    /// To one member.
    One(ReplicaId),
}

/// What a replica requests from the engine. No request tells another member anything, so none waits
/// for the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Get the transactions of this proposal and check them (R5, R16). Answer with
    /// [`crate::Input::Examined`].
    Examine {
        /// The proposal.
        proposal: CheckedProposal,
        /// The member that sent it: the first one to ask for missing parts (R12c).
        from: ReplicaId,
    },
    /// Append these blocks to the ledger. All of them were accepted here.
    Finalise(Finalised),
    /// Fetch certified blocks up to this height (R12). A quorum of COMMITs, the anchor of a
    /// NEW-VIEW, or CHECKPOINTs of f + 1 members show that it is final, and this replica has not
    /// accepted all blocks up to there. The replica requests each height once. The engine keeps
    /// trying until the chain has reached it.
    CatchUp {
        /// The height to reach.
        height: Height,
    },
    /// Get the ids of the block with this header and answer with [`crate::Input::SkeletonFetched`]. The
    /// view proposes the block again, and this replica has not accepted it before (R20c). The
    /// replica requests it once. The engine keeps trying until the height is final or the view is
    /// left.
    FetchSkeleton {
        /// The header of the block.
        header: Header,
        /// The primary that proposes it again: the first member to ask (R12c).
        from: ReplicaId,
    },
    /// New evidence that a member is faulty (R22c). The step also records and broadcasts it.
    Evidence(Verified<Evidence>),
    /// A proposal of the primary breaks a rule that does not depend on clocks (R5).
    BadProposal {
        /// The view.
        view: View,
        /// The height.
        height: Height,
        /// The rule that it breaks, in words for the log.
        reason: String,
    },
    /// The replica has left a view. The engine may stop examining its proposals.
    Left(Departure),
    /// A view has begun. Transactions of blocks that it does not propose again return to the pool
    /// (R20a).
    Entered {
        /// The view.
        view: View,
        /// Its primary.
        primary: ReplicaId,
    },
    /// The log has dropped this block of a past view (R20d). The engine need not keep its body.
    Forget(BlockHash),
    /// A checkpoint became stable.
    Stable(Verified<CheckpointCertificate>),
    /// Others have received statements of this replica that its journal lacks, so its files are
    /// old. It signs nothing any more (R24c).
    Recovering {
        /// The high-water mark that others know.
        seen: HighWaterMark,
        /// The high-water mark in the journal.
        remembered: HighWaterMark,
    },
    /// Another process signs with the same key while this one may sign. The node must stop (R24c).
    SecondInstance,
}

/// Why a replica left a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Work was pending for T, and nothing was committed (R15b).
    NoProgress,
    /// The censorship watch timed out (R21d).
    Censorship,
    /// Evidence proves that the primary equivocated in this view (R22c).
    Evidence,
    /// f + 1 others have left it (R19c).
    Joined,
    /// No NEW-VIEW arrived within the new-view timeout (R15c).
    NoNewView,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NoProgress => "work was pending and no block was committed in time",
            Cause::Censorship => "its primary censored a transaction",
            Cause::Evidence => "its primary is proven faulty",
            Cause::Joined => "f + 1 other validators have left it",
            Cause::NoNewView => "its NEW-VIEW did not arrive in time",
        })
    }
}

/// A replica left a view for a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// The view that was left.
    pub from: View,
    /// Its primary.
    pub primary: ReplicaId,
    /// The view that the replica waits for.
    pub to: View,
    /// Why.
    pub cause: Cause,
}

/// Blocks that became final together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finalised {
    /// Ascending without a gap, from the height above the last committed block.
    pub blocks: Vec<BlockHash>,
    /// The commit certificate of the last of them.
    pub certificate: Verified<CommitCertificate>,
}

/// The result of one call of [`crate::Replica::step`].
#[must_use = "a dropped step loses its journal records and messages"]
#[derive(Debug, Default)]
pub struct Step {
    pub(crate) records: Vec<Record>,
    pub(crate) messages: Vec<(To, Message)>,
    pub(crate) requests: Vec<Request>,
}

impl Step {
    /// The requests to the engine. It serves them at once and in this order.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    pub(crate) fn send(&mut self, to: To, message: Message) {
        self.messages.push((to, message));
    }
}

/// The records and messages of several steps, written with one fsync.
///
/// [`Steps::persist`] is the only way to the messages. It enforces that they leave after their
/// records are durable (R13a).
#[must_use = "dropped steps lose their journal records and messages"]
#[derive(Debug, Default)]
pub struct Steps {
    records: Vec<Record>,
    messages: Vec<(To, Message)>,
}

impl Steps {
    /// Adds a step. The caller has taken its requests before.
    pub fn absorb(&mut self, step: Step) {
        assert!(step.requests.is_empty(), "take and serve the requests of a step before absorbing it");
        self.records.extend(step.records);
        self.messages.extend(step.messages);
    }

    /// Makes the records durable with `write`, and then returns the messages. `write` must return
    /// only once the records would survive a power cut.
    ///
    /// # Errors
    /// The error of `write`. The messages are dropped, because their records may not be durable.
    pub fn persist<E>(self, write: impl FnOnce(&[Record]) -> Result<(), E>) -> Result<Vec<(To, Message)>, E> {
        write(&self.records)?;
        Ok(self.messages)
    }
}
