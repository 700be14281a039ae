//! Every error kind, as a client gets it.

use quorate_ledger::{ChainId, NotPermitted, Payload, Refusal, SecretKey, Transaction, to_hex};
use quorate_rpc::Node;
use serde_json::{Value, json};

use crate::tools::web::Site;

fn kind(error: &Value) -> &str {
    error["data"]["kind"].as_str().unwrap()
}

async fn refusal(site: &Site, transaction: &Transaction) -> Value {
    let error = site.fail("tx_submit", json!([to_hex(&transaction.to_bytes())])).await;
    assert_eq!(site.node.pending(), 0, "a refused transaction leaves no trace");
    let status = site.call("tx_status", json!([transaction.id().to_string()])).await;
    assert_eq!(status["status"], "unknown");
    error
}

#[tokio::test]
async fn bytes_that_are_no_transaction() {
    let site = Site::new();
    let bytes = site.node.transaction(1, b"hello").to_bytes();
    let mut high_s = bytes.clone();
    let s = high_s.len() - 32;
    high_s[s] = 0xff;
    for malformed in [&[][..], &[0], &bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &high_s] {
        let error = site.fail("tx_submit", json!([to_hex(malformed)])).await;
        assert_eq!((kind(&error), &error["code"]), ("transaction_malformed", &json!(-32020)));
        assert_eq!(error["data"]["retryable"], false);
    }
}

#[tokio::test]
async fn the_error_of_malformed_bytes_says_what_is_wrong() {
    let site = Site::new();
    let good = site.node.transaction(1, b"hello").to_bytes();
    let changed = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        bytes
    };
    for (bytes, said) in [
        (Vec::new(), "a transaction has at least 118 bytes, not 0"),
        (changed(0, 4), "its first byte is 02 or 03, not 04"),
        (changed(49, 2), "byte 49, the kind, is 00 or 01, not 02"),
        (changed(50, 6), "bytes 50 to 53 give the payload 6 bytes, but there are 5 bytes for it"),
        (good[..good.len() - 1].to_vec(), "give the payload 5 bytes, but there are 4 bytes for it"),
        (changed(good.len() - 32, 0xff), "its signature is not canonical"),
    ] {
        let error = site.fail("tx_submit", json!([to_hex(&bytes)])).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said) && message.contains("WIRE.md"), "{message}");
    }
}

#[tokio::test]
async fn invalid_hex_is_an_invalid_parameter() {
    let site = Site::new();
    for wrong in [json!("0xABCD"), json!("abcd"), json!("0x1"), json!(1), json!(null), json!(["0x"])] {
        let error = site.fail("tx_submit", json!([wrong])).await;
        assert_eq!((kind(&error), &error["code"]), ("invalid_params", &json!(-32602)), "{wrong}");
    }
    let error = site.fail("tx_status", json!(["0x12"])).await;
    assert!(error["message"].as_str().unwrap().contains("expected 32 bytes, found 1"), "{error}");
}

#[tokio::test]
async fn a_transaction_that_is_too_large() {
    let site = Site::new();
    let limit = site.node.genesis().block_limits().transaction.max_bytes;
    let fitting = vec![0; limit as usize - 118];
    let error = refusal(&site, &site.node.transaction(1, &[&fitting[..], &[0]].concat())).await;
    assert_eq!((kind(&error), &error["code"]), ("transaction_too_large", &json!(-32021)));
    assert_eq!((&error["data"]["bytes"], &error["data"]["limit"]), (&json!(limit + 1), &json!(limit)));
    let largest = to_hex(&site.node.transaction(1, &fitting).to_bytes());
    assert_eq!(site.call("tx_submit", json!([largest])).await["status"], "pending");
}

#[tokio::test]
async fn a_transaction_of_another_chain_or_key() {
    let site = Site::new();
    let key = SecretKey::from_bytes(&[9; 32]).unwrap();
    let valid_until = site.node.next_time();
    let other_chain = ChainId::from_bytes([7; 32]);
    let elsewhere = Transaction::sign(&other_chain, &key, 1, valid_until, Payload::Data(vec![1]));
    let error = refusal(&site, &elsewhere).await;
    assert_eq!((kind(&error), &error["code"]), ("bad_signature", &json!(-32022)));
    assert_eq!(error["data"]["chain_id"], site.node.genesis().chain_id().to_string());

    let mut altered = site.node.transaction(1, b"hello");
    altered.nonce += 1;
    assert_eq!(kind(&refusal(&site, &altered).await), "bad_signature");
}

#[tokio::test]
async fn a_transaction_that_no_block_may_contain() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    for (given, kind_name, code) in [
        (Refusal::Operation("it is empty".to_owned()), "operation_malformed", -32023),
        (Refusal::NotPermitted(NotPermitted::SenderUnknown), "sender_unknown", -32026),
        (Refusal::NotPermitted(NotPermitted::SenderRevoked), "sender_revoked", -32027),
        (Refusal::NotPermitted(NotPermitted::AboveQuota), "quota", -32028),
    ] {
        site.node.refuse(given.clone());
        let error = refusal(&site, &transaction).await;
        assert_eq!((kind(&error), &error["code"]), (kind_name, &json!(code)));
        assert_eq!(
            (&error["message"], &error["data"]["retryable"]),
            (&json!(given.to_string()), &json!(false))
        );
    }
}

