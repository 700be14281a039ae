//! What can happen to an engine, and what comes of it.

use quorate_ledger::{
    Block, Height, ReplicaId, Timestamp, TransactionError, TransactionId, VerifiedTransaction, View,
};
use quorate_pbft::{Checked, Departure, Mark, Message, Subject, To};

use crate::fetching::range::CheckedRun;
use crate::wire::{Answer, Ask};

/// Names something the caller waits for. The caller chooses it; the engine only gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a question this engine asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// Everything that can wake an engine. Time alone is no event: call [`crate::Engine::handle`] without any.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "events are moved once or twice, never kept")]
pub enum Event {
    /// A checked protocol message from a member.
    Consensus {
        /// The member at the other end of the authenticated channel.
        from: ReplicaId,
        /// What it said.
        message: Checked,
    },
    /// A channel to a member came to be.
    PeerUp(ReplicaId),
    /// The channel to a member is gone.
    PeerDown(ReplicaId),
    /// A client submitted a transaction here. Answered in [`Effects::submissions`].
    Submitted {
        /// Given back with the answer.
        ticket: Ticket,
        /// What was submitted.
        transaction: VerifiedTransaction,
    },
    /// Members passed on transactions.
    Gossiped(Vec<VerifiedTransaction>),
    /// A member asks for transactions of a block. Answered in [`Effects::answers`].
    Asked {
        /// Given back with the answer.
        ticket: Ticket,
        /// What is asked for.
        ask: Ask,
    },
    /// What became of a question in [`Effects::asks`].
    Answered {
        /// The question.
        fetch: FetchId,
        /// Whom it was put to.
        from: ReplicaId,
        /// The checked answer; `None` if there was none or it was no good.
        answer: Option<Fetched>,
    },
}

/// A checked answer of another member.
#[derive(Debug)]
pub enum Fetched {
    /// Transactions with good signatures. Whether they are those that were asked for is still to be seen.
    Transactions(Vec<VerifiedTransaction>),
    /// Certified blocks.
    Run(CheckedRun),
    /// Ids, which may be those of any block.
    Ids(Vec<TransactionId>),
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// In the pool, now or already before.
    Pending,
    /// In a block already.
    Committed {
        /// The block's height.
        height: Height,
        /// Its place in the block.
        index: u32,
    },
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can never be ordered on this chain.
    #[error(transparent)]
    Rejected(#[from] TransactionError),
    /// The ledger is damaged where it would say whether the transaction is in the chain.
    #[error(
        "this node's ledger is damaged and cannot tell whether the transaction is committed: ask another node"
    )]
    LedgerDamaged,
    /// Its time is over, and it was not committed before.
    #[error(
        "valid_until_ms {valid_until} has passed, it is {now}: sign the transaction again with a later time"
    )]
    Expired {
        /// Its last moment.
        valid_until: Timestamp,
        /// The later of this node's clock and the chain's time.
        now: Timestamp,
    },
    /// It would outlive the chain's memory of ids.
    #[error(
        "valid_until_ms {valid_until} lies more than {lifetime_ms} ms ahead of {now}: sign the transaction again with an earlier time"
    )]
    LifetimeTooLong {
        /// Its last moment.
        valid_until: Timestamp,
        /// The later of this node's clock and the chain's time.
        now: Timestamp,
        /// The genesis's `max_transaction_lifetime_ms`.
        lifetime_ms: u64,
    },
    /// The pool is full. Worth another try a little later.
    #[error("the pool of waiting transactions is full: try again a little later")]
    PoolFull {
        /// Transactions there would be.
        transactions: u64,
        /// Bytes there would be.
        bytes: u64,
    },
    /// This sender has as much waiting as one may. Worth another try a little later.
    #[error(
        "this sender has as many transactions waiting as a sender may: try again when some are committed"
    )]
    SenderQuota {
        /// Transactions of the sender there would be.
        transactions: u64,
        /// Bytes of the sender there would be.
        bytes: u64,
    },
    /// It may be committed, and this node's ledger cannot be read where that would be found.
    #[error("this node cannot read its ledger: submit the transaction to another node")]
    LedgerUnreadable,
}

/// The end of a transaction that was waiting here and is in no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The transaction, which has expired: a committed block has a later time than its last moment.
    pub id: TransactionId,
}

/// Something an operator should hear about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A member made two different statements where one is allowed. The proof is kept.
    Contradiction {
        /// Who did.
        replica: ReplicaId,
        /// About what.
        subject: Subject,
    },
    /// The primary proposed what no correct primary proposes.
    BadProposal {
        /// Whose proposal it is.
        primary: ReplicaId,
        /// At which height.
        height: Height,
        /// What is wrong with it.
        reason: String,
    },
    /// The ledger refused certified blocks that a member answered with. Another member is asked.
    BadBlocks {
        /// The height of the first of them.
        height: Height,
        /// What is wrong with them.
        reason: String,
    },
    /// A view was left.
    LeftView(Departure),
    /// A view has begun.
    EnteredView {
        /// The view.
        view: View,
        /// Its primary.
        primary: ReplicaId,
    },
    /// A checkpoint became stable.
    Stable(Height),
    /// Others have seen this validator sign what its files do not remember: it follows, and never signs again.
    Recovering {
        /// How far others have seen it go.
        seen: Mark,
        /// How far its files remember.
        remembered: Mark,
    },
    /// Others are ahead; blocks are being fetched from there.
    CatchingUp {
        /// Our last block.
        height: Height,
        /// The highest block somebody claims to have.
        target: Height,
    },
}

/// What the caller is to do, now that everything that had to be durable is.
#[must_use = "messages of persisted steps must be sent"]
#[derive(Debug, Default)]
pub struct Effects {
    /// Protocol messages to send over direct streams, in order.
    pub messages: Vec<(To, Message)>,
    /// Transactions to gossip, one message a batch.
    pub gossip: Vec<Vec<VerifiedTransaction>>,
    /// Transactions to send over direct streams: gossip may have lost them.
    pub reminders: Vec<VerifiedTransaction>,
    /// Questions to put to members. Each is answered with [`Event::Answered`], or forgotten after a while.
    pub asks: Vec<(ReplicaId, FetchId, Ask)>,
    /// Answers to [`Event::Asked`].
    pub answers: Vec<(Ticket, Answer)>,
    /// Answers to [`Event::Submitted`].
    pub submissions: Vec<(Ticket, Result<Submission, Refusal>)>,
    /// Blocks that became final, ascending.
    pub committed: Vec<Block>,
    /// Transactions that were waiting and will be in no block.
    pub ended: Vec<Ended>,
    /// For logs and counters.
    pub notices: Vec<Notice>,
}
