//! The room that is left to write to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A node with less room than this is not ready. It goes on as long as it can write, and stops when it cannot: nothing is
/// said that was not written before.
pub(crate) const LEAST_FREE_BYTES: u64 = 256 << 20;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// A file system that has not answered for so long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the system again and again, on a thread of its own: a file system that hangs, as one over a network can, holds up
/// nobody else.
#[derive(Debug)]
pub(crate) struct Disk {
    latest: Mutex<Look>,
}

/// What was seen, and when.
#[derive(Debug, Clone, Copy)]
struct Look {
    free: Option<u64>,
    at: Instant,
}

/// What is known of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Bytes that can still be written.
    Free(u64),
    /// The system does not say.
    Unknown,
    /// The system has not answered for so long.
    Hangs(Duration),
}

impl Disk {
    /// Looks once, and from then on until the answer is dropped.
    ///
    /// # Errors
    /// If there can be no thread.
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
            (age, _) if age > PATIENCE => Room::Hangs(age),
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

/// What an ordinary user may still write to the file systems that hold these files, to the fullest of them; `None` if the
/// system does not say.
fn free_bytes(files: &[impl AsRef<Path>]) -> Option<u64> {
    let free = |file: &Path| {
        let system = rustix::fs::statvfs(file).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    };
    files.iter().filter_map(|file| free(file.as_ref())).min()
}

impl Room {
    /// Whether there is room enough, and a sentence about it.
    pub(crate) fn check(self) -> (bool, String) {
        let least = LEAST_FREE_BYTES >> 20;
        match self {
            Room::Free(free) if free < LEAST_FREE_BYTES => (
                false,
                format!(
                    "{} MiB are left to write to, fewer than {least}: make room, or the node will stop",
                    free >> 20
                ),
            ),
            Room::Free(free) => (true, format!("{} MiB are left to write to", free >> 20)),
            Room::Unknown => (true, "the system does not say how much room is left".to_owned()),
            Room::Hangs(age) => {
                (false, format!("the file system has not answered for {} s: look at the disk", age.as_secs()))
            }
        }
    }

    /// Bytes that can still be written, as far as known.
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
    fn a_nearly_full_disk_is_told_before_it_is_full() {
        assert!(Room::Free(LEAST_FREE_BYTES).check().0);
        let (ok, text) = Room::Free(LEAST_FREE_BYTES - 1).check();
        assert!(!ok && text.starts_with("255 MiB are left"), "{text}");
        assert!(Room::Unknown.check().0, "what is not known is not held against it");
    }

    #[test]
    fn a_file_system_that_does_not_answer_is_told() {
        let then = Instant::now().checked_sub(PATIENCE + Duration::from_secs(1)).unwrap();
        let disk = Disk { latest: Mutex::new(Look { free: Some(u64::MAX), at: then }) };
        let (ok, text) = disk.room().check();
        assert!(!ok && text.contains("has not answered for 21 s"), "{text}");
        assert_eq!(disk.room().free(), None);
    }

    #[test]
    fn the_system_says_how_much_room_is_left() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let disk = Disk::watch(vec![here.clone()]).unwrap();
        assert!(disk.room().free().is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&[here.join("no such file")]), None);
    }
}
