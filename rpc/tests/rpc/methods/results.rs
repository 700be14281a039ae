//! Every method, by name and by position.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use quorate_api::{
    BlockJson, CheckpointJson, METHODS, NodeStatus, PeerJson, ReceiptJson, VersionInfo, parse_finality_proof,
    parse_receipt,
};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, Transaction, to_hex};
use quorate_rpc::{Node, RpcConfig};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::tools::web::Site;

fn hex(transaction: &Transaction) -> String {
    to_hex(&transaction.to_bytes())
}

#[tokio::test]
async fn submit_without_waiting_guarantees_nothing() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    let params = json!({ "transaction": hex(&transaction), "wait": "none" });
    let result = site.call("tx_submit", params).await;
    assert_eq!(result, json!({ "id": transaction.id().to_string(), "status": "unknown" }));
    site.node.until_pending(1).await;
}

#[tokio::test]
async fn submit_waits_for_admission_by_default() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    let result = site.call("tx_submit", json!([hex(&transaction)])).await;
    assert_eq!(result, json!({ "id": transaction.id().to_string(), "status": "pending" }));
    assert_eq!(site.node.pending(), 1);
    let again = site.call("tx_submit", json!({ "transaction": hex(&transaction) })).await;
    assert_eq!(again, result, "the same bytes again change nothing");
    assert_eq!(site.node.pending(), 1);
}

#[tokio::test]
async fn submit_can_wait_for_the_receipt() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    let params = json!([hex(&transaction), "committed", 15_000]);
    let (result, ()) = tokio::join!(site.call("tx_submit", params.clone()), async {
        site.node.until_pending(1).await;
        site.node.commit_pool();
    });
    assert_eq!(result["status"], "committed");
    assert_eq!((&result["height"], &result["index"]), (&json!(1), &json!(0)));
    let receipt = parse_receipt(&result["receipt"].to_string()).unwrap();
    assert_eq!(receipt.transaction, transaction.id());
    receipt.verify(site.node.genesis().anchor()).unwrap();

    let again = site.call("tx_submit", params).await;
    assert_eq!(again, result, "the same bytes get the same result");
    let accepted = site.call("tx_submit", json!([hex(&transaction)])).await;
    assert_eq!(accepted["status"], "committed");
    assert!(accepted.get("receipt").is_none(), "only a wait for the commit returns the receipt");
}

#[tokio::test]
async fn a_wait_that_runs_out_of_time_is_no_error() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    for timeout_ms in [1, 0] {
        let params =
            json!({ "transaction": hex(&transaction), "wait": "committed", "timeout_ms": timeout_ms });
        let result = site.call("tx_submit", params).await;
        assert!(["pending", "unknown"].contains(&result["status"].as_str().unwrap()), "{result}");
        assert!(result.get("receipt").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_longer_than_the_node_allows() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    let params = json!([hex(&transaction), "committed", u64::MAX]);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": params });
    let request = Request::post("/").header("content-type", "application/json").body(call.to_string());
    let begun = tokio::time::Instant::now();
    let response = site.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(begun.elapsed(), RpcConfig::default().max_wait);
}

#[tokio::test]
async fn a_transaction_that_expires_ends_the_wait() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"late");
    let (result, ()) =
        tokio::join!(site.call("tx_submit", json!([hex(&transaction), "committed", 15_000])), async {
            site.node.until_pending(1).await;
            site.node.expire_pool();
        });
    assert_eq!(result, json!({ "id": transaction.id().to_string(), "status": "expired" }));
}

#[tokio::test]
async fn a_batch_waits_for_one_block_not_for_one_each() {
    let site = Site::new();
    let transactions: Vec<_> = (0..50).map(|nonce| site.node.transaction(nonce, b"x")).collect();
    let batch: Vec<_> = (0..)
        .zip(&transactions)
        .map(|(id, transaction): (u64, _)| {
            json!({ "jsonrpc": "2.0", "id": id, "method": "tx_submit", "params": [hex(transaction), "committed"] })
        })
        .collect();
    // The block is ordered only when all fifty are in the pool: one after the other would wait
    // forever.
    let (answer, ()) = tokio::join!(site.post(json!(batch).to_string()), async {
        site.node.until_pending(50).await;
        site.node.commit_pool();
    });
    let answers = answer.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 50);
    let mut indices = BTreeSet::new();
    for (id, answer) in (0_u64..).zip(answers) {
        assert_eq!(answer["id"], id, "responses are in the order of their requests");
        assert_eq!(answer["result"]["height"], 1, "{answer}");
        let receipt: ReceiptJson = serde_json::from_value(answer["result"]["receipt"].clone()).unwrap();
        indices.insert(receipt.index);
        let receipt = quorate_ledger::Receipt::try_from(&receipt).unwrap();
        receipt.verify(site.node.genesis().anchor()).unwrap();
    }
    assert_eq!(indices, (0..50).collect());
}

