//! `chain_subscribe` and `chain_unsubscribe`, which only a WebSocket serves.

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

/// Begins and ends the subscriptions of one connection.
#[derive(Debug)]
pub(crate) struct SubscriptionMethods {
    source: BlockSource,
    limit: usize,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    /// The last id that was assigned. No id is used twice on a connection.
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

impl SubscriptionMethods {
    pub(crate) fn new(source: BlockSource, limit: usize) -> Self {
        SubscriptionMethods { source, limit, ids: Mutex::default() }
    }

    /// Runs a method of streams; `None` for any other method. A new subscription is put into
    /// `begun`, to be started after the response was sent.
    pub(crate) fn call(
        &self,
        call: &Call<'_>,
        begun: &Mutex<Vec<Subscription>>,
    ) -> Option<Result<Box<RawValue>, RpcError>> {
        let method = Method::find(STREAM_METHODS, &call.method)?;
        let answered = match method.name {
            "chain_subscribe" => {
                parse(method, call.params).and_then(|parameters| self.subscribe(&parameters, begun))
            }
            _ => parse(method, call.params)
                .map(|parameters: Unsubscribe| self.end(parameters.subscription).to_string()),
        };
        Some(answered.map(|text| RawValue::from_string(text).expect("a number or a boolean is JSON")))
    }

    fn subscribe(
        &self,
        parameters: &Subscribe,
        begun: &Mutex<Vec<Subscription>>,
    ) -> Result<String, RpcError> {
        let mut ids = lock(&self.ids);
        if ids.live.len() >= self.limit {
            let error = overloaded("this connection's limit of subscriptions is reached");
            return Err(error.detail("limit", self.limit));
        }
        let blocks = self.source.stream(parameters.from_height, parameters.full.unwrap_or(true))?;
        ids.last += 1;
        let id = ids.last;
        ids.live.insert(id);
        lock(begun).push(Subscription::new(id, blocks));
        Ok(id.to_string())
    }

    /// Records that a subscription has ended. Returns whether it was live before.
    pub(crate) fn end(&self, id: u64) -> bool {
        lock(&self.ids).live.remove(&id)
    }

    /// Whether a subscription has begun and has not ended.
    pub(crate) fn is_live(&self, id: u64) -> bool {
        lock(&self.ids).live.contains(&id)
    }
}

/// Nothing that can panic runs while one of the locks is held.
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
