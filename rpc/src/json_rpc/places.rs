//! Places for requests that run or wait.
//!
//! Requests that wait must not exclude others: when a node has problems, its clients wait longest,
//! and just then its operator queries its state. Therefore each kind of request may take all places
//! except those reserved for lighter kinds.

use quorate_api::{ADMIN_METHODS, Method};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::request::Message;

/// What a request does with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Reads memory only: the state of the node, and administration.
    Light,
    /// Reads the ledger, and may wait for other reads.
    Reads,
    /// Waits for the outcome of a transaction.
    Waits,
}

/// Methods that read memory, or one page of the ledger.
const LIGHT: &[&str] = &[
    "chain_head",
    "consensus_explain",
    "consensus_state",
    "mempool_status",
    "network_validators",
    "node_peers",
    "node_status",
    "node_version",
];

impl Load {
    /// The load of a message is that of its heaviest call.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        message.calls().map(|call| Load::of_method(&call.method)).max().unwrap_or(Load::Light)
    }

    fn of_method(name: &str) -> Self {
        match name {
            "tx_submit" => Load::Waits,
            light if LIGHT.contains(&light) || Method::find(ADMIN_METHODS, light).is_some() => Load::Light,
            _ => Load::Reads,
        }
    }
}

/// As many places as requests may run at a time. An eighth of them is reserved for light requests,
/// and another eighth for requests that do not wait for transactions.
#[derive(Debug)]
pub(crate) struct Places {
    all: Semaphore,
    heavy: Semaphore,
    waiting: Semaphore,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _permits: [Option<SemaphorePermit<'a>>; 3],
}

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        let share = places / 8;
        Places {
            all: Semaphore::new(places),
            heavy: Semaphore::new(places - share),
            waiting: Semaphore::new(places - 2 * share),
        }
    }

    /// Whether no place is free for any request.
    pub(crate) fn is_full(&self) -> bool {
        self.all.available_permits() == 0
    }

    /// A place for a request, if one is free.
    ///
    /// # Errors
    /// The reason, for people.
    pub(crate) fn take(&self, load: Load) -> Result<Place<'_>, &'static str> {
        let waiting = permit(&self.waiting, load >= Load::Waits);
        let waiting = waiting.ok_or("its limit of requests that wait for transactions is reached")?;
        let heavy = permit(&self.heavy, load >= Load::Reads);
        let place = heavy.zip(permit(&self.all, true));
        let (heavy, place) = place.ok_or("its limit of concurrent requests is reached")?;
        Ok(Place { _permits: [waiting, heavy, place] })
    }
}

/// A permit if one is needed; `None` if none is left.
fn permit(semaphore: &Semaphore, is_needed: bool) -> Option<Option<SemaphorePermit<'_>>> {
    if is_needed { semaphore.try_acquire().ok().map(Some) } else { Some(None) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_api::METHODS;

    use super::super::request::parse;
    use super::*;

    #[test]
    fn each_kind_of_request_leaves_places_for_lighter_ones() {
        let places = Places::new(16);
        let fill = |load| std::iter::from_fn(|| places.take(load).ok()).collect::<Vec<_>>();
        let waiting = fill(Load::Waits);
        let reading = fill(Load::Reads);
        let light = fill(Load::Light);
        assert_eq!((waiting.len(), reading.len(), light.len()), (12, 2, 2));
        assert!(places.is_full());
        // Places that are free go to any kind up to its own limit.
        drop((waiting, light));
        assert_eq!(fill(Load::Reads).len(), 12);
        drop(reading);
        assert_eq!(fill(Load::Waits).len(), 12);
        assert_eq!(fill(Load::Light).len(), 16);
    }

    #[test]
    fn a_node_with_one_place_gives_it_to_any_request() {
        for load in [Load::Light, Load::Reads, Load::Waits] {
            let places = Places::new(1);
            let taken = places.take(load).unwrap();
            assert!(places.is_full() && places.take(Load::Light).is_err());
            drop(taken);
            assert!(places.take(Load::Waits).is_ok());
        }
    }

    #[test]
    fn a_message_is_as_heavy_as_its_heaviest_call() {
        let load = |text: &str| Load::of(&parse(text.as_bytes(), 10).unwrap());
        let call = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let [light, reads, waits] = ["node_status", "chain_block", "tx_submit"].map(call);
        assert_eq!((load(&light), load(&reads), load(&waits)), (Load::Light, Load::Reads, Load::Waits));
        assert_eq!(load(&format!("[{light},{waits},{reads}]")), Load::Waits);
        assert_eq!(load(&format!("[{light},{reads}]")), Load::Reads);
        assert_eq!(load("[1]"), Load::Light, "it only gets an error");
        let notification = r#"{"jsonrpc":"2.0","method":"tx_submit"}"#;
        assert_eq!(load(notification), Load::Waits, "a notification runs too");
    }

    #[test]
    fn light_methods_are_methods() {
        assert!(LIGHT.iter().all(|name| Method::find(METHODS, name).is_some()));
    }
}
