//! Members and observers that change while the nodes run.

use std::time::SystemTime;

use bytes::Bytes;
use quorate_network::{MEMBERS_MAX, NetworkEvent, OBSERVERS_MAX, PeerKey, PeersError};

use crate::support::{Node, by_key, config, direct_passes, eventually, full_mesh, gossip_passes, key};

fn keys(numbers: &[u8]) -> Vec<PeerKey> {
    numbers.iter().map(|number| key(*number)).collect()
}

impl Node {
    fn set_peers(&self, members: &[u8], observers: &[u8]) {
        self.network.set_peers(&keys(members), &keys(observers)).unwrap();
    }
}

/// The nodes `running` of a network with these members and observers. Each knows only the address
/// of the first.
async fn started(running: &[u8], members: &[u8], observers: &[u8]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in running {
        let mut config = config(*number, members);
        config.observers = keys(observers);
        config.bootstrap = nodes.first().map(Node::address).into_iter().collect();
        nodes.push(Node::start(*number, config).await);
    }
    nodes
}

/// A connected network of these members.
async fn mesh(members: &[u8]) -> Vec<Node> {
    let mut nodes = started(members, members, &[]).await;
    full_mesh(&mut nodes).await;
    nodes
}

/// When the connections between these nodes began.
fn connections(nodes: &[Node]) -> Vec<Option<SystemTime>> {
    let mut since = Vec::new();
    for node in nodes {
        let others = nodes.iter().filter(|other| other.number != node.number);
        since.extend(others.map(|other| node.status(other.number).since));
    }
    since
}

/// Sends the message `number` from each node to each other.
fn send_round(nodes: &[Node], number: u32) {
    for node in nodes {
        for other in nodes.iter().filter(|other| other.number != node.number) {
            node.network.send(other.key(), Bytes::copy_from_slice(&number.to_be_bytes()));
        }
    }
}

/// Receives these messages at each node from each other, none missing.
async fn receive_rounds(nodes: &mut [Node], numbers: std::ops::Range<u32>) {
    let all: Vec<u8> = nodes.iter().map(|node| node.number).collect();
    for node in nodes {
        let own = node.number;
        for other in all.iter().filter(|other| **other != own) {
            for number in numbers.clone() {
                assert_eq!(node.message(*other).await[..], number.to_be_bytes());
            }
        }
    }
}

#[tokio::test]
async fn an_added_member_connects_and_the_others_keep_their_connections() {
    let members = by_key(5);
    // Neither the smallest nor the largest key joins: it dials some members, and others dial it.
    let joining = members[2];
    let before: Vec<u8> = members.iter().copied().filter(|number| *number != joining).collect();
    let mut nodes = mesh(&before).await;
    let since = connections(&nodes);
    let mut fifth = Node::join(joining, &members, &[&nodes[0]]).await;
    eventually("a refusal", || nodes[0].network.counters().unknown_peers_refused > 0).await;
    send_round(&nodes, 0);
    for node in &nodes {
        node.set_peers(&members, &[]);
        assert_eq!(node.network.peers().len(), 4);
        assert!(!node.status(joining).connected);
    }
    send_round(&nodes, 1);
    for node in &mut nodes {
        node.connected(joining).await;
        fifth.connected(node.number).await;
        direct_passes(node, &mut fifth, "welcome").await;
        direct_passes(&fifth, node, "thanks").await;
        gossip_passes(&fifth.network.clone(), node, "from the fifth").await;
        gossip_passes(&node.network.clone(), &mut fifth, &format!("to the fifth from {}", node.number)).await;
    }
    receive_rounds(&mut nodes, 0..2).await;
    assert_eq!(connections(&nodes), since);
}

#[tokio::test]
async fn a_removed_member_is_disconnected_and_refused_and_no_other_message_is_lost() {
    const BEFORE: u32 = 200;
    const ALL: u32 = 400;
    let members = by_key(4);
    for removed in [0, 3] {
        let mut nodes = mesh(&members).await;
        let mut leaving = nodes.remove(removed);
        let rest: Vec<u8> = nodes.iter().map(|node| node.number).collect();
        let since = connections(&nodes);
        let refused: Vec<u64> =
            nodes.iter().map(|node| node.network.counters().unknown_peers_refused).collect();
        (0..BEFORE).for_each(|number| send_round(&nodes, number));
        for node in &nodes {
            leaving.network.send(node.key(), "too late".into());
            node.set_peers(&rest, &[]);
            assert!(node.network.peers().iter().all(|peer| peer.key != leaving.key()), "no status is kept");
        }
        (BEFORE..ALL).for_each(|number| send_round(&nodes, number));
        for node in &mut nodes {
            node.disconnected(leaving.number).await;
            leaving.disconnected(node.number).await;
            node.network.send(leaving.key(), "not sent".into());
            let answer = node.network.request(leaving.key(), "anything".into()).await;
            assert_eq!(answer, Err(quorate_network::RequestError::UnknownPeer));
        }
        receive_rounds(&mut nodes, 0..ALL).await;
        // It goes on to dial all others, and is refused by each.
        for (node, refused) in nodes.iter().zip(refused) {
            eventually("refusals", || node.network.counters().unknown_peers_refused >= refused + 2).await;
        }
        assert_eq!(connections(&nodes), since);
        for node in &mut nodes {
            let events = node.drain();
            assert!(events.is_empty(), "no message of the removed member, and no reconnection: {events:?}");
            assert!(node.network.known_addresses().iter().all(|(known, _)| *known != leaving.key()));
        }
        assert!(leaving.network.peers().iter().all(|peer| !peer.connected));
    }
}

