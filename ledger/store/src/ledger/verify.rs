//! Verification of a whole ledger, for `quorate ledger verify` and for tests.

use std::path::Path;
use std::sync::Arc;

use quorate_governance::State;
use quorate_ledger::{
    Block, ChainAnchor, CommitCertificate, EpochProof, FinalityProof, Header, Height, MAX_DESCENDANTS,
    ProofError, PublicKey,
};
use redb::{ReadTransaction, ReadableTableMetadata, StorageBackend};

use crate::database::storage::Storage;
use crate::database::tables::{BODIES, CERTIFICATES, HEADERS, HEIGHTS, Segment, index_table};
use crate::error::{Fault, StoreError, refused_certificate};
use crate::ledger::reader::LedgerReader;
use crate::ledger::replay::{Replay, stored_members};
use crate::ledger::stored::Head;
use crate::ledger::view::View;
use crate::ledger::{Ledger, open_storage_on, open_storage_read_only};

/// The content of a ledger that passed verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// The highest block.
    pub head: Head,
    /// Lowest height whose body is stored.
    pub earliest: Height,
    /// Transactions in all bodies.
    pub transactions: u64,
    /// Blocks with their own certificate.
    pub certificates: u64,
}

impl Ledger {
    /// Verifies the whole ledger of a stopped node:
    ///
    /// * the checksum of each page matches;
    /// * the headers link;
    /// * the bodies match their headers;
    /// * each certificate is for the block at its height, and no block is without one that
    ///   finalises it;
    /// * the last block of each epoch has a certificate of its own;
    /// * the indexes contain each block and transaction, and nothing else;
    /// * executing the governance transactions again, from the initial state on, gives the committees
    ///   of all headers, and the stored outcomes, ends of epochs, state roots and governance state.
    ///
    /// With an anchor, it also verifies every header against the committee of its epoch, and every
    /// signature of the certificates (a quorum of verifications for each). The anchor of the genesis
    /// is sufficient: the ledger contains the committees of its epochs. The file does not change, as
    /// with [`Ledger::open_read_only`].
    ///
    /// `progress` is called with each height that was checked and the height of the head.
    ///
    /// # Errors
    /// As [`Ledger::open`]; [`StoreError::Damaged`] names the first inconsistency.
    pub fn verify(
        path: impl AsRef<Path>,
        genesis_header: &Header,
        initial: &State,
        anchor: Option<&ChainAnchor>,
        progress: impl FnMut(Height, Height),
    ) -> Result<Verification, StoreError> {
        verify_storage(open_storage_read_only(path.as_ref(), genesis_header)?, initial, anchor, progress)
    }

    /// Like [`Ledger::verify`], on a backend that is not a file.
    ///
    /// # Errors
    /// As [`Ledger::verify`].
    pub fn verify_on(
        backend: impl StorageBackend,
        genesis_header: &Header,
        initial: &State,
        anchor: Option<&ChainAnchor>,
        progress: impl FnMut(Height, Height),
    ) -> Result<Verification, StoreError> {
        verify_storage(open_storage_on(backend, genesis_header)?, initial, anchor, progress)
    }
}

fn verify_storage(
    mut storage: Storage,
    initial: &State,
    anchor: Option<&ChainAnchor>,
    progress: impl FnMut(Height, Height),
) -> Result<Verification, StoreError> {
    storage.check_pages()?;
    LedgerReader::new(Arc::new(storage)).verify(initial, anchor, progress)
}

impl LedgerReader {
    /// Like [`Ledger::verify`], for an open ledger and without the checksums of pages.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the first inconsistency.
    pub fn verify(
        &self,
        initial: &State,
        anchor: Option<&ChainAnchor>,
        progress: impl FnMut(Height, Height),
    ) -> Result<Verification, StoreError> {
        self.read(|transaction| {
            let view = View::of(transaction);
            let (earliest, head) = (view.earliest()?, view.head()?);
            let is_pruned = earliest > Height(0);
            let replay = if is_pruned { None } else { Some(Replay::begin(&view, initial)?) };
            let anchor = anchor.cloned();
            let mut walk = Walk { anchor, replay, transactions: 0, certificates: 0, uncertified: 0 };
            walk.blocks(&view, earliest, head.height, progress)?;
            walk.totals(transaction, earliest, head.height)?;
            let Walk { replay, transactions, certificates, .. } = walk;
            match replay {
                Some(replay) => replay.finish(&view, transaction)?,
                None => _ = view.governance()?,
            }
            Ok(Verification { head, earliest, transactions, certificates })
        })
    }
}

/// The state of the verification, from the genesis upwards.
struct Walk {
    /// With the committees of the epochs up to the current height.
    anchor: Option<ChainAnchor>,
    /// `None` for a pruned ledger.
    replay: Option<Replay>,
    transactions: u64,
    certificates: u64,
    /// Blocks since the last certificate.
    uncertified: u64,
}

