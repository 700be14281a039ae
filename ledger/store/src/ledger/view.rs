//! A snapshot of a ledger: lookups within one read transaction, so that their results are
//! consistent.

use quorate_ledger::{
    Block, BlockHash, Body, CommitCertificate, DecodeError, FinalityProof, Header, Height, MAX_DESCENDANTS,
    MerkleTree, Receipt, Timestamp, Transaction, TransactionId, decode,
};
use redb::{ReadTransaction, ReadableTable};

use crate::database::storage::guarded;
use crate::database::tables::{BODIES, CERTIFICATES, HEADERS, HEIGHTS, Segment, index_table};
use crate::error::Fault;
use crate::ledger::stored::{Head, StoredBlock};

/// One snapshot of a ledger.
pub(crate) struct View<'a> {
    pub(super) transaction: &'a ReadTransaction,
}

impl<'a> View<'a> {
    pub(crate) fn of(transaction: &'a ReadTransaction) -> Self {
        View { transaction }
    }

    pub(crate) fn head_header(&self) -> Result<Header, Fault> {
        let headers = self.transaction.open_table(HEADERS)?;
        let (height, bytes) =
            headers.last()?.ok_or_else(|| Fault::damaged("the genesis header is missing"))?;
        decode_header(Height(height.value()), bytes.value())
    }

    pub(crate) fn head(&self) -> Result<Head, Fault> {
        Ok(Head::of(&self.head_header()?))
    }

    pub(crate) fn earliest(&self) -> Result<Height, Fault> {
        let bodies = self.transaction.open_table(BODIES)?;
        let first = bodies.first()?.ok_or_else(|| Fault::damaged("all bodies are missing"))?;
        Ok(Height(first.0.value()))
    }

    pub(crate) fn header(&self, height: Height) -> Result<Option<Header>, Fault> {
        let headers = self.transaction.open_table(HEADERS)?;
        let Some(bytes) = headers.get(height.0)? else {
            return Ok(None);
        };
        decode_header(height, bytes.value()).map(Some)
    }

    pub(crate) fn block(&self, height: Height) -> Result<Option<Block>, Fault> {
        let Some(header) = self.header(height)? else {
            return Ok(None);
        };
        let Some(body) = self.body(height)? else {
            return Ok(None);
        };
        let block = Block::new(header, body).map_err(|error| damaged_at(height, "body", &error))?;
        Ok(Some(block))
    }

    fn body(&self, height: Height) -> Result<Option<Body>, Fault> {
        let bodies = self.transaction.open_table(BODIES)?;
        let Some(bytes) = bodies.get(height.0)? else {
            return Ok(None);
        };
        let body =
            Body::decode(bytes.value().to_vec()).map_err(|error| damaged_at(height, "body", &error))?;
        Ok(Some(body))
    }

    pub(crate) fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, Fault> {
        let heights = self.transaction.open_table(HEIGHTS)?;
        Ok(heights.get(hash.as_bytes())?.map(|height| Height(height.value())))
    }

    pub(crate) fn certificate(&self, height: Height) -> Result<Option<CommitCertificate>, Fault> {
        let certificates = self.transaction.open_table(CERTIFICATES)?;
        let Some(bytes) = certificates.get(height.0)? else {
            return Ok(None);
        };
        decode_certificate(height, bytes.value()).map(Some)
    }

    pub(crate) fn certified_at_or_above(
        &self,
        height: Height,
    ) -> Result<Option<(Height, CommitCertificate)>, Fault> {
        let certificates = self.transaction.open_table(CERTIFICATES)?;
        let Some(first) = certificates.range(height.0..)?.next() else {
            return Ok(None);
        };
        let (found, bytes) = first?;
        let found = Height(found.value());
        Ok(Some((found, decode_certificate(found, bytes.value())?)))
    }

