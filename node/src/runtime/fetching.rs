//! Requests of this node to validators.

use std::sync::Arc;

use quorate_engine::{CheckedRange, FetchResponse, RangeBlock, RangeError};
use quorate_ledger::{CertificateError, ReplicaId};
use quorate_network::{Network, PeerKey, RequestError};

use super::epoch::EpochView;

/// Sends an encoded request. The network limits how many are open for each member.
pub(crate) async fn request(network: &Network, peer: PeerKey, request: Vec<u8>) -> Outcome {
    outcome(network.request(peer, request.into()).await)
}

/// The blocks of a response, checked in the epoch of the request. `None` if they are invalid. `from`
/// is the member that sent them.
pub(crate) async fn checked_range(
    blocks: Vec<RangeBlock>,
    epoch: &Arc<EpochView>,
    from: ReplicaId,
) -> Option<CheckedRange> {
    let epoch = Arc::clone(epoch);
    // Hundreds of signatures and megabytes of hashing must not block a thread that serves sockets.
    let check = move || {
        CheckedRange::check(blocks, &epoch.engine.pbft.context)
            .inspect_err(|error| tell(error, epoch.members.name(from)))
            .ok()
    };
    tokio::task::spawn_blocking(check).await.ok().flatten()
}

/// Logs why blocks of a validator are not used.
fn tell(error: &RangeError, validator: &str) {
    match error {
        // The end of this node's epoch arrived after it had requested the blocks above.
        RangeError::Certificate(CertificateError::Epoch { .. }) => {
            tracing::debug!(validator, %error, "blocks of another epoch");
        }
        _ => tracing::warn!(validator, %error, "bad blocks"),
    }
}

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered(FetchResponse),
    /// The member did not respond, or its response cannot be decoded.
    None,
    /// Too many requests to this member are already open. This says nothing about the member.
    NotSent,
}

fn outcome(result: Result<impl AsRef<[u8]>, RequestError>) -> Outcome {
    match result {
        Ok(bytes) => quorate_ledger::decode(bytes.as_ref()).map_or(Outcome::None, Outcome::Answered),
        Err(error) => {
            tracing::debug!(%error, "a request to a validator was not answered");
            if matches!(error, RequestError::TooMany { .. }) { Outcome::NotSent } else { Outcome::None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_that_was_not_sent_is_not_a_missing_response() {
        let none: Result<&[u8], _> = Err(RequestError::TooMany { limit: 8 });
        assert_eq!(outcome(none), Outcome::NotSent);
        let none: Result<&[u8], _> = Err(RequestError::TimedOut { after: Duration::from_secs(1) });
        assert_eq!(outcome(none), Outcome::None);
        assert_eq!(outcome(Ok([255])), Outcome::None);
        assert_eq!(
            outcome(Ok(quorate_ledger::encode(&FetchResponse::Nothing))),
            Outcome::Answered(FetchResponse::Nothing)
        );
    }
}
