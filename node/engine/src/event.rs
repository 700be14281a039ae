//! The events that an engine handles, and the effects that it returns.

use quorate_ledger::{
    Block, Epoch, Height, NotPermitted, Refusal, ReplicaId, TransactionId, VerifiedTransaction, View,
};
use quorate_pbft::{Checked, Departure, HighWaterMark, Message, Subject, To};

use crate::fetching::range::CheckedRange;
use crate::wire::{FetchRequest, FetchResponse};

/// Names an answer that a client of the engine waits for. The client chooses it, and the engine
/// returns it with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a request that this engine sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// Everything that can wake an engine. Time is not an event: call [`crate::Engine::handle`] without
/// events.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "events are moved once or twice, never kept")]
pub enum Event {
    /// A checked protocol message from a member.
    Consensus {
        /// The member at the other end of the authenticated channel.
        from: ReplicaId,
        /// The message.
        message: Checked,
    },
    /// A member of this epoch sent a STATUS or a head status of a later epoch. Like any STATUS it is
    /// an unsigned claim: a false one costs one request for blocks at most. A replica that missed
    /// the end of its epoch learns from it that it must fetch blocks (R26f).
    Ahead {
        /// The member at the other end of the authenticated channel, by its index in this epoch.
        from: ReplicaId,
        /// Its last committed height.
        committed: Height,
    },
    /// A channel to a member was established.
    PeerUp(ReplicaId),
    /// The channel to a member was closed.
    PeerDown(ReplicaId),
    /// A client submitted a transaction here. Answered in [`Effects::submissions`].
    Submitted {
        /// Given back with the answer.
        ticket: Ticket,
        /// The transaction, its signature verified.
        transaction: VerifiedTransaction,
    },
    /// Transactions that another member sent, by gossip or directly.
    Gossiped(Vec<VerifiedTransaction>),
    /// A request of another member. Answered in [`Effects::answers`].
    Asked {
        /// Given back with the answer.
        ticket: Ticket,
        /// The request.
        ask: FetchRequest,
    },
    /// The outcome of a request in [`Effects::asks`].
    Answered {
        /// The request.
        fetch: FetchId,
        /// The member that it was sent to.
        from: ReplicaId,
        /// The checked answer; `None` if there was no answer or a bad one.
        answer: Option<Fetched>,
    },
}

/// A checked answer of another member.
#[derive(Debug)]
pub enum Fetched {
    /// Transactions with valid signatures. They need not be the requested ones.
    Transactions(Vec<VerifiedTransaction>),
    /// Certified blocks.
    Range(CheckedRange),
    /// Ids. They need not be those of the requested block.
    Ids(Vec<TransactionId>),
}

/// The outcome of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// In the pool, since now or since earlier.
    Pending,
    /// In a committed block already.
    Committed {
        /// The block's height.
        height: Height,
        /// Its place in the block.
        index: u32,
    },
}

/// A transaction left the pool without being ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The transaction.
    pub id: TransactionId,
    /// Why.
    pub end: End,
}

/// Why a transaction left the pool without being ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A committed block has a later time than its `valid_until`.
    Expired,
    /// The configuration of the next height does not permit it, and did so when the node admitted it. A
    /// later configuration may permit it again, so it can still be ordered until it expires.
    Rejected(NotPermitted),
}

/// Something that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A member made two statements that a correct member never makes both (R22). The evidence is
    /// kept.
    Equivocation {
        /// The faulty member.
        replica: ReplicaId,
        /// The subject of the statements.
        subject: Subject,
    },
    /// The primary proposed a block that no correct primary proposes (R5).
    BadProposal {
        /// The primary.
        primary: ReplicaId,
        /// The height of the proposal.
        height: Height,
        /// The broken rule.
        reason: String,
    },
    /// The ledger refused certified blocks from a member (R12d). The node asks another member.
    BadBlocks {
        /// The height of the first of them.
        height: Height,
        /// Why the ledger refused them.
        reason: String,
    },
    /// An epoch has begun for this replica.
    EnteredEpoch {
        /// The epoch.
        epoch: Epoch,
        /// Its first height.
        start: Height,
    },
    /// The replica left a view.
    LeftView(Departure),
    /// A view has begun for this replica.
    EnteredView {
        /// The view.
        view: View,
        /// Its primary.
        primary: ReplicaId,
    },
    /// A checkpoint became stable.
    Stable(Height),
    /// Others have received statements of this validator that its files do not contain. The
    /// validator follows the chain, and never signs again with these files (R24c).
    Recovering {
        /// The high-water mark that others have received.
        seen: HighWaterMark,
        /// The high-water mark in its files.
        remembered: HighWaterMark,
    },
    /// Other members are ahead. The node fetches blocks from them.
    CatchingUp {
        /// The last committed height of this node.
        height: Height,
        /// The height that the member claims, or that a certificate proves.
        target: Height,
    },
}

/// What the driver of the engine does next. Everything that had to be durable before it is durable.
#[must_use = "messages of persisted steps must be sent"]
#[derive(Debug, Default)]
pub struct Effects {
    /// Protocol messages to send over direct streams, in order.
    pub messages: Vec<(To, Message)>,
    /// Transactions to gossip, one message for each batch.
    pub gossip: Vec<Vec<VerifiedTransaction>>,
    /// Transactions to resend to all members over direct streams: gossip may have lost them.
    pub resends: Vec<VerifiedTransaction>,
    /// Requests to send to members. The driver reports the outcome as [`Event::Answered`]. The
    /// engine drops a request that stays without an outcome after a while.
    pub asks: Vec<(ReplicaId, FetchId, FetchRequest)>,
    /// Answers to [`Event::Asked`].
    pub answers: Vec<(Ticket, FetchResponse)>,
    /// Answers to [`Event::Submitted`].
    pub submissions: Vec<(Ticket, Result<Submission, Refusal>)>,
    /// Blocks that became final, ascending.
    pub committed: Vec<Block>,
    /// Transactions that left the pool because no later block can contain them.
    pub ended: Vec<Ended>,
    /// For logs and counters.
    pub notices: Vec<Notice>,
}
