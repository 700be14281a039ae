//! The routes: which handler serves which path.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::Registry;
use quorate_api::METHODS;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::RpcConfig;
use crate::explorer::{self, Explorer};
use crate::health;
use crate::json_rpc::{Dispatcher, Endpoint, RequestRefusal, handle_post};
use crate::limits::{Client, MemoryBudget, RateLimiter};
use crate::meter::Meter;
use crate::methods::{Api, LedgerAccess};
use crate::node::Node;
use crate::stopping::Stopping;
use crate::stream::{self, BlockSource, Streams};
use crate::transport::{Hosts, Origins, check_host};

/// The whole interface as an axum router, for tests in the same process and for other servers.
///
/// Only [`crate::serve`] limits connections and times; all other limits apply here too. The limit
/// of requests per second applies to requests that have axum's `ConnectInfo<SocketAddr>`. Without a
/// registry there is no `/metrics`.
pub fn router<N: Node>(config: &RpcConfig, node: Arc<N>, registry: Option<Registry>) -> Router {
    stoppable_router(config, node, registry, Meter::new(), Stopping::never())
}

/// A router whose waits end early when the server stops.
pub(crate) fn stoppable_router<N: Node>(
    config: &RpcConfig,
    node: Arc<N>,
    registry: Option<Registry>,
    meter: Meter,
    stopping: Stopping,
) -> Router {
    let ledger = LedgerAccess::new(node.ledger().clone(), config.max_block_reads);
    let memory = MemoryBudget::new(config.max_memory_bytes);
    let blocks = BlockSource::new(ledger.clone(), node.committed(), memory.clone());
    let api = Api::new(config, Arc::clone(&node), ledger, stopping.clone());
    let explorer = config.explorer.then(|| Arc::new(Explorer::new(api.clone(), memory.clone())));
    let rates = Arc::new(RateLimiter::new(config));
    let dispatcher = Dispatcher::new(Arc::new(api), METHODS, config.max_response_bytes, meter.clone());
    let endpoint = Arc::new(Endpoint::new(config, dispatcher, memory, Arc::clone(&rates)));
    let origins = Origins::new(&config.allowed_origins);
    let cors = origins.layer();
    let streams = Arc::new(Streams::new(config, blocks, origins, stopping, meter.clone()));
    let json_rpc = post(handle_post).with_state(Arc::clone(&endpoint));
    let (home, pages) = match explorer {
        Some(explorer) => {
            let pages = explorer::routes(Arc::clone(&explorer), Arc::clone(&endpoint));
            (explorer::home(explorer, Arc::clone(&endpoint)), pages)
        }
        None => (get(health::welcome), Router::new()),
    };
    // Pages count their own requests, because they show refusals as pages. Monitoring is not
    // limited, so that it gets an answer however busy the node is.
    let limited = from_fn_with_state(rates, limit);
    let mut router = Router::new()
        .route("/", json_rpc.merge(home))
        .route("/stream", get(stream::events).with_state(Arc::clone(&streams)).route_layer(limited.clone()))
        .route("/ws", get(stream::upgrade).with_state((endpoint, streams)).route_layer(limited))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready::<N>))
        .route("/version", get(health::version::<N>))
        .with_state(node)
        .merge(pages);
    if let Some(registry) = registry {
        meter.register(&registry);
        router = router.route("/metrics", get(|| async move { health::metrics(&registry) }));
    }
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    router
        .layer(from_fn_with_state(Arc::new(Hosts::new(&config.allowed_hosts)), check_host))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(meter, count))
}

/// Counts responses, except those to monitoring: a node that is not ready responds with 503 to
/// every probe.
async fn count(State(meter): State<Meter>, request: Request, next: Next) -> Response {
    let is_monitoring = matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics");
    let response = next.run(request).await;
    if !is_monitoring {
        meter.responded(response.status().as_u16());
    }
    response
}

/// Takes one token for each request before it is handled, or refuses the request with 429.
async fn limit(State(rates): State<Arc<RateLimiter>>, request: Request, next: Next) -> Response {
    match rates.admit(Client::of(request.extensions()), 1) {
        Ok(()) => next.run(request).await,
        Err(wait) => RequestRefusal::rate_limited(wait).into_response(),
    }
}

#[allow(clippy::needless_pass_by_value)] // the signature is the layer's
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
}
