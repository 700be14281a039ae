//! Memory stays flat: what a member keeps depends on the window, not on how long it has run.

use quorate_engine::Overview;

use crate::knobs::Knobs;
use crate::oracle::{Check, require};

const BOUNDED: &str = "bounded memory";

/// Rows of one height: a proposal and its body, a prepared and a commit certificate.
const ROWS: u64 = 4;

/// Checks what a running member holds.
///
/// # Errors
/// More than the window explains.
pub fn check(stands: &Overview, knobs: &Knobs) -> Check {
    let member = stands.replica;
    let open = 2 * knobs.window;
    // The ledger is made durable every second; until then the journal keeps the heights in between.
    let kept = stands.pbft.committed.0 - stands.durable.0;
    let (rows, explained) = (stands.journal_rows, ROWS * (kept + 2 * open));
    require(rows <= explained, BOUNDED, || {
        format!("the journal of member {member} has {rows} rows, {explained} are explained")
    })?;
    let slots = stands.pbft.slots.len() as u64;
    require(slots <= 3 * open, BOUNDED, || format!("member {member} holds {slots} slots"))?;
    let in_flight = stands.in_flight as u64;
    require(in_flight <= open, BOUNDED, || format!("member {member} holds {in_flight} bodies"))?;
    require(stands.mempool.transactions <= knobs.pool_transactions, BOUNDED, || {
        format!("member {member} holds {} transactions", stands.mempool.transactions)
    })
}

/// Checks a member that has nothing to do and made everything durable.
///
/// # Errors
/// Its journal still remembers what nobody needs.
pub fn check_quiet(stands: &Overview) -> Check {
    require(stands.journal_rows == 0, BOUNDED, || {
        format!("the journal of member {} has {} rows at rest", stands.replica, stands.journal_rows)
    })?;
    require(stands.durable == stands.pbft.committed, BOUNDED, || {
        format!(
            "member {} rests at height {} and only {} is durable",
            stands.replica, stands.pbft.committed, stands.durable
        )
    })?;
    require(stands.in_flight == 0 && stands.examining == 0, BOUNDED, || {
        format!("member {} rests with {} bodies in flight", stands.replica, stands.in_flight)
    })
}
