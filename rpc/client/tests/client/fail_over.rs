//! Several nodes, some of which fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use quorate_api::{ErrorKind, TransactionStatus, Wait};
use quorate_client::{CallError, Client, ClientConfig, ClientError, Rpc};
use quorate_ledger::{Height, Payload, Refusal, SecretKey, Transaction};
use quorate_rpc::{Node, RpcConfig, router};
use tokio::time::timeout;

use crate::site::{Site, client, unreachable};
use crate::support::{FakeNode, TIME_LIMIT};

const FULL: Refusal = Refusal::PoolFull { transactions: 1, bytes: 1 };

fn kind(error: &ClientError) -> ErrorKind {
    match error {
        ClientError::Call(CallError::Node { error, .. }) => error.kind(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_next_node_is_tried_and_preferred() {
    let node = Arc::new(FakeNode::new());
    node.commit(&[node.transaction(1, b"x")]);
    let bad_gateway = Router::new().route("/", post(|| async { StatusCode::BAD_GATEWAY }));
    let broken = Site::serving(bad_gateway).await;
    let nonsense = Site::altered(&node, |_| "nonsense".to_owned()).await;
    let faulty_node = Site::altered(&node, |text| text.replace("\"view\":0", "\"view\":1")).await;
    let good = Site::of(&node).await;
    let urls = [
        unreachable().await,
        broken.url.clone(),
        nonsense.url.clone(),
        faulty_node.url.clone(),
        good.url.clone(),
    ];
    let client = client(&node, &urls);

    assert_eq!(client.block(Height(1)).await.unwrap().unwrap().height(), Height(1));
    let asked = [broken.requests(), nonsense.requests(), faulty_node.requests()];
    assert!(asked.iter().all(|count| *count >= 1), "{asked:?}");
    assert_eq!(client.preferred().url(), good.url);
    assert_eq!(client.block(Height(1)).await.unwrap().unwrap().height(), Height(1));
    assert_eq!(
        [broken.requests(), nonsense.requests(), faulty_node.requests()],
        asked,
        "the good one is asked first"
    );
}

#[tokio::test]
async fn a_full_pool_is_tried_again_with_the_same_bytes() {
    let node = Arc::new(FakeNode::new());
    let site = Site::of(&node).await;
    node.refuse(FULL);
    let transaction = node.transaction(1, b"x");
    let config = ClientConfig { timeout: TIME_LIMIT, ..ClientConfig::default() };
    let client = Client::new([&site.url], node.genesis().anchor().clone(), config).unwrap();
    let (submitted, ()) = tokio::join!(client.submit(&transaction), async {
        let tried_twice = async {
            while site.requests() < 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIME_LIMIT, tried_twice).await.expect("a retryable refusal is tried again");
        node.relent();
    });
    assert_eq!(submitted.unwrap().status, TransactionStatus::Pending);
    assert_eq!(node.pending(), 1);
}

#[tokio::test]
async fn another_node_has_room() {
    let (full, free) = (Arc::new(FakeNode::new()), Arc::new(FakeNode::new()));
    full.refuse(FULL);
    let (one, other) = (Site::of(&full).await, Site::of(&free).await);
    let client = client(&free, [&one.url, &other.url]);
    let submitted = client.submit(&free.transaction(1, b"x")).await.unwrap();
    assert_eq!(submitted.status, TransactionStatus::Pending);
    assert_eq!((full.pending(), free.pending()), (0, 1));
}

#[tokio::test]
async fn a_permanent_refusal_is_not_retried() {
    let node = Arc::new(FakeNode::new());
    let (one, other) = (Site::of(&node).await, Site::of(&node).await);
    let client = client(&node, [&one.url, &other.url]);
    let mut altered = node.transaction(1, b"x");
    altered.nonce += 1;
    assert_eq!(kind(&client.submit(&altered).await.unwrap_err()), ErrorKind::BadSignature);

    let key = SecretKey::from_bytes(&[9; 32]).unwrap();
    let chain = node.genesis().chain_id();
    let expired = Transaction::sign(&chain, &key, 1, quorate_ledger::Timestamp(1), Payload::Data(Vec::new()));
    let refused = client.submit_and_wait(&expired, TIME_LIMIT).await.unwrap_err();
    assert_eq!(kind(&refused), ErrorKind::TransactionExpired);
    assert_eq!((one.requests(), other.requests()), (2, 0));
}

#[tokio::test]
async fn when_all_nodes_fail_the_last_error_is_returned() {
    let node = FakeNode::new();
    let urls = [unreachable().await, unreachable().await];
    let error = client(&node, &urls).head().await.unwrap_err();
    assert!(matches!(error, ClientError::Call(CallError::Unreachable { .. })), "{error}");
    assert!(error.to_string().starts_with("http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_wait_continues_at_another_node() {
    let node = Arc::new(FakeNode::new());
    // The first node ends waits at once, like a node that stops.
    let no_wait = RpcConfig { max_wait: Duration::ZERO, ..RpcConfig::default() };
    let hasty = Site::serving(router(&no_wait, Arc::clone(&node), None)).await;
    let site = Site::of(&node).await;
    let transaction = node.transaction(1, b"x");
    let client = client(&node, [&hasty.url, &site.url]);
    let status_so_far = client.submit_and_wait(&transaction, Duration::from_millis(1)).await.unwrap();
    assert!(!status_so_far.status.is_final(), "the time is over, which is no error");
    let (committed, ()) = tokio::join!(client.submit_and_wait(&transaction, TIME_LIMIT), async {
        node.until_pending(1).await;
        node.commit_pool();
    });
    assert!(committed.unwrap().receipt.is_some());
}

/// The first submission arrives, but its response does not. Then a node that lags behind reports
/// the transaction as expired, although it was submitted in time.
#[tokio::test]
async fn an_expiry_is_doubted_if_an_earlier_submission_may_have_arrived() {
    let (node, lagging) = (Arc::new(FakeNode::new()), Arc::new(FakeNode::new()));
    let transaction = node.transaction(1, b"x");
    lagging.refuse(Refusal::Expired { valid_until: transaction.valid_until, now: node.next_time() });
    let first = AtomicBool::new(true);
    let garbled = move |text| if first.swap(false, Ordering::SeqCst) { String::new() } else { text };
    let garbled = Arc::new(garbled);
    let unlucky = Site::altered(&node, move |text| garbled(text)).await;
    let late = Site::of(&lagging).await;
    let client = client(&node, [&unlucky.url, &late.url]);
    node.commit(std::slice::from_ref(&transaction));
    let submitted = client.submit_and_wait(&transaction, TIME_LIMIT).await.unwrap();
    assert!(submitted.receipt.is_some());
    assert_eq!((unlucky.requests(), late.requests()), (2, 1));
}

#[tokio::test]
async fn a_node_that_never_responds_times_out() {
    let silent = Router::new().route("/", post(std::future::pending::<StatusCode>));
    let site = Site::serving(silent).await;
    let limit = Duration::from_millis(50);
    let config = ClientConfig { answer_timeout: limit, ..ClientConfig::default() };
    let error = Rpc::new(&site.url, &config).unwrap().chain_head().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { after, .. } if after == limit), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_answer_has_at_most_so_many_bytes() {
    let node = Arc::new(FakeNode::new());
    let site = Site::of(&node).await;
    let rpc = |max_response_bytes| {
        let config = ClientConfig { max_response_bytes, ..ClientConfig::default() };
        Rpc::new(&site.url, &config).unwrap()
    };
    assert!(rpc(10_000).network_genesis().await.is_ok());
    assert!(rpc(100).network_genesis().await.is_err());
}

#[tokio::test]
async fn errors_of_a_node_keep_their_shape() {
    let node = Arc::new(FakeNode::new());
    node.refuse(FULL);
    let site = Site::of(&node).await;
    let rpc = Rpc::new(&site.url, &ClientConfig::default()).unwrap();
    let bytes = node.transaction(1, b"x").to_bytes();
    let error = rpc.tx_submit(bytes, Wait::Accepted, TIME_LIMIT).await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(error.retry_after(), Some(Duration::from_millis(500)));
    assert!(error.to_string().contains("the pool would hold 1 transactions"), "{error}");

    let busy = Router::new().route("/", post(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let site = Site::serving(busy).await;
    let error = Rpc::new(&site.url, &ClientConfig::default()).unwrap().chain_head().await.unwrap_err();
    assert!(matches!(error, CallError::Refused { status: 503, .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn every_method_of_one_node() {
    let node = Arc::new(FakeNode::new());
    node.commit(&[node.transaction(1, b"x")]);
    let site = Site::of(&node).await;
    let rpc = Rpc::new(&site.url, &ClientConfig::default()).unwrap();
    let id = node.transaction(2, b"y").id();
    assert_eq!(rpc.tx_status(id).await.unwrap().status, TransactionStatus::Unknown);
    assert_eq!(rpc.tx_get(id).await.unwrap(), None);
    assert_eq!(rpc.tx_receipt(id).await.unwrap(), None);
    assert_eq!(rpc.chain_head().await.unwrap().height, 1);
    let block = rpc.chain_block(quorate_api::BlockAt::Latest, false).await.unwrap().unwrap();
    assert_eq!(block.transactions.len(), 1);
    assert_eq!(rpc.chain_blocks(1, 5, true).await.unwrap().blocks.len(), 1);
    assert_eq!(rpc.chain_proof(1).await.unwrap().unwrap().header, block.header);
    assert_eq!(rpc.network_genesis().await.unwrap().chain_id, node.genesis().chain_id());
    assert_eq!(rpc.network_validators(None).await.unwrap().unwrap().validators.len(), 4);
    assert_eq!(rpc.node_status().await.unwrap(), node.status());
    assert_eq!(rpc.node_peers().await.unwrap(), node.peers());
    assert_eq!(rpc.node_version().await.unwrap(), node.version());
    assert_eq!(rpc.consensus_state().await.unwrap(), node.consensus());
    assert_eq!(rpc.consensus_explain().await.unwrap().view, node.consensus().view);
    assert_eq!(rpc.mempool_status().await.unwrap(), node.mempool());
    assert_eq!(rpc.chain_checkpoint(None).await.unwrap(), None);
    node.stabilise();
    node.accuse(2);
    assert_eq!(rpc.chain_checkpoint(Some(1)).await.unwrap(), node.checkpoint());
    assert_eq!(rpc.chain_checkpoint(Some(2)).await.unwrap(), None);
    assert_eq!(rpc.consensus_evidence().await.unwrap().evidence, node.evidence());
}

#[test]
fn urls_that_cannot_be_asked_are_refused_at_once() {
    let node = FakeNode::new();
    let make = |urls: &[&str]| {
        Client::new(urls, node.genesis().anchor().clone(), ClientConfig::default()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(make(&[]), ClientError::NoNode));
    for url in ["https://node", "ftp://node", "node:8545", "", "http://"] {
        assert!(matches!(make(&["http://good:1", url]), ClientError::Url { .. }), "{url}");
    }
}
