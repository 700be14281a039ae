//! How long a view may take (R15).

pub(crate) mod watch;
