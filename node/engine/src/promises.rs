//! How promises lie in the journal: one row for each record, and one for each accepted body.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quorate_ledger::{Block, BlockHash, Body, CommitCertificate, Height, Verified, View};
use quorate_pbft::Record;
use quorate_store::{Row, RowKey};

use crate::flight::Flight;

/// Rows of one height are read in the order of these numbers. A number is never reused.
const ACCEPTED: u8 = 1;
const BODY: u8 = 2;
const PREPARED: u8 = 3;
const FINALISED: u8 = 4;

fn of_view(view: View) -> [u8; 32] {
    let mut detail = [0; 32];
    detail[..8].copy_from_slice(&view.0.to_be_bytes());
    detail
}

/// The rows that make these records durable.
pub(crate) fn rows<'a, 'b>(records: impl Iterator<Item = &'b Record>, flight: &'a Flight) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for record in records {
        let height = record.height();
        let (kind, detail) = match record {
            Record::Accepted(proposal) => {
                let hash = proposal.outline().hash();
                let block = flight.get(&hash).expect("a block is held before it is accepted");
                rows.push(Row {
                    key: RowKey { height, kind: BODY, detail: *hash.as_bytes() },
                    value: Cow::Borrowed(block.body().as_bytes()),
                });
                (ACCEPTED, of_view(record.view()))
            }
            // Of several views the last one counts, and overwrites.
            Record::Prepared(_) => (PREPARED, [0; 32]),
            Record::Finalised(_) => (FINALISED, [0; 32]),
        };
        rows.push(Row { key: RowKey { height, kind, detail }, value: Cow::Owned(record.to_bytes()) });
    }
    rows
}

/// What a journal says, put back together.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// Accepted and prepared, ascending by height; within a height accepted comes first.
    pub(crate) records: Vec<Record>,
    /// Blocks of the accepted records.
    pub(crate) blocks: BTreeMap<BlockHash, Block>,
    /// Ascending by height.
    pub(crate) finalised: Vec<(Height, Verified<CommitCertificate>)>,
}

/// Reads rows back, in key order.
///
/// # Errors
/// A sentence for the operator: a row is not what this version writes.
pub(crate) fn read(rows: Vec<(RowKey, Vec<u8>)>) -> Result<Remembered, String> {
    let mut remembered = Remembered::default();
    let mut accepted = Vec::new();
    let mut prepared = Vec::new();
    let mut bodies: BTreeMap<BlockHash, Body> = BTreeMap::new();
    for (key, value) in rows {
        match key.kind {
            ACCEPTED => accepted.push((Record::accepted_header(&value)?, value)),
            BODY => {
                let body = Body::decode(value).map_err(|error| error.to_string())?;
                bodies.insert(BlockHash::from_bytes(key.detail), body);
            }
            PREPARED => prepared.push(Record::read_prepared(&value)?),
            FINALISED => {
                if let Record::Finalised(certificate) = Record::read_finalised(&value)? {
                    remembered.finalised.push((key.height, certificate));
                }
            }
            unknown => return Err(format!("a record of unknown kind {unknown}, perhaps of a newer version")),
        }
    }
    for (header, value) in accepted {
        let (height, hash) = (header.height, header.hash());
        let body = bodies.get(&hash).ok_or_else(|| format!("the body of block {hash} is missing"))?;
        let block = Block::new(header, body.clone()).map_err(|error| format!("height {height}: {error}"))?;
        remembered.records.push(Record::read_accepted(&value, block.outline())?);
        remembered.blocks.insert(hash, block);
    }
    remembered.records.extend(prepared);
    // Stable: of one height, accepted stays before prepared.
    remembered.records.sort_by_key(Record::height);
    Ok(remembered)
}
