//! Replicas crash, and start again from their files.

mod old_files;
mod restarts;
mod restarts_in_view_changes;
