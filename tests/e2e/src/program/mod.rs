//! The program under test: its file, its commands that end, and its processes that run.

pub(crate) mod binary;
pub(crate) mod command;
pub(crate) mod process;
