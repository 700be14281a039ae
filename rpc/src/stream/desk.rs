//! `chain_subscribe` and `chain_unsubscribe`, which only a WebSocket has.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quorate_api::{ErrorKind, Method, RpcError, STREAM_METHODS};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::blocks::BlockSource;
use super::subscriptions::Subscription;
use crate::parameters;
use crate::refusal::overloaded;
use crate::request::Call;

/// Gives out the subscriptions of one connection.
#[derive(Debug)]
pub(crate) struct Desk {
    source: BlockSource,
    limit: usize,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    /// The last that was given; none is given twice on a connection.
    last: u64,
    live: BTreeSet<u64>,
}

#[derive(Deserialize)]
struct Subscribe {
    #[serde(default)]
    from_height: Option<u64>,
    #[serde(default)]
    full: Option<bool>,
}

#[derive(Deserialize)]
struct Unsubscribe {
    subscription: u64,
}

impl Desk {
    pub(crate) fn new(source: BlockSource, limit: usize) -> Self {
        Desk { source, limit, ids: Mutex::default() }
    }

    /// Answers a method of streams; `None` if it is another one. What is subscribed to is put into `begun`,
    /// to be started once the answer has gone out.
    pub(crate) fn call(
        &self,
        call: &Call<'_>,
        begun: &Mutex<Vec<Subscription>>,
    ) -> Option<Result<Box<RawValue>, RpcError>> {
        let method = Method::find(STREAM_METHODS, &call.method)?;
        let answered = match method.name {
            "chain_subscribe" => parse(method, call.params).and_then(|wanted| self.subscribe(&wanted, begun)),
            _ => parse(method, call.params)
                .map(|wanted: Unsubscribe| self.end(wanted.subscription).to_string()),
        };
        Some(answered.map(|text| RawValue::from_string(text).expect("a number or a boolean is JSON")))
    }

    fn subscribe(&self, wanted: &Subscribe, begun: &Mutex<Vec<Subscription>>) -> Result<String, RpcError> {
        let mut ids = lock(&self.ids);
        if ids.live.len() >= self.limit {
            let error = overloaded("this connection has as many subscriptions as it may");
            return Err(error.detail("limit", self.limit));
        }
        let blocks = self.source.stream(wanted.from_height, wanted.full.unwrap_or(true))?;
        ids.last += 1;
        let id = ids.last;
        ids.live.insert(id);
        lock(begun).push(Subscription::new(id, blocks));
        Ok(id.to_string())
    }

    /// Takes note that a subscription is over, and tells whether it was not before.
    pub(crate) fn end(&self, id: u64) -> bool {
        lock(&self.ids).live.remove(&id)
    }

    /// Whether a subscription was begun and is not over.
    pub(crate) fn is_live(&self, id: u64) -> bool {
        lock(&self.ids).live.contains(&id)
    }
}

/// Nothing that can panic runs while one is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse<T: DeserializeOwned>(method: &Method, params: Option<&RawValue>) -> Result<T, RpcError> {
    parameters::check(method, params)?;
    serde_json::from_str(params.map_or("[]", RawValue::get)).map_err(|error| {
        let message = format!("invalid params for {}: {error}", method.name);
        RpcError::new(ErrorKind::InvalidParams, message)
    })
}
