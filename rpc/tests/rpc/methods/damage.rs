//! A disk that has damaged a block: the node serves intact blocks, and refers clients to other
//! nodes for the damaged one.

use quorate_rpc::RpcConfig;
use serde_json::{Value, json};

use crate::support::FakeNode;
use crate::tools::web::Site;

/// A site with three blocks of one transaction each, of which the second is damaged; and the ids of
/// the transactions.
fn damaged() -> (Site, Vec<String>) {
    let node = FakeNode::new();
    let ids = (1..=3).map(|nonce| {
        let transaction = node.transaction(nonce, b"some data that is long enough to be found on the disk");
        node.commit(std::slice::from_ref(&transaction));
        transaction.id().to_string()
    });
    let ids = ids.collect();
    let site = Site::of(node.with_damaged_block(quorate_ledger::Height(2)), &RpcConfig::default());
    (site, ids)
}

fn heights(answer: &Value) -> Vec<u64> {
    answer["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["header"]["height"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn intact_blocks_are_served_and_others_refer_to_another_node() {
    let (site, ids) = damaged();
    for (method, params) in [
        ("chain_block", json!([2])),
        ("chain_blocks", json!([2])),
        ("tx_get", json!([ids[1]])),
        ("tx_receipt", json!([ids[1]])),
    ] {
        let error = site.fail(method, params).await;
        assert_eq!(
            (&error["data"]["kind"], &error["code"]),
            (&json!("storage_damaged"), &json!(-32052)),
            "{method}"
        );
        assert_eq!(error["data"]["retryable"], true, "{method}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("another node") && !message.contains('/'),
            "no path of this machine: {message}"
        );
    }
    for (height, id) in [(1, &ids[0]), (3, &ids[2])] {
        assert_eq!(site.call("chain_block", json!([height])).await["header"]["height"], height);
        assert_eq!(site.call("tx_get", json!([id])).await["height"], height);
        assert_eq!(site.call("tx_receipt", json!([id])).await["transaction"], *id);
    }
    // The header and the height of the damaged block are intact.
    assert_eq!(site.call("tx_status", json!([ids[1]])).await["height"], 2);
    assert_eq!(site.call("chain_proof", json!([2])).await["header"]["height"], 2);
    assert_eq!(heights(&site.call("chain_blocks", json!([0])).await), [0, 1]);
    assert_eq!(heights(&site.call("chain_blocks", json!([3])).await), [3]);
}

#[tokio::test]
async fn damage_is_reported_after_a_read_found_it() {
    let (site, _) = damaged();
    let warnings = async || site.call("consensus_explain", json!([])).await["warnings"].clone();
    assert_eq!(warnings().await, json!([]));
    site.fail("chain_block", json!([2])).await;
    site.fail("chain_block", json!([2])).await;
    let told = warnings().await;
    assert_eq!(told[0]["kind"], "storage_damaged");
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.contains("height 2") && text.contains("2 reads have failed"), "{text}");
}
