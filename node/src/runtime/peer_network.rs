//! The peer-to-peer network of a node.

use anyhow::Context;
use quorate_engine::WireLimits;
use quorate_governance::{Config as Configuration, State};
use quorate_ledger::{MAX_MEMBERS, SecretKey};
use quorate_network::{Network, NetworkConfig, NetworkEvents, NetworkLimits, NetworkTiming};

use super::epoch::peer_lists::PeerLists;
use super::known_addresses;
use crate::config::Config;

/// Starts to listen and to connect to other nodes. `state`: the governance state of the node.
///
/// # Errors
/// Addresses that the node cannot listen on.
pub(crate) async fn start(
    config: &Config,
    state: &State,
    key: &SecretKey,
    lists: &PeerLists,
) -> anyhow::Result<(Network, NetworkEvents)> {
    let started = quorate_network::start(NetworkConfig {
        secret_key: key.to_bytes(),
        members: lists.members.clone(),
        observers: lists.observers.clone(),
        network_name: state.chain().to_string(),
        listen: config.p2p_listen.clone(),
        advertise: config.p2p_advertise.clone(),
        bootstrap: config.p2p_bootstrap.clone(),
        known: known_addresses::read(&known_addresses::beside(&config.ledger)),
        limits: network_limits(accepted_response_bytes(state)),
        timing: NetworkTiming::default(),
    });
    started.await.context("cannot start the peer-to-peer network")
}

/// Limits of the network with which every valid message fits. Governance may change the parameters
/// from which the sizes follow while the network runs. So the limits are those of the largest
/// parameters, except for answers to this node: the largest ones have more than 50 MiB.
fn network_limits(accepted_response_bytes: usize) -> NetworkLimits {
    let wire = WireLimits::largest();
    let defaults = NetworkLimits::default();
    NetworkLimits {
        frame_bytes: wire.message,
        gossip_message_bytes: wire.gossip,
        request_bytes: wire.ask,
        // The ledger may have blocks that were larger than the present parameters permit.
        response_bytes: wire.answer,
        accepted_response_bytes,
        outbound_bytes: defaults.outbound_bytes.max(4 * wire.message),
        inbound_bytes: defaults.inbound_bytes.max(4 * wire.message),
        gossip_bytes: defaults.gossip_bytes.max(4 * wire.gossip),
        publish_bytes: defaults.publish_bytes.max(4 * wire.gossip),
        ..defaults
    }
}

/// The longest answer that a node with this state needs to accept: with the configuration in force or
/// a scheduled one. It requests only blocks that follow its newest one, and no answer contains blocks of
/// two epochs.
pub(crate) fn accepted_response_bytes(state: &State) -> usize {
    let of = |config: &Configuration| {
        let window = config.parameters().consensus.window;
        WireLimits::of(&config.block_limits(), window, MAX_MEMBERS).answer
    };
    state.configs().map(|(_, config)| of(config)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use quorate_genesis::TestNetwork;
    use quorate_governance::{
        Change, ExecutedBlock, GovernanceTransaction, Operation, Outcome, ParameterName,
    };
    use quorate_ledger::{
        BlockHash, Height, MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_RANGE_BYTES, MAX_TRANSACTION_BYTES,
        MAX_TRANSACTIONS, ReplicaId, TransactionId,
    };
    use quorate_network::MESSAGE_BYTES_MAX;

    use super::*;

    /// The largest messages that any parameters permit fit into the limits of the network, and into
    /// those that it can have. So a change of parameters never makes a message too large.
    #[test]
    fn the_messages_of_all_parameters_fit() {
        let largest = WireLimits::largest();
        let bytes = [largest.message, largest.gossip, largest.ask, largest.answer];
        assert!(bytes.iter().all(|bytes| *bytes <= MESSAGE_BYTES_MAX), "{largest:?}");
        for window in 1..=u64::from(MAX_DESCENDANTS) / 2 {
            let network = TestNetwork::seeded(4, 1).with_parameters(|parameters| {
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
            let state = network.unwrap().genesis().governance_state();
            let limits = WireLimits::of(&state.next_config().block_limits(), window, MAX_MEMBERS);
            let fits = limits.message <= largest.message
                && limits.gossip <= largest.gossip
                && limits.ask <= largest.ask
                && limits.answer <= largest.answer;
            assert!(fits, "window {window}: {limits:?}, {largest:?}");
            assert_eq!(accepted_response_bytes(&state), limits.answer);
        }
    }

    #[test]
    fn accepted_answers_follow_a_scheduled_change() {
        let network = TestNetwork::seeded(1, 1);
        let mut state = network.genesis().governance_state();
        let before = accepted_response_bytes(&state);
        let change = Change::SetParameter { parameter: ParameterName::BlockMaxBodyBytes, value: 2 << 20 };
        let payload = Operation::Propose { changes: vec![change] }.to_bytes();
        let (id, sender) =
            (TransactionId::from_bytes([1; 32]), network.governance_key(ReplicaId(0)).public());
        let transactions = [GovernanceTransaction { id, sender, payload: &payload }];
        let (height, hash) = (Height(1), BlockHash::from_bytes([1; 32]));
        let block = ExecutedBlock { height, hash, transactions: &transactions };
        let outcomes = state.apply(&block, &BTreeMap::<Height, BlockHash>::new()).unwrap();
        assert_eq!(outcomes, [Outcome::Executed]);
        assert_eq!(state.next_config().block_limits().max_body_bytes, 1 << 20, "it is not yet in force");
        let window = state.next_config().parameters().consensus.window;
        let more = (2 * usize::try_from(window).unwrap() + 1) << 20;
        assert_eq!(accepted_response_bytes(&state), before + more);
    }
}
