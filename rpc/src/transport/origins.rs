//! The web pages that may use the interface from a browser.

use axum::http::header::{CONTENT_TYPE, HeaderName, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use quorate_api::{ErrorKind, RpcError};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::hosts::is_own;
use crate::json_rpc::RequestRefusal;

/// The header with which browsers resume a stream.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The origins in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    any: bool,
    listed: Vec<HeaderValue>,
}

impl Origins {
    pub(crate) fn new(allowed: &[String]) -> Self {
        let listed = allowed.iter().filter_map(|origin| origin.parse().ok()).collect();
        Origins { any: allowed.iter().any(|origin| origin == "*"), listed }
    }

    /// Refuses pages that are not allowed. The node's own origin is always allowed: the explorer
    /// has it, and clients that are not pages send it. Browsers let every page open WebSockets and
    /// event streams, and only hide the response, so pages of other origins could take all places
    /// of streams.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), RequestRefusal> {
        match headers.get(ORIGIN) {
            Some(origin) if !self.any && !self.listed.contains(origin) && !is_own(origin, headers) => {
                let message = "pages of this origin may not use this node; ask its operator to add the origin \
                               to allowed_origins";
                let error = RpcError::new(ErrorKind::InvalidRequest, message);
                Err(RequestRefusal::new(StatusCode::FORBIDDEN, error))
            }
            _ => Ok(()),
        }
    }

    /// CORS headers that give browsers the same rule for POST and GET; `None` if no origin is
    /// allowed.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let origins = match (self.any, self.listed.as_slice()) {
            (true, _) => AllowOrigin::any(),
            (false, []) => return None,
            (false, listed) => AllowOrigin::list(listed.iter().cloned()),
        };
        Some(
            CorsLayer::new()
                .allow_origin(origins)
                .allow_methods([Method::GET, Method::POST])
                .allow_headers([CONTENT_TYPE, LAST_EVENT_ID])
                .expose_headers([RETRY_AFTER]),
        )
    }
}
