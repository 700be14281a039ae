//! Copies of validators' data on disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::network::Network;

impl Network {
    /// The directory with a validator's ledger and journal.
    pub fn data(&self, index: usize) -> PathBuf {
        self.validators()[index].home.join("data")
    }
}

/// Copies a directory with its contents.
///
/// # Panics
/// If a file or directory cannot be copied.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("the directory can be read") {
        let entry = entry.expect("the directory can be read");
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("the file can be copied");
        }
    }
}