    pub(crate) fn finality_proof(&self, height: Height) -> Result<Option<FinalityProof>, Fault> {
        // The genesis header needs no proof: it is part of the trust anchor.
        if height == Height(0) {
            return Ok(None);
        }
        let Some(header) = self.header(height)? else {
            return Ok(None);
        };
        let (certified, certificate) = self
            .certified_at_or_above(height)?
            .filter(|(certified, _)| certified.0 - height.0 <= u64::from(MAX_DESCENDANTS))
            .ok_or_else(|| Fault::damaged(format!("no certificate finalises block {height}")))?;
        let descendants = (height.0 + 1..=certified.0)
            .map(|above| self.present_header(Height(above)))
            .collect::<Result<Vec<_>, _>>()?;
        // A damaged header still decodes, but its hash is not the one that was certified.
        let certified = descendants.iter().map(|above| above.parent).chain([certificate.ballot().block]);
        for (header, hash) in std::iter::once(&header).chain(&descendants).zip(certified) {
            if header.hash() != hash {
                return Err(damaged_at(header.height, "header", &"its hash is not the certified one"));
            }
        }
        Ok(Some(FinalityProof { header, descendants, certificate }))
    }

    /// The header of a height at or below the head.
    pub(crate) fn present_header(&self, height: Height) -> Result<Header, Fault> {
        self.header(height)?
            .ok_or_else(|| Fault::damaged(format!("the header at height {height} is missing")))
    }

    pub(crate) fn locate(&self, id: &TransactionId) -> Result<Option<(Height, u32)>, Fault> {
        for segment in Segment::newest_first(self.earliest()?, self.head_height()?) {
            let name = segment.table_name();
            let index = match self.transaction.open_table(index_table(&name)) {
                Err(redb::TableError::TableDoesNotExist(_)) => continue,
                other => other?,
            };
            if let Some(place) = index.get(id.as_bytes())? {
                let (height, index) = place.value();
                return Ok(Some((Height(height), index)));
            }
        }
        Ok(None)
    }

    fn head_height(&self) -> Result<Height, Fault> {
        let headers = self.transaction.open_table(HEADERS)?;
        Ok(headers.last()?.map_or(Height(0), |(height, _)| Height(height.value())))
    }

    pub(crate) fn transaction(
        &self,
        id: &TransactionId,
    ) -> Result<Option<(Transaction, Height, u32)>, Fault> {
        let Some((height, index)) = self.locate(id)? else {
            return Ok(None);
        };
        let found = self.pick(height, &[index], usize::MAX)?;
        let found = found.ok_or_else(|| Fault::damaged(format!("the body at height {height} is missing")))?;
        match found.into_iter().next() {
            Some(transaction) if transaction.id() == *id => Ok(Some((transaction, height, index))),
            _ => Err(misplaced(id, height)),
        }
    }

    /// The transactions at these positions in a block: as many as fit in `max_bytes`, at least one.
    /// Only these are decoded.
    pub(crate) fn pick(
        &self,
        height: Height,
        indices: &[u32],
        max_bytes: usize,
    ) -> Result<Option<Vec<Transaction>>, Fault> {
        let bodies = self.transaction.open_table(BODIES)?;
        let Some(body) = bodies.get(height.0)? else { return Ok(None) };
        let picked = pick(body.value(), indices, max_bytes);
        picked.map(Some).map_err(|error| damaged_at(height, "body", &error))
    }

    /// The ids of a block, from the encodings of its transactions.
    pub(crate) fn ids(&self, height: Height) -> Result<Option<Vec<TransactionId>>, Fault> {
        let bodies = self.transaction.open_table(BODIES)?;
        let Some(body) = bodies.get(height.0)? else { return Ok(None) };
        let ids = Body::encodings(body.value())
            .and_then(|encodings| encodings.map(|bytes| Ok(Transaction::id_of(bytes?))).collect())
            .map_err(|error| damaged_at(height, "body", &error))?;
        Ok(Some(ids))
    }

    pub(crate) fn receipt(&self, id: &TransactionId) -> Result<Option<Receipt>, Fault> {
        let Some((height, index)) = self.locate(id)? else {
            return Ok(None);
        };
        let (Some(ids), Some(proof)) = (self.ids(height)?, self.finality_proof(height)?) else {
            return Err(misplaced(id, height));
        };
        let position = usize::try_from(index).map_err(|_| misplaced(id, height))?;
        // Build one tree for the path and the root, because hashing it is most of the cost of a
        // receipt.
        let tree = MerkleTree::new(&ids);
        if tree.root() != proof.header.transactions_root {
            return Err(damaged_at(height, "body", &"its transactions are not those of the header"));
        }
        let path = tree.path(position).filter(|_| ids[position] == *id);
        let path = path.ok_or_else(|| misplaced(id, height))?;
        Ok(Some(Receipt { transaction: *id, index, path, proof }))
    }

