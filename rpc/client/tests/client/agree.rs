//! Results that no node can prove, and on which several nodes agree.

use std::sync::Arc;

use quorate_api::TransactionStatus;
use quorate_client::{Client, ClientError, Rpc};
use quorate_ledger::{SecretKey, TransactionId};
use quorate_rpc::Node;

use crate::site::{Site, client, unreachable};
use crate::support::FakeNode;

/// A server of this member, which alters its responses with `alter`.
async fn member(node: &Arc<FakeNode>, index: usize, alter: fn(String) -> String) -> Site {
    let keys = node.genesis().committee().members();
    let (own, claimed) = (keys[0].to_string(), keys[index].to_string());
    Site::altered(node, move |text| alter(text).replace(&own, &claimed)).await
}

async fn correct(node: &Arc<FakeNode>, index: usize) -> Site {
    member(node, index, |text| text).await
}

/// A faulty member that reports unknown transactions as expired.
async fn faulty(node: &Arc<FakeNode>, index: usize) -> Site {
    member(node, index, |text| text.replace("unknown", "expired")).await
}

async fn status(client: &Client, id: TransactionId) -> Result<TransactionStatus, ClientError> {
    client.agreed(async |node: Rpc| Ok(node.tx_status(id).await?.status)).await
}

/// Of four members one may be faulty, so two must agree.
#[tokio::test]
async fn a_result_of_f_plus_one_members_is_returned() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (first, second, faulty_node) =
        (correct(&node, 0).await, correct(&node, 1).await, faulty(&node, 2).await);
    let urls = [faulty_node.url.clone(), unreachable().await, first.url.clone(), second.url.clone()];
    assert_eq!(status(&client(&node, &urls), id).await.unwrap(), TransactionStatus::Unknown);
}

#[tokio::test]
async fn one_member_does_not_suffice_however_often_it_is_queried() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (correct, faulty_node) = (correct(&node, 0).await, faulty(&node, 1).await);
    let urls = [faulty_node.url.clone(), faulty_node.url.clone(), correct.url.clone(), unreachable().await];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    let ClientError::NoAgreement { needed, alike, asked, .. } = &error else { panic!("{error}") };
    assert_eq!((*needed, *alike, *asked), (2, 1, 3), "{error}");
    assert!(error.to_string().contains("only 1 of the members at 3 addresses agree, but 2 must"), "{error}");
}

#[tokio::test]
async fn two_addresses_of_a_member_count_once() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (here, there, correct) = (faulty(&node, 1).await, faulty(&node, 1).await, correct(&node, 2).await);
    let urls = [here.url.clone(), there.url.clone(), correct.url.clone()];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAgreement { needed: 2, alike: 1, asked: 3, .. }), "{error}");
    let urls = [here.url.clone(), there.url.clone(), correct.url, self::correct(&node, 0).await.url];
    assert_eq!(status(&client(&node, &urls), id).await.unwrap(), TransactionStatus::Unknown);
}

#[tokio::test]
async fn keys_outside_the_committee_do_not_count() {
    let node = Arc::new(FakeNode::new());
    let id = node.transaction(1, b"x").id();
    let (own, stranger) =
        (node.genesis().committee().members()[0].to_string(), SecretKey::generate().public().to_string());
    let outside = Site::altered(&node, move |text| text.replace(&own, &stranger)).await;
    let urls = [outside.url.clone(), correct(&node, 0).await.url];
    let error = status(&client(&node, &urls), id).await.unwrap_err();
    assert!(matches!(error, ClientError::NoAgreement { alike: 0 | 1, asked: 2, .. }), "{error}");
    assert!(error.to_string().contains("its claim does not count"), "{error}");
}
