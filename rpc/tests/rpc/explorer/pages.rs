//! The contents of pages.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use quorate_ledger::Transaction;
use quorate_rpc::Node;
use serde_json::json;

use super::{chain, get, page, page_with};
use crate::tools::html::Document;
use crate::tools::web::Site;

#[tokio::test]
async fn browsers_get_pages_and_programs_get_plain_text() {
    let site = Site::new();
    let document = page(&site, "/").await;
    assert_eq!(document.by_id("main").get("data-live"), Some("stream"));
    for accept in [None, Some("*/*"), Some("application/json"), Some("text/html;q=0")] {
        let mut plain = Request::get("/");
        if let Some(accept) = accept {
            plain = plain.header("accept", accept);
        }
        let answer = site.send(plain.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{accept:?}");
        assert_eq!(answer.headers["vary"], "accept", "caches distinguish the two");
        assert!(answer.text.starts_with("Quorate node."), "{}", answer.text);
    }
    let head = site.call("chain_head", json!({})).await;
    assert_eq!(head["height"], 0, "JSON-RPC stays at the same address");
    let answer = site.send(Request::put("/").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::METHOD_NOT_ALLOWED, ""));
}

#[tokio::test]
async fn without_the_explorer_there_is_only_plain_text() {
    let site = Site::with(|config| config.explorer = false);
    let answer = get(&site, "/").await;
    assert!(answer.text.starts_with("Quorate node."), "{}", answer.text);
    assert_eq!(site.call("chain_head", json!({})).await["height"], 0);
    let with = Site::new();
    let front = get(&with, "/").await.text;
    let assets: Vec<String> = Document::parse(&front).links().map(str::to_owned).collect();
    for path in assets.iter().map(String::as_str).filter(|path| path.starts_with("/assets")).chain([
        "/blocks",
        "/blocks/0",
        "/transactions/0x",
        "/validators",
        "/governance",
        "/proposals",
        "/clients",
        "/mempool",
        "/explain",
        "/search",
    ]) {
        let answer = get(&site, path).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NOT_FOUND, ""), "{path}");
    }
}

#[tokio::test]
async fn pages_show_the_results_of_the_methods() {
    let site = Site::new();
    let transactions = chain(&site);
    site.node.accuse(2);
    let status = site.call("node_status", json!({})).await;
    let head = status["head"]["height"].to_string();
    assert_eq!(head, "64");
    let told = site.call("consensus_explain", json!({})).await;
    let summary = told["summary"].as_str().unwrap();
    let checkpoint = site.call("chain_checkpoint", json!({})).await;
    let overview = page(&site, "/").await.text;
    for text in [
        summary,
        "from the last 20 blocks",
        "quorum 3, up to 1 may be faulty",
        "validator-0",
        &head,
        "evidence of faulty validators: 1",
    ] {
        assert!(overview.contains(text), "{text}: {overview}");
    }
    assert_eq!(checkpoint["height"].to_string(), head);

    let explain = page(&site, "/explain").await.text;
    let heights = told["heights"].as_array().unwrap();
    let actions = told["actions"].as_array().unwrap();
    assert!(!heights.is_empty() && !actions.is_empty(), "{told}");
    let texts = heights.iter().map(|height| &height["text"]).chain(actions).chain([&told["summary"]]);
    for text in texts {
        assert!(explain.contains(text.as_str().unwrap()), "{text}: {explain}");
    }

    let validators = page(&site, "/validators").await.text;
    for text in ["validator-3", "connected, opened by us", "/ip4/127.0.0.1/tcp/1", "✗ faulty", "PREPARE"] {
        assert!(validators.contains(text), "{text}: {validators}");
    }
    assert!(page(&site, "/mempool").await.text.contains("0 of 10"));

    let id = transactions[0].id();
    let block = site.call("chain_block", json!({ "at": 1 })).await;
    for at in ["1", block["hash"].as_str().unwrap()] {
        let text = page(&site, &format!("/blocks/{at}")).await.text;
        let header = &block["header"];
        for part in [&block["hash"], &header["parent"], &header["transactions_root"], &header["committee"]] {
            assert!(text.contains(part.as_str().unwrap()), "{part}: {text}");
        }
        assert!(
            text.contains(&id.to_string()) && text.contains("hello") && text.contains("3 COMMITs"),
            "{text}"
        );
    }
    let genesis = page(&site, "/blocks/0").await.text;
    assert!(genesis.contains("The genesis needs none"), "{genesis}");
    let descendant = page(&site, "/blocks/3").await.text;
    assert!(descendant.contains("Final by the certificate of block 4"), "{descendant}");
}

