//! Follows the chain over nodes that start, stop and are faulty.

use std::sync::Arc;

use quorate_client::{CallError, Client, ClientConfig, ClientError, Follower, Untrusted};
use quorate_ledger::Height;
use quorate_rpc::{Node, RpcConfig, RpcServer, serve};
use tokio::time::timeout;

use crate::site::{Site, client, unreachable};
use crate::support::{FakeNode, TIME_LIMIT};

fn grow(node: &FakeNode, count: usize) {
    for _ in 0..count {
        node.commit(&[node.transaction(node.next_time().0, b"hello")]);
    }
}

/// A server that can be stopped.
async fn server(node: &Arc<FakeNode>) -> (RpcServer, String) {
    let config = RpcConfig { listen: ([127, 0, 0, 1], 0).into(), ..RpcConfig::default() };
    let server = serve(config, Arc::clone(node), None).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    (server, url)
}

async fn take(blocks: &mut Follower<'_>, node: &FakeNode, heights: std::ops::RangeInclusive<u64>) {
    for height in heights {
        let block = timeout(TIME_LIMIT, blocks.next()).await.expect("no block comes").unwrap();
        assert_eq!(Some(block), node.ledger().block(Height(height)).unwrap(), "height {height}");
    }
}

#[tokio::test]
async fn every_block_comes_once_and_in_order_as_the_chain_grows() {
    let node = Arc::new(FakeNode::new());
    grow(&node, 5);
    let (_server, url) = server(&node).await;
    let client = client(&node, [&url]);
    let mut blocks = client.follow(Height(0));
    take(&mut blocks, &node, 1..=5).await;
    let (growing, ()) = tokio::join!(blocks.next(), async { grow(&node, 1) });
    assert_eq!(growing.unwrap().height(), Height(6));
    // One of these blocks is final only by the certificate of the other.
    node.commit_through_descendant(&[node.transaction(1, b"x")]);
    take(&mut blocks, &node, 7..=8).await;
    assert_eq!(blocks.position(), Height(9));
}

#[tokio::test]
async fn another_node_continues_where_one_stopped() {
    let node = Arc::new(FakeNode::new());
    grow(&node, 3);
    let (first, first_url) = server(&node).await;
    let (_second, second_url) = server(&node).await;
    let config = ClientConfig { timeout: TIME_LIMIT, ..ClientConfig::default() };
    let urls = [&unreachable().await, &first_url, &second_url];
    let client = Client::new(urls, node.genesis().anchor().clone(), config).unwrap();
    let mut blocks = client.follow(Height(2));
    take(&mut blocks, &node, 2..=3).await;
    timeout(TIME_LIMIT, first.shutdown()).await.unwrap();
    grow(&node, 2);
    take(&mut blocks, &node, 4..=5).await;
}

#[tokio::test]
async fn unproven_blocks_are_not_returned() {
    let node = Arc::new(FakeNode::new());
    grow(&node, 3);
    let (server, url) = server(&node).await;
    // A chain of other validators with the same height.
    let other = Arc::new(FakeNode::of(quorate_genesis::TestNetwork::seeded(4, 2)));
    grow(&other, 3);
    let (_faulty_server, faulty_node) = self::server(&other).await;
    let client = client(&node, [&faulty_node, &url]);
    let mut blocks = client.follow(Height(1));
    take(&mut blocks, &node, 1..=3).await;

    timeout(TIME_LIMIT, server.shutdown()).await.unwrap();
    grow(&other, 1);
    let error = timeout(TIME_LIMIT, blocks.next()).await.expect("it returns an error").unwrap_err();
    let expected = matches!(
        &error,
        ClientError::Untrusted { reason: Untrusted::Unlinked(_), .. }
            | ClientError::Call(CallError::Unreachable { .. })
    );
    assert!(expected, "{error}");
    assert_eq!(blocks.position(), Height(4), "it can continue");
}

#[tokio::test]
async fn malformed_streams_are_refused() {
    let node = Arc::new(FakeNode::new());
    grow(&node, 1);
    // Neither the event nor the response ever ends.
    let endless = axum::Router::new().route(
        "/stream",
        axum::routing::get(|| async {
            let piece = || std::future::ready(Ok::<_, std::convert::Infallible>("data: xxxxxxxxxxxxxxxx\n"));
            let pieces = futures::stream::repeat_with(piece);
            axum::body::Body::from_stream(futures::StreamExt::buffered(pieces, 1))
        }),
    );
    let site = Site::serving(endless).await;
    let config = ClientConfig {
        max_response_bytes: 1000,
        timeout: std::time::Duration::ZERO,
        ..ClientConfig::default()
    };
    let client = Client::new([&site.url], node.genesis().anchor().clone(), config).unwrap();
    let error = timeout(TIME_LIMIT, client.follow(Height(1)).next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, ClientError::Call(CallError::Answer { .. })), "{error}");
}

#[tokio::test]
async fn a_node_that_is_far_behind_is_skipped() {
    let node = Arc::new(FakeNode::new());
    let (_server, url) = server(&node).await;
    let client = client(&node, [&url]);
    let error = timeout(TIME_LIMIT, client.follow(Height(5000)).next()).await.unwrap().unwrap_err();
    let ClientError::Call(CallError::Node { error, .. }) = error else { panic!("{error}") };
    assert_eq!(error.kind(), quorate_api::ErrorKind::Syncing);
}
