//! The table of all numeric parameters with their ranges and meanings.

use std::ops::RangeInclusive;

use quorate_ledger::{MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS};

use super::{BlockParameters, ConsensusParameters, MempoolParameters, ParameterError, Parameters};

/// The lowest allowed limit on the bytes of a transaction. A transaction with a payload can exceed
/// it, so a lower limit would admit no useful transaction.
pub(super) const MIN_TRANSACTION_BYTES: u64 = 256;

/// Longest lifetime of a transaction. Nodes keep the ids of all blocks younger than the lifetime in
/// memory: at 10,000 transactions a second this is six million ids.
const MAX_LIFETIME_MS: u64 = 600_000;

/// The largest window. A view change can leave twice the window of blocks without their own
/// certificate, and a proof has at most [`MAX_DESCENDANTS`] descendants.
const MAX_WINDOW: u64 = MAX_DESCENDANTS as u64 / 2;

/// The largest log window. Votes for this many heights take tens of megabytes in the largest
/// committee.
const MAX_LOG_WINDOW: u64 = 4096;

/// The largest checkpoint interval: L is at least 2 K.
pub(crate) const MAX_CHECKPOINT_INTERVAL: u64 = MAX_LOG_WINDOW / 2;

const MAX_POOL_TRANSACTIONS: u64 = 1_000_000;
const MAX_POOL_BYTES: u64 = 1 << 30;

/// The declaration of one numeric parameter.
pub struct Parameter<'a> {
    /// Its key in the file.
    pub name: &'static str,
    /// Its value.
    pub value: &'a mut u64,
    /// The values it may have, independent of other parameters.
    pub range: RangeInclusive<u64>,
    /// The comment in the genesis file.
    pub meaning: &'static str,
}

/// The numeric parameters of one table of the file.
pub struct Section<'a> {
    /// Its heading.
    pub name: &'static str,
    /// Its parameters in order.
    pub parameters: Vec<Parameter<'a>>,
}

impl Parameter<'_> {
    /// The error of a value outside of its range, in the section with this name.
    pub(super) fn range_error(&self, section: &str) -> Option<ParameterError> {
        if self.range.contains(self.value) {
            return None;
        }
        let (min, max) = (*self.range.start(), *self.range.end());
        Some(ParameterError::Range {
            field: format!("{section}.{}", self.name),
            value: *self.value,
            min,
            max,
        })
    }
}

impl Parameters {
    pub(super) fn sections(&mut self) -> [Section<'_>; 3] {
        [
            Section { name: "block", parameters: self.block.parameters() },
            Section { name: "consensus", parameters: self.consensus.parameters() },
            Section { name: "mempool", parameters: self.mempool.parameters() },
        ]
    }
}

pub(super) fn parameter<'a>(
    name: &'static str,
    value: &'a mut u64,
    range: RangeInclusive<u64>,
    meaning: &'static str,
) -> Parameter<'a> {
    Parameter { name, value, range, meaning }
}

impl BlockParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "max_transactions",
                &mut self.max_transactions,
                1..=MAX_TRANSACTIONS.into(),
                "Most transactions in a block.",
            ),
            parameter(
                "max_body_bytes",
                &mut self.max_body_bytes,
                MIN_TRANSACTION_BYTES..=MAX_BODY_BYTES.into(),
                "Most bytes of a block's transactions.",
            ),
            parameter(
                "max_transaction_bytes",
                &mut self.max_transaction_bytes,
                MIN_TRANSACTION_BYTES..=MAX_TRANSACTION_BYTES.into(),
                "Most bytes of one transaction, signature included.",
            ),
            parameter(
                "max_transaction_lifetime_ms",
                &mut self.max_transaction_lifetime_ms,
                1000..=MAX_LIFETIME_MS,
                "A block contains only transactions that are valid for at most this long after its time. Nodes keep\n\
                 the ids of all younger blocks in memory to refuse repeated transactions.",
            ),
            parameter(
                "empty_block_gap_ms",
                &mut self.empty_block_gap_ms,
                1000..=MAX_LIFETIME_MS,
                "An empty block is at least this much later than its parent. On an idle chain, it proves to senders\n\
                 that their transactions have expired.",
            ),
        ]
    }
}

impl ConsensusParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "window",
                &mut self.window,
                1..=MAX_WINDOW,
                "W: blocks a primary proposes ahead of the last committed one; 1 means no pipelining.",
            ),
            parameter(
                "checkpoint_interval",
                &mut self.checkpoint_interval,
                1..=MAX_CHECKPOINT_INTERVAL,
                "K: heights between two checkpoints.",
            ),
            parameter(
                "log_window",
                &mut self.log_window,
                2..=MAX_LOG_WINDOW,
                "L: heights above the last stable checkpoint for which messages are accepted; at least 2K.",
            ),
            parameter(
                "request_timeout_ms",
                &mut self.request_timeout_ms,
                100..=60_000,
                "Validators replace the primary if work is pending and no block is committed for this long.",
            ),
            parameter(
                "new_view_timeout_ms",
                &mut self.new_view_timeout_ms,
                100..=60_000,
                "Validators change to the next view if a new primary does not start its view within this time.",
            ),
            parameter(
                "timeout_cap_ms",
                &mut self.timeout_cap_ms,
                100..=MAX_LIFETIME_MS / 4,
                "Both timeouts double when a view commits no block, up to this limit. The network makes progress\n\
                 only if messages between validators arrive sooner.",
            ),
            parameter(
                "status_interval_ms",
                &mut self.status_interval_ms,
                50..=60_000,
                "Validators send each other their status this often, and resend lost messages.",
            ),
            parameter(
                "clock_tolerance_ms",
                &mut self.clock_tolerance_ms,
                1..=10_000,
                "A validator votes for a new block only when its time is at most this far ahead of its clock.",
            ),
            parameter(
                "batch_delay_ms",
                &mut self.batch_delay_ms,
                0..=1000,
                "A primary waits up to this long, for each block in flight, to fill the next block.",
            ),
        ]
    }
}

impl MempoolParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "max_transactions",
                &mut self.max_transactions,
                1..=MAX_POOL_TRANSACTIONS,
                "Most uncommitted transactions that a node holds.",
            ),
            parameter(
                "max_bytes",
                &mut self.max_bytes,
                MIN_TRANSACTION_BYTES..=MAX_POOL_BYTES,
                "Most bytes of these transactions.",
            ),
            parameter(
                "max_transactions_per_sender",
                &mut self.max_transactions_per_sender,
                1..=MAX_POOL_TRANSACTIONS,
                "Most of these transactions of one sender.",
            ),
            parameter(
                "max_bytes_per_sender",
                &mut self.max_bytes_per_sender,
                MIN_TRANSACTION_BYTES..=MAX_POOL_BYTES,
                "Most bytes of one sender's transactions.",
            ),
        ]
    }
}