#[tokio::test]
async fn status_follows_a_transaction() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"hello");
    let params = json!({ "id": transaction.id().to_string() });
    assert_eq!(site.call("tx_status", params.clone()).await, json!({ "status": "unknown" }));
    site.call("tx_submit", json!([hex(&transaction)])).await;
    assert_eq!(site.call("tx_status", params.clone()).await, json!({ "status": "pending" }));
    site.node.commit_pool();
    let committed = json!({ "status": "committed", "height": 1, "index": 0 });
    assert_eq!(site.call("tx_status", params).await, committed);
}

#[tokio::test]
async fn committed_transactions_are_found_and_others_are_null() {
    let site = Site::new();
    let transactions: Vec<_> = (0..3).map(|nonce| site.node.transaction(nonce, b"hello")).collect();
    site.node.commit(&transactions);
    for (index, transaction) in transactions.iter().enumerate() {
        let params = json!([transaction.id().to_string()]);
        let found = site.call("tx_get", params.clone()).await;
        assert_eq!((&found["height"], &found["index"]), (&json!(1), &json!(index)));
        assert_eq!(found["transaction"]["payload"], json!({ "kind": "data", "data": "0x68656c6c6f" }));
        let read = serde_json::from_value(found["transaction"].clone()).unwrap();
        assert_eq!(&Transaction::try_from(&read).unwrap(), transaction);

        let receipt = site.call("tx_receipt", params).await;
        let receipt = parse_receipt(&receipt.to_string()).unwrap();
        receipt.verify(site.node.genesis().anchor()).unwrap();
        assert_eq!(site.node.ledger().receipt(&transaction.id()).unwrap(), Some(receipt));
    }
    let unknown = json!([site.node.transaction(99, b"").id().to_string()]);
    assert_eq!(site.call("tx_get", unknown.clone()).await, Value::Null);
    assert_eq!(site.call("tx_receipt", unknown).await, Value::Null);
}

#[tokio::test]
async fn the_head_moves_with_the_chain() {
    let site = Site::new();
    let genesis = site.node.genesis().header();
    let head =
        json!({ "height": 0, "hash": genesis.hash().to_string(), "timestamp_ms": genesis.timestamp.0 });
    assert_eq!(site.call("chain_head", json!([])).await, head);
    site.node.commit(&[]);
    assert_eq!(site.call("chain_head", json!({})).await["height"], 1);
}

#[tokio::test]
async fn a_block_is_found_by_height_hash_and_as_the_latest() {
    let site = Site::new();
    let transactions: Vec<_> = (0..3).map(|nonce| site.node.transaction(nonce, b"hello")).collect();
    site.node.commit(&transactions);
    let by_height = site.call("chain_block", json!({ "at": 1 })).await;
    let block: BlockJson = serde_json::from_value(by_height.clone()).unwrap();
    assert_eq!(Some(block.to_block().unwrap()), site.node.ledger().block(Height(1)).unwrap());
    assert!(block.certificate.is_some());

    assert_eq!(site.call("chain_block", json!([block.hash.to_string()])).await, by_height);
    assert_eq!(site.call("chain_block", json!(["latest", true])).await, by_height);

    let ids = site.call("chain_block", json!({ "at": 1, "full": false })).await;
    let expected: Vec<_> = transactions.iter().map(|transaction| transaction.id().to_string()).collect();
    assert_eq!(ids["transactions"], json!(expected));

    let genesis = site.call("chain_block", json!([0])).await;
    assert_eq!(genesis["hash"], site.node.genesis().header().hash().to_string());
    assert_eq!(genesis["certificate"], Value::Null);
    let unknown = to_hex(&[0xee; 32]);
    assert_eq!(site.call("chain_block", json!([2])).await, Value::Null);
    assert_eq!(site.call("chain_block", json!([unknown])).await, Value::Null);
}

