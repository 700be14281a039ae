//! What redb reads and writes instead of a plain file.

pub(crate) mod forgetful_disk;
mod pages;
pub(crate) mod read_only;
