//! Everything that happened, as one number: two runs with the same hash were the same run.

use std::fmt::{self, Write};
use std::time::Duration;

/// The hash of everything that happened so far. It can also print the timeline.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    shown: bool,
}

/// FNV-1a, 64 bits: traces need no protection against attacks.
#[derive(Debug)]
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    /// An empty trace. `shown` prints every line to the standard output.
    pub fn new(shown: bool) -> Self {
        Trace { hash: Fnv(0xcbf2_9ce4_8422_2325), shown }
    }

    /// Adds a line.
    pub fn note(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        writeln!(self.hash, "{} {line}", at.as_micros()).expect("hashing cannot fail");
        if self.shown {
            println!("{:>11.6} {line}", at.as_secs_f64());
        }
    }

    /// The hash of all lines.
    pub fn hash(&self) -> u64 {
        self.hash.0
    }
}
