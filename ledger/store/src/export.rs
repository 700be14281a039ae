//! A chain in one portable file, for backups and for transfer to other hosts.
//!
//! ```text
//! head      8 bytes "quo-expo", version: u16 big-endian, chain id: 32 bytes
//! records   length: u32 big-endian, then as many bytes: a range in borsh
//! range     u32 count, for each block its header and its body (u32 length and the body's encoding), a certificate
//! ```
//!
//! A range (certified block range) contains the blocks that one certificate finalises. So a file that
//! ends between two records ends in a final block. It begins with block 1, because every reader has
//! the genesis. Written bytes never change. If the process dies or the power fails, the file may
//! end within a record; the writer cuts off that incomplete end when it continues the export.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    Block, Body, ChainAnchor, ChainId, CommitCertificate, Header, MAX_BODY_BYTES, MAX_DESCENDANTS,
    MAX_RUN_BYTES, bounded, bounded_bytes, decode, encode,
};

use crate::error::{FileKind, StoreError};
use crate::file::{denied, new_file, sync_directory_of};
use crate::ledger::{MAX_BATCH_BLOCKS, follows};
use crate::reader::Head;

const TAG: [u8; 8] = *b"quo-expo";

/// Version of the layout; increase it with every change of the layout.
const EXPORT_VERSION: u16 = 1;

const HEAD_BYTES: usize = 8 + 2 + 32;

/// Upper bound for the bytes of a record besides bodies: headers, lengths, and a certificate.
const MAX_FRAME_BYTES: usize = MAX_BATCH_BLOCKS * 512 + 8192;

/// Bytes of the longest record.
#[expect(clippy::cast_possible_truncation, reason = "55 MiB")]
const MAX_RECORD_BYTES: usize = MAX_RUN_BYTES as usize + MAX_FRAME_BYTES;

/// Bytes written between two syncs; a record may exceed it.
const SYNC_BYTES: usize = 64 << 20;

/// Name of the kind in messages.
const WHAT: &str = "export";

/// A certified block range: the blocks that one certificate finalises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedRange {
    /// Consecutive blocks, lowest first; never empty.
    pub blocks: Vec<Block>,
    /// The certificate of the last of them.
    pub certificate: CommitCertificate,
}

impl CertifiedRange {
    /// Verifies every signature of the certificate: a quorum of verifications.
    ///
    /// # Errors
    /// A sentence that names the error and the height.
    pub fn verify(&self, anchor: &ChainAnchor) -> Result<(), String> {
        let height = self.certificate.ballot().height;
        self.certificate
            .check(&anchor.chain_id, &anchor.committee)
            .map_err(|error| format!("the certificate at height {height}: {error}"))
    }

