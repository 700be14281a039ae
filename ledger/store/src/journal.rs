//! The journal: the durable records of one validator.

use std::borrow::Cow;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{ChainId, Height, PublicKey, decode, encode};
use redb::{ReadableTable, StorageBackend, WriteTransaction};

use crate::database::file;
use crate::database::storage::{Durable, Storage};
use crate::database::tables::ROWS;
use crate::error::{Fault, FileKind, StoreError};

/// Most bytes of one row's value: several times the largest block.
pub const MAX_ROW_BYTES: usize = 16 << 20;

const KEY_BYTES: usize = 41;

/// The validator and the chain that a journal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JournalIdentity {
    /// The chain.
    pub chain_id: ChainId,
    /// The validator's key.
    pub validator: PublicKey,
}

/// The key of a row. Rows are ordered by height, kind and detail. The engine defines the meaning of
/// kinds and details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The height that the record is about. Rows of height 0 are never collected.
    pub height: Height,
    /// The kind of the record.
    pub kind: u8,
    /// Distinguishes rows of the same height and kind.
    pub detail: [u8; 32],
}

impl RowKey {
    /// Big-endian, so that the bytes have the same order as the keys.
    fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.height.0.to_be_bytes());
        bytes[8] = self.kind;
        bytes[9..].copy_from_slice(&self.detail);
        bytes
    }

    fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let (height, rest) = bytes.split_first_chunk().expect("41 bytes start with 8");
        let (kind, detail) = rest.split_first_chunk::<1>().expect("33 bytes start with 1");
        RowKey {
            height: Height(u64::from_be_bytes(*height)),
            kind: kind[0],
            detail: detail.try_into().expect("41 bytes end with 32"),
        }
    }

    /// The first key of a height.
    fn first_of(height: Height) -> [u8; KEY_BYTES] {
        RowKey { height, kind: 0, detail: [0; 32] }.to_bytes()
    }

    /// The last key of a height.
    fn last_of(height: Height) -> [u8; KEY_BYTES] {
        RowKey { height, kind: u8::MAX, detail: [u8::MAX; 32] }.to_bytes()
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its key. A row with the same key is replaced.
    pub key: RowKey,
    /// The content of the record, at most [`MAX_ROW_BYTES`].
    pub value: Cow<'a, [u8]>,
}

/// The journal of one validator on disk. All rows that [`Journal::write`] acknowledged exist after
/// any crash.
///
/// **A journal must never be replaced by an older copy.** With an older copy a correct validator
/// contradicts its own votes. So never restore it from a backup. Only [`Journal::create`] makes a
/// new one.
///
/// Every error of the storage is final: after a failed sync the content of the disk is unknown. So
/// the handle refuses further writes, and the node must stop. Reading stays possible.
///
/// The file grows until rows are collected. A full disk is a storage error.
#[derive(Debug)]
pub struct Journal {
    storage: Storage,
    chain_id: ChainId,
    size: Size,
}

/// Number and bytes of the rows.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    rows: u64,
    bytes: u64,
}

impl Size {
    fn add(&mut self, value: &[u8]) {
        self.rows += 1;
        self.bytes += row_bytes(value);
    }

    fn remove(&mut self, value: &[u8]) {
        self.rows -= 1;
        self.bytes -= row_bytes(value);
    }
}

fn row_bytes(value: &[u8]) -> u64 {
    (KEY_BYTES + value.len()) as u64
}

impl Journal {
    /// Creates an empty journal. Use it only for the first start of a validator. Only the owner may
    /// read the file.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Access`], [`StoreError::Failed`].
    pub fn create(path: impl AsRef<Path>, identity: &JournalIdentity) -> Result<Journal, StoreError> {
        let storage = file::create(FileKind::Journal, path.as_ref(), &encode(identity), make_table)?;
        Ok(Journal { storage, chain_id: identity.chain_id, size: Size::default() })
    }

