//! Untrusted contents and untrusted clients.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use quorate_ledger::to_hex;
use quorate_rpc::Node;
use serde_json::json;

use super::{page, page_with, request};
use crate::tools::html::Document;
use crate::tools::web::Site;

const MARKUP: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>";

#[tokio::test]
async fn untrusted_text_stays_text() {
    let site = Site::new();
    let transaction = site.node.transaction(1, MARKUP.as_bytes());
    site.node.commit(std::slice::from_ref(&transaction));
    let mut peers = site.node.peers();
    peers[0].addresses = vec![MARKUP.to_owned()];
    peers[0].peer_id = MARKUP.to_owned();
    let mut other = peers[0].clone();
    other.public_key = transaction.sender;
    other.name = Some(MARKUP.to_owned());
    peers.push(other);
    site.node.set_peers(peers);
    let typed = "%3Cscript%3Ealert(1)%3C/script%3E%22'%26%3Cimg%20src=x%20onerror=alert(2)%3E";
    for (path, status, shown) in [
        (format!("/transactions/{}", transaction.id()), StatusCode::OK, MARKUP),
        ("/blocks/1".to_owned(), StatusCode::OK, "<script>alert(1)</script>"),
        ("/validators".to_owned(), StatusCode::OK, MARKUP),
        (format!("/search?q={typed}"), StatusCode::BAD_REQUEST, MARKUP),
        (format!("/blocks/{}", typed.replace('/', "%2F")), StatusCode::BAD_REQUEST, MARKUP),
        (format!("/transactions/{}", typed.replace('/', "%2F")), StatusCode::BAD_REQUEST, MARKUP),
        (format!("/blocks?below={typed}"), StatusCode::BAD_REQUEST, ""),
    ] {
        // It is there only as text: the parser would have found a script, an unescaped character or
        // an image.
        let document = page_with(&site, &path, status).await;
        assert!(document.text.contains(shown), "{path}: {}", document.text);
        assert_eq!(document.all("img").count(), 0, "{path}");
    }
    // Even if every name is allowed, an invalid name is not repeated.
    let site = Site::with(|config| config.allowed_hosts = vec!["*".to_owned()]);
    let mut request = request("/");
    request.headers_mut().insert("host", "$(reboot)<b>".parse().unwrap());
    let document = Document::parse(&site.send(request).await.text);
    assert!(document.text.contains("RPC=http://127.0.0.1:8545"), "{}", document.text);
    assert!(!document.text.contains("reboot"));
}

#[tokio::test(start_paused = true)]
async fn pages_count_as_requests() {
    let site = Site::with(|config| {
        config.max_requests_per_second = 2;
        config.max_request_burst = 4;
        config.max_batch = 4;
    });
    let from = |client: &str, mut request: Request<Body>| {
        let address: SocketAddr = format!("{client}:1").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(address));
        site.send(request)
    };
    for path in ["/", "/blocks", "/explain", "/search?q=1"] {
        let status = from("192.0.2.1", request(path)).await.status;
        assert!(status.is_success() || status.is_redirection(), "{path}: {status}");
    }
    for path in ["/", "/mempool"] {
        let refused = from("192.0.2.1", request(path)).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers["retry-after"], "1");
        assert!(refused.headers.contains_key("content-security-policy"));
        assert!(Document::parse(&refused.text).text.contains("Try again in 500 ms"), "{}", refused.text);
    }
    let words = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(from("192.0.2.1", words).await.status, StatusCode::OK, "plain text is not limited");
    assert_eq!(
        from("192.0.2.2", request("/")).await.status,
        StatusCode::OK,
        "other addresses are not limited"
    );
    let front = page(&site, "/").await;
    let style = front.all("link").last().unwrap().get("href").unwrap().to_owned();
    assert_eq!(from("192.0.2.1", request(&style)).await.status, StatusCode::OK, "a refusal has its style");
}

#[tokio::test]
async fn pages_take_a_place_among_the_requests() {
    let site = Site::with(|config| config.max_concurrent_requests = 1);
    let transaction = site.node.transaction(1, b"x");
    let params = json!([to_hex(&transaction.to_bytes()), "committed", 60_000]);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": params }).to_string();
    let ((), waited) = tokio::join!(
        async {
            site.node.until_pending(1).await;
            let document = page_with(&site, "/blocks", StatusCode::SERVICE_UNAVAILABLE).await;
            assert!(document.text.contains("limit of concurrent requests"), "{}", document.text);
            site.node.commit_pool();
        },
        site.post(call)
    );
    assert_eq!(waited.status, StatusCode::OK);
    page(&site, "/blocks").await;
}