    /// The blocks, and the fault that ended the iteration, if one did.
    pub(crate) fn blocks(
        &self,
        from: Height,
        max_count: usize,
        max_bytes: usize,
    ) -> (Vec<StoredBlock>, Option<Fault>) {
        let mut found = Vec::new();
        let mut bytes = 0usize;
        let mut height = from;
        while found.len() < max_count {
            // A block that cannot be read ends the result; the blocks before it are intact.
            let left = if found.is_empty() { usize::MAX } else { max_bytes.saturating_sub(bytes) };
            match guarded(|| self.stored_block(height, left)) {
                Ok(Some(stored)) => {
                    bytes = bytes.saturating_add(stored.block.body().as_bytes().len());
                    found.push(stored);
                }
                Ok(None) => break,
                Err(fault) => return (found, Some(fault)),
            }
            height = height.next();
        }
        (found, None)
    }

    /// A block whose body has at most `max_bytes` bytes, with its certificate.
    fn stored_block(&self, height: Height, max_bytes: usize) -> Result<Option<StoredBlock>, Fault> {
        // Check the length first, so that a block that is too large is not decoded.
        if self.body_bytes(height)?.is_none_or(|bytes| bytes > max_bytes) {
            return Ok(None);
        }
        let block = self
            .block(height)?
            .ok_or_else(|| Fault::damaged(format!("the header at height {height} is missing")))?;
        Ok(Some(StoredBlock { block, certificate: self.certificate(height)? }))
    }

    fn body_bytes(&self, height: Height) -> Result<Option<usize>, Fault> {
        let bodies = self.transaction.open_table(BODIES)?;
        Ok(bodies.get(height.0)?.map(|bytes| bytes.value().len()))
    }

    /// Headers and ids of the blocks with this time or later, in descending order, without the
    /// genesis.
    pub(crate) fn recent(&self, since: Timestamp) -> Result<Vec<(Header, Vec<TransactionId>)>, Fault> {
        let mut recent = Vec::new();
        let mut height = self.head_height()?;
        while height > Height(0) {
            let header = self.present_header(height)?;
            if header.timestamp < since {
                break;
            }
            // A pruned body is older than any window that a caller may request, and all bodies
            // below it are pruned, too.
            let Some(body) = self.body(height)? else {
                break;
            };
            recent.push((header, body.ids().to_vec()));
            height = Height(height.0 - 1);
        }
        Ok(recent)
    }
}

fn damaged_at(height: Height, what: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::damaged(format!("the {what} at height {height}: {error}"))
}

fn misplaced(id: &TransactionId, height: Height) -> Fault {
    Fault::damaged(format!("transaction {id} is not at the position in block {height} that the index names"))
}

fn decode_header(height: Height, bytes: &[u8]) -> Result<Header, Fault> {
    let header: Header = decode(bytes).map_err(|error| damaged_at(height, "header", &error))?;
    if header.height != height {
        return Err(Fault::damaged(format!("at height {height} is the header of height {}", header.height)));
    }
    Ok(header)
}

fn decode_certificate(height: Height, bytes: &[u8]) -> Result<CommitCertificate, Fault> {
    decode(bytes).map_err(|error| damaged_at(height, "certificate", &error))
}

/// Decodes the transactions at these positions in the encoding of a body, in the order of
/// `indices`: as many as fit in `max_bytes`, but at least one. Positions that the body does not
/// have are left out.
fn pick(body: &[u8], indices: &[u32], max_bytes: usize) -> Result<Vec<Transaction>, DecodeError> {
    let Some(last) = indices.iter().max() else { return Ok(Vec::new()) };
    let through = usize::try_from(*last).unwrap_or(usize::MAX).saturating_add(1);
    let encodings: Vec<&[u8]> = Body::encodings(body)?.take(through).collect::<Result<_, _>>()?;
    let mut room = max_bytes;
    let mut picked = Vec::new();
    for index in indices {
        let Some(bytes) = usize::try_from(*index).ok().and_then(|index| encodings.get(index)) else {
            continue;
        };
        if bytes.len() > room && !picked.is_empty() {
            break;
        }
        room = room.saturating_sub(bytes.len());
        picked.push(decode(bytes)?);
    }
    Ok(picked)
}
