//! Requests that are refused before any method runs.

use std::time::Duration;

use axum::http::header::{HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use quorate_api::RpcError;
use serde_json::value::RawValue;

use super::answer::{failure, json};
use super::error::{overloaded, rate_limited};

/// A request refused before any method ran.
#[derive(Debug)]
pub(crate) struct RequestRefusal {
    status: StatusCode,
    error: RpcError,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl RequestRefusal {
    pub(crate) fn new(status: StatusCode, error: RpcError) -> Self {
        RequestRefusal { status, error, headers: Vec::new() }
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn overloaded(what: &str) -> Self {
        RequestRefusal::new(StatusCode::SERVICE_UNAVAILABLE, overloaded(what))
    }

    pub(crate) fn rate_limited(wait: Duration) -> Self {
        RequestRefusal::new(StatusCode::TOO_MANY_REQUESTS, rate_limited(wait))
    }
}

impl IntoResponse for RequestRefusal {
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
