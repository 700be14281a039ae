//! Navigation: lists, links, search, and missing pages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use axum::http::StatusCode;
use quorate_rpc::Node;
use serde_json::json;

use super::{chain, get, page, page_with};
use crate::tools::html::Document;
use crate::tools::web::Site;

#[tokio::test]
async fn missing_pages_give_advice() {
    let site = Site::new();
    chain(&site);
    let hash = format!("0x{}", "ab".repeat(32));
    for (path, status, says) in [
        (
            "/blocks/65",
            StatusCode::NOT_FOUND,
            "does not exist here yet: the newest block that this node holds is 64",
        ),
        ("/blocks/18446744073709551615", StatusCode::NOT_FOUND, "does not exist here yet"),
        ("/blocks/18446744073709551616", StatusCode::BAD_REQUEST, "does not name a block"),
        ("/blocks/latest-", StatusCode::BAD_REQUEST, "does not name a block"),
        ("/blocks/-1", StatusCode::BAD_REQUEST, "does not name a block"),
        ("/blocks/0xAB", StatusCode::BAD_REQUEST, "does not name a block"),
        (&format!("/blocks/{hash}"), StatusCode::NOT_FOUND, "no block named"),
        ("/blocks/%ff", StatusCode::BAD_REQUEST, "not UTF-8"),
        ("/transactions/%ff", StatusCode::BAD_REQUEST, "not UTF-8"),
        ("/blocks/2?from=230", StatusCode::NOT_FOUND, "none at position 230"),
        ("/blocks/2?from=x", StatusCode::BAD_REQUEST, "whole numbers"),
        ("/blocks?below=-1", StatusCode::BAD_REQUEST, "whole numbers"),
        (&format!("/transactions/{hash}"), StatusCode::NOT_FOUND, "neither holds it nor knows"),
        ("/transactions/0x12", StatusCode::BAD_REQUEST, "is not a transaction id"),
        (&format!("/search?q={hash}"), StatusCode::NOT_FOUND, "You can search for"),
        ("/search?q=validator-0", StatusCode::BAD_REQUEST, "You can search for"),
    ] {
        let document = page_with(&site, path, status).await;
        assert!(document.text.contains(says), "{path}: {}", document.text);
    }
    // A list begins at the first block that exists.
    for path in ["/blocks?below=0", "/blocks?below=1", "/blocks?below=18446744073709551615"] {
        page(&site, path).await;
    }
}

