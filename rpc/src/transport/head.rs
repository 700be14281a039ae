//! Checks the head of a request before it is handled.

use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{StatusCode, Version};
use quorate_api::{ErrorKind, RpcError};

use crate::json_rpc::RequestRefusal;

/// Most headers of a request.
pub(crate) const MAX_HEADERS: usize = 64;

/// Most bytes of a request's first line and headers together.
pub(crate) const MAX_HEAD_BYTES: usize = 32 << 10;

/// Refuses heads that are too long, and HTTP/1.1 without exactly one valid `Host`.
///
/// # Errors
/// 431 and 400, by RFC 6585, 5 and RFC 9112, 3.2.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), RequestRefusal> {
    let headers = request.headers();
    // Includes blanks, the version and line ends.
    let line = request.method().as_str().len() + request.uri().to_string().len() + 12;
    let bytes =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + line;
    if bytes > MAX_HEAD_BYTES {
        let message =
            format!("the head of the request has {bytes} bytes, but at most {MAX_HEAD_BYTES} are accepted");
        let error = RpcError::new(ErrorKind::RequestTooLarge, message).detail("limit", MAX_HEAD_BYTES);
        return Err(RequestRefusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let is_good = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().unwrap_or_default();
            // An empty Host is allowed if the target has no authority.
            host.is_empty()
                || host.parse::<Authority>().is_ok_and(|authority| !authority.as_str().contains('@'))
        }
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_good {
        return Ok(());
    }
    let error =
        RpcError::new(ErrorKind::InvalidRequest, "a request of HTTP/1.1 needs exactly one valid Host");
    Err(RequestRefusal::new(StatusCode::BAD_REQUEST, error))
}
