//! How many streams there may be, in all and for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoint::{Refusal, overloaded};

/// The other side of a connection. The server puts it into every request; without it, as in a router that
/// stands alone, streams are counted for the node and not for each address.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// The connection's place, which a WebSocket keeps when the HTTP connection is over.
    pub(crate) connection: Arc<OwnedSemaphorePermit>,
}

/// The places of streams.
#[derive(Debug)]
pub(crate) struct StreamSlots {
    all: Arc<Semaphore>,
    per_address: usize,
    /// As many entries at most as there are places.
    taken: Arc<Mutex<Taken>>,
}

type Taken = HashMap<IpAddr, usize>;

/// A place for one stream; free again when dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    _all: OwnedSemaphorePermit,
    _connection: Option<Arc<OwnedSemaphorePermit>>,
    address: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

impl StreamSlots {
    pub(crate) fn new(all: usize, per_address: usize) -> Self {
        StreamSlots { all: Arc::new(Semaphore::new(all)), per_address, taken: Arc::default() }
    }

    pub(crate) fn take(&self, peer: Option<&Peer>) -> Result<StreamSlot, Refusal> {
        let all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| Refusal::overloaded("it serves as many streams as it may"))?;
        let address = peer.map(|peer| counted(peer.address));
        if let Some(address) = address {
            let mut taken = lock(&self.taken);
            let count = taken.get(&address).copied().unwrap_or_default();
            if count >= self.per_address {
                let error = overloaded("it serves as many streams to your address as it may");
                return Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    error.detail("limit", self.per_address),
                ));
            }
            taken.insert(address, count + 1);
        }
        let connection = peer.map(|peer| Arc::clone(&peer.connection));
        Ok(StreamSlot { _all: all, _connection: connection, address, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = lock(&self.taken);
        match taken.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&address)),
        }
    }
}

/// Nothing that can panic runs while it is held.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one IPv6 address has its whole network of 64 bits.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer(address: &str) -> Peer {
        let connection = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Peer { address: address.parse().unwrap(), connection: Arc::new(connection) }
    }

    #[test]
    fn places_are_counted_for_each_address_and_given_back() {
        let slots = StreamSlots::new(3, 2);
        let (one, other) = (peer("10.0.0.1"), peer("10.0.0.2"));
        let first = slots.take(Some(&one)).unwrap();
        let second = slots.take(Some(&one)).unwrap();
        assert!(slots.take(Some(&one)).is_err(), "two for each address");
        let third = slots.take(Some(&other)).unwrap();
        assert!(slots.take(Some(&peer("10.0.0.3"))).is_err(), "three in all");
        drop(first);
        assert!(slots.take(Some(&one)).is_ok());
        drop((second, third));
        assert!(slots.taken.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let slots = StreamSlots::new(10, 1);
        for (address, again) in
            [("2001:db8::1", "2001:db8::ffff:2"), ("10.0.0.1", "::ffff:10.0.0.1"), ("::1", "::2")]
        {
            let _held = slots.take(Some(&peer(address))).unwrap();
            assert!(slots.take(Some(&peer(again))).is_err(), "{address} and {again}");
            assert!(slots.take(Some(&peer("2001:db8:0:1::1"))).is_ok());
        }
    }
}
