//! Observers: nodes that may send requests and receive some messages, but are not members.

use quorate_network::{NetworkConfig, NetworkEvent, OBSERVERS_MAX, PeersError, StartError};

use crate::support::{Node, by_key, config, eventually, gossip_passes, key};

/// The observer's number. It is not a member of these networks.
const OBSERVER: u8 = 77;

/// The configuration of a member that admits the observer.
fn admitting(number: u8, members: &[u8]) -> NetworkConfig {
    NetworkConfig { observers: vec![key(OBSERVER)], ..config(number, members) }
}

/// Two members and an observer that knows the address of the first. All are connected.
async fn observed() -> (Node, Node, Node) {
    let members = by_key(2);
    let mut first = Node::start(members[0], admitting(members[0], &members)).await;
    let mut joining = admitting(members[1], &members);
    joining.bootstrap = vec![first.address()];
    let mut second = Node::start(members[1], joining).await;
    first.connected(second.number).await;
    second.connected(first.number).await;
    let mut observer = Node::join(OBSERVER, &members, &[&first]).await;
    for member in [&mut first, &mut second] {
        // It was configured with one address, and discovered the other member through that one.
        observer.connected(member.number).await;
        member.connected(OBSERVER).await;
    }
    (first, second, observer)
}

#[tokio::test]
async fn an_observer_finds_the_members_and_receives_answers_and_messages() {
    let (mut first, _second, mut observer) = observed().await;
    let to = first.key();
    let asking = observer.network.request(to, "what is there?".into());
    let answering = async {
        let (from, answer) = first
            .expect("a request", |event| match event {
                NetworkEvent::Request { from, answer, .. } => Ok((from, answer)),
                other => Err(other),
            })
            .await;
        assert_eq!(from, key(OBSERVER));
        answer.send("a block".into());
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap(), "a block");
    first.network.tell_observers("there is news".into());
    assert_eq!(observer.message(first.number).await, "there is news");
    let seen = |node: &Node| node.network.observers().iter().map(|peer| (peer.key, peer.connected)).collect();
    let (members, observers): (Vec<_>, Vec<_>) = (seen(&first), seen(&observer));
    assert_eq!((members, observers), (vec![(key(OBSERVER), true)], vec![]));
    assert!(first.network.peers().iter().all(|peer| peer.key != key(OBSERVER)), "it is no member");
}

/// Messages between members never reach an observer, and an observer cannot gossip.
#[tokio::test]
async fn messages_between_members_do_not_reach_an_observer_and_it_cannot_gossip() {
    let (first, mut second, mut observer) = observed().await;
    gossip_passes(&first.network, &mut second, "among us").await;
    // No member subscribes to an observer's gossip. Such gossip goes over direct streams, where an
    // observer may not send.
    first.network.broadcast("also among us".into());
    assert_eq!(second.message(first.number).await, "also among us");
    // Messages of one connection arrive in order: this one arrives after all others that could
    // arrive.
    first.network.tell_observers("the end".into());
    let heard = observer
        .expect("a message or gossip", |event| match event {
            NetworkEvent::Message { bytes, .. } => Ok(bytes),
            NetworkEvent::Gossip { .. } => panic!("gossip reached an observer"),
            other => Err(other),
        })
        .await;
    assert_eq!(heard, "the end");
    assert_eq!(observer.network.counters().gossip_received, 0);
}

/// Direct messages of an observer are not delivered. Its connection stays: a member that does not know
/// yet that it was removed sends messages, too, and must be able to fetch blocks.
#[tokio::test]
async fn direct_messages_of_an_observer_are_skipped() {
    let (mut first, _second, mut observer) = observed().await;
    for message in [vec![], vec![7; 100_000], vec![9; config(1, &[]).limits.frame_bytes]] {
        observer.network.send(first.key(), message.into());
    }
    eventually("the messages skipped", || first.network.counters().messages_dropped == 3).await;
    assert_eq!(first.network.observers()[0].messages_dropped, 3);
    assert_eq!(first.network.counters().malformed_received, 0);
    first.network.tell_observers("there is news".into());
    assert_eq!(observer.message(first.number).await, "there is news");
    let events = first.drain();
    assert!(events.is_empty(), "neither a message nor the end of the connection: {events:?}");
}

/// Members never dial an observer, even if its address is configured as a member's. The observer
/// reconnects by itself.
#[tokio::test]
async fn an_observer_is_not_dialed_and_reconnects() {
    let (mut first, mut second, observer) = observed().await;
    let address = observer.bare_address();
    observer.network.shutdown().await;
    for member in [&mut first, &mut second] {
        member.disconnected(OBSERVER).await;
    }
    let status = first.network.observers().remove(0);
    assert_eq!((status.connected, status.dial_attempts), (false, 0));

    let members = by_key(2);
    let mut again = config(OBSERVER, &members);
    again.bootstrap = vec![first.address(), second.address()];
    again.listen = vec![address.clone()];
    let mut observer = Node::start(OBSERVER, again).await;
    observer.connected(first.number).await;
    first.connected(OBSERVER).await;

    // A third member whose configuration names a member at that address.
    let three = by_key(3);
    let mut misled = NetworkConfig { observers: vec![key(OBSERVER)], ..config(three[2], &three) };
    misled.bootstrap = vec![address];
    let misled = Node::start(three[2], misled).await;
    eventually("attempts", || misled.network.counters().dials >= 2).await;
    assert!(misled.network.observers().iter().all(|peer| !peer.connected));
}

#[tokio::test]
async fn observers_do_not_connect_to_each_other_and_unknown_keys_are_refused() {
    let (first, _second, observer) = observed().await;
    let members = by_key(2);
    let mut other = config(OBSERVER + 1, &members);
    other.bootstrap = vec![first.address(), observer.bare_address()];
    let other = Node::start(OBSERVER + 1, other).await;
    eventually("refusals", || first.network.counters().unknown_peers_refused >= 2).await;
    assert!(other.network.peers().iter().all(|peer| !peer.connected));
    assert!(
        observer.network.peers().iter().all(|peer| peer.connected),
        "the other connections are not affected"
    );
}

#[tokio::test]
async fn invalid_observers_are_refused_at_the_start() {
    let members = by_key(2);
    let mut many = config(members[0], &members);
    many.observers = vec![key(OBSERVER); OBSERVERS_MAX + 1];
    let error = quorate_network::start(many).await.unwrap_err();
    let too_many = StartError::Peers(PeersError::TooMany {
        list: "observers",
        count: OBSERVERS_MAX + 1,
        limit: OBSERVERS_MAX,
    });
    assert_eq!(error.to_string(), too_many.to_string());
}
