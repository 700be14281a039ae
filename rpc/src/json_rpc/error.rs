//! Errors that many methods and requests can get.

use std::time::Duration;

use quorate_api::{ErrorKind, RpcError};

/// When to try again after a refusal for lack of capacity.
const OVERLOAD_RETRY_MS: u64 = 1000;

/// The error for a fault of the node, which the log describes.
pub(crate) fn internal() -> RpcError {
    RpcError::new(ErrorKind::Internal, "the node failed to respond; its log says why")
}

/// The error for a response that exceeds its limit.
pub(crate) fn response_too_large(limit: usize) -> RpcError {
    let message = format!("the response would have more than {limit} bytes; request less at a time");
    RpcError::new(ErrorKind::ResponseTooLarge, message).detail("limit", limit)
}

/// The error for too many requests, with the time until the next attempt.
pub(crate) fn rate_limited(wait: Duration) -> RpcError {
    // Rounded up, so that there are enough tokens when the client tries again.
    let milliseconds = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let message = format!(
        "too many requests from this address; try again in {milliseconds} ms, or at another node, and send \
         them more slowly"
    );
    RpcError::new(ErrorKind::RateLimited, message).retry_after_ms(milliseconds)
}

/// The error for lack of capacity.
pub(crate) fn overloaded(what: &str) -> RpcError {
    let message = format!("the node is busy: {what}; try again, here or at another node");
    RpcError::new(ErrorKind::Overloaded, message).retry_after_ms(OVERLOAD_RETRY_MS)
}