#[tokio::test]
async fn a_committed_transaction_is_shown_with_its_receipt() {
    let site = Site::new();
    let transactions = chain(&site);
    let transaction = &transactions[100];
    let index = |transaction: &Transaction| {
        let place = site.node.ledger().locate(&transaction.id()).unwrap().unwrap();
        place.1.to_string()
    };
    let path = format!("/transactions/{}", transaction.id());
    let document = page(&site, &path).await;
    for text in
        ["committed", "one of many", &transaction.sender.to_string(), "a path of 8 siblings", "3 validators"]
    {
        assert!(document.text.contains(text), "{text}: {}", document.text);
    }
    assert!(
        document
            .text
            .contains(&format!("quorate tx receipt {} --rpc http://localhost:8545", transaction.id()))
    );
    let receipt = document.by_id("receipt");
    assert_eq!(receipt.get("data-id"), Some(transaction.id().to_string().as_str()));
    assert_eq!(receipt.get("data-height"), Some("2"));
    assert_eq!(receipt.get("data-index"), Some(index(transaction).as_str()));
    assert!(
        document.by_id("check").get("hidden").is_some(),
        "the part that needs scripts is hidden without them"
    );
    // A payload that is not text is shown only as bytes.
    let document = page(&site, &format!("/transactions/{}", transactions.last().unwrap().id())).await;
    assert!(document.text.contains("ff00") && !document.text.contains("As text"), "{}", document.text);
}

#[tokio::test]
async fn a_transaction_has_a_page_before_it_is_committed() {
    let site = Site::new();
    let [pending, expired, unknown] = [1, 2, 3].map(|nonce| site.node.transaction(nonce, b"x"));
    let path = |transaction: &Transaction| format!("/transactions/{}", transaction.id());
    let document = page_with(&site, &path(&unknown), StatusCode::NOT_FOUND).await;
    assert!(document.text.contains("unknown"), "{}", document.text);
    assert_eq!(document.by_id("main").get("data-live"), Some("poll"), "it may be known later");

    site.node.submit(expired.clone()).await.unwrap();
    site.node.expire_pool();
    let document = page(&site, &path(&expired)).await;
    assert!(document.text.contains("expired"), "{}", document.text);
    assert_eq!(document.by_id("main").get("data-live"), Some(""), "the status is final");

    site.node.submit(pending.clone()).await.unwrap();
    let document = page(&site, &path(&pending)).await;
    assert!(document.text.contains("pending"), "{}", document.text);
    assert_eq!(document.by_id("main").get("data-live"), Some("poll"));
    site.node.commit_pool();
    let document = page(&site, &path(&pending)).await;
    assert!(document.text.contains("committed"), "{}", document.text);
    document.by_id("receipt");
}

#[tokio::test]
async fn long_payloads_are_cut_and_the_page_says_so() {
    let site = Site::new();
    let text = "0123456789".repeat(1000);
    let long = site.node.transaction(1, text.as_bytes());
    site.node.commit(std::slice::from_ref(&long));
    let document = page(&site, &format!("/transactions/{}", long.id())).await;
    for says in ["Cut after 4096 of 10000 bytes", "Cut after 1024 of 10000 bytes", "\"method\":\"tx_get\""] {
        assert!(document.text.contains(says), "{says}: {}", document.text);
    }
    assert!(document.text.contains(&text[..4096]) && !document.text.contains(&text[..4097]));
}