impl Walk {
    fn blocks(
        &mut self,
        view: &View<'_>,
        earliest: Height,
        head: Height,
        mut progress: impl FnMut(Height, Height),
    ) -> Result<(), Fault> {
        let mut parent: Option<Header> = None;
        for height in (0..=head.0).map(Height) {
            let header = view.present_header(height)?;
            if let Some(parent) = &parent {
                header
                    .check_follows(parent)
                    .map_err(|error| Fault::damaged(format!("block {height}: {error}")))?;
            }
            if view.height_of(&header.hash())? != Some(height) {
                return Err(Fault::damaged(format!("block {height} is not found by its hash")));
            }
            let certificate = view.certificate(height)?;
            self.certificate(&header, certificate.as_ref())?;
            let next = if height >= earliest { self.body(view, height)? } else { None };
            if let Some(certificate) = certificate.filter(|_| header.ends_epoch()) {
                self.epoch_end(view, &header, certificate, next)?;
            }
            parent = Some(header);
            progress(height, head);
        }
        if self.uncertified > 0 {
            return Err(Fault::damaged(format!("no certificate finalises the head {head}")));
        }
        Ok(())
    }

    /// Checks and executes a block. Returns the members of the next epoch if it ends its epoch.
    fn body(&mut self, view: &View<'_>, height: Height) -> Result<Option<Vec<PublicKey>>, Fault> {
        let block = view
            .block(height)?
            .ok_or_else(|| Fault::damaged(format!("the body at height {height} is missing")))?;
        self.index(view, &block)?;
        match &mut self.replay {
            Some(replay) if height > Height(0) => replay.block(view, &block),
            _ => Ok(None),
        }
    }

    /// Adds the next epoch to the anchor, unless the caller's anchor has it.
    fn epoch_end(
        &mut self,
        view: &View<'_>,
        header: &Header,
        certificate: CommitCertificate,
        next: Option<Vec<PublicKey>>,
    ) -> Result<(), Fault> {
        let Some(anchor) = self.anchor.as_mut().filter(|anchor| anchor.newest().epoch() == header.epoch)
        else {
            return Ok(());
        };
        let next = next.map_or_else(|| stored_members(view, header.epoch), Ok)?;
        let last = FinalityProof { header: header.clone(), descendants: Vec::new(), certificate };
        let extended = anchor.extend(&EpochProof { last, next });
        extended.map_err(|error| Fault::damaged(format!("block {}: {error}", header.height)))
    }

    fn index(&mut self, view: &View<'_>, block: &Block) -> Result<(), Fault> {
        for (position, id) in (0..).zip(block.body().ids()) {
            if view.locate(id)? != Some((block.height(), position)) {
                return Err(Fault::damaged(format!(
                    "transaction {id} of block {} is not in the index with its place",
                    block.height()
                )));
            }
        }
        self.transactions += u64::from(block.body().count());
        Ok(())
    }

    fn certificate(&mut self, header: &Header, certificate: Option<&CommitCertificate>) -> Result<(), Fault> {
        let height = header.height;
        if let Some(anchor) = &self.anchor {
            anchor.check_header(header).map_err(|error| match error {
                ProofError::Unproven { .. } => Fault::Unproven { height, error },
                _ => Fault::damaged(format!("block {height}: {error}")),
            })?;
        }
        let Some(certificate) = certificate else {
            if header.ends_epoch() {
                return Err(Fault::damaged(format!("block {height} ends its epoch without a certificate")));
            }
            // The genesis needs no certificate.
            self.uncertified += u64::from(height > Height(0));
            if self.uncertified > u64::from(MAX_DESCENDANTS) {
                return Err(Fault::damaged(format!(
                    "no certificate for {MAX_DESCENDANTS} blocks up to {height}"
                )));
            }
            return Ok(());
        };
        let ballot = certificate.ballot();
        if (ballot.epoch, ballot.height, ballot.block) != (header.epoch, height, header.hash()) {
            return Err(Fault::damaged(format!("the certificate at height {height} is for another block")));
        }
        if let Some(anchor) = &self.anchor {
            anchor
                .check_certificate(certificate)
                .map_err(|error| Fault::damaged(refused_certificate(height, &error)))?;
        }
        self.certificates += 1;
        self.uncertified = 0;
        Ok(())
    }

    /// Each entry was found through its block, so equal numbers show that there are no other
    /// entries.
    fn totals(&self, transaction: &ReadTransaction, earliest: Height, head: Height) -> Result<(), Fault> {
        let mut indexed = 0;
        for segment in Segment::newest_first(earliest, head) {
            let name = segment.table_name();
            indexed += transaction.open_table(index_table(&name))?.len()?;
        }
        let headers = head.0 + 1;
        let counts = [
            ("headers", transaction.open_table(HEADERS)?.len()?, headers),
            ("hashes", transaction.open_table(HEIGHTS)?.len()?, headers),
            ("bodies", transaction.open_table(BODIES)?.len()?, headers - earliest.0),
            ("certificates", transaction.open_table(CERTIFICATES)?.len()?, self.certificates),
            ("indexed transactions", indexed, self.transactions),
        ];
        match counts.iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(Fault::damaged(format!("{found} {what} where the chain has {expected}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
