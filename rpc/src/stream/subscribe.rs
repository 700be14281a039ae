//! `chain_subscribe` and `chain_unsubscribe`, which only a WebSocket serves.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quorate_api::{Method, RpcError, STREAM_METHODS};

use super::blocks::BlockSource;
use super::subscriptions::Subscription;
use crate::json_rpc::{Arguments, Call, Reply, overloaded};

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

impl SubscriptionMethods {
    pub(crate) fn new(source: BlockSource, limit: usize) -> Self {
        SubscriptionMethods { source, limit, ids: Mutex::default() }
    }

    /// Runs a method of streams; `None` for any other method. A new subscription is put into
    /// `begun`, to be started after the response was sent.
    pub(crate) fn call(
        &self,
        call: &Call<'_>,
        reply: Reply<'_>,
        begun: &Mutex<Vec<Subscription>>,
    ) -> Option<Result<String, RpcError>> {
        let method = Method::find(STREAM_METHODS, &call.method)?;
        let run = |mut arguments: Arguments<'_>| match method.name {
            "chain_subscribe" => reply.with(&self.subscribe(arguments.take()?, arguments.take()?, begun)?),
            _ => reply.with(&self.end(arguments.take()?)),
        };
        Some(Arguments::read(method, call.params).and_then(run))
    }

    fn subscribe(
        &self,
        from_height: Option<u64>,
        full: Option<bool>,
        begun: &Mutex<Vec<Subscription>>,
    ) -> Result<u64, RpcError> {
        let mut ids = lock(&self.ids);
        if ids.live.len() >= self.limit {
            let error = overloaded("this connection's limit of subscriptions is reached");
            return Err(error.detail("limit", self.limit));
        }
        let blocks = self.source.stream(from_height, full.unwrap_or(true))?;
        ids.last += 1;
        let id = ids.last;
        ids.live.insert(id);
        lock(begun).push(Subscription::new(id, blocks));
        Ok(id)
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
