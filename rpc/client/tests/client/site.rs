//! Servers for the client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use quorate_client::{Client, ClientConfig};
use quorate_rpc::{Node, RpcConfig, router};
use tokio::net::TcpListener;

use crate::support::FakeNode;

/// A server that stops with the test.
pub(crate) struct Site {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Site {
    /// A correct server of this node.
    pub(crate) async fn of(node: &Arc<FakeNode>) -> Self {
        Site::altered(node, |text| text).await
    }

    /// A server that alters the responses of the node.
    pub(crate) async fn altered(
        node: &Arc<FakeNode>,
        alter: impl Fn(String) -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        let alter = from_fn(move |request: Request, next: Next| {
            let alter = alter.clone();
            async move {
                let (mut parts, body) = next.run(request).await.into_parts();
                parts.headers.remove("content-length");
                let bytes = to_bytes(body, usize::MAX).await.unwrap();
                let text = alter(String::from_utf8(bytes.to_vec()).unwrap());
                Response::from_parts(parts, Body::from(text))
            }
        });
        Site::serving(router(&RpcConfig::default(), Arc::clone(node), None).layer(alter)).await
    }

    pub(crate) async fn serving(router: Router) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let counted = router.layer(from_fn(move |request: Request, next: Next| {
            counter.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, counted).await });
        Site { url, requests }
    }

    /// Number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An address without a listener.
pub(crate) async fn unreachable() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    format!("http://{address}")
}

/// A client of these sites with a short time limit.
pub(crate) fn client<'a>(node: &FakeNode, urls: impl IntoIterator<Item = &'a String>) -> Client {
    let config = ClientConfig { timeout: Duration::from_millis(50), ..ClientConfig::default() };
    Client::new(urls, node.genesis().anchor().clone(), config).unwrap()
}
