//! What nodes send each other: messages on direct streams, gossip, requests and answers.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_governance::Operation;
use quorate_ledger::{
    BlockHash, BlockLimits, CommitCertificate, DecodeError, Epoch, Header, Height, MAX_BODY_BYTES,
    MAX_DESCENDANTS, MAX_MEMBERS, MAX_RANGE_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS, Payload,
    PublicKey, Signed, TRANSACTION_OVERHEAD_BYTES, Transaction, TransactionId, TransactionLimits,
    VerifiedTransaction, View, bounded, bounded_bytes, decode, encode,
};
use quorate_pbft::{Message, PrePrepare};

/// Most indices in one request for transactions.
pub const MAX_ASKED: u32 = MAX_TRANSACTIONS;

/// Bytes of transactions in one gossip message or resend, unless a single transaction is larger.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;

/// Bytes of transactions in one answer, unless a single transaction is larger.
pub(crate) const ANSWER_BYTES: usize = 1 << 20;

/// Bytes of blocks in one answer, unless the shortest certified block range is larger.
pub(crate) const RANGE_BYTES: usize = 4 << 20;

/// Blocks in one answer.
pub(crate) const RANGE_BLOCKS: u32 = 256;

/// A message over a direct stream or by gossip. Only transactions are gossiped.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "messages are moved once or twice, never kept")]
pub enum MemberMessage {
    /// A message of the ordering protocol.
    Consensus(Message) = 0,
    /// Transactions that the sender has admitted.
    Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>) = 1,
    /// The head status of a member. Observers receive no other message.
    Head(HeadStatus) = 2,
}

/// The head status of a member: what it claims about itself. Observers choose by it which member to
/// ask for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeadStatus {
    /// The epoch that it is in. Its view is one of this epoch.
    pub epoch: Epoch,
    /// Its last committed height.
    pub committed: Height,
    /// The height of its stable checkpoint; 0 before the first.
    pub stable: Height,
    /// The view it is in.
    pub view: View,
    /// Whether that view has begun for it.
    pub active: bool,
}

impl HeadStatus {
    /// Bytes of its message. Every message with a head status has this length.
    pub const MESSAGE_BYTES: usize = 34;

    /// The bytes of the message with this head status.
    pub fn to_message(self) -> Vec<u8> {
        encode(&MemberMessage::Head(self))
    }

    /// Reads a message of a member to an observer; `None` if it shows no head. A STATUS shows one, too:
    /// members that have begun the next epoch send STATUS, and no head status, to a new member that
    /// still lacks the last blocks of this one.
    ///
    /// # Errors
    /// [`DecodeError`]: the sender is at fault.
    pub fn read(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        // Length and first bytes exclude other messages, without decoding them.
        let is_status = matches!(message, [0, Message::STATUS_TAG, ..]);
        if message.len() != Self::MESSAGE_BYTES && !is_status {
            return Ok(None);
        }
        match decode(message)? {
            MemberMessage::Head(claim) => Ok(Some(claim)),
            MemberMessage::Consensus(Message::Status(status)) => Ok(Some(HeadStatus {
                epoch: status.epoch,
                committed: status.committed,
                stable: status.stable,
                view: status.view,
                active: status.active,
            })),
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

    /// The vote at the front of a proposal; `None` if these bytes do not begin with one. It does
    /// not read the ids that follow.
    pub fn proposal_vote(bytes: &[u8]) -> Option<Signed<PrePrepare>> {
        let mut vote = bytes.strip_prefix(&[0, 0])?;
        Signed::deserialize(&mut vote).ok()
    }

    /// Whether these bytes begin like a message whose check may cost as much as thousands of others
    /// ([`Message::is_dear`]). The node must know this before it decodes the message.
    pub fn is_dear(bytes: &[u8]) -> bool {
        matches!(bytes, [0, tag, ..] if Message::DEAR_TAGS.contains(tag))
    }

    /// The bytes of a protocol message.
    pub fn consensus(message: Message) -> Vec<u8> {
        encode(&MemberMessage::Consensus(message))
    }

    /// The bytes of a batch of transactions. Does not copy the transactions into a message first.
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

/// A request to one member.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum FetchRequest {
    /// Some transactions of a block that the member probably holds.
    Transactions {
        /// The block.
        block: BlockHash,
        /// Their positions in the block, ascending.
        #[borsh(deserialize_with = "bounded::<MAX_ASKED, _, _>")]
        indices: Vec<u32>,
    } = 0,
    /// Certified blocks from this height on.
    Blocks {
        /// The first wanted height.
        from: Height,
    } = 1,
    /// The ids of a block that the member probably holds.
    Ids {
        /// The block.
        block: BlockHash,
    } = 2,
}

/// A request of a candidate to a member: to admit its READY. A candidate connects as an observer,
/// accepts no transactions, and has no other way to submit one.
///
/// It is a choice of the same kind as [`FetchRequest`], with the next tag. It is no variant of that
/// type: members do not send it to each other, and no engine serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyRequest {
    /// A governance transaction whose operation is [`Operation::Ready`]. Its signature is not checked.
    pub transaction: Transaction,
}

impl ReadyRequest {
    const TAG: u8 = 3;

