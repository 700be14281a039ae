//! The pages for people.

mod governance;
mod pages;
mod strangers;
mod ways;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use quorate_ledger::Transaction;

use crate::tools::html::Document;
use crate::tools::web::{Answer, Site};

fn request(path: &str) -> Request<Body> {
    Request::get(path)
        .header("accept", "text/html")
        .header("host", "localhost:8545")
        .body(Body::empty())
        .unwrap()
}

async fn get(site: &Site, path: &str) -> Answer {
    site.send(request(path)).await
}

/// An existing page, parsed.
async fn page(site: &Site, path: &str) -> Document {
    page_with(site, path, StatusCode::OK).await
}

async fn page_with(site: &Site, path: &str, status: StatusCode) -> Document {
    let answer = get(site, path).await;
    assert_eq!(answer.status, status, "{path}: {}", answer.text);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8", "{path}");
    Document::parse(&answer.text)
}

/// Adds blocks of many kinds to the chain.
fn chain(site: &Site) -> Vec<Transaction> {
    let node = &site.node;
    let first = vec![node.transaction(1, b"hello")];
    node.commit(&first);
    let many: Vec<Transaction> = (2..232).map(|nonce| node.transaction(nonce, b"one of many")).collect();
    node.commit(&many);
    let late = vec![node.transaction(300, &[0xff, 0])];
    node.commit_through_descendant(&late);
    for _ in 0..60 {
        node.commit(&[]);
    }
    node.stabilise();
    [first, many, late].concat()
}
