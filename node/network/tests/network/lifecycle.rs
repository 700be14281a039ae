//! Starting and stopping.

use std::net::TcpListener;

use quorate_network::{NetworkConfig, NetworkEvent, PublishError, RequestError, StartError, start};

use crate::support::{Node, TIME_LIMIT, by_key, config};

#[tokio::test]
async fn a_shutdown_frees_the_port_and_is_seen_by_others() {
    let members = by_key(2);
    let mut first = Node::join(members[0], &members, &[]).await;
    let mut second = Node::join(members[1], &members, &[&first]).await;
    first.connected(second.number).await;
    second.connected(first.number).await;
    let port = first.port();
    tokio::time::timeout(TIME_LIMIT, first.network.shutdown()).await.unwrap();
    TcpListener::bind(("127.0.0.1", port)).unwrap();
    second.disconnected(first.number).await;

    assert_eq!(first.network.publish("anyone?".into()), Err(PublishError::Closed));
    assert_eq!(first.network.request(second.key(), "you?".into()).await, Err(RequestError::NotConnected));
    assert!(first.network.peers().iter().all(|peer| !peer.connected));
    // The event stream ends after the events that were already queued.
    let mut rest = Vec::new();
    while let Some(event) = tokio::time::timeout(TIME_LIMIT, first.events.recv()).await.unwrap() {
        rest.push(event);
    }
    assert!(rest.iter().all(|event| matches!(event, NetworkEvent::Disconnected { .. })), "{rest:?}");
    // A second call returns, too.
    tokio::time::timeout(TIME_LIMIT, first.network.shutdown()).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_a_shutdown_arrives() {
    let members = by_key(2);
    let mut first = Node::join(members[0], &members, &[]).await;
    let mut second = Node::join(members[1], &members, &[&first]).await;
    first.connected(second.number).await;
    second.connected(first.number).await;
    for _ in 0..500 {
        first.network.send(second.key(), vec![0; 1000].into());
    }
    first.network.send(second.key(), "last words".into());
    first.network.shutdown().await;
    for _ in 0..500 {
        assert_eq!(second.message(first.number).await.len(), 1000);
    }
    assert_eq!(second.message(first.number).await, "last words");
}

#[tokio::test]
async fn without_a_handle_the_network_ends() {
    let members = by_key(1);
    let Node { network, mut events, .. } = Node::join(members[0], &members, &[]).await;
    drop(network);
    let end = tokio::time::timeout(TIME_LIMIT, events.recv()).await.unwrap();
    assert!(end.is_none());
}

#[tokio::test]
async fn a_busy_port_is_a_clear_error() {
    let members = by_key(2);
    let node = Node::join(members[0], &members, &[]).await;
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    // The port is taken by another node, and by another process.
    for port in [node.port(), foreign.local_addr().unwrap().port()] {
        let address = format!("/ip4/127.0.0.1/tcp/{port}");
        let mut config = config(members[1], &members);
        config.listen = vec![address.clone()];
        let error = start(config).await.unwrap_err();
        assert!(matches!(error, StartError::Listen { .. }), "{error:?}");
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[tokio::test]
async fn errors_of_unusable_configurations_name_the_problem() {
    let members = by_key(2);
    type Spoil<'a> = &'a dyn Fn(&mut NetworkConfig);
    let cases: [(&str, Spoil<'_>); 6] = [
        ("listen is empty", &|config| config.listen.clear()),
        ("udp", &|config| config.listen = vec!["/ip4/127.0.0.1/udp/1".into()]),
        ("bootstrap contains \"nonsense\"", &|config| config.bootstrap = vec!["nonsense".into()]),
        ("advertise", &|config| config.advertise = vec!["/ip4/0.0.0.0/tcp/1".into()]),
        ("not a compressed secp256k1", &|config| config.members.push(quorate_network::PeerKey([9; 33]))),
        ("secret key", &|config| config.secret_key = zeroize::Zeroizing::new([0; 32])),
    ];
    for (expected, spoil) in cases {
        let mut config = config(members[0], &members);
        spoil(&mut config);
        let error = start(config).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn every_committee_size_can_start() {
    for size in [1, 2, 3, 7, 13, 14, 31] {
        let members = by_key(size);
        let node = Node::join(members[0], &members, &[]).await;
        assert_eq!(node.network.peers().len(), usize::from(size) - 1);
        node.network.shutdown().await;
    }
}
