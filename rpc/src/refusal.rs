//! Requests that are refused before any method runs.

use std::time::Duration;

use axum::http::header::{HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use quorate_api::{ErrorKind, RpcError};
use serde_json::value::RawValue;

use crate::answer::{failure, json};

/// When to try again after a refusal for lack of capacity.
const OVERLOAD_RETRY_MS: u64 = 1000;

/// A request refused before any method ran.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: RpcError,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: RpcError) -> Self {
        Refusal { status, error, headers: Vec::new() }
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn overloaded(what: &str) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, overloaded(what))
    }

    pub(crate) fn rate_limited(wait: Duration) -> Self {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, rate_limited(wait))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after_ms = self.error.data.retry_after_ms;
        let mut response = json(self.status, failure(RawValue::NULL, &self.error));
        response.headers_mut().extend(self.headers);
        if let Some(milliseconds) = retry_after_ms {
            let seconds = HeaderValue::from(milliseconds.div_ceil(1000));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
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
