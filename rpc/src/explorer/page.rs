//! Parts of all pages: their frame, their headers, and the page for a problem.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use quorate_api::{ErrorKind, RpcError};
use serde_json::{Value, json};

use super::assets;
use super::text::Moment;
use crate::json_rpc::{Answer, Part, internal, overloaded};
use crate::limits::MemoryBudget;

/// Forbids content of other origins, inline scripts and styles, and embedding in another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Longest `Host` that is repeated in commands to copy.
const MAX_HOST_BYTES: usize = 255;

/// The parts of a page around its content.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) network: String,
    pub(super) chain_id: String,
    pub(super) node: String,
    pub(super) version: String,
    /// The folder of the assets.
    pub(super) assets: String,
    /// The page's entry in the navigation, if it has one.
    pub(super) here: &'static str,
    /// How `live.js` keeps it up to date: `stream`, `poll`, or not at all (empty).
    pub(super) live: &'static str,
    /// The node's address, for commands to copy.
    pub(super) url: String,
    /// Bodies of the JSON-RPC requests whose results the page shows.
    pub(super) calls: Vec<String>,
    /// When the page was made.
    pub(super) made: Moment,
}

impl Frame {
    pub(super) fn new(status: &quorate_api::NodeStatus, headers: &HeaderMap, here: &'static str) -> Self {
        Frame {
            network: status.network.clone(),
            chain_id: status.chain_id.to_string(),
            node: status.name.clone().unwrap_or_else(|| "a node without a name".to_owned()),
            version: status.version.clone(),
            assets: assets::folder(),
            here,
            live: "",
            url: url(headers),
            calls: Vec::new(),
            made: Moment::now(),
        }
    }

    /// Adds a request whose result the page shows.
    pub(super) fn call(mut self, method: &str, params: &Value) -> Self {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.calls.push(request.to_string());
        self
    }

    /// Sets how the page is kept up to date.
    pub(super) fn live(mut self, live: &'static str) -> Self {
        self.live = live;
        self
    }
}

/// The node's address as the browser used it. A value that cannot be a host is not repeated,
/// because users copy the commands into a shell.
fn url(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let host = host.filter(|host| host.len() <= MAX_HOST_BYTES && host.bytes().all(plain));
    format!("http://{}", host.unwrap_or("127.0.0.1:8545"))
}

/// The content of a page for a problem: what is wrong and what to do.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) advice: String,
    pub(super) retry_after_ms: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &str, text: String, advice: &str) -> Self {
        Problem { status, title: title.to_owned(), text, advice: advice.to_owned(), retry_after_ms: None }
    }
}

impl From<RpcError> for Problem {
    fn from(error: RpcError) -> Self {
        let (status, title, advice) = match error.kind() {
            ErrorKind::InvalidParams => {
                (StatusCode::BAD_REQUEST, "Invalid address", "Correct the address, or search.")
            }
            ErrorKind::Pruned => {
                (StatusCode::GONE, "No longer held here", "Use a node that keeps more of the chain.")
            }
            ErrorKind::RateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "Wait a moment and reload.")
            }
            ErrorKind::Overloaded | ErrorKind::Syncing | ErrorKind::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not now", "Wait a moment and reload, or use another node.")
            }
            ErrorKind::StorageDamaged => {
                (StatusCode::SERVICE_UNAVAILABLE, "Damaged on this node", "Use another node.")
            }
            _ => {
                let advice =
                    "Reload. If the problem persists, its operator finds more in the log of the node.";
                (StatusCode::INTERNAL_SERVER_ERROR, "The node failed to respond", advice)
            }
        };
        let retry_after_ms = error.data.retry_after_ms;
        Problem { retry_after_ms, ..Problem::new(status, title, error.message, advice) }
    }
}

/// A problem within the frame of a page.
#[derive(Template)]
#[template(path = "problem.html")]
pub(super) struct ProblemPage<'a> {
    pub(super) frame: Frame,
    pub(super) problem: &'a Problem,
}

/// A problem without a frame, for a request that was refused before any method ran.
#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    assets: String,
    problem: &'a Problem,
}

/// The response to a request that may not be served now.
pub(super) fn refused(error: RpcError) -> Response {
    let problem = Problem::from(error);
    let page = RefusedPage { assets: assets::folder(), problem: &problem };
    let mut response = match page.render() {
        Ok(text) => (problem.status, text).into_response(),
        Err(_) => problem.status.into_response(),
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    set_retry_after(&mut response, &problem);
    response
}

/// Sets `Retry-After` if the problem has a time.
pub(super) fn set_retry_after(response: &mut Response, problem: &Problem) {
    if let Some(milliseconds) = problem.retry_after_ms {
        let seconds = HeaderValue::from(milliseconds.div_ceil(1000));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
}

/// A page as a response, which holds a memory reservation if it is large.
pub(super) fn shown(memory: &MemoryBudget, status: StatusCode, page: &impl Template) -> Response {
    let text = match page.render() {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            return refused(internal());
        }
    };
    let Some(reservation) = memory.reserve(text.len()) else {
        return refused(overloaded("no memory is left for large responses"));
    };
    let mut response = Answer::from(Part::new(text, reservation)).into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// Adds the headers of all responses of the explorer. Pages must not be cached; assets have set
/// their own cache time.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (VARY, "accept"),
    ];
    for (name, value) in fixed {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether the client accepts HTML. Browsers name `text/html`; programs usually do not.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let html = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("text/html"));
        let refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
        html && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn browsers_are_distinguished_from_programs() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, TEXT/HTML ;q=0.1", true),
            ("*/*", false),
            ("text/html;q=0, text/plain", false),
            ("text/html;level=1; q=0.0", false),
            ("text/htmlx", false),
        ] {
            assert_eq!(wants_html(&headers("accept", accept)), html, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn errors_become_statuses_and_advice() {
        for (kind, status) in [
            (ErrorKind::InvalidParams, StatusCode::BAD_REQUEST),
            (ErrorKind::Pruned, StatusCode::GONE),
            (ErrorKind::RateLimited, StatusCode::TOO_MANY_REQUESTS),
            (ErrorKind::Overloaded, StatusCode::SERVICE_UNAVAILABLE),
            (ErrorKind::Syncing, StatusCode::SERVICE_UNAVAILABLE),
            (ErrorKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            (ErrorKind::StorageDamaged, StatusCode::SERVICE_UNAVAILABLE),
            (ErrorKind::Internal, StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let problem = Problem::from(RpcError::new(kind, "this node pruned block 6").retry_after_ms(1001));
            assert_eq!(problem.status, status, "{kind}");
            assert!(problem.text.contains("block 6") && !problem.advice.is_empty());
            let response = refused(RpcError::new(kind, "x").retry_after_ms(1001));
            assert_eq!(
                (response.status(), &response.headers()[RETRY_AFTER]),
                (status, &"2".parse().unwrap())
            );
        }
    }

    #[test]
    fn only_hosts_are_repeated_in_commands() {
        assert_eq!(url(&headers("host", "[::1]:8545")), "http://[::1]:8545");
        for odd in ["a;reboot", "a b", "$(x)", "a'b"] {
            assert_eq!(url(&headers("host", odd)), "http://127.0.0.1:8545", "{odd}");
        }
    }
}
