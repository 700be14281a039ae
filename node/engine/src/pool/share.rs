//! The share of the pool in which a transaction takes a place (D137).

use quorate_governance::limits::{MAX_NAME, MAX_OPERATIONS_PER_BLOCK};
use quorate_governance::{Config, Name, Permit};
use quorate_ledger::{Payload, VerifiedTransaction};
use quorate_mempool::{Group, Share};

use crate::storage::execution::Execution;

/// Most operations of one member in the pool: those of two blocks.
const MEMBER_OPERATIONS: u64 = 2 * MAX_OPERATIONS_PER_BLOCK;

/// Most operations of one candidate in the pool. A block contains one, and a candidate sends one in
/// K heights.
const CANDIDATE_OPERATIONS: u64 = 4;

/// The share of a transaction that this configuration permits.
///
/// Operations have reserved places, so data cannot keep them out. At most 31 members with
/// [`MEMBER_OPERATIONS`] and 1,024 candidates with [`CANDIDATE_OPERATIONS`] hold 6,080 of them, with
/// at most 4,214 bytes each.
pub(crate) fn of(permit: Permit<'_>, config: &Config) -> Share {
    match permit {
        Permit::Anyone => Share::Common,
        Permit::Client(client) => {
            Share::Group { group: group(&client.member), groups: config.members().len() as u64 }
        }
        Permit::Member(_) => Share::Reserved { max_transactions: MEMBER_OPERATIONS },
        Permit::Candidate => Share::Reserved { max_transactions: CANDIDATE_OPERATIONS },
    }
}

/// The share of a transaction of a dropped block. The next block may be unable to contain it, if the
/// configuration differs from that of the dropped block. It returns to the pool nevertheless, until
/// it expires or [`Engine::reject_unpermitted`](crate::Engine) rejects it.
pub(crate) fn of_returned(execution: &Execution, transaction: &VerifiedTransaction) -> Share {
    execution.check_alone(transaction).unwrap_or(match &transaction.transaction().payload {
        Payload::Data(_) => Share::Common,
        Payload::Governance(_) => Share::Reserved { max_transactions: CANDIDATE_OPERATIONS },
    })
}

/// The group of a member's clients. The name of a member stays the same when its keys change.
fn group(member: &Name) -> Group {
    const { assert!(MAX_NAME as usize <= Group::BYTES, "names are distinct groups") };
    let mut bytes = [0; Group::BYTES];
    let name = member.as_str().as_bytes();
    bytes[..name.len()].copy_from_slice(name);
    Group(bytes)
}
