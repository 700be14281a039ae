//! Limits the number of streams, in all and for each address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::json_rpc::{RequestRefusal, overloaded};
use crate::limits::Client;
use crate::meter::{Inside, Meter};
use crate::transport::ConnectionPlace;

/// The places of streams.
#[derive(Debug)]
pub(crate) struct StreamSlots {
    all: Arc<Semaphore>,
    per_client: usize,
    /// At most as many entries as places.
    taken: Arc<Mutex<Taken>>,
    meter: Meter,
}

type Taken = HashMap<Client, usize>;

/// A place for one stream; free again when dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    _all: OwnedSemaphorePermit,
    _connection: Option<ConnectionPlace>,
    _counted: Inside,
    client: Option<Client>,
    taken: Arc<Mutex<Taken>>,
}

impl StreamSlots {
    pub(crate) fn new(all: usize, per_client: usize, meter: Meter) -> Self {
        StreamSlots { all: Arc::new(Semaphore::new(all)), per_client, taken: Arc::default(), meter }
    }

    /// Takes a place until the result is dropped. Without a client, as in a router without a
    /// server, only the total is limited.
    pub(crate) fn take(
        &self,
        client: Option<Client>,
        connection: Option<ConnectionPlace>,
    ) -> Result<StreamSlot, RequestRefusal> {
        let all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| RequestRefusal::overloaded("its limit of streams is reached"))?;
        if let Some(client) = client {
            let mut taken = lock(&self.taken);
            let count = taken.get(&client).copied().unwrap_or_default();
            if count >= self.per_client {
                let error = overloaded("its limit of streams for your address is reached");
                return Err(RequestRefusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    error.detail("limit", self.per_client),
                ));
            }
            taken.insert(client, count + 1);
        }
        Ok(StreamSlot {
            _all: all,
            _connection: connection,
            _counted: self.meter.stream(),
            client,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut taken = lock(&self.taken);
        match taken.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&client)),
        }
    }
}

/// Nothing that can panic runs while the lock is held.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::IpAddr;

    use super::*;

    fn client(address: &str) -> Option<Client> {
        Some(address.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn places_are_counted_for_each_client_and_released() {
        let slots = StreamSlots::new(3, 2, Meter::new());
        let (one, other) = (client("10.0.0.1"), client("10.0.0.2"));
        let first = slots.take(one, None).unwrap();
        let second = slots.take(one, None).unwrap();
        assert!(slots.take(one, None).is_err(), "two for each client");
        let third = slots.take(other, None).unwrap();
        assert!(slots.take(client("10.0.0.3"), None).is_err(), "three in all");
        drop(first);
        assert!(slots.take(one, None).is_ok());
        drop((second, third));
        assert!(slots.taken.lock().unwrap().is_empty(), "no client is left in the table");
    }

    #[test]
    fn a_stream_keeps_the_place_of_its_connection() {
        let places = Arc::new(Semaphore::new(1));
        let place = ConnectionPlace::new(Arc::clone(&places).try_acquire_owned().unwrap());
        let slot = StreamSlots::new(1, 1, Meter::new()).take(None, Some(place.clone())).unwrap();
        drop(place);
        assert_eq!(places.available_permits(), 0);
        drop(slot);
        assert_eq!(places.available_permits(), 1);
    }
}
