//! What happened since the start, in plain numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// One rising number.
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

/// Declares the public snapshot and the atomics behind it from one list, so that neither can forget
/// a field.
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
    /// Connections refused because the key belongs to neither a member nor an admitted observer.
    unknown_peers_refused,
    /// Incoming connections that did not prove an identity: malformed data, silence, a failed
    /// handshake.
    upgrades_failed,
    /// Incoming connections closed at once because too many were pending or established.
    incoming_over_limit,
    /// Connections closed because the member belongs to another network or has another protocol
    /// version.
    wrong_network,
    /// Connections closed because their member opened a newer one.
    connections_replaced,
    /// Connections closed because their member was silent, or did not open its direct stream.
    connections_silent,
    /// Connections closed because of a malformed or too long frame; streams closed because of a
    /// request above the limit.
    malformed_received,
    /// Attempts to connect.
    dials,
    /// Attempts to connect that failed.
    dials_failed,
    /// Lookups of members through other members.
    lookups,
    /// Direct messages that were passed to the node.
    messages_received,
    /// Direct messages written to a connection.
    messages_sent,
    /// Direct messages dropped because of a full queue, because their connection ended first, or
    /// because their sender is no member.
    messages_dropped,
    /// Direct messages for members that were not connected.
    messages_to_disconnected,
    /// Outgoing direct messages that were dropped because they exceed the limit.
    messages_oversized,
    /// Gossip messages that were passed to the node.
    gossip_received,
    /// Gossip messages dropped because the node had not processed enough of the earlier ones.
    gossip_dropped,
    /// Gossip messages published.
    gossip_sent,
    /// Gossip messages without a receiver, because no member had subscribed or all queues were
    /// full; they were sent over direct streams instead.
    gossip_without_receiver,
    /// Gossip messages with the same content as a recent one; they are not sent again.
    gossip_repeated,
    /// Gossip messages dropped because a member received them too slowly.
    gossip_slow_peer,
    /// Requests sent.
    requests_sent,
    /// Requests that ended without a response, for any reason.
    requests_failed,
    /// Requests that were passed to the node.
    requests_received,
    /// Requests of members that were refused: too many, dropped by the node, or with a response
    /// that was too long or late.
    requests_refused,
}