#[tokio::test]
async fn a_transaction_out_of_time() {
    let site = Site::new();
    let key = SecretKey::from_bytes(&[9; 32]).unwrap();
    let chain = site.node.genesis().chain_id();
    let now = site.node.next_time();
    let lifetime = site.node.genesis().block_limits().transaction.max_lifetime_ms;
    let sign = |valid_until| Transaction::sign(&chain, &key, 1, valid_until, Payload::Data(vec![1]));

    let error = refusal(&site, &sign(now.minus_ms(1))).await;
    assert_eq!((kind(&error), &error["code"]), ("transaction_expired", &json!(-32024)));
    assert_eq!(error["data"]["now_ms"], now.0);
    assert!(error["message"].as_str().unwrap().contains("this node's clock"), "{error}");
    let error = refusal(&site, &sign(now.plus_ms(lifetime + 1))).await;
    assert_eq!((kind(&error), &error["code"]), ("lifetime_too_long", &json!(-32025)));
    assert_eq!(error["data"]["latest_ms"], now.0 + lifetime);
}

#[tokio::test]
async fn retryable_refusals_say_when_to_retry() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    for (given, kind_name, code) in [
        (Refusal::PoolFull { transactions: 5, bytes: 9 }, "pool_full", -32030),
        (Refusal::MemberShare { transactions: 5, bytes: 9 }, "pool_full", -32030),
        (Refusal::SenderQuota { transactions: 5, bytes: 9 }, "sender_quota", -32031),
        (Refusal::LedgerDamaged, "storage_damaged", -32052),
        (Refusal::LedgerUnreadable, "unavailable", -32041),
        (Refusal::Stopping, "unavailable", -32041),
        (Refusal::Observer, "observer", -32044),
    ] {
        let waits = !matches!(given, Refusal::LedgerDamaged | Refusal::Observer);
        site.node.refuse(given);
        let error = refusal(&site, &transaction).await;
        assert_eq!((kind(&error), &error["code"]), (kind_name, &json!(code)));
        assert_eq!(error["data"]["retryable"], true);
        assert_eq!(error["data"]["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), waits);
    }
    site.node.relent();
    let hex = to_hex(&transaction.to_bytes());
    assert_eq!(
        site.call("tx_submit", json!([hex])).await["status"],
        "pending",
        "the same bytes are accepted"
    );
}

#[tokio::test]
async fn parameters_of_wrong_type_number_and_name() {
    let site = Site::new();
    for (method, params) in [
        ("chain_block", json!([-1])),
        ("chain_block", json!([1.5])),
        ("chain_block", json!(["first"])),
        ("chain_block", json!([1, "yes"])),
        ("chain_block", json!([])),
        ("chain_block", json!({ "height": 1 })),
        ("chain_blocks", json!([0, 0])),
        ("chain_blocks", json!([0, 101])),
        ("chain_blocks", json!([0, -1])),
        ("chain_head", json!([1])),
        ("tx_submit", json!({ "transaction": "0x", "wait": "forever" })),
        ("tx_submit", json!({ "transaction": "0x", "timeout_ms": "10s" })),
        ("tx_submit", json!({ "transaction": "0x", "timeout": 1 })),
    ] {
        let error = site.fail(method, params.clone()).await;
        assert_eq!((kind(&error), &error["code"]), ("invalid_params", &json!(-32602)), "{method} {params}");
        assert_eq!(error["data"]["retryable"], false);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(method), "{message}");
    }
    for (method, params, named) in [
        (
            "chain_block",
            json!([[]]),
            "\"at\" must be a height as a number, a block hash or \"latest\", not []",
        ),
        ("chain_proof", json!(["1"]), "\"height\" must be an integer from 0 to 2^64 - 1, not \"1\""),
        (
            "tx_submit",
            json!({ "transaction": "0x", "wait": { "committed": null } }),
            "\"wait\" must be \"none\"",
        ),
        (
            "tx_status",
            json!({ "id": "0xAB" }),
            "\"id\" must be 32 bytes as lower-case hex after 0x, not \"0xAB\"",
        ),
    ] {
        let error = site.fail(method, params).await;
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn a_method_that_panics_fails_alone() {
    let site = Site::new();
    site.node.panic_on_consensus();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "consensus_state" },
        { "jsonrpc": "2.0", "id": 2, "method": "chain_head" },
    ]);
    let answers = site.post(batch.to_string()).await.json();
    assert_eq!(kind(&answers[0]["error"]), "internal");
    assert_eq!(answers[0]["error"]["code"], -32603);
    assert_eq!(answers[1]["result"]["height"], 0);
}

#[tokio::test]
async fn an_unknown_method_is_named_but_not_at_length() {
    let site = Site::new();
    let error = site.fail(&"x".repeat(10_000), json!([])).await;
    assert_eq!((kind(&error), &error["code"]), ("method_not_found", &json!(-32601)));
    assert!(error.to_string().len() < 400, "{error}");
}
