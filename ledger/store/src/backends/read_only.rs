//! Files that are only read, never written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::error::Fault;

/// The unit in which the overlay replaces bytes of a file.
const PAGE: u64 = 4096;

/// A backend for redb that never writes the file: what redb writes stays in memory and is dropped.
///
/// redb writes to every file it opens, at least to mark it as open, and it repairs a file that a
/// crash left. Its own read-only database refuses such a file and cannot compare pages with their
/// checksums. With this backend redb does both, without write permission for the file. Memory: the
/// pages that a repair rewrites, which are the map of free pages and the header (about 1 MB for
/// each 32 GB of file).
///
/// Locks are shared, so several processes may read at the same time, but none while a process
/// writes.
#[derive(Debug)]
pub(crate) struct ReadOnlyFile {
    file: FileBackend,
    overlay: RwLock<Overlay>,
}

#[derive(Debug)]
struct Overlay {
    /// The length that redb sees.
    length: u64,
    /// Bytes of the file that are still valid: what was cut off reads as zeros from then on.
    kept: u64,
    /// Rewritten pages by number.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl ReadOnlyFile {
    pub(crate) fn new(file: File) -> Result<Self, Fault> {
        let file = FileBackend::new(file)?;
        let length = file.len().map_err(redb::StorageError::from)?;
        Ok(ReadOnlyFile {
            file,
            overlay: RwLock::new(Overlay { length, kept: length, pages: BTreeMap::new() }),
        })
    }

    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        // No code panics while it holds this lock.
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file, with zeros for bytes that were cut off or never written.
    fn read_file(&self, kept: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let within = usize::try_from(kept.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (held, beyond) = out.split_at_mut(within);
        beyond.fill(0);
        if held.is_empty() { Ok(()) } else { self.file.read(offset, held) }
    }
}

impl Overlay {
    /// The end of a range, if it is within the file.
    fn end_of(&self, offset: u64, bytes: usize) -> io::Result<u64> {
        let end = u64::try_from(bytes).ok().and_then(|bytes| offset.checked_add(bytes));
        end.filter(|end| *end <= self.length).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The overlap of page `number` and the range from `offset` to `end`: the positions in the page,
/// and in the range.
fn overlap(number: u64, offset: u64, end: u64) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let begins = number * PAGE;
    let (from, to) = (offset.max(begins), end.min(begins + PAGE));
    let within = |position: u64, base: u64| usize::try_from(position - base).expect("ranges fit in memory");
    (within(from, begins)..within(to, begins), within(from, offset)..within(to, offset))
}

impl StorageBackend for ReadOnlyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.overlay().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = self.overlay();
        let end = overlay.end_of(offset, out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        self.read_file(overlay.kept, offset, out)?;
        for (number, page) in overlay.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let (in_page, in_range) = overlap(*number, offset, end);
            out[in_range].copy_from_slice(&page[in_page]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut overlay = self.overlay_mut();
        if length < overlay.length {
            let gone = overlay.pages.split_off(&length.div_ceil(PAGE));
            drop(gone);
            if let Some(page) = overlay.pages.get_mut(&(length / PAGE)) {
                let rest = usize::try_from(length % PAGE).expect("less than a page");
                page[rest..].fill(0);
            }
            overlay.kept = overlay.kept.min(length);
        }
        overlay.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut overlay = self.overlay_mut();
        let end = overlay.end_of(offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        for number in offset / PAGE..end.div_ceil(PAGE) {
            let (in_page, in_range) = overlap(number, offset, end);
            if !overlay.pages.contains_key(&number) {
                let mut page = vec![0; usize::try_from(PAGE).expect("a small number")];
                self.read_file(overlay.kept, number * PAGE, &mut page)?;
                overlay.pages.insert(number, page.into());
            }
            let page = overlay.pages.get_mut(&number).expect("it was just inserted");
            page[in_page].copy_from_slice(&data[in_range]);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
#[path = "read_only_tests.rs"]
mod tests;
