//! What members send each other: over direct streams, by gossip, and as question and answer.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, BlockLimits, CommitCertificate, DecodeError, Header, Height, MAX_BODY_BYTES, MAX_TRANSACTIONS,
    Signed, Transaction, TransactionId, VerifiedTransaction, View, bounded, bounded_bytes, decode, encode,
};
use quorate_pbft::{Message, PrePrepare};

/// Most indices in one question for transactions.
pub const MAX_ASKED: u32 = MAX_TRANSACTIONS;

/// Bytes of transactions in one gossip message or reminder, unless a single transaction is larger.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;

/// Bytes of transactions in one answer, unless a single transaction is larger.
pub(crate) const ANSWER_BYTES: usize = 1 << 20;

/// Bytes of blocks in one answer, unless a single certified run is larger.
pub(crate) const RUN_BYTES: usize = 4 << 20;

/// Blocks in one answer.
pub(crate) const RUN_BLOCKS: u32 = 256;

/// A message over a direct stream or by gossip. Only transactions are gossiped.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "messages are moved once or twice, never kept")]
pub enum MemberMessage {
    /// Of the ordering protocol.
    Consensus(Message) = 0,
    /// Transactions that the sender admitted.
    Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>) = 1,
    /// Of a member to an observer, which takes no other.
    Head(HeadClaim) = 2,
}

/// Where a member stands, as it says itself: what an observer asks for blocks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeadClaim {
    /// Its last committed height.
    pub committed: Height,
    /// The height of its stable checkpoint; 0 before the first.
    pub stable: Height,
    /// The view it is in.
    pub view: View,
    /// Whether that view has begun for it.
    pub active: bool,
}

impl HeadClaim {
    /// Bytes of its message: nothing longer is one.
    pub const MESSAGE_BYTES: usize = 26;

    /// The bytes of the message that makes it.
    pub fn to_message(self) -> Vec<u8> {
        encode(&MemberMessage::Head(self))
    }

    /// Reads what a member told an observer; `None` if it is another message.
    ///
    /// # Errors
    /// [`DecodeError`]: the sender is at fault.
    pub fn read(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        if message.len() != Self::MESSAGE_BYTES {
            return Ok(None);
        }
        match decode(message)? {
            MemberMessage::Head(claim) => Ok(Some(claim)),
            MemberMessage::Consensus(_) | MemberMessage::Transactions(_) => Ok(None),
        }
    }
}

impl MemberMessage {
    /// Reads a message from exactly these bytes.
    ///
    /// # Errors
    /// [`DecodeError`]: the sender is at fault.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes)
    }

    /// The vote at the front of a proposal; `None` if these bytes do not begin as one. The ids that follow are not read.
    pub fn proposal_vote(bytes: &[u8]) -> Option<Signed<PrePrepare>> {
        let mut vote = bytes.strip_prefix(&[0, 0])?;
        Signed::deserialize(&mut vote).ok()
    }

    /// Whether these bytes begin as a VIEW-CHANGE or a NEW-VIEW does. Such a message may take as long to check as
    /// thousands of others, and this is told before it is read.
    pub fn is_dear(bytes: &[u8]) -> bool {
        matches!(bytes, [0, 4 | 5, ..])
    }

    /// The bytes of a protocol message.
    pub fn consensus(message: Message) -> Vec<u8> {
        encode(&MemberMessage::Consensus(message))
    }

    /// The bytes of a batch of transactions, without copying them into a message first.
    pub fn transactions(batch: &[VerifiedTransaction]) -> Vec<u8> {
        let bytes: usize = batch.iter().map(|transaction| transaction.bytes() as usize).sum();
        let mut out = Vec::with_capacity(bytes + 5);
        out.push(1);
        let count = u32::try_from(batch.len()).expect("a batch is smaller than a block");
        out.extend_from_slice(&count.to_le_bytes());
        for transaction in batch {
            transaction.transaction().serialize(&mut out).expect("writing to a vector cannot fail");
        }
        out
    }
}

/// A question to one member.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Ask {
    /// Some transactions of a block that the member is thought to hold.
    Transactions {
        /// The block.
        block: BlockHash,
        /// Their places in it, ascending.
        #[borsh(deserialize_with = "bounded::<MAX_ASKED, _, _>")]
        indices: Vec<u32>,
    } = 0,
    /// Certified blocks from this height on.
    Blocks {
        /// The first wanted height.
        from: Height,
    } = 1,
    /// The ids of a block that the member is thought to hold.
    Ids {
        /// The block.
        block: BlockHash,
    } = 2,
}

/// What a member answers. Everything in it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// The first of the wanted transactions, as many as fit into an answer.
    Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>) = 0,
    /// Blocks without a gap; the last one carries a certificate.
    Blocks(#[borsh(deserialize_with = "bounded::<RUN_BLOCKS, _, _>")] Vec<RunBlock>) = 1,
    /// The member does not have it.
    Nothing = 2,
    /// All ids of the block, in order.
    Ids(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<TransactionId>) = 3,
}

/// A block as it is passed on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunBlock {
    /// Its header.
    pub header: Header,
    /// The encoding of its body.
    #[borsh(deserialize_with = "bounded_bytes::<{ MAX_BODY_BYTES + 4 }, _>")]
    pub body: Vec<u8>,
    /// Its own certificate, if it has one; otherwise a later block's finalises it.
    pub certificate: Option<CommitCertificate>,
}

impl Answer {
    /// Takes transactions as long as they fit into one answer; at least one.
    pub(crate) fn transactions(wanted: impl Iterator<Item = Transaction>) -> Self {
        let mut room = ANSWER_BYTES;
        let mut taken = Vec::new();
        for transaction in wanted {
            let bytes = usize::try_from(transaction.encoded_len()).unwrap_or(usize::MAX);
            if bytes > room && !taken.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            taken.push(transaction);
        }
        if taken.is_empty() { Answer::Nothing } else { Answer::Transactions(taken) }
    }
}

/// Most bytes of each kind of message, for the network to refuse larger ones unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// A message over a direct stream.
    pub message: usize,
    /// A gossip message.
    pub gossip: usize,
    /// A question.
    pub ask: usize,
    /// An answer.
    pub answer: usize,
}

impl WireLimits {
    /// The limits that follow from a genesis with so many members: the largest proposal, batch, NEW-VIEW and
    /// certified run.
    pub fn of(limits: &BlockLimits, window: u64, members: usize) -> Self {
        const SLACK: usize = 4096;
        const PER_BLOCK: usize = 4096; // header, certificate of the largest committee, lengths
        let transaction = limits.transaction.max_bytes as usize;
        let ids = 32 * limits.max_transactions as usize;
        let body = limits.max_body_bytes as usize + PER_BLOCK;
        let open = usize::try_from(2 * window).expect("a genesis has a small window") + 1;
        // A header, a PRE-PREPARE and the signatures of all members; for each open height one of these. A VIEW-CHANGE
        // that lists more is refused (R19), so no NEW-VIEW is longer, whatever faulty members put into it.
        let certificate = 512 + 64 * members;
        let view_change = SLACK + certificate * (open + 1);
        let new_view = SLACK + view_change * members + 256 * open;
        WireLimits {
            message: SLACK + ids.max(BATCH_BYTES + transaction).max(new_view),
            gossip: SLACK + BATCH_BYTES + transaction,
            ask: SLACK + 4 * limits.max_transactions as usize,
            answer: SLACK
                + (ANSWER_BYTES + transaction)
                    .max(RUN_BYTES + RUN_BLOCKS as usize * PER_BLOCK)
                    .max(open * body),
        }
    }
}