#[tokio::test]
async fn blocks_come_in_order_up_to_the_limit() {
    let site = Site::new();
    for nonce in 0..25 {
        site.node.commit(&[site.node.transaction(nonce, b"x")]);
    }
    let heights = |result: &Value| -> Vec<u64> {
        let blocks = result["blocks"].as_array().unwrap();
        blocks.iter().map(|block| block["header"]["height"].as_u64().unwrap()).collect()
    };
    let by_default = site.call("chain_blocks", json!([1])).await;
    assert_eq!(heights(&by_default), (1..=20).collect::<Vec<_>>());
    let some = site.call("chain_blocks", json!({ "from_height": 24, "limit": 100, "full": false })).await;
    assert_eq!(heights(&some), [24, 25]);
    assert!(some["blocks"][0]["transactions"][0].is_string());
    assert_eq!(heights(&site.call("chain_blocks", json!([0, 1])).await), [0]);
    assert_eq!(heights(&site.call("chain_blocks", json!([26])).await), [0; 0]);
}

#[tokio::test]
async fn proofs_go_through_descendants() {
    let site = Site::new();
    let height = site.node.commit_through_descendant(&[site.node.transaction(1, b"x")]);
    assert_eq!(height, Height(1));
    let proof = site.call("chain_proof", json!({ "height": 1 })).await;
    assert_eq!(proof["descendants"].as_array().unwrap().len(), 1);
    parse_finality_proof(&proof.to_string()).unwrap().verify(site.node.genesis().anchor()).unwrap();
    let block = site.call("chain_block", json!([1])).await;
    assert_eq!(block["certificate"], Value::Null, "the block has no certificate of its own");
    for unproven in [0, 3] {
        assert_eq!(site.call("chain_proof", json!([unproven])).await, Value::Null);
    }
}

#[tokio::test]
async fn only_the_stable_checkpoint_is_returned() {
    let site = Site::new();
    site.node.commit(&[]);
    for params in [json!([]), json!([1]), json!({ "height": null })] {
        assert_eq!(site.call("chain_checkpoint", params).await, Value::Null, "none is stable yet");
    }
    site.node.stabilise();
    site.node.commit(&[]);

    let stable = site.call("chain_checkpoint", json!([])).await;
    let block = site.call("chain_block", json!([1])).await;
    let fields = ["hash", "height", "epoch", "state_root", "signers", "signatures"];
    assert_eq!(stable.as_object().unwrap().len(), fields.len(), "{stable}");
    assert_eq!((&stable["height"], &stable["hash"]), (&json!(1), &block["hash"]));
    assert_eq!(stable["signers"], json!([0, 1, 2]), "in the shape of a certificate");
    assert_eq!(stable["signatures"].as_array().unwrap().len(), 3);
    let read: CheckpointJson = serde_json::from_value(stable.clone()).unwrap();
    assert_eq!(Some(read), site.node.checkpoint());

    assert_eq!(site.call("chain_checkpoint", json!({ "height": 1 })).await, stable);
    for other in [0, 2, u64::MAX] {
        assert_eq!(site.call("chain_checkpoint", json!([other])).await, Value::Null);
    }
    assert_eq!(site.call("consensus_state", json!([])).await["stable_height"], 1);
}

#[tokio::test]
async fn evidence_is_returned() {
    let site = Site::new();
    assert_eq!(site.call("consensus_evidence", json!([])).await, json!({ "evidence": [] }));
    site.node.accuse(3);
    let faulty = &site.node.genesis().validators()[3];
    let expected = json!({
        "epoch": 0,
        "validator": 3,
        "name": faulty.name,
        "public_key": faulty.public_key.to_string(),
        "kind": "prepare",
        "view": 2,
        "height": 7,
        "proof": "0x010203",
    });
    assert_eq!(site.call("consensus_evidence", json!({})).await, json!({ "evidence": [expected] }));
    assert_eq!(site.call("consensus_state", json!([])).await["evidence_count"], 1);
}

#[tokio::test]
async fn a_continued_chain_is_named() {
    let site = Site::continuing();
    let told = site.call("network_genesis", json!([])).await;
    let hash = |byte: &str| format!("0x{}", byte.repeat(32));
    let expected = json!({
        "chain_id": hash("11"), "height": 149, "block": hash("22"), "epoch": 3, "state_root": hash("33"), "clients": 0,
    });
    assert_eq!(told["predecessor"], expected);
    assert_eq!(&Genesis::parse(told["toml"].as_str().unwrap()).unwrap(), site.node.genesis());
}