    /// Like [`Journal::create`], on a backend that is not a file. It must be empty.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create_on(
        backend: impl StorageBackend,
        identity: &JournalIdentity,
    ) -> Result<Journal, StoreError> {
        let bytes = encode(identity);
        let storage = file::create_on(FileKind::Journal, backend, file::no_path(), &bytes, make_table)?;
        Ok(Journal { storage, chain_id: identity.chain_id, size: Size::default() })
    }

    /// Opens the journal of this validator, and compares every page with its checksum: about half a
    /// second for a gigabyte. A collected journal is much smaller.
    ///
    /// # Errors
    /// Those of [`StoreError`] that concern files. A missing file is [`StoreError::Missing`], never
    /// a new start. After [`StoreError::Damaged`] the validator must not vote.
    pub fn open(path: impl AsRef<Path>, identity: &JournalIdentity) -> Result<Journal, StoreError> {
        Journal::open_of(path, identity, &[])
    }

    /// Like [`Journal::open`], for a validator that has other keys, too. The journal belongs to the key
    /// of the epoch that it has records of: see [`Journal::start_over`].
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_of(
        path: impl AsRef<Path>,
        identity: &JournalIdentity,
        others: &[PublicKey],
    ) -> Result<Journal, StoreError> {
        Journal::over(file::open(FileKind::Journal, path.as_ref())?, identity, others)
    }

    /// The chain of a journal on disk, which is only read. Nothing else in it is checked.
    ///
    /// # Errors
    /// As [`Journal::open`], except for a journal of another chain or validator.
    pub fn chain_of(path: impl AsRef<Path>) -> Result<ChainId, StoreError> {
        let (storage, identity) = file::open_read_only(FileKind::Journal, path.as_ref())?;
        identity_in(&storage, &identity).map(|identity| identity.chain_id)
    }

    /// Like [`Journal::open`], on a backend that is not a file.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(backend: impl StorageBackend, identity: &JournalIdentity) -> Result<Journal, StoreError> {
        Journal::open_on_of(backend, identity, &[])
    }

    /// Like [`Journal::open_of`], on a backend that is not a file.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on_of(
        backend: impl StorageBackend,
        identity: &JournalIdentity,
        others: &[PublicKey],
    ) -> Result<Journal, StoreError> {
        Journal::over(file::open_on(FileKind::Journal, backend, file::no_path())?, identity, others)
    }

    fn over(
        (mut storage, found): (Storage, Vec<u8>),
        identity: &JournalIdentity,
        others: &[PublicKey],
    ) -> Result<Journal, StoreError> {
        check_identity(&storage, &found, identity, others)?;
        storage.check_pages()?;
        let mut journal = Journal { storage, chain_id: identity.chain_id, size: Size::default() };
        let mut size = Size::default();
        journal.visit(|_, value| size.add(value))?;
        journal.size = size;
        Ok(journal)
    }

    /// Writes rows and deletes those of heights from 1 to `collect_through`, in one transaction and
    /// with one sync. When it returns, all changes survive a power loss. After a crash during the
    /// call, either all of them or none exist.
    ///
    /// Deletion comes first: a row given here stays, whatever its height. If there is nothing to
    /// do, nothing is synced.
    ///
    /// # Errors
    /// [`StoreError::RowTooLarge`] changes nothing. Every other error is final: the node must stop.
    pub fn write(&mut self, rows: &[Row<'_>], collect_through: Option<Height>) -> Result<(), StoreError> {
        self.replace(&[], rows, collect_through)
    }

    /// Like [`Journal::write`], and deletes the rows with the keys `gone`, which need not exist. A
    /// row that is both deleted and written stays.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn replace(
        &mut self,
        gone: &[RowKey],
        rows: &[Row<'_>],
        collect_through: Option<Height>,
    ) -> Result<(), StoreError> {
        let collect_through = collect_through.filter(|through| *through > Height(0));
        if rows.is_empty() && gone.is_empty() && collect_through.is_none() {
            return Ok(());
        }
        check_lengths(rows)?;
        let mut size = self.size;
        self.storage.write(Durable::Now, |transaction| {
            let mut table = transaction.open_table(ROWS)?;
            if let Some(through) = collect_through {
                let (first, last) = (RowKey::first_of(Height(1)), RowKey::last_of(through));
                table.retain_in::<&[u8; KEY_BYTES], _>(&first..=&last, |_, value| {
                    size.remove(value);
                    false
                })?;
            }
            for key in gone {
                if let Some(removed) = table.remove(&key.to_bytes())? {
                    size.remove(removed.value());
                }
            }
            for row in rows {
                let replaced = table.insert(&row.key.to_bytes(), row.value.as_ref())?;
                if let Some(replaced) = replaced {
                    size.remove(replaced.value());
                }
                size.add(&row.value);
            }
            Ok(())
        })?;
        self.size = size;
        Ok(())
    }

    /// Replaces all rows by these, in one transaction and with one sync. A new epoch starts so: the
    /// records of the epoch before promise nothing in it. From now on the journal belongs to this
    /// validator, whose key may have been replaced.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn start_over(&mut self, validator: PublicKey, rows: &[Row<'_>]) -> Result<(), StoreError> {
        check_lengths(rows)?;
        let identity = encode(&JournalIdentity { chain_id: self.chain_id, validator });
        let mut size = Size::default();
        self.storage.write(Durable::Now, |transaction| {
            file::replace_identity(transaction, &identity)?;
            let mut table = transaction.open_table(ROWS)?;
            table.retain(|_, _| false)?;
            for row in rows {
                table.insert(&row.key.to_bytes(), row.value.as_ref())?;
                size.add(&row.value);
            }
            Ok(())
        })?;
        self.size = size;
        Ok(())
    }

    /// All rows in the order of their keys, for the start of a node. Takes as much memory as
    /// [`Journal::bytes`] returns.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::Failed`].
    pub fn rows(&self) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let mut rows = Vec::new();
        self.visit(|key, value| rows.push((key, value.to_vec())))?;
        Ok(rows)
    }

    fn visit(&self, mut row: impl FnMut(RowKey, &[u8])) -> Result<(), StoreError> {
        self.storage.read(|transaction| {
            for entry in transaction.open_table(ROWS)?.iter()? {
                let (key, value) = entry?;
                row(RowKey::from_bytes(key.value()), value.value());
            }
            Ok(())
        })
    }

    /// Number of rows.
    pub fn row_count(&self) -> u64 {
        self.size.rows
    }

    /// Bytes of all keys and values. The file is larger, and does not shrink.
    pub fn bytes(&self) -> u64 {
        self.size.bytes
    }
}

