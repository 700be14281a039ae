//! Counters of network events since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares the public snapshot and the atomics behind it from one list, so that both have the same
/// fields.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Totals over all peers since the start of the network.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct NetworkCounters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl NetworkCounters {
            /// The name of each counter and what it counts.
            pub const MEANINGS: &[(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),*).trim_ascii()),)*];

            /// Each counter by name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> NetworkCounters {
                NetworkCounters { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Connections refused because the key is neither a member's nor an admitted observer's.
    strangers_refused,
    /// Incoming connections that never proved an identity: garbage, silence, a broken handshake.
    upgrades_failed,
    /// Incoming connections closed at once because too many were pending or established.
    incoming_over_limit,
    /// Connections closed because the member belongs to another network, or speaks another protocol
    /// version.
    foreign_networks,
    /// Connections cut because their member reconnected on a newer one.
    connections_replaced,
    /// Connections closed because no byte arrived from their member within the timeout, or it never
    /// opened its direct stream.
    connections_silent,
    /// Connections closed because a peer sent a frame above the limit or a malformed one, or
    /// because an observer sent a message; and requests above the limit, which end only their
    /// stream.
    garbage_received,
    /// Attempts to connect.
    dials,
    /// Attempts to connect that failed.
    dials_failed,
    /// Members looked up through others.
    lookups,
    /// Direct messages that reached the layer above.
    messages_in,
    /// Direct messages written to a connection.
    messages_out,
    /// Direct messages dropped from a full queue, or still waiting when their connection ended.
    messages_dropped,
    /// Direct messages for members that were not connected.
    messages_unconnected,
    /// Direct messages that this node did not send because they exceed the limit.
    messages_oversized,
    /// Gossip messages that reached the layer above.
    gossip_in,
    /// Gossip messages dropped because the layer above had not taken enough of the earlier ones.
    gossip_dropped,
    /// Gossip messages published.
    gossip_out,
    /// Gossip messages that could not be gossiped, because no member subscribed or all their queues
    /// were full; they went over direct streams instead.
    gossip_unheard,
    /// Gossip messages with the content of a recent one; they are not sent again.
    gossip_repeated,
    /// Gossip messages dropped because a member was too slow to take them.
    gossip_slow_peer,
    /// Requests sent.
    requests_out,
    /// Requests that ended without an answer, for whatever reason.
    requests_failed,
    /// Requests that reached the layer above.
    requests_in,
    /// Requests of members that were refused: too many, dropped by the layer above, answer too long
    /// or late.
    requests_refused,
}
