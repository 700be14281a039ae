//! Members discover each other and exchange messages.

use std::time::Duration;

use bytes::Bytes;
use quorate_network::{Direction, NetworkEvent};

use crate::support::{Node, TIME_LIMIT, by_key, config, eventually, full_mesh, gossip_passes, key};

async fn mesh_of_four() -> Vec<Node> {
    let members = by_key(4);
    // All know only one member, and that member knows no other. Its key is neither the smallest nor
    // the largest.
    let hub = Node::join(members[1], &members, &[]).await;
    let mut nodes = vec![hub];
    for number in [members[0], members[2], members[3]] {
        let node = Node::join(number, &members, &[&nodes[0]]).await;
        nodes.push(node);
    }
    full_mesh(&mut nodes).await;
    nodes
}

#[tokio::test]
async fn one_bootstrap_address_is_enough() {
    let nodes = mesh_of_four().await;
    for node in &nodes {
        let peers = node.network.peers();
        assert_eq!(peers.len(), 3);
        for peer in peers {
            assert!(peer.connected && peer.address.is_some() && peer.since.is_some(), "{peer:?}");
        }
    }
}

#[tokio::test]
async fn an_address_without_peer_id_is_enough() {
    let members = by_key(3);
    for known in [0, 2] {
        let hub = Node::join(members[known], &members, &[]).await;
        let mut nodes = vec![hub];
        for number in members.iter().filter(|number| **number != members[known]) {
            let mut config = config(*number, &members);
            // The node's own address and an address where no process listens are harmless.
            config.bootstrap = vec![nodes[0].bare_address(), "/ip4/127.0.0.1/tcp/1".into()];
            nodes.push(Node::start(*number, config).await);
        }
        full_mesh(&mut nodes).await;
    }
}

#[tokio::test]
async fn a_member_that_advertises_an_address_is_dialed_only_there() {
    const CLOSED_PORT: &str = "/ip4/127.0.0.1/tcp/1";
    let members = by_key(3);
    let [seeker, hub, hidden] = [members[0], members[1], members[2]];
    let hub = Node::join(hub, &members, &[]).await;
    let mut config = config(hidden, &members);
    config.advertise = vec![CLOSED_PORT.into()];
    config.bootstrap = vec![hub.bare_address()];
    // The member with the smaller key dials.
    config.timing.dial_grace = 2 * TIME_LIMIT;
    let mut hidden = Node::start(hidden, config).await;
    hidden.connected(hub.number).await;

    let seeker = Node::join(seeker, &members, &[&hub]).await;
    eventually("an attempt", || {
        let error = seeker.status(hidden.number).last_error.unwrap_or_default();
        assert!(!error.contains(&hidden.bare_address()), "{error}");
        error.contains(CLOSED_PORT)
    })
    .await;
    assert!(!seeker.status(hidden.number).connected, "no other address of it is known");
}

#[tokio::test]
async fn host_names_are_resolved() {
    let members = by_key(2);
    let hub = Node::join(members[1], &members, &[]).await;
    let mut config = config(members[0], &members);
    config.bootstrap = vec![format!("/dns4/localhost/tcp/{}", hub.port())];
    let mut node = Node::start(members[0], config).await;
    node.connected(members[1]).await;
}

#[tokio::test]
async fn members_that_dial_each_other_at_once_end_with_one_connection() {
    let members = by_key(2);
    // Both members know each other's port before either starts. Without peer ids, both dial at
    // once.
    let ports: Vec<u16> = {
        let sockets = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
    };
    let address = |port| format!("/ip4/127.0.0.1/tcp/{port}");
    let [first, second] = [0, 1]
        .map(|i: usize| {
            let mut config = config(members[i], &members);
            config.listen = vec![address(ports[i])];
            config.bootstrap = vec![address(ports[0]), address(ports[1])];
            config
        })
        .map(|config| tokio::spawn(quorate_network::start(config)));
    let (network, mut events) = first.await.unwrap().unwrap();
    let (other, mut others_events) = second.await.unwrap().unwrap();
    // However often they cut each other's connections, a message and its answer arrive in the end.
    let talk = async {
        loop {
            tokio::select! {
                event = events.recv() => match event.unwrap() {
                    NetworkEvent::Connected { peer } => network.send(peer, Bytes::from_static(b"question")),
                    NetworkEvent::Message { bytes, .. } => return assert_eq!(bytes, "answer"),
                    _ => {}
                },
                event = others_events.recv() => {
                    if let NetworkEvent::Message { from, bytes } = event.unwrap() {
                        assert_eq!(bytes, "question");
                        other.send(from, Bytes::from_static(b"answer"));
                    }
                }
            }
        }
    };
    tokio::time::timeout(TIME_LIMIT, talk).await.unwrap();
}

