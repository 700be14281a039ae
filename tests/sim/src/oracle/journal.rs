//! Bounded memory: what a member keeps depends on the window, not on how long it has run.

use quorate_engine::Overview;

use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, require};

const BOUNDED: &str = "bounded memory";

/// Rows per height: a proposal and its body, a prepared and a commit certificate.
const ROWS: u64 = 4;

/// Number of past views of which blocks are kept, each with up to twice W blocks.
const PAST: u64 = 8;

/// Upper limit of evidence against one member.
const PROOFS: u64 = 16;

/// Rows that belong to no height: the furthest statements of each member and evidence against it;
/// the last VIEW-CHANGE, NEW-VIEW, two CHECKPOINTs, the stable one, and the high-water mark.
fn lasting(knobs: &Knobs) -> u64 {
    knobs.members as u64 * (1 + PROOFS) + 6
}

/// Checks what a running member holds.
///
/// # Errors
/// It holds more than the window explains.
pub fn check(stands: &Overview, knobs: &Knobs) -> Check {
    let member = stands.replica;
    let open = 2 * knobs.window;
    // The ledger becomes durable every second; until then the journal keeps the heights in between.
    let kept = stands.pbft.committed.0 - stands.durable.0;
    let past = 2 * PAST * open;
    let (rows, explained) = (stands.journal_rows, ROWS * (kept + 2 * open + past) + lasting(knobs));
    require(rows <= explained, BOUNDED, || {
        format!("the journal of member {member} has {rows} rows, but at most {explained} are expected")
    })?;
    let slots = stands.pbft.slots.len() as u64;
    require(slots <= (3 + PAST + 1) * open, BOUNDED, || format!("member {member} holds {slots} slots"))?;
    let in_flight = stands.in_flight as u64;
    require(in_flight <= (1 + PAST + 1) * open, BOUNDED, || {
        format!("member {member} holds {in_flight} bodies")
    })?;
    let data = stands.mempool.transactions - stands.mempool.reserved;
    require(data <= knobs.pool_transactions, BOUNDED, || format!("member {member} holds {data} transactions"))
}

/// Checks an idle member that has made everything durable.
///
/// # Errors
/// Its journal still contains records that are not needed.
pub fn check_quiet(stands: &Overview, knobs: &Knobs) -> Check {
    // Blocks above the last committed one may be of an earlier view, and be needed again.
    let past = ROWS * (2 * PAST + 2) * 2 * knobs.window;
    require(stands.journal_rows <= lasting(knobs) + past, BOUNDED, || {
        format!("the journal of member {} has {} rows when idle", stands.replica, stands.journal_rows)
    })?;
    require(stands.durable == stands.pbft.committed, BOUNDED, || {
        format!(
            "member {} is idle at height {}, but only {} is durable",
            stands.replica, stands.pbft.committed, stands.durable
        )
    })?;
    require(stands.examining == 0, BOUNDED, || {
        format!("member {} is idle, but examines {} proposals", stands.replica, stands.examining)
    })
}
