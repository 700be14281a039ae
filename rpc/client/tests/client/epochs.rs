//! The anchor follows the committee from epoch to epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use quorate_client::{ClientError, Untrusted};
use quorate_governance::Operation;
use quorate_ledger::{Epoch, Height};
use quorate_rpc::{Node, RpcConfig, router};
use tower::ServiceExt;

use crate::site::{Site, client};
use crate::support::FakeNode;

/// A node in epoch 1, which began at height 10.
fn renewed() -> Arc<FakeNode> {
    let node = FakeNode::new();
    node.commit(&[node.operation(0, 1, &Operation::Renew)]);
    node.grow_to(9);
    Arc::new(node)
}

#[tokio::test]
async fn results_of_a_later_epoch_extend_the_anchor() {
    let node = renewed();
    let transaction = node.transaction(1, b"x");
    node.commit(std::slice::from_ref(&transaction));
    // Not altered: a stream has no end.
    let site = Site::serving(router(&RpcConfig::default(), Arc::clone(&node), None)).await;
    for result in 0..4 {
        let client = client(&node, [&site.url]);
        assert_eq!(client.anchor().newest().epoch(), Epoch(0));
        match result {
            0 => drop(client.receipt(transaction.id()).await.unwrap().unwrap()),
            1 => drop(client.block(Height(10)).await.unwrap().unwrap()),
            2 => assert_eq!(client.head().await.unwrap().unwrap().epoch, Epoch(1)),
            _ => drop(client.follow(Height(10)).next().await.unwrap()),
        }
        assert_eq!(client.anchor().newest().epoch(), Epoch(1));
        // Blocks of the earlier epoch stay provable.
        client.block(Height(3)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_last_block_of_an_epoch_is_a_possible_head() {
    let node = renewed();
    let site = Site::of(&node).await;
    let client = client(&node, [&site.url]);
    assert_eq!(client.head().await.unwrap().unwrap().height, Height(9));
}

/// The client learns of epoch 1 from a node. Then that node serves an older chain, as after a restored
/// backup.
#[tokio::test]
async fn a_head_of_an_earlier_epoch_is_refused() {
    let (ahead, behind) = (renewed(), Arc::new(FakeNode::new()));
    ahead.grow_to(12);
    behind.grow_to(3);
    let is_restored = Arc::new(AtomicBool::new(false));
    let (switch, old) = (Arc::clone(&is_restored), router(&RpcConfig::default(), Arc::clone(&behind), None));
    let serving = from_fn(move |request: Request, next: Next| {
        let old = old.clone();
        let restored = switch.load(Ordering::SeqCst);
        async move { if restored { old.oneshot(request).await.unwrap() } else { next.run(request).await } }
    });
    let site = Site::serving(router(&RpcConfig::default(), Arc::clone(&ahead), None).layer(serving)).await;
    let client = client(&ahead, [&site.url]);
    assert_eq!(client.head().await.unwrap().unwrap().epoch, Epoch(1));
    is_restored.store(true, Ordering::SeqCst);
    match client.head().await.unwrap_err() {
        ClientError::Untrusted { reason: Untrusted::Behind { epoch, newest }, .. } => {
            assert_eq!((epoch, newest), (Epoch(0), Epoch(1)));
        }
        other => panic!("{other}"),
    }
    // Old blocks stay final.
    client.block(Height(3)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_false_epoch_proof_is_refused() {
    let node = renewed();
    node.grow_to(11);
    let site = Site::altered(&node, |text| {
        if text.contains("\"proofs\"") {
            text.replace("\"signers\":[0,1,2]", "\"signers\":[0,1,3]")
        } else {
            text
        }
    })
    .await;
    let client = client(&node, [&site.url]);
    match client.block(Height(11)).await.unwrap_err() {
        ClientError::Untrusted { reason: Untrusted::Epoch(_), .. } => {}
        other => panic!("{other}"),
    }
    assert_eq!(client.anchor().newest().epoch(), Epoch(0));
    assert_eq!(client.anchor().chain_id(), node.genesis().chain_id());
}