#[tokio::test]
async fn messages_of_one_stream_stay_in_order() {
    let members = by_key(2);
    let mut receiver = Node::join(members[0], &members, &[]).await;
    let mut sender = Node::join(members[1], &members, &[&receiver]).await;
    sender.connected(receiver.number).await;
    receiver.connected(sender.number).await;
    const COUNT: u32 = 3000;
    for number in 0..COUNT {
        // Short and long messages, so that both ways of buffering are used.
        let length = if number % 100 == 0 { 100_000 } else { 20 };
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        sender.network.send(receiver.key(), bytes.into());
    }
    for number in 0..COUNT {
        let bytes = receiver.message(sender.number).await;
        assert_eq!(bytes[..4], number.to_be_bytes());
        assert_eq!(bytes.len(), if number % 100 == 0 { 100_000 } else { 20 });
    }
    let status = receiver.status(sender.number);
    assert_eq!(status.messages_received, u64::from(COUNT));
    assert_eq!(status.bytes_in, 30 * 100_000 + (u64::from(COUNT) - 30) * 20);
    eventually("all counted as sent", || {
        let out = sender.status(receiver.number);
        (out.messages_sent, out.bytes_out) == (status.messages_received, status.bytes_in)
    })
    .await;
    assert_eq!(sender.status(receiver.number).messages_dropped, 0);
}

#[tokio::test]
async fn a_broadcast_reaches_every_connected_member() {
    let mut nodes = mesh_of_four().await;
    let sender = nodes[0].number;
    nodes[0].network.broadcast(Bytes::from_static(b"to all"));
    for node in &mut nodes[1..] {
        assert_eq!(node.message(sender).await, "to all");
    }
}

#[tokio::test]
async fn gossip_reaches_everyone_once_and_not_its_author() {
    let mut nodes = mesh_of_four().await;
    let author = nodes[3].network.clone();
    for node in &mut nodes[..3] {
        let label = format!("warm up of {}", node.number);
        gossip_passes(&author, node, &label).await;
    }
    let repeated = author.counters().gossip_repeated;
    let content = Bytes::from(vec![7; 200_000]);
    author.publish(content.clone()).unwrap();
    author.publish(content.clone()).unwrap();
    author.publish(Bytes::from_static(b"end")).unwrap();
    for node in &mut nodes[..3] {
        let mut copies = 0;
        for expected in [&content, &Bytes::from_static(b"end")] {
            node.expect("gossip", |event| match event {
                NetworkEvent::Gossip { bytes, .. } if bytes == *expected => Ok(()),
                other => Err(other),
            })
            .await;
        }
        for event in node.drain() {
            copies += usize::from(matches!(event, NetworkEvent::Gossip { bytes, .. } if bytes == content));
        }
        assert_eq!(copies, 0, "delivered once only");
    }
    let own = nodes[3].drain();
    assert!(!own.iter().any(|event| matches!(event, NetworkEvent::Gossip { .. })), "{own:?}");
    assert_eq!(author.counters().gossip_repeated, repeated + 1);
}

#[tokio::test]
async fn heartbeats_are_measured_and_the_smaller_key_dials() {
    let members = by_key(2);
    let hub = Node::join(members[1], &members, &[]).await;
    let mut fast = config(members[0], &members);
    fast.bootstrap = vec![hub.address()];
    fast.timing.heartbeat_interval = Duration::from_millis(20);
    let mut node = Node::start(members[0], fast).await;
    node.connected(hub.number).await;
    eventually("a round trip", || node.status(hub.number).round_trip.is_some()).await;
    assert_eq!(node.status(hub.number).direction, Some(Direction::Outgoing));
    assert_eq!(hub.status(node.number).direction, Some(Direction::Incoming));
    assert_eq!(node.status(hub.number).dial_attempts, 1);
}

#[tokio::test]
async fn messages_for_members_that_are_not_connected_are_dropped() {
    let members = by_key(2);
    let node = Node::join(members[0], &members, &[]).await;
    node.network.send(key(members[1]), Bytes::from_static(b"hello?"));
    node.network.broadcast(Bytes::from_static(b"anyone?"));
    assert_eq!(
        node.network.counters().messages_to_disconnected,
        1,
        "a broadcast counts only for connected members"
    );
    assert_eq!(node.status(members[1]).messages_dropped, 1);
    eventually("the reason", || {
        node.status(members[1]).last_error.is_some_and(|error| error.contains("no address"))
    })
    .await;
}