/// A member and an observer exchange their roles, in both orders of the two keys.
#[tokio::test]
async fn roles_change_with_a_new_connection() {
    let numbers = by_key(4);
    for (first, second) in [(0, 3), (3, 0)] {
        let (member, observer) = (numbers[first], numbers[second]);
        let staying = [numbers[1], numbers[2]];
        let running = [staying[0], staying[1], member, observer];
        let mut nodes = started(&running, &running[..3], &[observer]).await;
        for node in &mut nodes[..2] {
            node.connected(member).await;
            node.connected(observer).await;
        }
        let after = [staying[0], staying[1], observer];
        for node in &nodes {
            node.set_peers(&after, &[member]);
        }
        for node in &mut nodes[..2] {
            assert_eq!(node.network.observers().len(), 1);
            for changed in [member, observer] {
                node.disconnected(changed).await;
                node.connected(changed).await;
            }
        }
        let (stay, changed) = nodes.split_at_mut(2);
        let [demoted, promoted] = changed else { unreachable!() };
        for node in stay.iter_mut() {
            gossip_passes(&promoted.network.clone(), node, "from the new member").await;
            gossip_passes(&node.network.clone(), promoted, &format!("from {}", node.number)).await;
        }
        eventually("the observer is connected", || {
            let sees_all = demoted.network.peers().iter().all(|peer| peer.connected);
            sees_all && stay.iter().all(|node| node.network.observers()[0].connected)
        })
        .await;
        for node in stay.iter_mut() {
            node.network.tell_observers("the end".into());
            assert_eq!(demoted.message(node.number).await, "the end");
        }
        let heard = demoted.drain();
        assert!(!heard.iter().any(|event| matches!(event, NetworkEvent::Gossip { .. })), "{heard:?}");
        assert_eq!(demoted.network.counters().gossip_received, 0);
        let own = demoted.network.observers();
        assert!(own.is_empty(), "its own key is in its own list: {own:?}");
    }
}

/// Removed and added again, before the node has done anything about it.
#[tokio::test]
async fn a_member_that_is_removed_and_added_again_reconnects() {
    let members = by_key(3);
    for returning in [0, 2] {
        let mut nodes = mesh(&members).await;
        let mut back = nodes.remove(returning);
        let rest: Vec<u8> = nodes.iter().map(|node| node.number).collect();
        let since = connections(&nodes);
        for node in &nodes {
            back.network.send(node.key(), "of the old connection".into());
            node.set_peers(&rest, &[]);
            node.set_peers(&members, &[]);
        }
        for node in &mut nodes {
            node.disconnected(back.number).await;
            node.connected(back.number).await;
            back.disconnected(node.number).await;
            back.connected(node.number).await;
            direct_passes(node, &mut back, "again").await;
            direct_passes(&back, node, "of the new connection").await;
            gossip_passes(&back.network.clone(), node, "from the returned").await;
        }
        assert_eq!(connections(&nodes), since);
    }
}

#[tokio::test]
async fn gossip_of_a_removed_member_is_not_forwarded() {
    let members = by_key(3);
    let mut nodes = mesh(&members).await;
    let mut removed = nodes.pop().unwrap();
    // The first has removed it, the second has not: it forwards what the removed member gossips.
    nodes[0].set_peers(&members[..2], &[]);
    nodes[0].disconnected(removed.number).await;
    let forwarded = nodes[1].number;
    gossip_passes(&removed.network, &mut nodes[0], "through another").await;
    nodes[1].set_peers(&members[..2], &[]);
    nodes[1].disconnected(removed.number).await;
    removed.disconnected(forwarded).await;
    nodes[0].drain();
    let refused = nodes[1].network.counters().unknown_peers_refused;
    let mut attempts = 0;
    eventually("attempts to return", || {
        removed.network.publish(format!("through no one {attempts}").into()).unwrap();
        attempts += 1;
        nodes[1].network.counters().unknown_peers_refused >= refused + 2
    })
    .await;
    // Gossip between the others passes still, and overtakes nothing.
    let other = nodes[1].network.clone();
    gossip_passes(&other, &mut nodes[0], "between members").await;
    for node in &mut nodes {
        let events = node.drain();
        let late = |event: &NetworkEvent| matches!(event, NetworkEvent::Gossip { bytes, .. } if bytes.starts_with(b"through no one"));
        assert!(!events.iter().any(late), "{events:?}");
    }
}

