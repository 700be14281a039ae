//! Answers requests of other nodes from the ledger.

pub(crate) mod blocks;
pub(crate) mod places;

use quorate_engine::FetchResponse;
use quorate_store::{LedgerReader, StoreError};

/// The result of a read of the ledger, or nothing if the read failed: the peer then asks another
/// member. The first error of a damaged ledger is logged as an error, later ones at debug level, so
/// that other nodes cannot flood the log.
pub(crate) fn served(ledger: &LedgerReader, read: Result<FetchResponse, StoreError>) -> FetchResponse {
    read.unwrap_or_else(|error| {
        if ledger.damage().is_some_and(|damage| damage.failed_reads > 1) {
            tracing::debug!(%error, "the ledger is damaged: a request of another node cannot be served");
        } else {
            tracing::error!(%error, "the ledger cannot be read, so a request of another node is not served");
        }
        FetchResponse::Nothing
    })
}
