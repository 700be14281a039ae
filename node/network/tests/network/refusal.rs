//! Peers that must be refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, tcp, yamux};
use quorate_network::{NetworkEvent, PublishError, WIRE_VERSION};
use tokio::time::timeout;

use crate::support::{Node, TIME_LIMIT, by_key, config, eventually, secret};

/// How many attempts must fail before a test passes.
const ATTEMPTS: u64 = 3;

#[tokio::test]
async fn an_unknown_peer_is_refused_and_its_messages_are_not_delivered() {
    let members = by_key(2);
    let mut first = Node::join(members[0], &members, &[]).await;
    let mut second = Node::join(members[1], &members, &[&first]).await;
    first.connected(second.number).await;
    second.connected(first.number).await;
    // It knows the network's name and addresses, but its key is not a member's.
    let mut stranger = Node::join(99, &[99, members[0], members[1]], &[&first, &second]).await;
    eventually("refusals", || {
        stranger.network.broadcast("let me in".into());
        stranger.network.publish("let me in".into()).unwrap();
        [&first, &second].iter().map(|node| node.network.counters().unknown_peers_refused).sum::<u64>()
            >= ATTEMPTS
    })
    .await;
    assert!(stranger.network.peers().iter().all(|peer| !peer.connected));
    for node in [&mut stranger, &mut first, &mut second] {
        let events = node.drain();
        assert!(events.is_empty(), "node {}: {events:?}", node.number);
    }
    // The members' connection is not affected.
    first.network.send(second.key(), "still here?".into());
    assert_eq!(second.message(first.number).await, "still here?");
}

#[tokio::test]
async fn a_node_of_another_network_is_refused() {
    let members = by_key(2);
    for (first, second) in [(0, 1), (1, 0)] {
        let mut node = Node::join(members[first], &members, &[]).await;
        let mut config = config(members[second], &members);
        config.network_name = "another".into();
        config.bootstrap = vec![node.address()];
        let mut other = Node::start(members[second], config).await;
        eventually("refusals", || {
            let foreign = |node: &Node| node.network.counters().wrong_network;
            foreign(&node) + foreign(&other) >= ATTEMPTS
        })
        .await;
        for node in [&mut node, &mut other] {
            let events = node.drain();
            assert!(events.is_empty(), "node {}: {events:?}", node.number);
        }
    }
}

#[tokio::test]
async fn a_member_with_a_later_version_is_reported() {
    let members = by_key(2);
    let mut node = Node::join(members[0], &members, &[]).await;
    let mut secret = *secret(members[1]);
    let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes(&mut secret).unwrap();
    let pair = libp2p::identity::secp256k1::Keypair::from(secret);
    let mut later = SwarmBuilder::with_existing_identity(pair.into())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|pair| {
            let name = format!("/quorate/test/{}", WIRE_VERSION + 1);
            let config = identify::Config::new(name, pair.public());
            identify::Behaviour::new(config.with_agent_version("quorate/9.8.7".into()))
        })
        .unwrap()
        // Only the other side ends the connection.
        .with_swarm_config(|config| config.with_idle_connection_timeout(TIME_LIMIT))
        .build();
    later.dial(node.address().parse::<Multiaddr>().unwrap()).unwrap();
    let cut = async {
        loop {
            if let SwarmEvent::ConnectionClosed { .. } = later.select_next_some().await {
                break;
            }
        }
    };
    timeout(TIME_LIMIT, cut).await.unwrap();
    eventually("the refusal counted", || node.network.counters().wrong_network == 1).await;
    let status = node.status(members[1]);
    assert_eq!(status.program.as_deref(), Some("quorate/9.8.7"));
    let why = status.last_error.unwrap();
    let versions = format!("protocol version {}, this node version {WIRE_VERSION}", WIRE_VERSION + 1);
    assert!(why.contains(&versions), "{why}");
    assert!(node.drain().is_empty(), "none of its messages is delivered");
}

