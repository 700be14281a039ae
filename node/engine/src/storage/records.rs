//! The layout of the journal: one row for each record, and one for each accepted body.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{
    Block, BlockHash, Body, CommitCertificate, Epoch, Height, ReplicaId, Verified, View, decode, encode,
};
use quorate_pbft::{EpochRoot, Evidence, Record, Subject};
use quorate_store::{Row, RowKey};

use crate::proposing::flight::Flight;

/// Rows of one height are read in the order of these numbers. A number is never reused.
const ACCEPTED: u8 = 1;
const BODY: u8 = 2;
const PREPARED: u8 = 3;
const FINALISED: u8 = 4;
/// Rows about no height have height 0, at which no row is ever collected.
const VIEW_CHANGE: u8 = 5;
const NEW_VIEW: u8 = 6;
const CHECKPOINT: u8 = 7;
const STABLE: u8 = 8;
const MARK: u8 = 9;
const HEARD: u8 = 10;
const EVIDENCE: u8 = 11;
const COLLECTED: u8 = 12;
const RECOVERING: u8 = 13;
const EPOCH_START: u8 = 14;

fn detail(parts: &[&[u8]]) -> [u8; 32] {
    let mut detail = [0; 32];
    let mut rest = &mut detail[..];
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    detail
}

fn of_view(view: View) -> [u8; 32] {
    detail(&[&view.0.to_be_bytes()])
}

fn of_member(replica: ReplicaId) -> [u8; 32] {
    detail(&[&replica.0.to_be_bytes()])
}

fn of_subject(culprit: ReplicaId, subject: &Subject) -> [u8; 32] {
    let Subject { kind, view, height, .. } = subject;
    let numbers = (culprit.0.to_be_bytes(), view.0.to_be_bytes(), height.0.to_be_bytes());
    detail(&[&numbers.0, &[*kind as u8], &numbers.1, &numbers.2])
}

/// The changes of the journal that a group of records makes.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    rows: BTreeMap<RowKey, Cow<'a, [u8]>>,
    pub(crate) gone: BTreeSet<RowKey>,
    /// All rows that the journal has belong to an epoch that is over.
    pub(crate) starts_epoch: bool,
}

impl<'a> Changes<'a> {
    fn put(&mut self, key: RowKey, value: Cow<'a, [u8]>) {
        // Within a group, the last change of a row counts.
        self.gone.remove(&key);
        self.rows.insert(key, value);
    }

    fn delete(&mut self, key: RowKey) {
        self.rows.remove(&key);
        self.gone.insert(key);
    }

    /// Records that rows up to this height are deleted with this group. From then on only the
    /// ledger knows about these heights.
    pub(crate) fn collected(&mut self, through: Height) {
        let key = RowKey { height: Height(0), kind: COLLECTED, detail: [0; 32] };
        self.put(key, Cow::Owned(encode(&through)));
    }

    pub(crate) fn into_rows(self) -> Vec<Row<'a>> {
        self.rows.into_iter().map(|(key, value)| Row { key, value }).collect()
    }
}

/// The changes that make these records durable, in their order. `interval` is K.
pub(crate) fn changes<'a, 'b>(
    records: impl Iterator<Item = &'b Record>,
    flight: &'a Flight,
    interval: u64,
) -> Changes<'a> {
    let mut changes = Changes::default();
    for record in records {
        let height = record.height().unwrap_or(Height(0));
        let (kind, detail) = match record {
            Record::Accepted(proposal) => {
                let hash = proposal.skeleton().hash();
                let block = flight.get(&hash).expect("a block is held before it is accepted");
                let key = RowKey { height, kind: BODY, detail: *hash.as_bytes() };
                changes.put(key, Cow::Borrowed(block.body().as_bytes()));
                (ACCEPTED, of_view(proposal.ballot().view))
            }
            Record::Dropped { view, block, with_body, .. } => {
                changes.delete(RowKey { height, kind: ACCEPTED, detail: of_view(*view) });
                if *with_body {
                    changes.delete(RowKey { height, kind: BODY, detail: *block.as_bytes() });
                }
                continue;
            }
            // One row for each height: the record of the latest view overwrites the others.
            Record::Prepared(_) => (PREPARED, [0; 32]),
            Record::Finalised(_) => (FINALISED, [0; 32]),
            Record::ViewChange(_) => (VIEW_CHANGE, [0; 32]),
            Record::NewView(_) => (NEW_VIEW, [0; 32]),
            // Two rows in turn, since the last two CHECKPOINTs are kept (R23).
            Record::Checkpoint(vote) => {
                let odd = vote.body.height.0 / interval % 2 == 1;
                (CHECKPOINT, detail(&[&[u8::from(odd)]]))
            }
            Record::Stable(_) => (STABLE, [0; 32]),
            Record::Mark(..) => (MARK, [0; 32]),
            Record::Recovering(..) => (RECOVERING, [0; 32]),
            Record::Heard(replica, _) => (HEARD, of_member(*replica)),
            Record::Evidence(evidence) => (EVIDENCE, of_subject(evidence.culprit(), &evidence.subject())),
            Record::EpochStart(_) => {
                changes.starts_epoch = true;
                (EPOCH_START, [0; 32])
            }
        };
        changes.put(RowKey { height, kind, detail }, Cow::Owned(record.to_bytes()));
    }
    changes
}

