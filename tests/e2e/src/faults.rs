//! Clocks and disks of validators that tests make wrong.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::binary::quorate;
use crate::network::Network;

/// Names the file with what is added to the clock, in milliseconds.
const CLOCK: &str = "QUORATE_FAULT_CLOCK";

/// Names the file with how much longer each group of promises takes to write, in milliseconds.
const DISK: &str = "QUORATE_FAULT_DISK";

impl Network {
    /// Lets the clocks and disks of the validators, none of which runs yet, be made wrong.
    ///
    /// # Panics
    /// If the program was built without such faults.
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

    /// Sets a validator's clock so many milliseconds off, at once if it runs.
    pub fn set_clock_off(&self, index: usize, milliseconds: i64) {
        self.set_fault(CLOCK, index, &milliseconds.to_string());
    }

    /// Lets each group of a validator's promises take so much longer to write, at once if it runs.
    pub fn set_disk_delay(&self, index: usize, delay: Duration) {
        self.set_fault(DISK, index, &delay.as_millis().to_string());
    }

    fn set_fault(&self, name: &str, index: usize, value: &str) {
        // Never half of a number.
        let (file, new) = (self.fault_file(name, index), self.directory().join("fault.new"));
        fs::write(&new, value).expect("the file can be written");
        fs::rename(&new, &file).expect("the file can be renamed");
    }
}