#[tokio::test]
async fn search_leads_to_the_page() {
    let site = Site::new();
    let id = chain(&site)[0].id().to_string();
    let pending = site.node.transaction(1000, b"x");
    site.node.submit(pending.clone()).await.unwrap();
    let block = site.call("chain_block", json!({ "at": 7 })).await["hash"].as_str().unwrap().to_owned();
    for (typed, place) in [
        ("7", "/blocks/7".to_owned()),
        ("+7%20", "/blocks/7".to_owned()),
        (&block, format!("/blocks/{block}")),
        (&block[2..].to_uppercase(), format!("/blocks/{block}")),
        (&id, format!("/transactions/{id}")),
        (&pending.id().to_string(), format!("/transactions/{}", pending.id())),
    ] {
        let answer = get(&site, &format!("/search?q={typed}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{typed}: {}", answer.text);
        assert_eq!(answer.headers["location"], place);
    }
    for empty in ["/search", "/search?q=", "/search?q=%20&other=1"] {
        assert!(page(&site, empty).await.text.contains("You can search for"), "{empty}");
    }
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let site = Site::new();
    chain(&site);
    let rows = |document: &Document| {
        let mut heights = document.tags.iter().filter_map(|tag| tag.get("data-height").map(str::to_owned));
        // The last row is the template for new rows.
        let (first, rest) = (heights.next().unwrap(), heights.collect::<Vec<_>>());
        (first, rest[rest.len() - 2].clone(), rest.len())
    };
    let newest = page(&site, "/blocks").await;
    assert_eq!(rows(&newest), ("64".to_owned(), "15".to_owned(), 50));
    assert_eq!(newest.by_id("main").get("data-live"), Some("stream"));
    assert!(newest.links().any(|link| link == "/blocks?below=15"));
    let older = page(&site, "/blocks?below=15").await;
    assert_eq!(rows(&older), ("14".to_owned(), "0".to_owned(), 15));
    assert_eq!(older.by_id("main").get("data-live"), Some(""), "old pages are not updated");
    assert!(older.links().any(|link| link == "/blocks"));

    let cells =
        |document: &Document| document.links().filter(|link| link.starts_with("/transactions/")).count();
    let first = page(&site, "/blocks/2").await;
    assert_eq!(cells(&first), 100);
    assert!(first.text.contains("Positions 0 to 99 of 230."), "{}", first.text);
    assert!(first.links().any(|link| link == "/blocks/2?from=100"));
    let last = page(&site, "/blocks/2?from=200").await;
    assert_eq!(cells(&last), 30);
    assert!(last.links().any(|link| link == "/blocks/2?from=100"));
    assert!(!last.text.contains("Later"), "{}", last.text);
}

/// Blocks that are too large for one response: the list shows the newest of them, and links to the
/// others.
#[tokio::test]
async fn lists_of_large_blocks_begin_with_the_newest() {
    let site = Site::new();
    for nonce in 0..20 {
        site.node.commit(&[site.node.transaction(nonce, &[0; 250_000])]);
    }
    let mut path = "/blocks".to_owned();
    let mut seen = Vec::new();
    loop {
        let document = page(&site, &path).await;
        let heights = document.tags.iter().filter_map(|tag| tag.get("data-height")?.parse::<u64>().ok());
        let mut heights: Vec<u64> = heights.collect();
        heights.pop();
        seen.extend(heights);
        match document.tags.iter().find(|tag| tag.get("rel") == Some("next")) {
            Some(older) => path = older.get("href").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, (0..=20).rev().collect::<Vec<u64>>(), "every block once, the newest first");
}

/// Every link of every page, starting from the first page, leads to a valid page.
#[tokio::test]
async fn no_link_is_dead_and_every_page_is_hardened() {
    let site = Site::new();
    let transactions = chain(&site);
    site.node.submit(site.node.transaction(1000, b"waits")).await.unwrap();
    site.node.accuse(1);
    let unknown = format!("/transactions/0x{}", "cd".repeat(32));
    let mut waiting = VecDeque::from(["/".to_owned(), "/blocks/999".to_owned(), unknown.clone()]);
    let mut known: BTreeSet<String> = waiting.iter().cloned().collect();
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    while let Some(path) = waiting.pop_front() {
        let answer = get(&site, &path).await;
        let missing = path == unknown || path == "/blocks/999" || path.starts_with("/search?q=0xcdcd");
        let expected = if missing { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
        let media_type = answer.headers["content-type"].to_str().unwrap().to_owned();
        types.insert(path.clone(), media_type.clone());
        if ["/readyz?verbose", "/version"].contains(&path.as_str()) {
            continue;
        }
        assert_eq!(
            answer.headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
        let kept = answer.headers["cache-control"].to_str().unwrap();
        assert_eq!(kept.contains("immutable"), path.starts_with("/assets/"), "{path}: {kept}");
        if path.starts_with("/assets/") {
            continue;
        }
        assert_eq!(kept, "no-store", "{path}");
        for link in Document::parse(&answer.text).links() {
            assert!(link.starts_with('/') || link.starts_with('#'), "{path} leads elsewhere: {link}");
            if link.starts_with('/') && known.insert(link.to_owned()) {
                waiting.push_back(link.to_owned());
            }
        }
    }
    for transaction in [&transactions[0], &transactions[231]] {
        assert!(
            known.contains(&format!("/transactions/{}", transaction.id())),
            "blocks lead to transactions"
        );
    }
    let assets: Vec<(&str, &str)> = types
        .iter()
        .filter_map(|(path, kind)| Some((path.strip_prefix("/assets/")?.split_once('/')?.1, kind.as_str())))
        .collect();
    let expected = [
        ("explorer.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("live.js", "text/javascript; charset=utf-8"),
    ];
    assert_eq!(assets, expected);
    assert!(known.len() > 300, "{}", known.len());
}

/// Modules import each other by names relative to themselves.
#[tokio::test]
async fn scripts_find_the_modules_that_they_import() {
    let site = Site::new();
    let front = page(&site, "/").await;
    let script = front.all("script").next().unwrap().get("src").unwrap().to_owned();
    let folder = script.strip_suffix("live.js").unwrap();
    let imports = regex::Regex::new(r#"from "\./([a-z]+\.js)""#).unwrap();
    let mut waiting = vec!["live.js".to_owned()];
    let mut read = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let answer = get(&site, &format!("{folder}{name}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        assert_eq!(answer.headers["content-type"], "text/javascript; charset=utf-8");
        if read.insert(name) {
            waiting.extend(imports.captures_iter(&answer.text).map(|found| found[1].to_owned()));
        }
    }
    let modules = ["crypto.js", "genesis.js", "live.js", "receipt.js", "verify.js"];
    assert_eq!(read, BTreeSet::from(modules.map(str::to_owned)));
    for absent in ["/assets/0/live.js".to_owned(), format!("{folder}other.js"), format!("{folder}../live.js")]
    {
        let answer = get(&site, &absent).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{absent}");
    }
}