    /// Bytes of a request. Every READY has this length.
    pub const BYTES: usize = 1 + TRANSACTION_OVERHEAD_BYTES as usize + 41;

    /// The bytes of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![Self::TAG];
        self.transaction.serialize(&mut bytes).expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads a request of the node with this key; `None` if the bytes are another request, or if the
    /// transaction is no READY of this node. Costs no verification.
    pub fn read(request: &[u8], from: &PublicKey) -> Option<Self> {
        if request.len() != Self::BYTES || request[0] != Self::TAG {
            return None;
        }
        let transaction = Transaction::from_bytes(&request[1..]).ok()?;
        let Payload::Governance(operation) = &transaction.payload else { return None };
        let is_ready = matches!(Operation::decode(operation), Ok(Operation::Ready { .. }));
        (is_ready && transaction.sender == *from).then_some(ReadyRequest { transaction })
    }

    /// The bytes of the answer: whether the member has admitted the READY, or has it already.
    pub fn answer(admitted: bool) -> Vec<u8> {
        encode(&admitted)
    }

    /// Reads an answer. Other bytes mean that the member did not admit the READY.
    pub fn is_admitted(answer: &[u8]) -> bool {
        decode(answer).unwrap_or(false)
    }
}

/// An answer to a request. Nothing in it is checked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum FetchResponse {
    /// The first requested transactions, as many as fit into an answer.
    Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>) = 0,
    /// Consecutive blocks; the last one has a certificate.
    Blocks(#[borsh(deserialize_with = "bounded::<RANGE_BLOCKS, _, _>")] Vec<RangeBlock>) = 1,
    /// The member has nothing of it.
    Nothing = 2,
    /// All ids of the block, in order.
    Ids(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<TransactionId>) = 3,
}

/// A block in a certified block range.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RangeBlock {
    /// Its header.
    pub header: Header,
    /// The encoding of its body.
    #[borsh(deserialize_with = "bounded_bytes::<{ MAX_BODY_BYTES + 4 }, _>")]
    pub body: Vec<u8>,
    /// Its own certificate, if it has one. Otherwise the certificate of a later block finalises it.
    pub certificate: Option<CommitCertificate>,
}

impl FetchResponse {
    /// Takes transactions as long as they fit into one answer, at least one.
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
        if taken.is_empty() { FetchResponse::Nothing } else { FetchResponse::Transactions(taken) }
    }
}

/// The largest size of each kind of message in bytes, with given parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// A message over a direct stream.
    pub message: usize,
    /// A gossip message.
    pub gossip: usize,
    /// A request.
    pub ask: usize,
    /// An answer.
    pub answer: usize,
}

/// Room for lengths and tags in a message.
const SLACK: usize = 4096;

/// Room for a block without its body: header, certificate of the largest committee, lengths.
const PER_BLOCK: usize = 4096;

impl WireLimits {
    /// The limits with which every message fits that any valid parameters of a network permit.
    pub fn largest() -> Self {
        let block = BlockLimits {
            max_transactions: MAX_TRANSACTIONS,
            max_body_bytes: MAX_BODY_BYTES,
            transaction: TransactionLimits { max_bytes: MAX_TRANSACTION_BYTES, max_lifetime_ms: 0 },
            empty_block_gap_ms: 0,
        };
        let window = MAX_DESCENDANTS / 2;
        let limits = WireLimits::of(&block, window.into(), MAX_MEMBERS);
        // The rules of the parameters permit either large blocks or a large window.
        let bodies = usize::try_from(MAX_RANGE_BYTES).expect("a range fits into memory");
        let blocks = bodies + PER_BLOCK * (2 * window as usize + 1);
        WireLimits { answer: SLACK + blocks.max(ANSWER_BYTES + MAX_TRANSACTION_BYTES as usize), ..limits }
    }

    /// The limits that follow from these parameters and this many members: the largest proposal,
    /// batch, NEW-VIEW and certified block range.
    pub fn of(limits: &BlockLimits, window: u64, members: usize) -> Self {
        let transaction = limits.transaction.max_bytes as usize;
        let ids = 32 * limits.max_transactions as usize;
        let body = limits.max_body_bytes as usize + PER_BLOCK;
        let open = usize::try_from(2 * window).expect("a genesis has a small window") + 1;
        // A certificate is a header, a PRE-PREPARE and the signatures of all members. A VIEW-CHANGE
        // has one for each open height. Replicas refuse one that lists more (R19b), so no NEW-VIEW
        // is longer, whatever faulty members put into it.
        let certificate = 512 + 64 * members;
        let view_change = SLACK + certificate * (open + 1);
        let new_view = SLACK + view_change * members + 256 * open;
        WireLimits {
            message: SLACK + ids.max(BATCH_BYTES + transaction).max(new_view),
            gossip: SLACK + BATCH_BYTES + transaction,
            ask: SLACK + 4 * limits.max_transactions as usize,
            answer: SLACK
                + (ANSWER_BYTES + transaction)
                    .max(RANGE_BYTES + RANGE_BLOCKS as usize * PER_BLOCK)
                    .max(open * body),
        }
    }
}
