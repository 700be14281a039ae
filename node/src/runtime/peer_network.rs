//! The peer-to-peer network of a node.

use anyhow::Context;
use quorate_engine::{EngineConfig, WireLimits};
use quorate_ledger::{MAX_MEMBERS, SecretKey};
use quorate_network::{Network, NetworkConfig, NetworkEvents, NetworkLimits, NetworkTiming};

use super::epoch::peer_lists::PeerLists;
use super::known_addresses;
use crate::config::Config;

/// Starts to listen and to connect to other nodes.
///
/// # Errors
/// Addresses that the node cannot listen on.
pub(crate) async fn start(
    config: &Config,
    engine: &EngineConfig,
    key: &SecretKey,
    lists: &PeerLists,
) -> anyhow::Result<(Network, NetworkEvents)> {
    let started = quorate_network::start(NetworkConfig {
        secret_key: key.to_bytes(),
        members: lists.members.clone(),
        observers: lists.observers.clone(),
        network_name: engine.pbft.context.chain.to_string(),
        listen: config.p2p_listen.clone(),
        advertise: config.p2p_advertise.clone(),
        bootstrap: config.p2p_bootstrap.clone(),
        known: known_addresses::read(&known_addresses::beside(&config.ledger)),
        limits: network_limits(engine),
        timing: NetworkTiming::default(),
    });
    started.await.context("cannot start the peer-to-peer network")
}

/// Limits of the network, derived from the configuration of the epoch so that no valid message
/// exceeds them. The network has them until the node ends, so they suffice for the largest
/// committee, too.
fn network_limits(engine: &EngineConfig) -> NetworkLimits {
    let context = &engine.pbft.context;
    let wire = WireLimits::of(&engine.pbft.limits, context.window, MAX_MEMBERS);
    let defaults = NetworkLimits::default();
    NetworkLimits {
        frame_bytes: wire.message,
        gossip_message_bytes: wire.gossip,
        request_bytes: wire.ask,
        response_bytes: wire.answer,
        outbound_bytes: defaults.outbound_bytes.max(4 * wire.message),
        inbound_bytes: defaults.inbound_bytes.max(4 * wire.message),
        gossip_bytes: defaults.gossip_bytes.max(4 * wire.gossip),
        publish_bytes: defaults.publish_bytes.max(4 * wire.gossip),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{
        MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_RANGE_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS,
    };
    use quorate_network::MESSAGE_BYTES_MAX;

    use super::*;

    /// The largest messages that a genesis allows must fit into the limits of the network.
    #[test]
    fn every_legal_genesis_fits_the_network() {
        let windows = 1..=u64::from(MAX_DESCENDANTS) / 2;
        for (window, members) in windows.flat_map(|window| [(window, 4), (window, MAX_MEMBERS)]) {
            let network = TestNetwork::seeded(members, 1).with_parameters(|parameters| {
                let block = &mut parameters.block;
                block.max_body_bytes = u64::from(MAX_BODY_BYTES).min(MAX_RANGE_BYTES / (2 * window + 1));
                block.max_transaction_bytes = u64::from(MAX_TRANSACTION_BYTES).min(block.max_body_bytes);
                block.max_transactions = u64::from(MAX_TRANSACTIONS);
                parameters.consensus.window = window;
                parameters.mempool.max_transactions = window * block.max_transactions;
                parameters.mempool.max_bytes = window * block.max_body_bytes;
                parameters.mempool.max_bytes_per_sender = block.max_transaction_bytes;
                parameters.mempool.max_transactions_per_sender = 1;
            });
            let limits = network_limits(&EngineConfig::of(network.unwrap().genesis()));
            let largest = [
                limits.frame_bytes,
                limits.gossip_message_bytes,
                limits.request_bytes,
                limits.response_bytes,
            ];
            let fits = largest.iter().all(|bytes| *bytes <= MESSAGE_BYTES_MAX);
            assert!(fits, "{members} members, window {window}: {limits:?}");
        }
    }
}
