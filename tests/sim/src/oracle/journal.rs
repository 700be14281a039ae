//! Memory stays flat: what a member keeps depends on the window, not on how long it has run.

use quorate_engine::Overview;

use crate::knobs::Knobs;
use crate::oracle::{Check, require};

const BOUNDED: &str = "bounded memory";

/// Rows of one height: a proposal and its body, a prepared and a commit certificate.
const ROWS: u64 = 4;

/// Windows of past views of which blocks are kept, each of twice W blocks.
const PAST: u64 = 8;

/// Proofs that are kept against one member.
const PROOFS: u64 = 16;

/// Rows about no height: how far each member was seen to go, and proofs against it; the last VIEW-CHANGE, NEW-VIEW,
/// two CHECKPOINTs, the stable one, and the mark.
fn lasting(knobs: &Knobs) -> u64 {
    knobs.members as u64 * (1 + PROOFS) + 6
}

/// Checks what a running member holds.
///
/// # Errors
/// More than the window explains.
pub fn check(stands: &Overview, knobs: &Knobs) -> Check {
    let member = stands.replica;
    let open = 2 * knobs.window;
    // The ledger is made durable every second; until then the journal keeps the heights in between.
    let kept = stands.pbft.committed.0 - stands.durable.0;
    let past = 2 * PAST * open;
    let (rows, explained) = (stands.journal_rows, ROWS * (kept + 2 * open + past) + lasting(knobs));
    require(rows <= explained, BOUNDED, || {
        format!("the journal of member {member} has {rows} rows, {explained} are explained")
    })?;
    let slots = stands.pbft.slots.len() as u64;
    require(slots <= (3 + PAST + 1) * open, BOUNDED, || format!("member {member} holds {slots} slots"))?;
    let in_flight = stands.in_flight as u64;
    require(in_flight <= (1 + PAST + 1) * open, BOUNDED, || {
        format!("member {member} holds {in_flight} bodies")
    })?;
    require(stands.mempool.transactions <= knobs.pool_transactions, BOUNDED, || {
        format!("member {member} holds {} transactions", stands.mempool.transactions)
    })
}

/// Checks a member that has nothing to do and made everything durable.
///
/// # Errors
/// Its journal still remembers what nobody needs.
pub fn check_quiet(stands: &Overview, knobs: &Knobs) -> Check {
    // What is above the last block may be of a view that was left, and be needed again.
    let past = ROWS * (2 * PAST + 2) * 2 * knobs.window;
    require(stands.journal_rows <= lasting(knobs) + past, BOUNDED, || {
        format!("the journal of member {} has {} rows at rest", stands.replica, stands.journal_rows)
    })?;
    require(stands.durable == stands.pbft.committed, BOUNDED, || {
        format!(
            "member {} rests at height {} and only {} is durable",
            stands.replica, stands.pbft.committed, stands.durable
        )
    })?;
    require(stands.examining == 0, BOUNDED, || {
        format!("member {} rests and examines {} proposals", stands.replica, stands.examining)
    })
}
