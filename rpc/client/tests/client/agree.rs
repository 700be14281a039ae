//! What nobody can prove, and several say alike.

use std::sync::Arc;

use quorate_api::TransactionStatus;
use quorate_client::{Client, ClientError, Rpc};
use quorate_ledger::TransactionId;

use crate::site::{Site, client, nobody};
use crate::support::FakeNode;

/// A node that calls everything expired that is unknown.
async fn liar(node: &Arc<FakeNode>) -> Site {
    Site::altered(node, |text| text.replace("unknown", "expired")).await
}

async fn status(client: &Client, id: TransactionId) -> Result<TransactionStatus, ClientError> {
    client.agreed(async |node: Rpc| node.tx_status(id).await).await
}

/// Of four members one may lie, so two must say it.
#[tokio::test]
async fn what_one_more_than_may_lie_say_alike_is_so() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (first, second, lying) = (Site::of(&node).await, Site::of(&node).await, liar(&node).await);
    let urls = [lying.url.clone(), nobody().await, first.url.clone(), second.url.clone()];
    assert_eq!(status(&client(&node, &urls), id).await.unwrap(), TransactionStatus::Unknown);
}

#[tokio::test]
async fn one_voice_is_not_enough_however_often_it_is_heard() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (honest, lying) = (Site::of(&node).await, liar(&node).await);
    let urls = [lying.url.clone(), lying.url.clone(), honest.url.clone(), nobody().await];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    let ClientError::NoAgreement { needed, alike, asked, .. } = &error else { panic!("{error}") };
    assert_eq!((*needed, *alike, *asked), (2, 1, 3), "{error}");
    assert!(error.to_string().contains("1 of 3 nodes agree, 2 must"), "{error}");
}
