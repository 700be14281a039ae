//! The rows that an engine keeps of the records: the last record of each kind about one subject, in
//! any order.

use std::collections::BTreeMap;

use quorate_ledger::{BlockHash, BlockSkeleton, Height, ReplicaId, View};
use quorate_pbft::{EpochRoot, Record};

/// The key of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Accepted(Height, View),
    Prepared(Height),
    Finalised(Height),
    ViewChange,
    NewView,
    Checkpoint(Height),
    Stable,
    HighWaterMark,
    Recovering,
    EpochStart,
    Heard(ReplicaId),
    Evidence(usize),
}

/// The rows that exist after all of this was written.
pub(crate) fn live(written: &[Record]) -> Vec<Record> {
    let mut rows: BTreeMap<Row, &Record> = BTreeMap::new();
    for (index, record) in written.iter().enumerate() {
        let row = match record {
            Record::Accepted(proposal) => Row::Accepted(proposal.ballot().height, proposal.ballot().view),
            Record::Prepared(certificate) => Row::Prepared(certificate.header().height),
            Record::Finalised(certificate) => Row::Finalised(certificate.ballot().height),
            Record::ViewChange(_) => Row::ViewChange,
            Record::NewView(_) => Row::NewView,
            Record::Checkpoint(vote) => Row::Checkpoint(vote.body.height),
            Record::Stable(_) => Row::Stable,
            Record::Mark(..) => Row::HighWaterMark,
            Record::EpochStart(_) => Row::EpochStart,
            Record::Recovering(..) => Row::Recovering,
            Record::Heard(member, _) => Row::Heard(*member),
            Record::Evidence(_) => Row::Evidence(index),
            Record::Dropped { view, height, .. } => {
                rows.remove(&Row::Accepted(*height, *view)).expect("a dropped proposal was accepted before");
                continue;
            }
        };
        rows.insert(row, record);
    }
    rows.into_values().cloned().collect()
}

/// The record of an epoch on this root, written to bytes and read back. Both must be equal.
pub(crate) fn read_back(
    record: &Record,
    bodies: &BTreeMap<BlockHash, BlockSkeleton>,
    root: EpochRoot,
) -> Record {
    let bytes = record.to_bytes();
    let read = match record {
        Record::Accepted(_) => {
            let hash = Record::accepted_header(&bytes).expect("own bytes").hash();
            Record::read_accepted(&bytes, &bodies[&hash])
        }
        Record::Prepared(_) => Record::read_prepared(&bytes),
        Record::Finalised(_) => Record::read_finalised(&bytes),
        Record::ViewChange(_) => Record::read_view_change(&bytes),
        Record::NewView(_) => Record::read_new_view(&bytes, root),
        Record::Checkpoint(_) => Record::read_checkpoint(&bytes),
        Record::Stable(_) => Record::read_stable(&bytes),
        Record::Mark(..) => Record::read_mark(&bytes),
        Record::EpochStart(_) => Record::read_epoch_start(&bytes),
        Record::Recovering(..) => Record::read_recovering(&bytes),
        Record::Heard(member, _) => Record::read_heard(*member, &bytes),
        Record::Evidence(_) => Record::read_evidence(&bytes),
        Record::Dropped { .. } => unreachable!("this record deletes a row and makes none"),
    };
    let read = read.expect("own bytes");
    assert_eq!(&read, record, "records survive being written");
    read
}
