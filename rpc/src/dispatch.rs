//! Runs a checked request with jsonrpsee and reads its result.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use jsonrpsee::types::{ErrorObject, Id, Params};
use jsonrpsee::{ConnectionId, Extensions, MethodCallback, Methods};
use quorate_api::{ADMIN_METHODS, ErrorKind, Method, RpcError, STREAM_METHODS, excerpt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::meter::Meter;
use crate::parameters;
use crate::request::{Call, present};

/// jsonrpsee's error code for a response that is too large.
const OVERSIZED_RESPONSE: i32 = jsonrpsee::types::error::OVERSIZED_RESPONSE_CODE;

/// Runs methods.
#[derive(Debug, Clone)]
pub(crate) struct Dispatcher {
    methods: Methods,
    table: &'static [Method],
    max_response_bytes: usize,
    meter: Meter,
}

/// A response of jsonrpsee. Its id is a placeholder of this module.
#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorObject<'a>>,
}

impl Dispatcher {
    /// Runs only the methods of a table.
    pub(crate) fn new(
        methods: Methods,
        table: &'static [Method],
        max_response_bytes: usize,
        meter: Meter,
    ) -> Self {
        let described = methods.method_names().all(|name| Method::find(table, name).is_some());
        let served = table.iter().all(|method| methods.method(method.name).is_some());
        assert!(described && served, "the trait and the catalogue have the same methods");
        Dispatcher { methods, table, max_response_bytes, meter }
    }

    /// Runs one method to its end and passes its result to `take`, which avoids a copy of large
    /// ones.
    pub(crate) async fn run<T>(
        &self,
        call: &Call<'_>,
        take: impl FnOnce(&RawValue) -> T,
    ) -> Result<T, RpcError> {
        let (_running, began) = (self.meter.running(), Instant::now());
        let outcome = self.attempt(call, take).await;
        // Unknown names share one label to bound the metric's cardinality.
        let known = Method::find(self.table, &call.method).map_or("unknown", |method| method.name);
        self.meter.answered(known, began.elapsed(), outcome.as_ref().err().map(|error| error.data.kind));
        outcome
    }

    async fn attempt<T>(&self, call: &Call<'_>, take: impl FnOnce(&RawValue) -> T) -> Result<T, RpcError> {
        let unknown = || {
            let message = if Method::find(STREAM_METHODS, &call.method).is_some() {
                "subscriptions need a WebSocket: send this to /ws"
            } else if Method::find(ADMIN_METHODS, &call.method).is_some() {
                "administrative methods are served only at the node's admin socket, admin.sock in its home"
            } else {
                "there is no such method; the documentation lists them"
            };
            RpcError::new(ErrorKind::MethodNotFound, message).detail("method", excerpt(&call.method))
        };
        let method = Method::find(self.table, &call.method).ok_or_else(unknown)?;
        parameters::check(method, call.params)?;
        let Some(MethodCallback::Async(callback)) = self.methods.method(method.name) else {
            return Err(unknown());
        };
        let params = Params::new(call.params.map(RawValue::get)).into_owned();
        let running = callback(Id::Null, params, ConnectionId(0), self.max_response_bytes, Extensions::new());
        // A panic is a bug, or comes from damaged pages of the ledger file. It ends only this call.
        let Ok(response) = AssertUnwindSafe(running).catch_unwind().await else {
            tracing::error!(method = method.name, "a method panicked");
            return Err(internal());
        };
        let outcome: Outcome<'_> = serde_json::from_str(response.as_json().get()).map_err(|error| {
            tracing::error!(method = method.name, %error, "cannot read the response of jsonrpsee");
            internal()
        })?;
        match (outcome.result, outcome.error) {
            (Some(result), None) => Ok(take(result)),
            (_, Some(error)) if error.code() == OVERSIZED_RESPONSE => {
                Err(response_too_large(self.max_response_bytes))
            }
            (_, Some(error)) => Err(RpcError::from(&error)),
            (None, None) => Err(internal()),
        }
    }
}

pub(crate) fn internal() -> RpcError {
    RpcError::new(ErrorKind::Internal, "the node failed to respond; its log says why")
}

pub(crate) fn response_too_large(limit: usize) -> RpcError {
    let message = format!("the response would have more than {limit} bytes; request less at a time");
    RpcError::new(ErrorKind::ResponseTooLarge, message).detail("limit", limit)
}
