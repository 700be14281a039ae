//! Metrics of other nodes and of the network.

use super::{VALIDATOR, count, counter, gauge, seconds};
use crate::runtime::metrics::read::Reading;

/// Other validators, observers, and the network.
pub(super) const PEERS: &[Reading] = &[
    gauge("quorate_peer_connected", VALIDATOR, "1 while this validator is connected.", |facts, samples| {
        facts.validators().for_each(|(name, peer)| samples.says(name, peer.connected));
    }),
    gauge(
        "quorate_clock_ahead_seconds",
        VALIDATOR,
        "This node's clock minus that of this validator, from its proposals of the last two minutes, including their time in \
         transit. Only primaries propose, so few validators have a sample. If it is far from 0, one of the two clocks is wrong.",
        |facts, samples| {
            for peer in &facts.peers {
                if let Some(ahead) = peer.clock_ahead_ms {
                    let name = peer.name.as_deref().unwrap_or_default();
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a difference of clocks needs no 53 bits"
                    )]
                    samples.of(name, ahead as f64 / 1000.0);
                }
            }
        },
    ),
    gauge(
        "quorate_peer_blocks_behind",
        VALIDATOR,
        "Blocks that this validator was behind this node when it last reported its height.",
        |facts, samples| {
            for peer in &facts.peers {
                if let Some(behind) = peer.blocks_behind {
                    samples.counts_of(peer.name.as_deref().unwrap_or_default(), behind);
                }
            }
        },
    ),
    gauge(
        "quorate_peer_committed_height",
        VALIDATOR,
        "Height that this validator last reported as committed; this node's own height if the validator reported more and sent no blocks.",
        |facts, samples| {
            for (name, peer) in facts.validators() {
                peer.committed_height.into_iter().for_each(|height| samples.counts_of(name, height));
            }
        },
    ),
    gauge(
        "quorate_peer_round_trip_seconds",
        VALIDATOR,
        "Round trip of the last heartbeat, including the wait behind other messages.",
        |facts, samples| {
            for (name, peer) in facts.validators() {
                let micros = peer.round_trip_us.into_iter();
                micros.for_each(|micros| samples.of(name, seconds(micros) / 1000.0));
            }
        },
    ),
    gauge(
        "quorate_peer_messages_waiting",
        VALIDATOR,
        "Messages that wait to be sent to this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, count(link.messages_waiting)));
        },
    ),
    counter(
        "quorate_peer_messages_dropped_total",
        VALIDATOR,
        "Messages to this validator that were dropped here: its queue was full, or it was not connected.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.messages_dropped));
        },
    ),
    counter(
        "quorate_peer_received_bytes_total",
        VALIDATOR,
        "Bytes of direct messages received from this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.bytes_in));
        },
    ),
    counter(
        "quorate_peer_sent_bytes_total",
        VALIDATOR,
        "Bytes of direct messages sent to this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.bytes_out));
        },
    ),
    gauge("quorate_observers_connected", &[], "Connected observers.", |facts, samples| {
        let connected = facts.peers.iter().filter(|peer| peer.index.is_none() && peer.connected);
        samples.counts(count(connected.count()));
    }),
    counter(
        "quorate_network_events_total",
        &["event"],
        "Events of the peer-to-peer network; they are listed below.",
        |facts, samples| {
            facts.traffic.each().for_each(|(event, times)| samples.counts_of(event, times));
        },
    ),
];
