//! Byzantine members: they have a member's key but violate the protocol.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use quorate_network::NetworkEvent;

use tokio::time::timeout;

use crate::support::{Node, TIME_LIMIT, by_key, config, eventually, key, secret};

const DIRECT: StreamProtocol = StreamProtocol::new("/quorate/test/direct/2");

/// Connects with the key of member `number`, opens a direct stream, writes only `bytes`, and waits
/// until the other side has closed the stream. With `None` it does not even open the stream.
async fn write_raw(number: u8, to: &Node, bytes: Option<Vec<u8>>) {
    let mut secret = *secret(number);
    let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes(&mut secret).unwrap();
    let pair = libp2p::identity::secp256k1::Keypair::from(secret);
    let mut swarm = SwarmBuilder::with_existing_identity(pair.into())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        // Only the other side ends the connection.
        .with_swarm_config(|config| config.with_idle_connection_timeout(TIME_LIMIT))
        .build();
    let mut control = swarm.behaviour().new_control();
    swarm.dial(to.address().parse::<Multiaddr>().unwrap()).unwrap();
    let peer = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } =
            futures::StreamExt::select_next_some(&mut swarm).await
        {
            break peer_id;
        }
    };
    let Some(bytes) = bytes else {
        while swarm.is_connected(&peer) {
            futures::StreamExt::select_next_some(&mut swarm).await;
        }
        return;
    };
    let talk = async {
        let mut stream = control.open_stream(peer, DIRECT).await.unwrap();
        // Write the bytes first, so that an answer to the node's heartbeat does not overtake them.
        stream.read_exact(&mut [0; 13]).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        // The stream may end or fail: both mean that the other side closed it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let swim = async {
        loop {
            futures::StreamExt::select_next_some(&mut swarm).await;
        }
    };
    tokio::select! {
        () = talk => {}
        () = swim => {}
    }
}

async fn is_cut(bytes: Vec<u8>, why: &str) {
    let members = by_key(2);
    let mut node = Node::join(members[0], &members, &[]).await;
    timeout(TIME_LIMIT, write_raw(members[1], &node, Some(bytes))).await.unwrap();
    eventually("the garbage counted", || node.network.counters().malformed_received == 1).await;
    let error = node.status(members[1]).last_error.unwrap();
    assert!(error.contains(why), "{error}");
    let events = node.drain();
    assert!(!events.iter().any(|event| matches!(event, NetworkEvent::Message { .. })), "{events:?}");
}

#[tokio::test]
async fn an_unknown_kind_of_frame_is_cut() {
    is_cut(vec![0, 0, 0, 1, 77], "kind 77").await;
}

#[tokio::test]
async fn a_claim_of_gigabytes_is_cut() {
    is_cut(vec![0xff, 0xff, 0xff, 0xff, 0], "above the limit").await;
}

/// Messages of an observer are skipped, but not longer ones than a member may send.
#[tokio::test]
async fn a_claim_of_gigabytes_of_an_observer_is_cut() {
    let mut admitting = config(1, &[1]);
    admitting.observers = vec![key(2)];
    let node = Node::start(1, admitting).await;
    let pong = [0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    let bytes = [&pong[..], &[0, 0, 0, 2, 0, 7], &[0xff, 0xff, 0xff, 0xff, 0]].concat();
    timeout(TIME_LIMIT, write_raw(2, &node, Some(bytes))).await.unwrap();
    eventually("the garbage counted", || node.network.counters().malformed_received == 1).await;
    let status = node.network.observers().remove(0);
    assert!(status.last_error.unwrap().contains("above the limit"));
    assert_eq!(status.messages_dropped, 1, "the short message before it was skipped");
}

#[tokio::test]
async fn a_message_before_the_first_heartbeat_is_cut() {
    is_cut(vec![0, 0, 0, 2, 0, 7], "before the answer to the first heartbeat").await;
}

#[tokio::test]
async fn an_answer_to_an_unsent_heartbeat_is_cut() {
    is_cut(vec![0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 1, 0], "heartbeat 256").await;
}

#[tokio::test]
async fn a_member_that_falls_silent_is_cut() {
    let members = by_key(2);
    let mut impatient = config(members[0], &members);
    impatient.timing.heartbeat_interval = Duration::from_millis(100);
    impatient.timing.silent_timeout = Duration::from_millis(300);
    let node = Node::start(members[0], impatient).await;
    // The member answers the node's first heartbeat, so the stream works; after that it sends
    // nothing.
    let answer = vec![0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    timeout(TIME_LIMIT, write_raw(members[1], &node, Some(answer))).await.unwrap();
    eventually("the silence counted", || node.network.counters().connections_silent == 1).await;
    assert!(node.status(members[1]).last_error.unwrap().contains("no byte arrived"));
}

#[tokio::test]
async fn a_member_that_opens_no_stream_is_cut() {
    let members = by_key(2);
    let mut impatient = config(members[0], &members);
    impatient.timing.dial_timeout = Duration::from_millis(500);
    let node = Node::start(members[0], impatient).await;
    timeout(TIME_LIMIT, write_raw(members[1], &node, None)).await.unwrap();
    eventually("the refusal counted", || {
        let counters = node.network.counters();
        counters.connections_silent + counters.wrong_network >= 1
    })
    .await;
    assert!(!node.status(members[1]).connected);
}
