//! Reading an export.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use quorate_ledger::{Header, Height, ProofError};

use super::range::CertifiedRange;
use super::record::{HEAD_BYTES, MAX_RECORD_BYTES, check_head, range_of};
use crate::database::file::denied;
use crate::error::{FileKind, StoreError};
use crate::ledger::stored::Head;

/// Reads an export from its beginning: an iterator over its ranges. It checks that each range
/// follows the one before; use [`CertifiedRange::verify`] to verify the certificates. After an
/// error it ends.
#[derive(Debug)]
pub struct ExportReader {
    file: BufReader<File>,
    path: PathBuf,
    /// End of the last complete record.
    pub(super) position: u64,
    length: u64,
    pub(super) head: Header,
    failed: bool,
    /// Whether the file ends within a record.
    pub(super) torn: bool,
}

impl ExportReader {
    /// Opens an export of this chain.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Access`], [`StoreError::Foreign`],
    /// [`StoreError::Format`] and [`StoreError::OtherChain`].
    pub fn open(path: &Path, genesis_header: &Header) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::Missing { path: path.to_owned(), what: FileKind::Export },
            _ => denied(path)(error),
        })?;
        ExportReader::over(file, path, genesis_header)
    }

    pub(super) fn over(file: File, path: &Path, genesis_header: &Header) -> Result<Self, StoreError> {
        let length = file.metadata().map_err(denied(path))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(denied(path))?;
        check_head(&head, path, genesis_header)?;
        Ok(ExportReader {
            file,
            path: path.to_owned(),
            position: HEAD_BYTES as u64,
            length,
            head: genesis_header.clone(),
            failed: false,
            torn: false,
        })
    }

    /// The header of the last block that was read; the genesis header before the first.
    pub fn head(&self) -> Head {
        Head::of(&self.head)
    }

    /// Bytes read so far, and bytes of the file.
    pub fn position(&self) -> (u64, u64) {
        (self.position, self.length)
    }

    fn read(&mut self) -> Result<Option<CertifiedRange>, StoreError> {
        let left = self.length.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        if left < length.len() as u64 {
            return Err(self.ends_within_a_record());
        }
        self.file.read_exact(&mut length).map_err(denied(&self.path))?;
        let bytes = u32::from_be_bytes(length);
        let fits = usize::try_from(bytes).ok().filter(|bytes| (1..=MAX_RECORD_BYTES).contains(bytes));
        let Some(expected) = fits else {
            return Err(self.damaged(&format!("a record claims {bytes} bytes")));
        };
        if left - 4 < u64::from(bytes) {
            return Err(self.ends_within_a_record());
        }
        let mut record = vec![0; expected];
        self.file.read_exact(&mut record).map_err(denied(&self.path))?;
        let range = range_of(&record).map_err(|reason| self.damaged(&reason))?;
        range.check_follows(&self.head).map_err(|error| self.damaged(&error.to_string()))?;
        self.head = range.blocks.last().expect("a range was just checked").header().clone();
        self.position += 4 + u64::from(bytes);
        Ok(Some(range))
    }

    fn ends_within_a_record(&mut self) -> StoreError {
        self.torn = true;
        self.damaged("the file ends within a record")
    }

    /// Whether the file ends in bytes that were never written. A record ends in a signature, and
    /// almost no signature ends in zeros.
    pub(super) fn ends_unwritten(&mut self) -> Result<bool, StoreError> {
        let start = self.length.saturating_sub(4).max(HEAD_BYTES as u64);
        let mut end = Vec::new();
        let read = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_to_end(&mut end));
        read.map(|_| end.iter().all(|byte| *byte == 0)).map_err(denied(&self.path))
    }

    pub(super) fn unproven(&self, height: Height, error: ProofError) -> StoreError {
        StoreError::Unproven { path: self.path.clone(), height, error }
    }

    pub(super) fn damaged(&self, reason: &str) -> StoreError {
        let above = self.head.height;
        StoreError::Damaged {
            path: self.path.clone(),
            what: FileKind::Export,
            reason: format!("above block {above}: {reason}"),
        }
    }
}

impl Iterator for ExportReader {
    type Item = Result<CertifiedRange, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read().transpose();
        self.failed = matches!(read, Some(Err(_)));
        read
    }
}
