//! Handling of panics of the storage engine, which become errors.

use std::cell::Cell;
use std::panic;

thread_local! {
    /// Whether this crate catches a panic of this thread and returns an error.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs work whose panics the caller catches and reports as errors.
pub(crate) fn silenced<T>(work: impl FnOnce() -> T) -> T {
    /// Restores the old value, even if the work panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CAUGHT.set(self.0);
        }
    }
    let _restore = Restore(CAUGHT.replace(true));
    work()
}

/// Suppresses the output of panics that this crate catches; all others are printed as before.
///
/// redb panics on some damage. The resulting error names the file and the remedy, so the panic
/// message before it would only confuse. Call this function once, at the start of the program.
pub fn hide_caught_panics() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        if !CAUGHT.get() {
            others(information);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_panics_within_the_work_are_silenced() {
        assert!(!CAUGHT.get());
        silenced(|| {
            assert!(CAUGHT.get());
            silenced(|| assert!(CAUGHT.get()));
            assert!(CAUGHT.get(), "the end of the inner call does not end the outer one");
        });
        assert!(!CAUGHT.get());
        let caught = panic::catch_unwind(|| silenced(|| panic!("an impossible page")));
        assert!(caught.is_err() && !CAUGHT.get());
    }
}
