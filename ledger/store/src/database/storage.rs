//! One open file: its transactions, and the handling of failures.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::database::panics::silenced;
use crate::error::{Fault, FileKind, StoreError};

/// From when on a transaction survives a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// From the next durable transaction on.
    Later,
    /// When the call returns; costs one sync. After a crash, opening scans the whole file.
    Now,
    /// When the call returns; costs two syncs. After a crash, opening takes the same time for any
    /// size.
    NowAndQuickToOpen,
}

/// A redb database whose failures are final.
#[derive(Debug)]
pub(crate) struct Storage {
    database: OpenDatabase,
    kind: FileKind,
    path: PathBuf,
    /// Set by the first failed write, and never reset.
    failed: AtomicBool,
    /// The damage that reads have detected.
    damage: Mutex<Option<Damage>>,
}

/// A database until it is closed. Closing commits what is not durable yet, and redb panics if it meets
/// a damaged page then. Whatever closing fails to write is as after a crash.
#[derive(Debug)]
struct OpenDatabase(Option<Database>);

impl Deref for OpenDatabase {
    type Target = Database;
    fn deref(&self) -> &Database {
        self.0.as_ref().expect("the database is taken only when it is dropped")
    }
}

impl DerefMut for OpenDatabase {
    fn deref_mut(&mut self) -> &mut Database {
        self.0.as_mut().expect("the database is taken only when it is dropped")
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        let database = self.0.take();
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

/// Damage that reads of an open file have detected. A write that detects damage fails for good and
/// needs no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The inconsistency that the first failed read reported. Contains no path.
    pub reason: String,
    /// Number of reads that failed because of damage, including the first.
    pub failed_reads: u64,
}

/// Runs work that reads pages which may be damaged. redb panics on some damage; this function
/// returns such a panic as an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Unwind safety: no partly changed state remains. A reader's transaction is dropped, a writer's
    // failure poisons the storage, and a database that failed to open is dropped.
    catch_unwind(AssertUnwindSafe(|| silenced(work))).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Fault::damaged(format!("the storage engine failed: {reason}")))
    })
}

impl Storage {
    pub(crate) fn new(database: Database, kind: FileKind, path: &Path) -> Self {
        Storage {
            database: OpenDatabase(Some(database)),
            kind,
            path: path.to_owned(),
            failed: AtomicBool::new(false),
            damage: Mutex::new(None),
        }
    }

    /// Reads the state of the newest transaction.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        guarded(|| look(&self.database.begin_read()?)).map_err(|fault| self.note(self.name(fault)))
    }

    /// Adds the name of the file.
    pub(crate) fn name(&self, fault: Fault) -> StoreError {
        fault.at(self.kind, &self.path)
    }

    /// Records damage.
    pub(crate) fn note(&self, error: StoreError) -> StoreError {
        if let StoreError::Damaged { reason, .. } = &error {
            let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
            let known = damage.get_or_insert_with(|| Damage { reason: reason.clone(), failed_reads: 0 });
            known.failed_reads = known.failed_reads.saturating_add(1);
        }
        error
    }

    /// The damage that reads have detected since the file was opened.
    pub(crate) fn damage(&self) -> Option<Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the file in one transaction, either completely or, on an error, not at all.
    ///
    /// Every error is final, because a failed commit may or may not be on disk. So make all checks
    /// that can refuse before calling this.
    pub(crate) fn write<T>(
        &self,
        durable: Durable,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Poisoned { path: self.path.clone() });
        }
        guarded(|| self.commit(durable, change)).map_err(|fault| {
            self.failed.store(true, Ordering::Relaxed);
            self.name(fault)
        })
    }

    fn commit<T>(
        &self,
        durable: Durable,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(match durable {
            Durable::Later => Durability::None,
            Durable::Now | Durable::NowAndQuickToOpen => Durability::Immediate,
        })?;
        transaction.set_quick_repair(durable == Durable::NowAndQuickToOpen);
        match change(&transaction) {
            Ok(value) => {
                transaction.commit()?;
                Ok(value)
            }
            Err(fault) => {
                transaction.abort()?;
                Err(fault)
            }
        }
    }

    /// Compares every page with its checksum. Takes time in proportion to the size of the file,
    /// about half a second for a gigabyte.
    pub(crate) fn check_pages(&mut self) -> Result<(), StoreError> {
        guarded(|| {
            if self.database.check_integrity()? {
                Ok(())
            } else {
                Err(Fault::damaged("some pages do not match their checksums or are lost"))
            }
        })
        .map_err(|fault| fault.at(self.kind, &self.path))
    }

    /// The path of the file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ForgetfulDisk;
    use crate::database::file;
    use crate::database::tables::META;

    fn storage() -> Storage {
        file::create_on(FileKind::Ledger, ForgetfulDisk::new().attach(), file::no_path(), b"", |_| Ok(()))
            .unwrap()
    }

    fn insert(transaction: &WriteTransaction, name: &str) -> Result<(), Fault> {
        transaction.open_table(META)?.insert(name, b"value".as_slice())?;
        Ok(())
    }

    fn has(storage: &Storage, name: &str) -> bool {
        storage.read(|transaction| Ok(transaction.open_table(META)?.get(name)?.is_some())).unwrap()
    }

    /// A damaged page makes redb panic in the middle of a write, and afterwards redb reports no
    /// error.
    #[test]
    fn whatever_interrupts_a_write_undoes_it_and_ends_all_writing() {
        let interruptions: [fn() -> Result<(), Fault>; 2] =
            [|| panic!("an impossible page"), || Err(Fault::damaged("an impossible value"))];
        for interrupt in interruptions {
            let storage = storage();
            storage.write(Durable::Later, |transaction| insert(transaction, "before")).unwrap();
            let error = storage
                .write(Durable::Now, |transaction| {
                    insert(transaction, "half")?;
                    interrupt()
                })
                .unwrap_err();
            assert!(error.to_string().contains("an impossible"), "{error}");
            let error = storage.write(Durable::Now, |transaction| insert(transaction, "after")).unwrap_err();
            assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
            assert!(has(&storage, "before") && !has(&storage, "half") && !has(&storage, "after"));
        }
    }

    #[test]
    fn a_panic_while_reading_is_an_error_and_reading_goes_on() {
        let storage = storage();
        let read = storage.read(|_| -> Result<(), Fault> { panic!("an impossible page") });
        assert!(matches!(read, Err(StoreError::Damaged { .. })));
        assert!(has(&storage, "format"));
        storage.write(Durable::Now, |transaction| insert(transaction, "after")).unwrap();
    }
}
