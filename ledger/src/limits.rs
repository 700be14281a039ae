//! Upper limits of the format. A genesis may choose less, but never more. Decoders refuse larger
//! values before they allocate memory.

/// Version of the rules that a block follows, which every header carries. In version 2, a chain has
/// epochs and governance transactions, and the hash of a committee covers its epoch. Version 1 had one
/// committee and no governance transactions.
pub const PROTOCOL_VERSION: u16 = 2;

/// Members of a committee. Signer sets are 32-bit masks, and with more members PBFT's quadratic
/// traffic would be too costly.
pub const MAX_MEMBERS: usize = MAX_SIGNATURES as usize;

/// Signatures over one statement: one of each member.
pub const MAX_SIGNATURES: u32 = 31;

/// Bytes of one encoded transaction, signature included.
pub const MAX_TRANSACTION_BYTES: u32 = 1 << 20;

/// Bytes of an encoded transaction besides its payload: 33 + 8 + 8 + 1 + 4 + 64.
pub const TRANSACTION_OVERHEAD_BYTES: u32 = 118;

/// Bytes of one payload: with it the transaction has its maximum length.
pub const MAX_PAYLOAD_BYTES: u32 = MAX_TRANSACTION_BYTES - TRANSACTION_OVERHEAD_BYTES;

/// Bytes of all encoded transactions of one block.
pub const MAX_BODY_BYTES: u32 = 4 << 20;

/// Transactions in one block.
pub const MAX_TRANSACTIONS: u32 = 10_000;

/// Siblings of a Merkle path: the levels of a tree over [`MAX_TRANSACTIONS`] leaves.
pub const MAX_PATH_SIBLINGS: u32 = (MAX_TRANSACTIONS - 1).ilog2() + 1;

/// Headers between a block and the certified descendant that finalises it. This is twice the
/// largest pipeline window that a genesis may choose: a view change can leave at most that many
/// blocks without their own certificate.
pub const MAX_DESCENDANTS: u32 = 64;

/// Bytes of the bodies that one certificate may finalise together: twice the window and one of the
/// largest bodies. A validator that is behind must be able to fetch them in one answer.
pub const MAX_RANGE_BYTES: u64 = 55 << 20;
