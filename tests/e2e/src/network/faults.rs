//! Injects wrong clocks and slow disks into validators.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::network::Network;
use crate::program::binary::quorate;

/// The variable with the path of the file whose value is added to the clock, in milliseconds.
const CLOCK: &str = "QUORATE_FAULT_CLOCK";

/// The variable with the path of the file whose value delays each write of a group of journal
/// records, in milliseconds.
const DISK: &str = "QUORATE_FAULT_DISK";

impl Network {
    /// Prepares clock and disk faults for the validators, none of which may run yet.
    ///
    /// # Panics
    /// If the program was built without faults.
    #[must_use]
    pub fn with_faults(mut self) -> Network {
        let program = fs::read(quorate()).expect("the program can be read");
        assert!(
            program.windows(CLOCK.len()).any(|bytes| bytes == CLOCK.as_bytes()),
            "{} has no faults compiled in: build it with `--features faults` (CONTRIBUTING.md says how)",
            quorate().display()
        );
        for index in 0..self.size() {
            for name in [CLOCK, DISK] {
                let file = self.fault_file(name, index).to_string_lossy().into_owned();
                self.set_variable(index, name, file);
            }
        }
        self
    }

    fn fault_file(&self, name: &str, index: usize) -> PathBuf {
        self.directory().join(format!("{name}-{index}"))
    }

    /// Sets the offset of a validator's clock in milliseconds; effective immediately if it runs.
    pub fn set_clock_off(&self, index: usize, milliseconds: i64) {
        self.set_fault(CLOCK, index, &milliseconds.to_string());
    }

    /// Sets the delay of each journal write of a validator; effective immediately if it runs.
    pub fn set_disk_delay(&self, index: usize, delay: Duration) {
        self.set_fault(DISK, index, &delay.as_millis().to_string());
    }

    fn set_fault(&self, name: &str, index: usize, value: &str) {
        // Replace the file atomically, so that the validator never reads a part of a number.
        let (file, new) = (self.fault_file(name, index), self.directory().join("fault.new"));
        fs::write(&new, value).expect("the file can be written");
        fs::rename(&new, &file).expect("the file can be renamed");
    }
}
