//! What a replica takes in: the events that [`crate::Replica::step`] handles.

use std::time::Duration;

use quorate_ledger::{Ballot, BlockSkeleton, CommitCertificate, Hash, Header, Height, ReplicaId, Verified};

use crate::epoch::schedule::Schedule;
use crate::messages::Checked;
use crate::timer::Work;

/// Every event that a replica reacts to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "inputs are moved once or twice, never kept")]
pub enum Input {
    /// A checked message arrived on the authenticated channel of this member.
    Received {
        /// The member at the other end of the channel.
        from: ReplicaId,
        /// The checked message.
        message: Checked,
    },
    /// The channel to this member was opened, or opened again. Messages on the old channel are
    /// lost, so the replica sends STATUS (R14a), and its VIEW-CHANGE if the view has not begun
    /// (R14c).
    PeerUp(ReplicaId),
    /// The channel to this member is closed. Until its next message, the member does not count as
    /// recently heard from (R15d).
    PeerDown(ReplicaId),
    /// The engine made a block on [`crate::Replica::proposal_parent`], and holds its body.
    Proposed(BlockSkeleton),
    /// The answer to [`crate::Request::FetchSkeleton`].
    SkeletonFetched(BlockSkeleton),
    /// The answer to [`crate::Request::Examine`].
    Examined {
        /// The ballot of the examined proposal.
        ballot: Ballot,
        /// The result.
        verdict: Verdict,
    },
    /// The engine appended these fetched blocks to the ledger, without a gap (R12d).
    CaughtUp {
        /// Their headers, ascending by height.
        headers: Vec<Header>,
        /// The commit certificate of the last one.
        certificate: Verified<CommitCertificate>,
    },
    /// The ledger up to this height is durable: it would survive a power cut (R13c, R23).
    Durable(Height),
    /// The governance state of further final blocks is known (R26). It may lag behind the committed
    /// chain.
    Scheduled(Schedule),
    /// The governance state after the final block at this height, a multiple of K, has this root (R23).
    Executed {
        /// The height.
        height: Height,
        /// The root of the state after this block.
        state_root: Hash,
    },
    /// What the mempool holds for the next block (R15b).
    Pending(Work),
    /// The censorship watch timed out (R21d).
    Censored,
    /// The process was paused for this long. The replica postpones its deadlines by as much (R15e).
    Late(Duration),
    /// The moment of [`crate::Replica::deadline`] has come. Late or needless ticks do no harm.
    Tick,
}

/// The engine's result for the transactions of a proposal (R5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All transactions are here, and none breaks a rule. The engine holds the body.
    Good,
    /// A transaction breaks a rule, for this reason.
    Bad(String),
}
