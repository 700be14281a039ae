//! The results that a client accepts.

use std::sync::Arc;

use quorate_api::TransactionStatus;
use quorate_client::{Client, ClientError, Untrusted};
use quorate_genesis::TestNetwork;
use quorate_ledger::{Height, ProofError, Transaction};
use quorate_rpc::Node;

use crate::site::{Site, client};
use crate::support::{FakeNode, TIME_LIMIT};

/// A node with five transactions at height 1, and one at height 2, which is final only by the
/// certificate of height 3.
fn node() -> (Arc<FakeNode>, Vec<Transaction>) {
    let node = Arc::new(FakeNode::new());
    let transactions: Vec<_> = (0..6).map(|nonce| node.transaction(nonce, b"hello")).collect();
    node.commit(&transactions[..5]);
    node.commit_through_descendant(&transactions[5..]);
    (node, transactions)
}

fn why<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Untrusted {
    match result.unwrap_err() {
        ClientError::Untrusted { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn results_of_an_honest_node_are_accepted() {
    let (node, transactions) = node();
    let site = Site::of(&node).await;
    let client = client(&node, [&site.url]);

    assert_eq!(client.head().await.unwrap().unwrap().height, Height(3));
    for height in 1..=3 {
        let block = client.block(Height(height)).await.unwrap().unwrap();
        assert_eq!(Some(block), node.ledger().block(Height(height)).unwrap());
    }
    assert_eq!(client.block(Height(4)).await.unwrap(), None);
    assert_eq!(client.block(Height(0)).await.unwrap(), None);
    let heights = |blocks: Vec<quorate_ledger::Block>| -> Vec<u64> {
        blocks.iter().map(|block| block.height().0).collect()
    };
    assert_eq!(heights(client.blocks(Height(0), 1000).await.unwrap()), [1, 2, 3]);
    assert_eq!(heights(client.blocks(Height(1), 2).await.unwrap()), [1, 2], "proven through height 3");
    assert_eq!(heights(client.blocks(Height(4), 2).await.unwrap()), [0; 0]);

    for transaction in &transactions {
        let id = transaction.id();
        let receipt = client.receipt(id).await.unwrap().unwrap();
        receipt.verify(node.genesis().anchor()).unwrap();
        let located = client.transaction(id).await.unwrap().unwrap();
        assert_eq!((&located.transaction, &located.receipt), (transaction, &receipt));
        let status = client.status(id).await.unwrap();
        let height = receipt.proof.header.height.0;
        assert_eq!(status.status, TransactionStatus::Committed { height, index: receipt.index });
        assert_eq!(status.receipt, Some(receipt));
    }
    let unknown = node.transaction(99, b"").id();
    assert_eq!(client.receipt(unknown).await.unwrap(), None);
    assert_eq!(client.transaction(unknown).await.unwrap(), None);
    assert_eq!(client.status(unknown).await.unwrap().status, TransactionStatus::Unknown);
}

#[tokio::test]
async fn a_chain_without_blocks_has_no_head_to_prove() {
    let node = Arc::new(FakeNode::new());
    let site = Site::of(&node).await;
    assert_eq!(client(&node, [&site.url]).head().await.unwrap(), None);
}

#[tokio::test]
async fn results_of_another_network_are_refused() {
    let (node, transactions) = node();
    let site = Site::of(&node).await;
    let other = FakeNode::of(TestNetwork::seeded(4, 2));
    let client = client(&other, [&site.url]);
    let other_chain = |reason: Untrusted| {
        assert!(matches!(reason, Untrusted::Proof(ProofError::Header { field: "chain_id", .. })), "{reason}");
    };
    other_chain(why(client.head().await));
    other_chain(why(client.block(Height(1)).await));
    other_chain(why(client.blocks(Height(1), 10).await));
    other_chain(why(client.receipt(transactions[0].id()).await));
    other_chain(why(client.transaction(transactions[0].id()).await));
    other_chain(why(client.status(transactions[0].id()).await));
}

/// If a node changes any digit of any response, the client detects it, or the result is the same.
#[tokio::test]
async fn altered_results_are_refused() {
    let (node, transactions) = node();
    let correct = Site::of(&node).await;
    let truth = client(&node, [&correct.url]);
    let id = transactions[2].id();
    let receipt = truth.receipt(id).await.unwrap();
    let block = truth.block(Height(1)).await.unwrap();
    for (from, to) in [
        ("\"timestamp_ms\":17", "\"timestamp_ms\":27"),
        ("\"view\":0", "\"view\":1"),
        ("\"signers\":[0,1,2]", "\"signers\":[0,1,3]"),
        ("\"signers\":[0,1,2]", "\"signers\":[1,0,2]"),
        ("\"index\":2", "\"index\":3"),
        ("\"nonce\":2", "\"nonce\":20"),
        ("\"data\":\"0x68", "\"data\":\"0x69"),
        ("\"transaction_count\":5", "\"transaction_count\":4"),
        ("\"parent\":\"0x", "\"parent\":\"0x0"),
        ("\"certificate\":{", "\"note\":1,\"certificate\":{"),
    ] {
        let site = Site::altered(&node, move |text| text.replace(from, to)).await;
        let client = client(&node, [&site.url]);
        let told = client.receipt(id).await;
        assert!(told.is_err() || told.unwrap() == receipt, "{to} in a receipt");
        let told = client.block(Height(1)).await;
        assert!(told.is_err() || told.unwrap() == block, "{to} in a block");
        assert!(
            client.receipt(id).await.is_err() || client.block(Height(1)).await.is_err(),
            "{from} was in one of the answers"
        );
    }
}

#[tokio::test]
async fn blocks_out_of_order_or_too_many_are_refused() {
    let (node, _) = node();
    let renumbered = |from: &'static str, to: &'static str| {
        let node = Arc::clone(&node);
        // The node gets another request than the client sent.
        async move {
            let router = quorate_rpc::router(&quorate_rpc::RpcConfig::default(), Arc::clone(&node), None);
            let ask = axum::middleware::from_fn(
                move |request: axum::extract::Request, next: axum::middleware::Next| async move {
                    let (mut parts, body) = request.into_parts();
                    parts.headers.remove("content-length");
                    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                    let text = String::from_utf8(bytes.to_vec()).unwrap().replace(from, to);
                    next.run(axum::extract::Request::from_parts(parts, text.into())).await
                },
            );
            Site::serving(router.layer(ask)).await
        }
    };
    let site = renumbered("\"from_height\":1", "\"from_height\":2").await;
    let reason = why(client(&node, [&site.url]).blocks(Height(1), 3).await);
    assert!(matches!(reason, Untrusted::OtherHeight { asked: Height(1), found: Height(2) }), "{reason}");

    let site = renumbered("\"limit\":1", "\"limit\":2").await;
    let reason = why(client(&node, [&site.url]).blocks(Height(1), 1).await);
    assert!(matches!(reason, Untrusted::TooMany { asked: 1, found: 2 }), "{reason}");

    let site = renumbered("\"at\":1", "\"at\":2").await;
    let reason = why(client(&node, [&site.url]).block(Height(1)).await);
    assert!(matches!(reason, Untrusted::OtherHeight { .. }), "{reason}");

    let site = renumbered("\"height\":3", "\"height\":2").await;
    let reason = why(client(&node, [&site.url]).head().await);
    assert!(matches!(reason, Untrusted::OtherHeight { .. }), "{reason}");
}

#[tokio::test]
async fn a_false_commit_is_refused() {
    let node = Arc::new(FakeNode::new());
    let claim = |text: String| {
        text.replace("\"status\":\"pending\"", "\"status\":\"committed\",\"height\":1,\"index\":0")
    };
    let site = Site::altered(&node, claim).await;
    let client = client(&node, [&site.url]);
    let transaction = node.transaction(1, b"x");
    let reason = why(client.submit(&transaction).await);
    assert!(matches!(reason, Untrusted::NoReceipt(id) if id == transaction.id()), "{reason}");
    let reason = why(client.status(transaction.id()).await);
    assert!(matches!(reason, Untrusted::NoReceipt(_)), "{reason}");
}

#[tokio::test]
async fn a_receipt_for_another_transaction_is_refused() {
    let (node, transactions) = node();
    let (asked, given) = (transactions[0].id(), transactions[1].id());
    let other = serde_of(&node, given);
    let own = serde_of(&node, asked);
    let site = Site::altered(&node, move |text| text.replace(&own, &other)).await;
    let reason = why(client(&node, [&site.url]).receipt(asked).await);
    assert!(matches!(reason, Untrusted::OtherTransaction { found, .. } if found == given), "{reason}");
}

/// The beginning of a receipt up to its proof, with the transaction that it is for.
fn serde_of(node: &FakeNode, id: quorate_ledger::TransactionId) -> String {
    let receipt = node.ledger().receipt(&id).unwrap().unwrap();
    let path: Vec<String> = receipt.path.siblings().iter().map(|hash| format!("\"{hash}\"")).collect();
    format!("\"transaction\":\"{id}\",\"index\":{},\"path\":[{}]", receipt.index, path.join(","))
}

#[tokio::test]
async fn submitting_returns_a_proven_receipt() {
    let node = Arc::new(FakeNode::new());
    let site = Site::of(&node).await;
    let client = Arc::new(client(&node, [&site.url]));
    let transaction = node.transaction(1, b"hello");
    let accepted = client.submit(&transaction).await.unwrap();
    assert_eq!((accepted.id, accepted.status), (transaction.id(), TransactionStatus::Pending));
    assert_eq!(accepted.receipt, None);

    // Use it in another task, as applications do.
    let waiting = tokio::spawn({
        let (client, transaction) = (Arc::clone(&client), transaction.clone());
        async move { client.submit_and_wait(&transaction, TIME_LIMIT).await }
    });
    node.commit_pool();
    let committed = waiting.await.unwrap().unwrap();
    assert_eq!(committed.status, TransactionStatus::Committed { height: 1, index: 0 });
    committed.receipt.unwrap().verify(node.genesis().anchor()).unwrap();
    let again: Client = client_of(&node, &site);
    assert_eq!(again.submit(&transaction).await.unwrap().receipt.unwrap().index, 0, "proven here, too");
}

fn client_of(node: &FakeNode, site: &Site) -> Client {
    client(node, [&site.url])
}
