//! The errors after which a node must stop.

use quorate_governance::ApplyError;
use quorate_ledger::Height;
use quorate_store::StoreError;

use crate::storage::open::OpenError;

/// Why a node must stop. It can be started again once the cause is removed.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// A file could not be read or written. The contents of the disk are unknown, and a node
    /// without reliable records must not vote.
    #[error(
        "storage failed, and a node that cannot remember must not vote: check the disk, then start the node again"
    )]
    Storage(#[source] StoreError),
    /// A certified block contradicts the governance state that this node computed.
    #[error(transparent)]
    Contradiction(StoreError),
    /// A certified block contradicts this chain (R12d). More than f members are faulty, or this
    /// ledger belongs to another chain.
    #[error(
        "FORK: a certified block at height {height} does not extend this node's chain; keep the data directory as evidence"
    )]
    Fork {
        /// The lowest height at which the two chains differ.
        height: Height,
    },
    /// A final block cannot be executed: the ledger cannot be read.
    #[error(
        "the final block {height} cannot be executed: {reason}; check the disk, then start the node again"
    )]
    NotExecuted {
        /// The height of the block.
        height: Height,
        /// Why.
        reason: ApplyError,
    },
    /// The journal cannot be understood, when its epoch begins.
    #[error(transparent)]
    Journal(OpenError),
    /// Another process signs with the same key, or the files of this process went back in time
    /// while it ran (R24c).
    #[error(
        "a second instance signs with this validator's key: find the second instance and stop it, then start this node again"
    )]
    SecondInstance,
}

impl From<OpenError> for Fatal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error.into(),
            other => Fatal::Journal(other),
        }
    }
}

impl From<StoreError> for Fatal {
    fn from(error: StoreError) -> Self {
        match error {
            contradicts @ StoreError::Contradicts { .. } => Fatal::Contradiction(contradicts),
            other => Fatal::Storage(other),
        }
    }
}
