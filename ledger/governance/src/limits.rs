//! Upper limits of the governance state. Together with the limits of the parameters, they bound its
//! size and the work of a block.

use quorate_ledger::{MAX_DESCENDANTS, MAX_MEMBERS, MAX_SIGNATURES};

use crate::parameters::MAX_CHECKPOINT_INTERVAL;

/// Bytes of an encoded operation. The largest one, a proposal with [`MAX_CHANGES`] new members, has
/// less than 2,000.
pub const MAX_OPERATION_BYTES: u32 = 4096;

/// Changes in one proposal.
pub const MAX_CHANGES: u32 = 16;

/// Characters of the name of a member or client.
pub const MAX_NAME: u32 = 32;

/// Open proposals of all members together.
pub const MAX_OPEN_PROPOSALS: u32 = 64;

/// Open proposals of one member. All members of the largest committee together cannot fill
/// [`MAX_OPEN_PROPOSALS`], so no member can keep others from making proposals.
pub const MAX_OPEN_PROPOSALS_PER_MEMBER: u32 = 2;

/// Scheduled changes of clients that one member decided.
pub const MAX_SCHEDULED_PER_MEMBER: u32 = 256;

/// Scheduled decisions of proposals.
pub const MAX_SCHEDULED_DECISIONS: u32 = 64;

/// Scheduled changes: all of clients, all decisions, one epoch change, and at most one set of
/// candidates for each block within the largest window.
pub const MAX_SCHEDULED: u32 =
    MAX_SIGNATURES * MAX_SCHEDULED_PER_MEMBER + MAX_SCHEDULED_DECISIONS + MAX_DESCENDANTS / 2 + 1;

/// Candidates, and records of their READYs: each change of each open proposal has one.
pub const MAX_CANDIDATES: u32 = MAX_OPEN_PROPOSALS * MAX_CHANGES;

/// Governance transactions of one member in a block. A candidate has one.
pub const MAX_OPERATIONS_PER_BLOCK: u64 = 32;

/// Epochs for which the state remembers the keys that left it.
pub const KEY_HISTORY_EPOCHS: u32 = 64;

/// Keys that the state remembers: at most f members of the largest committee change in an epoch, and
/// each leaves two keys.
pub const MAX_RETIRED_KEYS: u32 = 2 * ((MAX_SIGNATURES - 1) / 3) * KEY_HISTORY_EPOCHS;

/// Intervals of K heights: how old the block in a READY may be when it is used.
pub const READY_INTERVALS: u64 = 2;

/// The age in heights of the oldest block that a READY may name, with the largest K. A node that has
/// the hashes of so many blocks can execute every block.
pub const MAX_READY_AGE: u64 = READY_INTERVALS * MAX_CHECKPOINT_INTERVAL;

/// Intervals of K heights from one rotation or renewal of a member to its next one.
pub const RENEWAL_INTERVALS: u64 = 16;

/// Clients of a member, as a part of [`max_clients`](crate::GovernanceParameters::max_clients).
pub const CLIENT_SHARES: u64 = MAX_MEMBERS as u64;

/// Bytes of an encoded state. A state with the largest registry has less than 150 MB.
pub const MAX_STATE_BYTES: usize = 256 << 20;
