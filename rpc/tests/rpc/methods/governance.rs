//! Governance: outcomes of transactions, and the methods that show the state.

use quorate_api::{EpochProofsJson, TransactionStatus};
use quorate_governance::{Change, Operation, ParameterName, Quota, Reason};
use quorate_ledger::{Epoch, NotPermitted, PublicKey, SecretKey, Transaction, to_hex};
use quorate_rpc::Node;
use serde_json::{Value, json};

use crate::tools::web::Site;

fn key(number: u8) -> PublicKey {
    SecretKey::from_bytes(&[number; 32]).unwrap().public()
}

fn set_window(value: u64) -> Operation {
    Operation::Propose { changes: vec![Change::SetParameter { parameter: ParameterName::Window, value }] }
}

fn add_member(number: u8) -> Change {
    Change::AddMember {
        name: "validator-4".parse().unwrap(),
        consensus_key: key(number),
        governance_key: key(number),
    }
}

fn failed(reason: Reason) -> Value {
    json!({ "result": "failed", "reason": reason.code(), "message": reason.to_string() })
}

#[tokio::test]
async fn the_outcome_is_wherever_a_transaction_is() {
    let site = Site::new();
    let proposal = site.node.operation(0, 1, &set_window(4));
    let unknown = site.node.operation(1, 1, &Operation::Withdraw(proposal.id()));
    let data = site.node.transaction(1, b"x");
    let height = site.node.commit(&[unknown.clone(), data.clone(), proposal.clone()]).0;
    let expected =
        [(&unknown, failed(Reason::UnknownProposal)), (&proposal, json!({ "result": "executed" }))];
    for (transaction, outcome) in &expected {
        let id = json!([transaction.id().to_string()]);
        assert_eq!(site.call("tx_status", id.clone()).await["outcome"], *outcome);
        assert_eq!(site.call("tx_get", id).await["outcome"], *outcome);
        let submitted = site.call("tx_submit", json!([to_hex(&transaction.to_bytes()), "committed"])).await;
        assert_eq!(submitted["outcome"], *outcome);
    }
    let in_block = json!([
        { "index": 0, "outcome": expected[0].1 },
        { "index": 2, "outcome": expected[1].1 },
    ]);
    for full in [true, false] {
        assert_eq!(site.call("chain_block", json!([height, full])).await["outcomes"], in_block);
        let blocks = site.call("chain_blocks", json!([height, 1, full])).await;
        assert_eq!(blocks["blocks"][0]["outcomes"], in_block);
    }
    for method in ["tx_status", "tx_get"] {
        let result = site.call(method, json!([data.id().to_string()])).await;
        assert!(result.get("outcome").is_none(), "{method} of data: {result}");
    }
}

#[tokio::test]
async fn a_rejected_transaction_says_why() {
    let site = Site::new();
    let transaction = site.node.transaction(1, b"x");
    let (result, ()) = tokio::join!(
        site.call("tx_submit", json!([to_hex(&transaction.to_bytes()), "committed", 15_000])),
        async {
            site.node.until_pending(1).await;
            site.node.reject_pool(NotPermitted::SenderRevoked);
        }
    );
    let expected = serde_json::to_value(TransactionStatus::rejected(NotPermitted::SenderRevoked)).unwrap();
    for name in ["status", "reason", "message"] {
        assert_eq!(result[name], expected[name]);
    }
    assert_eq!(site.call("tx_status", json!([transaction.id().to_string()])).await, expected);
}

#[tokio::test]
async fn a_change_is_proposed_approved_scheduled_and_in_force() {
    let site = Site::new();
    let status = site.call("governance_status", json!([])).await;
    assert_eq!((&status["height"], &status["epoch"]), (&json!(0), &json!(0)));
    assert_eq!(status["parameters"]["consensus.window"], 8);
    assert_eq!(
        status["arithmetic"],
        json!({ "members": 4, "faults_tolerated": 1, "quorum": 3, "may_be_down": 1 })
    );

    let proposal = site.node.operation(0, 1, &set_window(4));
    let id = proposal.id();
    site.node.commit(&[proposal]);
    let open = site.call("governance_proposals", json!([])).await;
    assert_eq!(open[0]["id"], id.to_string());
    assert_eq!(open[0]["changes"][0]["text"], "set consensus.window to 4");
    assert_eq!((&open[0]["approvals"], &open[0]["approvals_missing"]), (&json!(["validator-0"]), &json!(2)));
    assert_eq!(open[0]["not_approved"], json!(["validator-1", "validator-2", "validator-3"]));
    assert_eq!(open[0]["obstacles"], json!([]));

    let approvals: Vec<Transaction> =
        (1..3).map(|member| site.node.operation(member, 1, &Operation::Approve(id))).collect();
    let decided = site.node.commit(&approvals).0;
    let status = site.call("governance_status", json!([])).await;
    let scheduled = &status["scheduled"][0];
    let effective = decided + 8 + 1;
    assert_eq!((&scheduled["effective_from"], &scheduled["starts_epoch"]), (&json!(effective), &json!(true)));
    assert_eq!(scheduled["proposal"], id.to_string());
    assert_eq!(site.call("governance_proposals", json!([])).await, json!([]));

    site.node.grow_to(effective - 1);
    let status = site.call("governance_status", json!([])).await;
    assert_eq!((&status["epoch"], &status["epoch_start"]), (&json!(1), &json!(effective)));
    assert_eq!(status["parameters"]["consensus.window"], 4);
    assert_eq!(status["scheduled_count"], 0);
}