#[tokio::test]
async fn garbage_and_silence_on_the_port_are_cut() {
    let members = by_key(2);
    let mut patient = config(members[0], &members);
    patient.timing.dial_timeout = Duration::from_millis(500);
    let mut node = Node::start(members[0], patient).await;
    let port = node.port();
    let visitor = tokio::task::spawn_blocking(move || {
        let mut noisy = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The other side may close while this test still writes.
        let _ = noisy.write_all(&[0x5a; 4096]);
        for mut visitor in [noisy, silent] {
            visitor.set_read_timeout(Some(TIME_LIMIT)).unwrap();
            let ended = visitor.read_to_end(&mut Vec::new());
            let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!timed_out, "the connection must be closed");
        }
    });
    visitor.await.unwrap();
    eventually("two failures", || node.network.counters().upgrades_failed == 2).await;
    assert!(node.drain().is_empty());
    let mut member = Node::join(members[1], &members, &[&node]).await;
    member.connected(node.number).await;
}

#[tokio::test]
async fn pending_incoming_connections_are_limited() {
    let members = by_key(2);
    let mut narrow = config(members[0], &members);
    narrow.limits.pending_incoming = 4;
    narrow.timing.dial_timeout = Duration::from_millis(500);
    let mut node = Node::start(members[0], narrow).await;
    let crowd: Vec<_> = (0..12).map(|_| TcpStream::connect(("127.0.0.1", node.port())).unwrap()).collect();
    eventually("refusals", || node.network.counters().incoming_over_limit >= 8).await;
    // The pending connections are closed at the timeout, and then a member can connect.
    let mut member = Node::join(members[1], &members, &[&node]).await;
    member.connected(node.number).await;
    node.connected(member.number).await;
    drop(crowd);
}

#[tokio::test]
async fn a_message_above_the_receivers_limit_ends_the_connection() {
    let members = by_key(2);
    let mut small = config(members[0], &members);
    small.limits.frame_bytes = 1000;
    let mut receiver = Node::start(members[0], small).await;
    let mut sender = Node::join(members[1], &members, &[&receiver]).await;
    sender.connected(receiver.number).await;
    sender.network.send(receiver.key(), vec![0; 1001].into());
    receiver.connected(sender.number).await;
    receiver.disconnected(sender.number).await;
    assert_eq!(receiver.network.counters().malformed_received, 1);
    let why = receiver.status(sender.number).last_error.unwrap();
    assert!(why.contains("1001 bytes"), "{why}");
    // Messages within the limit still arrive after a reconnect.
    sender.disconnected(receiver.number).await;
    sender.connected(receiver.number).await;
    sender.network.send(receiver.key(), vec![0; 1000].into());
    assert_eq!(receiver.message(sender.number).await.len(), 1000);
}

#[tokio::test]
async fn own_messages_above_the_limit_are_not_sent() {
    let members = by_key(2);
    let mut tight = config(members[0], &members);
    tight.limits.frame_bytes = 1000;
    tight.limits.gossip_message_bytes = 500;
    let node = Node::start(members[0], tight).await;
    node.network.broadcast(vec![0; 1001].into());
    assert_eq!(node.network.counters().messages_oversized, 1);
    let refused = node.network.publish(vec![0; 501].into());
    assert_eq!(refused, Err(PublishError::TooLarge { bytes: 501, limit: 500 }));
}

#[tokio::test]
async fn the_longest_gossip_message_passes() {
    let members = by_key(2);
    let mut receiver = Node::join(members[0], &members, &[]).await;
    let mut sender = Node::join(members[1], &members, &[&receiver]).await;
    sender.connected(receiver.number).await;
    crate::support::gossip_passes(&sender.network, &mut receiver, "warm up").await;
    let longest = vec![1; quorate_network::NetworkLimits::default().gossip_message_bytes];
    sender.network.publish(longest.clone().into()).unwrap();
    receiver
        .expect("the longest message", |event| match event {
            NetworkEvent::Gossip { bytes, .. } if bytes == longest => Ok(()),
            other => Err(other),
        })
        .await;
}
