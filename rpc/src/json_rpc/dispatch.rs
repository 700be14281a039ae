//! Runs a checked request.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use quorate_api::{ADMIN_METHODS, ErrorKind, Method, RpcError, STREAM_METHODS, excerpt};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::error::{internal, response_too_large};
use super::parameters::Arguments;
use super::request::Call;
use crate::meter::Meter;

/// Implements the methods of a table.
pub(crate) trait Service: Send + Sync {
    /// Runs a method of the table, and returns the text that `reply` makes of its result.
    fn run<'a>(
        &'a self,
        method: &'static str,
        arguments: Arguments<'a>,
        reply: Reply<'a>,
    ) -> BoxFuture<'a, Result<String, RpcError>>;
}

/// Runs the methods of a table.
pub(crate) struct Dispatcher {
    service: Arc<dyn Service>,
    table: &'static [Method],
    max_response_bytes: usize,
    meter: Meter,
}

impl Dispatcher {
    pub(crate) fn new(
        service: Arc<dyn Service>,
        table: &'static [Method],
        max_response_bytes: usize,
        meter: Meter,
    ) -> Self {
        Dispatcher { service, table, max_response_bytes, meter }
    }

    /// The reply to a request with this id; `None` for a notification.
    pub(crate) fn reply<'a>(&self, id: Option<&'a RawValue>) -> Reply<'a> {
        Reply { id, limit: self.max_response_bytes }
    }

    /// Runs one method to its end. Returns the text of the response object.
    pub(crate) async fn run(&self, call: &Call<'_>, reply: Reply<'_>) -> Result<String, RpcError> {
        let (_running, began) = (self.meter.running(), Instant::now());
        let outcome = self.attempt(call, reply).await;
        // Unknown names share one label to bound the metric's cardinality.
        let known = Method::find(self.table, &call.method).map_or("unknown", |method| method.name);
        self.meter.answered(known, began.elapsed(), outcome.as_ref().err().map(|error| error.data.kind));
        outcome
    }

    async fn attempt(&self, call: &Call<'_>, reply: Reply<'_>) -> Result<String, RpcError> {
        let method = Method::find(self.table, &call.method).ok_or_else(|| unknown(&call.method))?;
        let arguments = Arguments::read(method, call.params)?;
        // A panic is a bug, or comes from damaged pages of the ledger file. It ends only this call,
        // also if the service panics before it returns a future.
        let running = async { self.service.run(method.name, arguments, reply).await };
        AssertUnwindSafe(running).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(method = method.name, "a method panicked");
            Err(internal())
        })
    }
}

fn unknown(method: &str) -> RpcError {
    let message = if Method::find(STREAM_METHODS, method).is_some() {
        "subscriptions need a WebSocket: send this to /ws"
    } else if Method::find(ADMIN_METHODS, method).is_some() {
        "administrative methods are served only at the node's admin socket, admin.sock in its home"
    } else {
        "there is no such method; the documentation lists them"
    };
    RpcError::new(ErrorKind::MethodNotFound, message).detail("method", excerpt(method))
}

/// Makes the response object of a call from its result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    id: Option<&'a RawValue>,
    limit: usize,
}

impl Reply<'_> {
    /// The text of the response object with this result; empty for a notification.
    ///
    /// # Errors
    /// `response_too_large`, as soon as the text exceeds the limit.
    pub(crate) fn with(self, result: &impl Serialize) -> Result<String, RpcError> {
        let Some(id) = self.id else {
            return Ok(String::new());
        };
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#);
        let mut text = LimitedText { bytes: head.into_bytes(), limit: self.limit.saturating_sub(1) };
        serde_json::to_writer(&mut text, result).map_err(|error| {
            if error.is_io() {
                return response_too_large(self.limit);
            }
            tracing::error!(%error, "a result cannot be encoded");
            internal()
        })?;
        text.bytes.push(b'}');
        Ok(String::from_utf8(text.bytes).expect("JSON is UTF-8"))
    }
}

/// Text that refuses to grow beyond a limit, so that a large result ends early and takes no more
/// memory than a response may have.
struct LimitedText {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for LimitedText {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reply_has_at_most_as_many_bytes_as_its_limit() {
        let id = RawValue::from_string("7".to_owned()).unwrap();
        let whole = r#"{"jsonrpc":"2.0","id":7,"result":[1,2]}"#;
        let reply = |limit| Reply { id: Some(&id), limit }.with(&[1, 2]);
        assert_eq!(reply(whole.len()).unwrap(), whole);
        for limit in 0..whole.len() {
            assert_eq!(reply(limit).unwrap_err().kind(), ErrorKind::ResponseTooLarge, "{limit}");
        }
        assert_eq!(Reply { id: None, limit: 0 }.with(&[1, 2]).unwrap(), "", "a notification");
    }
}