/// The state is brought up to date by executing blocks; it is that of the file.
#[tokio::test]
async fn the_shown_state_is_that_of_the_ledger() {
    let site = Site::new();
    for round in 0..4_u64 {
        let status = site.call("governance_status", json!([])).await;
        let state = site.node.ledger().governance().unwrap();
        assert_eq!(status["height"], state.height().0);
        assert_eq!(status["state_root"], state.root().to_string());
        let member = usize::try_from(round).unwrap();
        let client =
            Operation::AddClient { name: "c".parse().unwrap(), key: key(40 + u8::try_from(round).unwrap()) };
        site.node.commit(&[site.node.operation(member, round, &client), site.node.transaction(round, b"x")]);
        site.node.grow_to(state.height().0 + 12);
    }
}

#[tokio::test]
async fn a_candidate_that_is_not_ready_is_named() {
    let site = Site::new();
    let proposal = site.node.operation(0, 1, &Operation::Propose { changes: vec![add_member(50)] });
    site.node.commit(&[proposal]);
    let open = site.call("governance_proposals", json!([])).await;
    let candidate =
        json!({ "name": "validator-4", "key": key(50).to_string(), "ready": false, "ready_height": null });
    assert_eq!(open[0]["candidates"], json!([candidate]));
    assert_eq!(open[0]["obstacles"][0]["reason"], "not_ready");
}

#[tokio::test]
async fn a_preview_has_the_arithmetic_and_the_obstacles() {
    let site = Site::new();
    let change = quorate_api::ChangeJson::from(&add_member(50));
    let preview = site.call("governance_preview", json!([[change]])).await;
    assert_eq!((&preview["before"]["members"], &preview["after"]["members"]), (&json!(4), &json!(5)));
    assert_eq!((&preview["effective_from"], &preview["starts_epoch"]), (&json!(10), &json!(true)));
    assert_eq!(
        (&preview["can_be_decided"], &preview["obstacles"][0]["reason"]),
        (&json!(false), &json!("not_ready"))
    );
    let remove = json!([[{ "change": "remove_member", "name": "validator-3" }]]);
    let preview = site.call("governance_preview", remove).await;
    assert_eq!(preview["obstacles"][0]["reason"], "committee_too_small");
    let range = json!([[{ "change": "set_parameter", "parameter": "consensus.window", "value": 0 }]]);
    let preview = site.call("governance_preview", range).await;
    assert_eq!(preview["obstacles"][0]["reason"], "parameter_range");
    assert_eq!(site.call("governance_status", json!([])).await["open_proposals"], 0, "nothing was submitted");
}

#[tokio::test]
async fn a_preview_of_invalid_changes_is_refused() {
    let site = Site::new();
    let one = json!({ "change": "remove_member", "name": "a" });
    let name = json!({ "change": "remove_member", "name": "A B" });
    let parameter = json!({ "change": "set_parameter", "parameter": "no.such", "value": 1 });
    for (changes, said) in [
        (json!([vec![one; 17]]), "at most 16"),
        (json!([[name]]), "not a name"),
        (json!([[parameter]]), "no.such"),
    ] {
        let error = site.fail("governance_preview", changes).await;
        assert_eq!(error["data"]["kind"], "invalid_params");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
}

#[tokio::test]
async fn clients_are_listed_in_pages() {
    let site = Site::new();
    let add = |number: u8| Operation::AddClient { name: "payments".parse().unwrap(), key: key(number) };
    let adding: Vec<Transaction> =
        (60..65).map(|number| site.node.operation(0, number.into(), &add(number))).collect();
    let effective = site.node.commit(&adding).0 + 9;
    let scheduled = site.call("governance_status", json!([])).await;
    assert_eq!((&scheduled["scheduled_count"], &scheduled["clients"]), (&json!(5), &json!(0)));
    site.node.grow_to(effective);
    let quota =
        Operation::SetClientQuota { key: key(60), quota: Some(Quota { transactions: 1, bytes: 300 }) };
    let effective = site.node.commit(&[site.node.operation(0, 100, &quota)]).0 + 9;
    site.node.grow_to(effective);

    let mut expected: Vec<String> = (60..65).map(|number| key(number).to_string()).collect();
    expected.sort_unstable();
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = site.call("governance_clients", json!([after, 2])).await;
        let clients = page["clients"].as_array().unwrap();
        found.extend(clients.iter().map(|client| client["key"].as_str().unwrap().to_owned()));
        if page["more"] == false {
            break;
        }
        assert_eq!(clients.len(), 2);
        after = clients[1]["key"].clone();
    }
    assert_eq!(found, expected);
    let client = site.call("governance_client", json!([key(60).to_string()])).await;
    assert_eq!(client["quota"], json!({ "transactions": 1, "bytes": 300 }));
    assert_eq!((&client["member"], &client["name"]), (&json!("validator-0"), &json!("payments")));
    assert_eq!(site.call("governance_client", json!([key(99).to_string()])).await, Value::Null);
}