fn check_lengths(rows: &[Row<'_>]) -> Result<(), StoreError> {
    match rows.iter().map(|row| row.value.len()).max() {
        Some(bytes) if bytes > MAX_ROW_BYTES => Err(StoreError::RowTooLarge { bytes, limit: MAX_ROW_BYTES }),
        _ => Ok(()),
    }
}

fn identity_in(storage: &Storage, bytes: &[u8]) -> Result<JournalIdentity, StoreError> {
    decode(bytes).map_err(|error| storage.name(Fault::damaged(format!("the identity: {error}"))))
}

fn check_identity(
    storage: &Storage,
    found: &[u8],
    expected: &JournalIdentity,
    others: &[PublicKey],
) -> Result<(), StoreError> {
    let path = storage.path().to_owned();
    let found = identity_in(storage, found)?;
    if found.chain_id != expected.chain_id {
        return Err(StoreError::OtherChain { path, found: found.chain_id, expected: expected.chain_id });
    }
    if found.validator != expected.validator && !others.contains(&found.validator) {
        return Err(StoreError::OtherValidator {
            path,
            found: found.validator,
            expected: expected.validator,
        });
    }
    Ok(())
}

/// Creates the table, because reading does not.
fn make_table(transaction: &WriteTransaction) -> Result<(), Fault> {
    transaction.open_table(ROWS)?;
    Ok(())
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