    /// Checks that the blocks follow a header and each other, and that the certificate is for the
    /// last of them.
    fn check_follows(&self, head: &Header) -> Result<(), StoreError> {
        let (count, limit) = (self.blocks.len(), MAX_BATCH_BLOCKS);
        let Some(last) = self.blocks.last().filter(|_| count <= limit) else {
            return Err(StoreError::Batch { count, limit });
        };
        let mut parent = head;
        for block in &self.blocks {
            follows(block, parent)?;
            parent = block.header();
        }
        let ballot = self.certificate.ballot();
        if (ballot.epoch, ballot.height, ballot.block) != (last.header().epoch, last.height(), last.hash()) {
            return Err(StoreError::Uncertified { certified: ballot.block, last: last.hash() });
        }
        Ok(())
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Record {
    #[borsh(deserialize_with = "bounded::<{ MAX_DESCENDANTS + 1 }, _, _>")]
    blocks: Vec<RecordBlock>,
    certificate: CommitCertificate,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct RecordBlock {
    header: Header,
    #[borsh(deserialize_with = "bounded_bytes::<{ MAX_BODY_BYTES + 4 }, _>")]
    body: Vec<u8>,
}

fn head_of(chain_id: &ChainId) -> Vec<u8> {
    [&TAG[..], &EXPORT_VERSION.to_be_bytes(), chain_id.as_bytes()].concat()
}

/// Reads an export from its beginning: an iterator over its ranges. It checks that each range follows
/// the one before; use [`CertifiedRange::verify`] to verify the certificates. After an error it ends.
#[derive(Debug)]
pub struct ExportReader {
    file: BufReader<File>,
    path: PathBuf,
    /// End of the last complete record.
    position: u64,
    length: u64,
    head: Header,
    failed: bool,
    /// Whether the file ends within a record.
    torn: bool,
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

    fn over(file: File, path: &Path, genesis_header: &Header) -> Result<Self, StoreError> {
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
    fn ends_unwritten(&mut self) -> Result<bool, StoreError> {
        let start = self.length.saturating_sub(4).max(HEAD_BYTES as u64);
        let mut end = Vec::new();
        let read = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_to_end(&mut end));
        read.map(|_| end.iter().all(|byte| *byte == 0)).map_err(denied(&self.path))
    }

    fn damaged(&self, reason: &str) -> StoreError {
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

fn check_head(found: &[u8], path: &Path, genesis_header: &Header) -> Result<(), StoreError> {
    let foreign = || {
        let found = "something else, or its beginning is destroyed".to_owned();
        StoreError::Foreign { path: path.to_owned(), expected: WHAT, found }
    };
    let (tag, rest) = found.split_first_chunk::<8>().ok_or_else(foreign)?;
    let (version, chain) = rest.split_first_chunk::<2>().ok_or_else(foreign)?;
    if *tag != TAG {
        return Err(foreign());
    }
    let version = u16::from_be_bytes(*version);
    if version != EXPORT_VERSION {
        let path = path.to_owned();
        return Err(StoreError::Format { path, found: version, supported: EXPORT_VERSION });
    }
    let chain = ChainId::from_bytes(chain.try_into().map_err(|_| foreign())?);
    let expected = genesis_header.chain_id;
    if chain == expected {
        Ok(())
    } else {
        Err(StoreError::OtherChain { path: path.to_owned(), found: chain, expected })
    }
}

fn range_of(record: &[u8]) -> Result<CertifiedRange, String> {
    let Record { blocks, certificate } = decode(record).map_err(|error| error.to_string())?;
    let block = |block: RecordBlock| {
        let (height, body) = (block.header.height, Body::decode(block.body));
        let block = body
            .map_err(|error| error.to_string())
            .and_then(|body| Block::new(block.header, body).map_err(|error| error.to_string()));
        block.map_err(|error| format!("block {height}: {error}"))
    };
    Ok(CertifiedRange { blocks: blocks.into_iter().map(block).collect::<Result<_, _>>()?, certificate })
}

/// The bytes of a record, including its length; `None` if there are too many.
fn record_of(range: &CertifiedRange) -> Option<Vec<u8>> {
    let count = u32::try_from(range.blocks.len()).ok()?;
    let mut record = vec![0; 4];
    record.extend(count.to_le_bytes());
    for block in &range.blocks {
        let body = block.body().as_bytes();
        record.extend(encode(block.header()));
        record.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
        record.extend(body);
    }
    record.extend(encode(&range.certificate));
    let bytes = record.len() - 4;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_RECORD_BYTES)?;
    record[..4].copy_from_slice(&length.to_be_bytes());
    Some(record)
}

/// Writes an export, range by range. One process at a time can write a file.
#[derive(Debug)]
pub struct ExportWriter {
    file: BufWriter<File>,
    path: PathBuf,
    head: Header,
    /// Bytes since the last sync.
    unsynced: usize,
}

impl ExportWriter {
    /// Opens an export to continue it, or creates one that only its owner can read. The existing
    /// content is read and checked, except for the signatures of all ranges but the last. That takes
    /// as long as reading the file; `progress` is called with the bytes read and the bytes of the
    /// file. Also returns how many bytes of an incomplete end were cut off.
    ///
    /// # Errors
    /// As [`ExportReader::open`]; [`StoreError::Damaged`] if more than the end is damaged, and
    /// [`StoreError::InUse`].
    pub fn open(
        path: &Path,
        genesis_header: &Header,
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
        let (end, head) =
            if length < HEAD_BYTES as u64 && is_beginning(&file, &begun).map_err(denied(path))? {
                (0, genesis_header.clone())
            } else {
                let reading = file.try_clone().map_err(denied(path))?;
                read_to_torn_end(ExportReader::over(reading, path, genesis_header)?, anchor, &mut progress)?
            };
        let mut writer = ExportWriter {
            file: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            head,
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

    /// Writes the blocks of a range that are above the head; the others are skipped.
    ///
    /// # Errors
    /// [`StoreError::Gap`], [`StoreError::Fork`], [`StoreError::Invalid`], [`StoreError::Batch`]
    /// and [`StoreError::Uncertified`] refuse the range and write nothing; [`StoreError::Access`] if
    /// the file cannot be written.
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
    anchor: &ChainAnchor,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(u64, Header), StoreError> {
    let mut last: Option<(u64, Header, CertifiedRange)> = None;
    loop {
        let (position, length) = reader.position();
        progress(position, length);
        let before = reader.head.clone();
        match reader.next() {
            Some(Ok(range)) => last = Some((position, before, range)),
            Some(Err(StoreError::Damaged { .. })) if reader.torn || reader.ends_unwritten()? => break,
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    // A last record that was not completely written may still decode, because a signature that ends
    // in zeros can have a valid form. So verify its signatures.
    match last.map(|(position, before, range)| (position, before, range.verify(anchor))) {
        Some((position, before, Err(_))) if reader.ends_unwritten()? => Ok((position, before)),
        Some((_, _, Err(reason))) => Err(reader.damaged(&reason)),
        Some((_, _, Ok(()))) | None => Ok((reader.position, reader.head)),
    }
}

/// Groups blocks into ranges: blocks of a ledger or of a node's answers are added one by one, each
/// with its certificate if it has one.
#[derive(Debug, Default)]
pub struct RangeBuilder {
    open: Vec<Block>,
}

impl RangeBuilder {
    /// Adds the next block. Returns the range that it completes, if it is certified.
    pub fn push(&mut self, block: Block, certificate: Option<CommitCertificate>) -> Option<CertifiedRange> {
        self.open.push(block);
        let certificate = certificate?;
        Some(CertifiedRange { blocks: std::mem::take(&mut self.open), certificate })
    }

    /// Number of blocks that wait for a certificate. A correct node never sends more than
    /// [`MAX_BATCH_BLOCKS`].
    pub fn waiting(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
