//! The room that is left to write to.

use std::path::Path;

/// A node with less room than this is not ready. It goes on as long as it can write, and stops when it cannot: nothing is
/// said that was not written before.
pub(crate) const LEAST_FREE_BYTES: u64 = 256 << 20;

/// What an ordinary user may still write to the file systems that hold these files, to the fullest of them; `None` if the
/// system does not say.
pub(crate) fn free_bytes<'a>(files: impl IntoIterator<Item = &'a Path>) -> Option<u64> {
    let free = |file| {
        let system = rustix::fs::statvfs(file).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    };
    files.into_iter().filter_map(free).min()
}

/// Whether there is room enough, and a sentence about it.
pub(crate) fn check(free: Option<u64>) -> (bool, String) {
    let least = LEAST_FREE_BYTES >> 20;
    match free {
        Some(free) if free < LEAST_FREE_BYTES => (
            false,
            format!(
                "{} MiB are left to write to, fewer than {least}: make room, or the node will stop",
                free >> 20
            ),
        ),
        Some(free) => (true, format!("{} MiB are left to write to", free >> 20)),
        None => (true, "the system does not say how much room is left".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearly_full_disk_is_told_before_it_is_full() {
        assert!(check(Some(LEAST_FREE_BYTES)).0);
        let (ok, text) = check(Some(LEAST_FREE_BYTES - 1));
        assert!(!ok && text.starts_with("255 MiB are left"), "{text}");
        assert!(check(None).0, "what is not known is not held against it");
    }

    #[test]
    fn the_system_says_how_much_room_is_left() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(free_bytes([here]).is_some_and(|free| free > 0));
        assert_eq!(free_bytes([&*here.join("no such file")]), None);
    }
}
