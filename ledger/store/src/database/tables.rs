//! The tables of both files.

use quorate_ledger::Height;
use redb::TableDefinition;

/// The kind, format version and identity of the file.
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// Height to borsh header.
pub(crate) const HEADERS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("headers");

/// Height to the encoding of the body.
pub(crate) const BODIES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("bodies");

/// Height to borsh certificate.
pub(crate) const CERTIFICATES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("certificates");

/// Block hash to height.
pub(crate) const HEIGHTS: TableDefinition<'static, &[u8; 32], u64> = TableDefinition::new("heights");

/// Entries of the governance state after the head: encoded key to encoded value.
pub(crate) const GOVERNANCE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("governance");

/// Height, and index in the block of a governance transaction, to its borsh outcome.
pub(crate) const OUTCOMES: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("outcomes");

/// Epoch that has ended to its last height, and the borsh list of the members of the next one.
pub(crate) const EPOCHS: TableDefinition<'static, u64, (u64, &[u8])> = TableDefinition::new("epochs");

/// Height to the root of the governance state after the block.
pub(crate) const ROOTS: TableDefinition<'static, u64, &[u8; 32]> = TableDefinition::new("roots");

/// Journal records: height, kind and detail to value.
pub(crate) const ROWS: TableDefinition<'static, &[u8; 41], &[u8]> = TableDefinition::new("rows");

/// Number of heights that share a table of the transaction index. Part of the format.
#[cfg(not(test))]
pub(crate) const SEGMENT_HEIGHTS: u64 = 4096;

/// Small enough that short test chains need several tables.
#[cfg(test)]
pub(crate) const SEGMENT_HEIGHTS: u64 = 4;

/// A part of the transaction index.
///
/// Ids are distributed evenly, so with one index over the whole chain, each transaction would touch
/// a random page of a large tree. A segment's tree fits in memory, and pruning drops it as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment(u64);

impl Segment {
    /// The segment of the transactions at this height.
    pub(crate) fn of(height: Height) -> Self {
        Segment(height.0 / SEGMENT_HEIGHTS)
    }

    /// All segments between two heights, newest first.
    pub(crate) fn newest_first(lowest: Height, highest: Height) -> impl Iterator<Item = Self> {
        (Segment::of(lowest).0..=Segment::of(highest).0).rev().map(Segment)
    }

    /// The name of its table.
    pub(crate) fn table_name(self) -> String {
        format!("transactions-{}", self.0)
    }
}

/// The table of a segment: transaction id to height and index in the block.
pub(crate) fn index_table(name: &str) -> TableDefinition<'_, &'static [u8; 32], (u64, u32)> {
    TableDefinition::new(name)
}
