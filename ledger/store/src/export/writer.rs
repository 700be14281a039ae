//! Writing an export, or continuing one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use quorate_governance::State;
use quorate_ledger::{ChainAnchor, Header, ProofError};

use super::range::CertifiedRange;
use super::reader::ExportReader;
use super::record::{HEAD_BYTES, head_of, record_of};
use super::verifier::RangeVerifier;
use crate::database::file::{denied, new_file, sync_directory_of};
use crate::error::{StoreError, refused_certificate};
use crate::ledger::MAX_BATCH_BLOCKS;
use crate::ledger::stored::Head;

/// Bytes written between two syncs; a record may exceed it.
const SYNC_BYTES: usize = 64 << 20;

/// Writes an export, range by range. One process at a time can write a file.
#[derive(Debug)]
pub struct ExportWriter {
    file: BufWriter<File>,
    path: PathBuf,
    head: Header,
    /// At `head`.
    verifier: RangeVerifier,
    /// Bytes since the last sync.
    unsynced: usize,
}

impl ExportWriter {
    /// Opens an export to continue it, or creates one that only its owner can read. The existing
    /// content is read, executed from `initial` on and checked, except for the signatures of ranges
    /// that are neither the last one of the file nor that of an epoch. That takes as long as reading
    /// the file; `progress` is called with the bytes read and the bytes of the file. Also returns how
    /// many bytes of an incomplete end were cut off.
    ///
    /// `initial` is the governance state before block 1, and the anchor of the genesis is sufficient.
    ///
    /// # Errors
    /// As [`ExportReader::open`]; [`StoreError::Damaged`] if more than the end is damaged, and
    /// [`StoreError::InUse`].
    pub fn open(
        path: &Path,
        genesis_header: &Header,
        initial: &State,
        anchor: &ChainAnchor,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(Self, u64), StoreError> {
        let file = match new_file(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).write(true).open(path).map_err(denied(path))?
            }
            other => other.map_err(denied(path))?,
        };
        file.try_lock().map_err(|_| StoreError::InUse { path: path.to_owned() })?;
        let begun = head_of(&genesis_header.chain_id);
        let length = file.metadata().map_err(denied(path))?.len();
        let mut verifier = RangeVerifier::new(initial, anchor);
        let (end, head) =
            if length < HEAD_BYTES as u64 && is_beginning(&file, &begun).map_err(denied(path))? {
                (0, genesis_header.clone())
            } else {
                let reading = file.try_clone().map_err(denied(path))?;
                let reader = ExportReader::over(reading, path, genesis_header)?;
                read_to_torn_end(reader, &mut verifier, &mut progress)?
            };
        let mut writer = ExportWriter {
            file: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            head,
            verifier,
            unsynced: 0,
        };
        writer.start_at(end, &begun).map_err(denied(path))?;
        sync_directory_of(path)?;
        Ok((writer, length - end))
    }

    fn start_at(&mut self, end: u64, begun: &[u8]) -> io::Result<()> {
        let file = self.file.get_mut();
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        if end == 0 {
            file.write_all(begun)?;
        }
        file.sync_all()
    }

    /// The header of the last block that was written; the genesis header before the first.
    pub fn head(&self) -> Head {
        Head::of(&self.head)
    }

    /// The anchor with the committees of all epochs up to that of the next block.
    pub fn anchor(&self) -> &ChainAnchor {
        self.verifier.anchor()
    }

    /// The governance state after the last block that was written.
    pub fn state(&self) -> &State {
        self.verifier.state()
    }

    /// Writes the blocks of a range that are above the head; the others are skipped.
    ///
    /// # Errors
    /// [`StoreError::Gap`], [`StoreError::Fork`], [`StoreError::Invalid`], [`StoreError::Batch`],
    /// [`StoreError::Uncertified`] and [`StoreError::Impossible`] refuse the range and write nothing;
    /// [`StoreError::Access`] if the file cannot be written.
    pub fn write(&mut self, mut range: CertifiedRange) -> Result<(), StoreError> {
        let head = self.head();
        if let Some(known) = range.blocks.iter().find(|block| block.height() == head.height)
            && known.hash() != head.hash
        {
            return Err(StoreError::Fork { height: head.height, stored: head.hash, offered: known.hash() });
        }
        range.blocks.retain(|block| block.height() > head.height);
        let Some(first) = range.blocks.first() else { return Ok(()) };
        if first.height() > head.height.next() {
            return Err(StoreError::Gap { head: head.height, got: first.height() });
        }
        if first.header().parent != head.hash {
            let (height, stored, offered) = (head.height, head.hash, first.header().parent);
            return Err(StoreError::Fork { height, stored, offered });
        }
        range.check_follows(&self.head)?;
        let (count, limit) = (range.blocks.len(), MAX_BATCH_BLOCKS);
        let record = record_of(&range).ok_or(StoreError::Batch { count, limit })?;
        self.verifier.execute(&range).map_err(|reason| StoreError::Impossible { reason })?;
        self.file.write_all(&record).map_err(denied(&self.path))?;
        self.head = range.blocks.last().expect("it has a first block").header().clone();
        self.unsynced += record.len();
        if self.unsynced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the written ranges durable, so that they survive a power loss.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(denied(&self.path))?;
        self.unsynced = 0;
        Ok(())
    }
}

/// Whether the file holds only a part of its head: it was created and not finished.
fn is_beginning(file: &File, begun: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    file.try_clone()?.take(HEAD_BYTES as u64).read_to_end(&mut found)?;
    Ok(begun.starts_with(&found))
}

/// The end of the last valid record, and the header there. Cuts off only what an interrupted write
/// leaves: an incomplete record, or bytes that were never written. Other damage, such as one
/// flipped bit, never causes valid blocks to be cut off.
fn read_to_torn_end(
    mut reader: ExportReader,
    verifier: &mut RangeVerifier,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(u64, Header), StoreError> {
    let mut last: Option<(u64, Header, CertifiedRange)> = None;
    loop {
        let (position, length) = reader.position();
        progress(position, length);
        let before = reader.head.clone();
        match reader.next() {
            Some(Ok(range)) => {
                if let Some((_, _, complete)) = last.replace((position, before, range)) {
                    verifier.execute(&complete).map_err(|reason| reader.damaged(&reason))?;
                }
            }
            Some(Err(StoreError::Damaged { .. })) if reader.torn || reader.ends_unwritten()? => break,
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    let Some((position, before, range)) = last else { return Ok((reader.position, reader.head)) };
    // A last record that was not completely written may still decode, because a signature that ends
    // in zeros can have a valid form. So verify its signatures.
    match range.check_proof(verifier.anchor()) {
        // Without its committee, nothing shows that the record is damaged.
        Err((height, error @ ProofError::Unproven { .. })) => Err(reader.unproven(height, error)),
        Err(_) if reader.ends_unwritten()? => Ok((position, before)),
        Err((height, error)) => Err(reader.damaged(&refused_certificate(height, &error))),
        Ok(()) => {
            verifier.execute(&range).map_err(|reason| reader.damaged(&reason))?;
            Ok((reader.position, reader.head))
        }
    }
}
