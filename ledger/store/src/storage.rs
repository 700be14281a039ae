//! One open file: transactions on it, and what happens when they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::error::{Fault, FileKind, StoreError};
use crate::panics::silenced;

/// When a transaction survives a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// With the next transaction that is durable.
    Later,
    /// When the call returns, for one sync. After a crash, opening walks the whole file.
    Now,
    /// When the call returns, for two syncs. After a crash, opening takes the same time at any size.
    NowAndQuickToOpen,
}

/// A redb database whose failures are final.
#[derive(Debug)]
pub(crate) struct Storage {
    database: Database,
    kind: FileKind,
    path: PathBuf,
    /// Set by the first failed write, and never reset.
    failed: AtomicBool,
    /// What reads have met.
    damage: Mutex<Option<Damage>>,
}

/// Damage that reads of an open file have met. Writes that meet damage are final and need no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What does not fit, as the first read that met it says. Names no path.
    pub reason: String,
    /// Reads that failed by damage, the first included.
    pub failed_reads: u64,
}

/// Runs what touches pages that may be damaged: redb answers some damage with a panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Whatever is half done inside stays inside: a reader's transaction is dropped, a writer's failure
    // poisons the storage, and a database that did not open is gone.
    catch_unwind(AssertUnwindSafe(|| silenced(work))).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Fault::damaged(format!("the storage engine gave up: {reason}")))
    })
}

impl Storage {
    pub(crate) fn new(database: Database, kind: FileKind, path: &Path) -> Self {
        Storage {
            database,
            kind,
            path: path.to_owned(),
            failed: AtomicBool::new(false),
            damage: Mutex::new(None),
        }
    }

    /// Looks at the newest transaction.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        guarded(|| look(&self.database.begin_read()?)).map_err(|fault| self.note(self.name(fault)))
    }

    /// Says which file it was.
    pub(crate) fn name(&self, fault: Fault) -> StoreError {
        fault.at(self.kind, &self.path)
    }

    /// Remembers damage.
    pub(crate) fn note(&self, error: StoreError) -> StoreError {
        if let StoreError::Damaged { reason, .. } = &error {
            let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
            let known = damage.get_or_insert_with(|| Damage { reason: reason.clone(), failed_reads: 0 });
            known.failed_reads = known.failed_reads.saturating_add(1);
        }
        error
    }

    /// The damage that reads have met since the file was opened.
    pub(crate) fn damage(&self) -> Option<Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the file in one transaction: completely, or with an error not at all.
    ///
    /// Every error is final, since a failed commit may or may not be on disk: what can be refused is refused
    /// before.
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

    /// Compares every page with its checksum. Takes time in proportion to the file, about half a second
    /// for a gigabyte.
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

    /// Where the file is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ForgetfulDisk;
    use crate::file;
    use crate::tables::META;

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

    /// A damaged page makes redb panic in the middle of a write, and then say that all is well.
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
