//! The names that clients may use for the node in `Host`.
//!
//! A page can make its own host name resolve to the node's address (DNS rebinding). Then the
//! browser treats the node as the page's own origin, and rules about origins do not apply. The name
//! in `Host` reveals such a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use quorate_api::{ErrorKind, RpcError, excerpt};

use crate::json_rpc::RequestRefusal;

/// Always the client's own machine; no page can make it resolve to another address.
const LOCALHOST: &str = "localhost";

/// The names that are allowed.
#[derive(Debug)]
pub(crate) struct Hosts {
    any: bool,
    listed: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(allowed: &[String]) -> Self {
        Hosts { any: allowed.iter().any(|host| host == "*"), listed: allowed.to_vec() }
    }

    /// Refuses requests to other names. IP addresses are allowed, because DNS cannot change what
    /// they point to.
    fn check(&self, request: &Request) -> Result<(), RequestRefusal> {
        // The authority of an absolute target takes precedence over the header (RFC 9112, 3.2.2).
        let target = request.uri().authority().map(|authority| authority.as_str());
        let called = match (target, request.headers().get(HOST)) {
            (Some(target), _) => target,
            (None, Some(host)) => host.to_str().unwrap_or_default(),
            // Only HTTP/1.0 may omit it, which browsers do not use.
            (None, None) => return Ok(()),
        };
        if self.any || host_of(called).is_some_and(|host| self.allows(&host)) {
            return Ok(());
        }
        let message = format!(
            "this node has no name {:?}; use its IP address, or ask its operator to add the name to allowed_hosts",
            excerpt(called)
        );
        Err(RequestRefusal::new(StatusCode::FORBIDDEN, RpcError::new(ErrorKind::InvalidRequest, message)))
    }

    fn allows(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        address.parse::<IpAddr>().is_ok()
            || host == LOCALHOST
            || self.listed.iter().any(|listed| listed == host)
    }
}

/// The host without its port, in lower case and without a trailing dot.
fn host_of(called: &str) -> Option<String> {
    let authority: Authority = called.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// Admits only requests to the node's own names.
pub(crate) async fn check_host(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether an origin is the node itself under the name in `Host`, which was checked before.
pub(crate) fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(HOST).map(HeaderValue::to_str)) else {
        return false;
    };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::body::Body;

    use super::*;

    fn allows(hosts: &Hosts, host: &str) -> bool {
        hosts.check(&Request::get("/").header(HOST, host).body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn addresses_and_the_names_of_the_node_are_allowed() {
        let hosts = Hosts::new(&["node.example".to_owned()]);
        for own in [
            "127.0.0.1:8545",
            "10.1.2.3",
            "[::1]:8545",
            "localhost",
            "LOCALHOST:8545",
            "node.example:80",
            "Node.Example.",
        ] {
            assert!(allows(&hosts, own), "{own}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example",
            "node.example.evil",
            "127.0.0.1.evil.example",
            "",
            "a@localhost",
            "x y",
        ] {
            assert!(!allows(&hosts, other), "{other}");
        }
        assert!(allows(&Hosts::new(&["*".to_owned()]), "evil.example"));
    }

    #[test]
    fn the_target_takes_precedence_over_the_header() {
        let hosts = Hosts::new(&[]);
        let request = Request::get("http://evil.example/").header(HOST, "localhost").body(Body::empty());
        assert!(hosts.check(&request.unwrap()).is_err());
    }

    #[test]
    fn the_own_origin_is_the_host_with_its_port() {
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1:8545"))]);
        for (origin, own) in [
            ("http://127.0.0.1:8545", true),
            ("https://127.0.0.1:8545", true),
            ("http://127.0.0.1:8546", false),
            ("http://127.0.0.1", false),
            ("null", false),
            ("ftp://127.0.0.1:8545", false),
        ] {
            assert_eq!(is_own(&HeaderValue::from_static(origin), &headers), own, "{origin}");
        }
    }
}