#[tokio::test]
async fn the_genesis_and_the_validators_are_returned() {
    let site = Site::new();
    let genesis = site.node.genesis();
    let told = site.call("network_genesis", json!([])).await;
    assert_eq!(told["chain_id"], genesis.chain_id().to_string());
    assert_eq!(told["name"], genesis.name());
    assert_eq!(&Genesis::parse(told["toml"].as_str().unwrap()).unwrap(), genesis);
    assert_eq!(told.get("predecessor"), None, "it continues no chain");

    let set = site.call("network_validators", json!([])).await;
    assert_eq!((&set["quorum"], &set["faults_tolerated"]), (&json!(3), &json!(1)));
    assert_eq!(set["committee"], genesis.committee().hash().to_string());
    let validators = set["validators"].as_array().unwrap();
    for (index, validator) in validators.iter().enumerate() {
        let expected = &genesis.validators()[index];
        let shown =
            json!({ "index": index, "name": expected.name, "public_key": expected.public_key.to_string() });
        assert_eq!(validator, &shown);
    }
    assert_eq!(validators.len(), 4);
    assert_eq!(site.call("network_validators", json!({ "height": 1 })).await, set);
    assert_eq!(site.call("network_validators", json!([2])).await, Value::Null, "not known yet");
}

#[tokio::test]
async fn the_reports_of_a_node_are_returned() {
    let site = Site::new();
    let status = site.call("node_status", json!([])).await;
    assert_eq!(serde_json::from_value::<NodeStatus>(status).unwrap(), site.node.status());
    let peers = site.call("node_peers", json!([])).await;
    assert_eq!(serde_json::from_value::<Vec<PeerJson>>(peers).unwrap(), site.node.peers());
    let version = site.call("node_version", json!([])).await;
    assert_eq!(serde_json::from_value::<VersionInfo>(version).unwrap(), site.node.version());

    let consensus = site.call("consensus_state", json!([])).await;
    assert_eq!((&consensus["view"], &consensus["primary"]), (&json!(0), &json!(0)));
    assert_eq!(consensus["in_flight"][0]["phase"], "waiting");
    assert_eq!((&consensus["active"], &consensus["signing_state"]), (&json!(true), &json!("voting")));
    assert_eq!(consensus["deadline"], json!({ "purpose": "request", "in_ms": 7 }));
    let causes = ["no_progress", "censorship", "evidence", "joined", "no_new_view", "entered"];
    for cause in causes {
        assert_eq!(consensus["view_change_counts"][cause], 0, "{cause}");
    }
    let told = site.call("consensus_explain", json!([])).await;
    // Work has waited for 1993 of 2000 ms, and a vote has arrived without its proposal.
    assert_eq!((&told["state"], &told["making_progress"]), (&json!("waiting_for_proposal"), &json!(false)));
    assert_eq!(told["primary"], json!({ "index": 0, "name": "validator-0" }));
    assert_eq!((&told["heights"][0]["awaits"], &told["timer"]["next_view"]), (&json!("proposal"), &json!(1)));
    let pool = site.call("mempool_status", json!([])).await;
    assert_eq!((&pool["transactions"], &pool["max_transactions"]), (&json!(0), &json!(10)));
}

/// The catalogue has exactly the generated methods: each can be called with exactly the parameters
/// that it names.
#[tokio::test]
async fn the_catalogue_has_exactly_the_served_methods() {
    let site = Site::new();
    for method in METHODS {
        let names: serde_json::Map<String, Value> = method
            .parameters
            .iter()
            .map(|parameter| (parameter.name.to_owned(), json!({ "of": "no type" })))
            .collect();
        let response = site.respond(method.name, Value::Object(names)).await;
        if method.parameters.is_empty() {
            assert!(response.get("result").is_some(), "{response}");
        } else {
            // Every parameter is known, so the check refuses its value, not its name.
            let error = &response["error"];
            assert_eq!(error["data"]["kind"], "invalid_params", "{}: {response}", method.name);
            assert!(error["message"].as_str().unwrap().contains("must be"), "{response}");
        }
    }
}

#[tokio::test]
async fn health_is_served_without_json_rpc() {
    let site = Site::new();
    let live = site.get("/livez").await;
    assert_eq!((live.status.as_u16(), live.text.as_str()), (200, "ok\n"));
    assert!(site.get("/").await.text.contains("JSON-RPC"));
    assert_eq!(site.get("/version").await.json()["name"], "quorate");

    let ready = site.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({ "ready": true })));
    assert_eq!(site.get("/readyz?verbose").await.json()["checks"][0]["name"], "synced");
    site.node.set_ready(false);
    let unready = site.get("/readyz").await;
    assert_eq!(unready.status.as_u16(), 503);
    let check = json!({ "name": "synced", "ok": false, "detail": "3 blocks behind" });
    assert_eq!(unready.json(), json!({ "ready": false, "checks": [check] }));

    assert_eq!(site.get("/nothing").await.status.as_u16(), 404);
    let put = Request::put("/").body(Body::empty()).unwrap();
    assert_eq!(site.send(put).await.status.as_u16(), 405);
}
