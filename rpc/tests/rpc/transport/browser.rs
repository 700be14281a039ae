//! Access of web pages.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use quorate_rpc::{RpcConfig, RpcProblem, RpcStartError, serve};

use crate::tools::web::{Site, Wire};
use crate::transport::socket::Host;

const PAGE: &str = "https://explorer.example";

fn preflight(origin: &str) -> Request<Body> {
    Request::options("/")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn no_page_is_allowed_unless_it_is_listed() {
    let (closed, open) = (Site::new(), Site::with(|config| config.allowed_origins = vec![PAGE.to_owned()]));
    let all = Site::with(|config| config.allowed_origins = vec!["*".to_owned()]);
    for (site, origin, allowed) in [
        (&closed, PAGE, None),
        (&open, PAGE, Some(PAGE)),
        (&open, "https://other.example", None),
        (&all, "https://other.example", Some("*")),
    ] {
        let answer = site.send(preflight(origin)).await;
        let told = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(told, allowed, "{origin}");

        let stream =
            Request::get("/stream?from_height=9999").header("origin", origin).body(Body::empty()).unwrap();
        let answer = site.send(stream).await;
        let expected =
            if allowed.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, expected, "a stream for {origin}: {}", answer.text);
        let told = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(told, allowed, "{origin}");
    }
}

#[tokio::test]
async fn sockets_are_opened_for_listed_pages_and_for_programs() {
    let host = Host::start(|config| config.allowed_origins = vec![PAGE.to_owned()]).await;
    for (origin, status) in [
        ("", 101),
        ("origin: https://explorer.example\r\n", 101),
        ("origin: null\r\n", 403),
        // Clients that are not pages may send the node's own origin.
        ("origin: http://localhost\r\n", 101),
        ("origin: http://localhost:8545\r\n", 403),
    ] {
        let mut wire = Wire::open(host.address()).await;
        wire.send(&format!(
            "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{origin}\r\n"
        ))
        .await;
        let answer = wire.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
    host.stop().await;
}

/// If a page's host name resolves to the node's address (DNS rebinding), the browser treats the
/// node as the page's origin.
#[tokio::test]
async fn requests_to_other_names_are_refused() {
    let host = Host::start(|config| config.allowed_hosts = vec!["node.example".to_owned()]).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let head = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;
    let post = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{head}", head.len());
    for (line, rest) in [
        ("POST / HTTP/1.1", post.as_str()),
        ("GET / HTTP/1.1", "\r\n"),
        ("GET /metrics HTTP/1.1", "\r\n"),
        ("GET /stream?from_height=0 HTTP/1.1", "\r\n"),
        ("GET /ws HTTP/1.1", &format!("origin: http://evil.example:8545\r\n{upgrade}\r\n")),
    ] {
        for (name, allowed) in [
            ("evil.example:8545", false),
            ("node.example:8545", true),
            ("127.0.0.1:8545", true),
            ("localhost", true),
        ] {
            let mut wire = Wire::open(host.address()).await;
            let rest = rest.replace("http://evil.example:8545", &format!("http://{name}"));
            wire.send(&format!("{line}\r\nhost: {name}\r\n{rest}")).await;
            let answer = wire.read_until("\r\n\r\n").await;
            assert_eq!(answer.starts_with("HTTP/1.1 403"), !allowed, "{line} at {name}: {answer}");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn an_invalid_origin_is_refused_at_the_start() {
    let node = std::sync::Arc::new(crate::support::FakeNode::new());
    let config = RpcConfig { allowed_origins: vec!["explorer.example".to_owned()], ..RpcConfig::default() };
    let error = serve(config, node, None).await.unwrap_err();
    let named = RpcProblem::Origin("explorer.example".to_owned());
    assert!(matches!(&error, RpcStartError::Config(problems) if *problems == [named]), "{error}");
}
