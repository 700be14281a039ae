//! A member that is too slow.

use quorate_network::NetworkEvent;

use crate::support::{Node, by_key, config, eventually, gossip_passes};

/// Long enough that all buffers between two nodes hold only a small part of what is sent.
const MESSAGE_BYTES: usize = 16 * 1024;
const MESSAGES: u32 = 1500;

fn message(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[tokio::test]
async fn a_stuck_reader_loses_its_oldest_messages_and_blocks_no_other_member() {
    let members = by_key(3);
    let mut sender_config = config(members[0], &members);
    sender_config.limits.outbound_messages = 16;
    let mut sender = Node::start(members[0], sender_config).await;
    let mut stuck_config = config(members[1], &members);
    stuck_config.limits.inbound_messages = 8;
    stuck_config.bootstrap = vec![sender.address()];
    let mut stuck = Node::start(members[1], stuck_config).await;
    let mut swift = Node::join(members[2], &members, &[&sender]).await;
    stuck.connected(sender.number).await;
    swift.connected(sender.number).await;
    sender.connected(stuck.number).await;
    sender.connected(swift.number).await;

    // The stuck node's events are not taken. The swift node receives every message in order.
    for number_sent in 0..MESSAGES {
        sender.network.broadcast(message(number_sent).into());
        assert_eq!(number(&swift.message(sender.number).await), number_sent);
    }
    let dropped = sender.status(stuck.number).messages_dropped;
    assert!(dropped > 0, "more was sent than all buffers hold");
    assert_eq!(sender.status(swift.number).messages_dropped, 0);
    assert_eq!(sender.network.counters().messages_dropped, dropped);

    // When the stuck node reads again, it receives the kept messages in order, up to the newest.
    let mut received = Vec::new();
    while received.last() != Some(&(MESSAGES - 1)) {
        received.push(number(&stuck.message(sender.number).await));
    }
    assert!(received.is_sorted(), "{received:?}");
    assert_eq!(received.len() as u64 + dropped, u64::from(MESSAGES), "each was delivered or counted");
    assert_eq!(stuck.network.counters().connections_silent, 0, "a slow member is not a silent one");
}

#[tokio::test]
async fn gossip_that_is_not_taken_is_dropped_and_counted() {
    let members = by_key(2);
    let mut stuck_config = config(members[0], &members);
    stuck_config.limits.gossip_messages = 3;
    let mut stuck = Node::start(members[0], stuck_config).await;
    let mut author = Node::join(members[1], &members, &[&stuck]).await;
    author.connected(stuck.number).await;
    gossip_passes(&author.network, &mut stuck, "warm up").await;
    stuck.drain();
    let mut published = 0u32;
    eventually("dropped gossip", || {
        published += 1;
        author.network.publish(format!("number {published}").into()).unwrap();
        stuck.network.counters().gossip_dropped > 0
    })
    .await;
    let waiting = stuck.drain();
    let gossip = waiting.iter().filter(|event| matches!(event, NetworkEvent::Gossip { .. })).count();
    assert_eq!(gossip, 3);
    // Direct messages have their own share.
    author.network.send(stuck.key(), "direct".into());
    assert_eq!(stuck.message(author.number).await, "direct");
}