#[tokio::test]
async fn history_is_newest_first_and_continues() {
    let site = Site::new();
    assert_eq!(
        site.call("governance_history", json!([])).await,
        json!({ "operations": [], "next_below_height": null })
    );
    let proposal = site.node.operation(0, 1, &set_window(4));
    let id = proposal.id();
    site.node.commit(&[proposal]);
    site.node.grow_to(5);
    let approvals: Vec<Transaction> =
        (1..3).map(|member| site.node.operation(member, 1, &Operation::Approve(id))).collect();
    site.node.commit(&approvals);
    let newest = site.call("governance_history", json!({ "limit": 1 })).await;
    let operations = newest["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2, "the block is complete");
    assert_eq!((&operations[0]["height"], &operations[0]["index"]), (&json!(6), &json!(1)));
    assert_eq!(operations[0]["text"], format!("approve proposal {id}"));
    assert_eq!(operations[0]["outcome"], json!({ "result": "executed" }));
    assert_eq!(newest["next_below_height"], 6);
    let older = site.call("governance_history", json!([6, 1])).await;
    assert_eq!(older["operations"][0]["id"], id.to_string());
    assert_eq!(older["operations"][0]["operation"]["operation"], "propose");
    let end = site.call("governance_history", json!([older["next_below_height"], 1])).await;
    assert_eq!(end["operations"], json!([]));
}

#[tokio::test]
async fn epoch_proofs_lead_to_the_present_committee() {
    let site = Site::new();
    assert_eq!(site.call("network_epochs", json!([])).await["proofs"], json!([]));
    for (member, nonce) in [(0, 1), (1, 1)] {
        let decided = site.node.commit(&[site.node.operation(member, nonce, &Operation::Renew)]).0;
        site.node.grow_to(decided + 9);
    }
    let data = site.node.transaction(1, b"x");
    site.node.commit(std::slice::from_ref(&data));
    let json = site.call("network_epochs", json!([])).await;
    let proofs = serde_json::from_value::<EpochProofsJson>(json).unwrap().to_proofs().unwrap();
    let mut anchor = site.node.genesis().anchor().clone();
    let receipt = site.node.ledger().receipt(&data.id()).unwrap().unwrap();
    receipt.verify(&anchor).unwrap_err();
    for proof in &proofs {
        anchor.extend(proof).unwrap();
    }
    assert_eq!(anchor.newest().epoch(), Epoch(2));
    receipt.verify(&anchor).unwrap();
    let later = site.call("network_epochs", json!({ "from_epoch": 1, "limit": 1 })).await;
    assert_eq!(later["proofs"][0]["last"]["header"]["epoch"], 1);
    assert_eq!(site.call("network_epochs", json!([2])).await["proofs"], json!([]));
}

/// The node of these tests reports the configuration of epoch 0, as any node does for a moment whose
/// ledger is ahead of its report.
#[tokio::test]
async fn the_committee_of_any_epoch_is_returned() {
    let site = Site::new();
    let mut starts = Vec::new();
    for (member, nonce) in [(0, 1), (1, 1)] {
        let decided = site.node.commit(&[site.node.operation(member, nonce, &Operation::Renew)]).0;
        site.node.grow_to(decided + 9);
        starts.push(decided + 9);
    }
    let at = async |height: u64| site.call("network_validators", json!([height])).await;
    let first = at(0).await;
    assert_eq!(first["epoch"], 0);
    for (epoch, start) in (1_u64..).zip(starts) {
        for (epoch, height) in [(epoch - 1, start - 1), (epoch, start)] {
            let told = at(height).await;
            assert_eq!(told["epoch"], epoch, "height {height}");
            assert_eq!(told["validators"], first["validators"], "a renewal changes no key and no name");
            let block = site.call("chain_block", json!([height, false])).await;
            assert_eq!(told["committee"], block["header"]["committee"]);
        }
    }
    let head = site.call("chain_head", json!([])).await["height"].as_u64().unwrap();
    assert_eq!(at(head + 1).await["epoch"], 2);
    assert_eq!(at(head + 2).await, Value::Null);
}
