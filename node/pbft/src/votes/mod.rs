//! From a proposal to its certificate: the log of votes, and what follows from it.

pub(crate) mod certify;
pub(crate) mod prepared;
pub(crate) mod proposals;
pub(crate) mod slot;

use std::collections::BTreeMap;

use quorate_ledger::{Height, Verified, View};

use self::prepared::PreparedCertificate;
use self::slot::Slot;

/// The message log: proposals and votes above the committed chain.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By height first, so that committed heights can be split off.
    pub(crate) slots: BTreeMap<(Height, View), Slot>,
    /// For each open height the prepared certificate of the highest view: every later view must know them.
    pub(crate) prepared: BTreeMap<Height, Verified<PreparedCertificate>>,
}
