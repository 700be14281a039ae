//! Panics of the storage engine that become errors, and what the program prints about them.

use std::cell::Cell;
use std::panic;

thread_local! {
    /// Whether a panic of this thread becomes an error of this crate.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs work whose panics the caller catches and reports as errors.
pub(crate) fn silenced<T>(work: impl FnOnce() -> T) -> T {
    /// Puts the old value back, also when the work panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CAUGHT.set(self.0);
        }
    }
    let _restore = Restore(CAUGHT.replace(true));
    work()
}

/// Lets the process print nothing about panics that this crate catches; all others are printed as before.
///
/// redb answers some damage with a panic. The error that comes of it names the file and says what to do, so the text of the
/// panic before it would only confuse. Call it once, at the start of the program.
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
            assert!(CAUGHT.get(), "the inner end does not end the outer");
        });
        assert!(!CAUGHT.get());
        let caught = panic::catch_unwind(|| silenced(|| panic!("an impossible page")));
        assert!(caught.is_err() && !CAUGHT.get());
    }
}
