//! What nobody can prove, and several say alike.

use std::sync::Arc;

use quorate_api::TransactionStatus;
use quorate_client::{Client, ClientError, Rpc};
use quorate_ledger::{SecretKey, TransactionId};
use quorate_rpc::Node;

use crate::site::{Site, client, nobody};
use crate::support::FakeNode;

/// A server of this member, whatever it answers otherwise.
async fn member(node: &Arc<FakeNode>, index: usize, alter: fn(String) -> String) -> Site {
    let keys = node.genesis().committee().members();
    let (own, claimed) = (keys[0].to_string(), keys[index].to_string());
    Site::altered(node, move |text| alter(text).replace(&own, &claimed)).await
}

async fn honest(node: &Arc<FakeNode>, index: usize) -> Site {
    member(node, index, |text| text).await
}

/// A member that calls everything expired that is unknown.
async fn liar(node: &Arc<FakeNode>, index: usize) -> Site {
    member(node, index, |text| text.replace("unknown", "expired")).await
}

async fn status(client: &Client, id: TransactionId) -> Result<TransactionStatus, ClientError> {
    client.agreed(async |node: Rpc| node.tx_status(id).await).await
}

/// Of four members one may lie, so two must say it.
#[tokio::test]
async fn what_one_more_than_may_lie_say_alike_is_so() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (first, second, lying) = (honest(&node, 0).await, honest(&node, 1).await, liar(&node, 2).await);
    let urls = [lying.url.clone(), nobody().await, first.url.clone(), second.url.clone()];
    assert_eq!(status(&client(&node, &urls), id).await.unwrap(), TransactionStatus::Unknown);
}

#[tokio::test]
async fn one_voice_is_not_enough_however_often_it_is_heard() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (honest, lying) = (honest(&node, 0).await, liar(&node, 1).await);
    let urls = [lying.url.clone(), lying.url.clone(), honest.url.clone(), nobody().await];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    let ClientError::NoAgreement { needed, alike, asked, .. } = &error else { panic!("{error}") };
    assert_eq!((*needed, *alike, *asked), (2, 1, 3), "{error}");
    assert!(error.to_string().contains("1 members agree, of those at 3 addresses; 2 must"), "{error}");
}

#[tokio::test]
async fn two_addresses_of_a_member_are_one_voice() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (here, there, honest) = (liar(&node, 1).await, liar(&node, 1).await, honest(&node, 2).await);
    let urls = [here.url.clone(), there.url.clone(), honest.url.clone()];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAgreement { needed: 2, alike: 1, asked: 3, .. }), "{error}");
    let urls = [here.url.clone(), there.url.clone(), honest.url, self::honest(&node, 0).await.url];
    assert_eq!(status(&client(&node, &urls), id).await.unwrap(), TransactionStatus::Unknown);
}

#[tokio::test]
async fn who_is_no_member_has_no_voice() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (own, stranger) =
        (node.genesis().committee().members()[0].to_string(), SecretKey::generate().public().to_string());
    let outside = Site::altered(&node, move |text| text.replace(&own, &stranger)).await;
    let urls = [outside.url.clone(), honest(&node, 0).await.url];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAgreement { alike: 0 | 1, asked: 2, .. }), "{error}");
    assert!(error.to_string().contains("its word does not count"), "{error}");
}
