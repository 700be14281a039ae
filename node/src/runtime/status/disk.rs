//! Watches the free space of the disks that the node writes to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// With less free space than this, a node is not ready. It continues as long as it can write and
/// stops when it cannot: no message is sent before its record is written.
pub(crate) const LEAST_FREE_BYTES: u64 = 256 << 20;

/// Interval between two reads.
const INTERVAL: Duration = Duration::from_secs(2);

/// After this time without a response, the file system counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the free space repeatedly on a thread of its own. A file system that hangs, such as a
/// network file system, then blocks no other thread.
#[derive(Debug)]
pub(crate) struct Disk {
    latest: Mutex<Look>,
}

/// The last reading and its time.
#[derive(Debug, Clone, Copy)]
struct Look {
    free: Option<u64>,
    at: Instant,
}

/// The state of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Bytes that can still be written.
    Free(u64),
    /// The system does not report the free space.
    Unknown,
    /// The system has not responded for this long.
    Hangs(Duration),
}

impl Disk {
    /// Reads the free space once, and then repeatedly until the returned value is dropped.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn watch(files: Vec<PathBuf>) -> std::io::Result<Arc<Self>> {
        let look = Look { free: free_bytes(&files), at: Instant::now() };
        let disk = Arc::new(Disk { latest: Mutex::new(look) });
        let watched = Arc::downgrade(&disk);
        std::thread::Builder::new().name("disk".to_owned()).spawn(move || run(&watched, &files))?;
        Ok(disk)
    }

    pub(crate) fn room(&self) -> Room {
        let look = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match (look.at.elapsed(), look.free) {
            (age, _) if age > TIMEOUT => Room::Hangs(age),
            (_, Some(free)) => Room::Free(free),
            (_, None) => Room::Unknown,
        }
    }
}

fn run(watched: &Weak<Disk>, files: &[PathBuf]) {
    while watched.strong_count() > 0 {
        std::thread::sleep(INTERVAL);
        let look = Look { free: free_bytes(files), at: Instant::now() };
        let Some(disk) = watched.upgrade() else { return };
        *disk.latest.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }
}

/// The space in bytes that an ordinary user may still use on the file systems of these files: that
/// of the fullest one. `None` if the system does not report it.
fn free_bytes(files: &[impl AsRef<Path>]) -> Option<u64> {
    let free = |file: &Path| {
        let system = rustix::fs::statvfs(file).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    };
    files.iter().filter_map(|file| free(file.as_ref())).min()
}

impl Room {
    /// Whether there is enough space, and a sentence about it.
    pub(crate) fn check(self) -> (bool, String) {
        let least = LEAST_FREE_BYTES >> 20;
        match self {
            Room::Free(free) if free < LEAST_FREE_BYTES => (
                false,
                format!(
                    "{} MiB of disk space are free, less than the required {least}: free disk space, or the \
                     node will stop",
                    free >> 20
                ),
            ),
            Room::Free(free) => (true, format!("{} MiB of disk space are free", free >> 20)),
            Room::Unknown => (true, "the system does not report the free disk space".to_owned()),
            Room::Hangs(age) => {
                (false, format!("the file system has not responded for {} s: check the disk", age.as_secs()))
            }
        }
    }

    /// Bytes that can still be written, if known.
    pub(crate) fn free(self) -> Option<u64> {
        match self {
            Room::Free(free) => Some(free),
            Room::Unknown | Room::Hangs(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_nearly_full_disk_is_reported_before_it_is_full() {
        assert!(Room::Free(LEAST_FREE_BYTES).check().0);
        let (ok, text) = Room::Free(LEAST_FREE_BYTES - 1).check();
        assert!(!ok && text.starts_with("255 MiB of disk space are free"), "{text}");
        assert!(Room::Unknown.check().0, "unknown free space is not a failure");
    }

    #[test]
    fn a_file_system_that_hangs_is_reported() {
        let then = Instant::now().checked_sub(TIMEOUT + Duration::from_secs(1)).unwrap();
        let disk = Disk { latest: Mutex::new(Look { free: Some(u64::MAX), at: then }) };
        let (ok, text) = disk.room().check();
        assert!(!ok && text.contains("has not responded for 21 s"), "{text}");
        assert_eq!(disk.room().free(), None);
    }

    #[test]
    fn the_system_reports_the_free_space() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let disk = Disk::watch(vec![here.clone()]).unwrap();
        assert!(disk.room().free().is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&[here.join("no such file")]), None);
    }
}