/// The content of a journal.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// All records except commit certificates.
    pub(crate) records: Vec<Record>,
    /// The blocks of the accepted proposals.
    pub(crate) blocks: BTreeMap<BlockHash, Block>,
    /// Ascending by height.
    pub(crate) finalised: Vec<(Height, Verified<CommitCertificate>)>,
    /// Evidence, ascending by the faulty member.
    pub(crate) evidence: Vec<Verified<Evidence>>,
    /// Records were collected up to this height.
    pub(crate) collected: Height,
}

/// The epoch of the records in these rows. The first epoch has no record of its start.
///
/// # Errors
/// A message for the operator: the record of the start is not one that this version writes.
pub(crate) fn epoch_of(rows: &[(RowKey, Vec<u8>)]) -> Result<Epoch, String> {
    let Some((_, value)) = rows.iter().find(|(key, _)| key.kind == EPOCH_START) else { return Ok(Epoch(0)) };
    match Record::read_epoch_start(value) {
        Ok(Record::EpochStart(epoch)) => Ok(epoch),
        Ok(_) => Err("the record of the start of an epoch is of another kind".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads rows of an epoch on this root back, in key order.
///
/// # Errors
/// A message for the operator: a row is not one that this version writes.
pub(crate) fn read(rows: Vec<(RowKey, Vec<u8>)>, root: EpochRoot) -> Result<Remembered, String> {
    let mut remembered = Remembered::default();
    let mut accepted = Vec::new();
    let mut bodies: BTreeMap<BlockHash, Body> = BTreeMap::new();
    let unreadable = |error: quorate_pbft::Unreadable| error.to_string();
    for (key, value) in rows {
        let record = match key.kind {
            ACCEPTED => {
                accepted.push((Record::accepted_header(&value).map_err(unreadable)?, value));
                continue;
            }
            BODY => {
                let body = Body::decode(value).map_err(|error| error.to_string())?;
                bodies.insert(BlockHash::from_bytes(key.detail), body);
                continue;
            }
            COLLECTED => {
                remembered.collected = decode(&value).map_err(|error| error.to_string())?;
                continue;
            }
            PREPARED => Record::read_prepared(&value),
            FINALISED => Record::read_finalised(&value),
            VIEW_CHANGE => Record::read_view_change(&value),
            NEW_VIEW => Record::read_new_view(&value, root),
            CHECKPOINT => Record::read_checkpoint(&value),
            STABLE => Record::read_stable(&value),
            MARK => Record::read_mark(&value),
            RECOVERING => Record::read_recovering(&value),
            HEARD => {
                let member = u16::from_be_bytes([key.detail[0], key.detail[1]]);
                Record::read_heard(ReplicaId(member), &value)
            }
            EVIDENCE => Record::read_evidence(&value),
            EPOCH_START => Record::read_epoch_start(&value),
            unknown => return Err(format!("a record of unknown kind {unknown}, perhaps of a newer version")),
        };
        match record.map_err(unreadable)? {
            Record::Finalised(certificate) => remembered.finalised.push((key.height, certificate)),
            record => {
                if let Record::Evidence(evidence) = &record {
                    remembered.evidence.push(evidence.clone());
                }
                remembered.records.push(record);
            }
        }
    }
    for (header, value) in accepted {
        let (height, hash) = (header.height, header.hash());
        let body = bodies.get(&hash).ok_or_else(|| format!("the body of block {hash} is missing"))?;
        let block = Block::new(header, body.clone()).map_err(|error| format!("height {height}: {error}"))?;
        remembered.records.push(Record::read_accepted(&value, block.skeleton()).map_err(unreadable)?);
        remembered.blocks.insert(hash, block);
    }
    Ok(remembered)
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