#[tokio::test]
async fn many_changes_while_messages_flow() {
    const CHANGES: u32 = 60;
    let members = by_key(4);
    let mut nodes = mesh(&members).await;
    let mut changing = nodes.remove(1);
    let rest: Vec<u8> = nodes.iter().map(|node| node.number).collect();
    let since = connections(&nodes);
    for change in 0..CHANGES {
        let lists: [(&[u8], &[u8]); 3] = [(&rest, &[]), (&rest, &[changing.number]), (&members, &[])];
        let (listed, observers) = lists[change as usize % lists.len()];
        for node in &nodes {
            node.set_peers(listed, observers);
        }
        send_round(&nodes, change);
        if change % 9 == 2 {
            // The next changes meet a connection instead of an attempt.
            eventually("a connection", || {
                nodes.iter_mut().chain([&mut changing]).for_each(Node::collect);
                nodes.iter().all(|node| node.status(changing.number).connected)
            })
            .await;
        }
        tokio::task::yield_now().await;
    }
    receive_rounds(&mut nodes, 0..CHANGES).await;
    assert_eq!(connections(&nodes), since);
    for node in &mut nodes {
        direct_passes(&changing, node, "it is back").await;
        direct_passes(node, &mut changing, "welcome back").await;
    }
    for node in &mut nodes {
        // The mesh had a connection. Since then, ends and beginnings of connections alternate.
        let mut connected = true;
        for event in node.drain() {
            match event {
                NetworkEvent::Connected { peer } if peer == changing.key() && !connected => connected = true,
                NetworkEvent::Disconnected { peer } if peer == changing.key() && connected => {
                    connected = false;
                }
                NetworkEvent::Message { from, bytes } if from == changing.key() => {
                    assert_eq!(bytes, "it is back");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for node in &mut nodes {
        gossip_passes(&changing.network.clone(), node, "it is back").await;
        gossip_passes(&node.network.clone(), &mut changing, &format!("to it from {}", node.number)).await;
    }
}

#[tokio::test]
async fn refused_and_equal_lists_change_nothing() {
    let members = by_key(2);
    let mut nodes = mesh(&members).await;
    let since = connections(&nodes);
    let network = nodes[0].network.clone();
    let listed = keys(&members);
    let many = vec![listed[0]; MEMBERS_MAX + 1];
    let too_many = |list, count, limit| Err(PeersError::TooMany { list, count, limit });
    assert_eq!(network.set_peers(&many, &[]), too_many("members", MEMBERS_MAX + 1, MEMBERS_MAX));
    assert_eq!(
        network.set_peers(&listed, &many[..=OBSERVERS_MAX]),
        too_many("observers", OBSERVERS_MAX + 1, OBSERVERS_MAX)
    );
    let unusable = network.set_peers(&[listed[0], PeerKey([9; 33])], &[]);
    assert!(matches!(unusable, Err(PeersError::Key(_))), "{unusable:?}");
    let reversed: Vec<PeerKey> = listed.iter().rev().copied().collect();
    for _ in 0..3 {
        network.set_peers(&reversed, &[]).unwrap();
    }
    let [first, second] = &mut nodes[..] else { unreachable!() };
    direct_passes(first, second, "still here").await;
    direct_passes(second, first, "here, too").await;
    assert_eq!(connections(&nodes), since);
    assert!(nodes[0].drain().is_empty());
    network.shutdown().await;
    assert_eq!(network.set_peers(&[], &[]), Err(PeersError::Closed));
    assert_eq!(network.peers().len(), 1);
}

/// The addresses of a later member come from the configuration, or from the last run. The member
/// itself knows no address.
#[tokio::test]
async fn an_added_member_is_dialed_at_addresses_from_before() {
    let members = by_key(2);
    for from_configuration in [true, false] {
        let mut second = Node::join(members[1], &members, &[]).await;
        let mut first = config(members[0], &members[..1]);
        if from_configuration {
            first.bootstrap = vec![second.address()];
        } else {
            first.known = vec![(second.key(), second.bare_address())];
        }
        let mut first = Node::start(members[0], first).await;
        assert!(first.network.failed_addresses().is_empty() && first.network.known_addresses().is_empty());
        first.set_peers(&members, &[]);
        first.connected(second.number).await;
        second.connected(first.number).await;
        assert_eq!(first.network.known_addresses(), [(second.key(), second.bare_address())]);
        assert_eq!(first.network.counters().dials, 1, "it was not dialed before");
    }
}

/// An address without a peer id, at which a member answered that was removed since.
#[tokio::test]
async fn a_bootstrap_address_of_a_removed_member_is_tried_again() {
    let members = by_key(3);
    let mut old = Node::join(members[0], &members, &[]).await;
    let port_of_old = old.bare_address();
    let mut own = config(members[1], &members[..2]);
    own.bootstrap = vec![port_of_old.clone()];
    let mut node = Node::start(members[1], own).await;
    node.connected(old.number).await;
    old.connected(node.number).await;
    node.set_peers(&members[1..], &[]);
    node.disconnected(old.number).await;
    // The new member takes over the address.
    old.network.shutdown().await;
    let mut new = config(members[2], &members);
    new.listen = vec![port_of_old];
    let mut new = Node::start(members[2], new).await;
    node.connected(new.number).await;
    new.connected(node.number).await;
}
