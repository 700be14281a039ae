//! Pages for people, made of the results of the methods.
//!
//! A page uses the same trait as JSON-RPC, so it can show nothing that `README.md` does not
//! describe. Pages are complete without JavaScript; `assets/live.js` keeps them up to date, and
//! `assets/receipt.js` verifies receipts in the browser. askama escapes all untrusted text, and the
//! headers forbid content of other origins.

mod assets;
mod block;
mod blocks;
mod explanation;
mod mempool;
mod overview;
mod page;
mod search;
mod text;
mod transaction;
mod validators;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::VARY;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use quorate_api::RpcError;
use quorate_api::methods::QuorateServer;
use serde::de::DeserializeOwned;

use crate::budget::MemoryBudget;
use crate::endpoint::Endpoint;
use crate::health;
use page::{Frame, Problem, ProblemPage, refused, set_retry_after, shown};

/// Makes the pages.
#[derive(Debug)]
pub(crate) struct Explorer<A> {
    api: A,
    memory: MemoryBudget,
}

impl<A: QuorateServer> Explorer<A> {
    pub(crate) fn new(api: A, memory: MemoryBudget) -> Self {
        Explorer { api, memory }
    }

    async fn frame(&self, headers: &HeaderMap, here: &'static str) -> Result<Frame, RpcError> {
        Ok(Frame::new(&self.api.node_status().await?, headers, here))
    }

    fn show(&self, status: StatusCode, page: &impl askama::Template) -> Response {
        shown(&self.memory, status, page)
    }

    /// A page, or the page for its problem.
    async fn answer(&self, headers: &HeaderMap, page: Result<Response, Problem>) -> Response {
        let problem = match page {
            Ok(response) => return response,
            Err(problem) => problem,
        };
        match self.frame(headers, "").await {
            Ok(frame) => {
                let page = ProblemPage { frame, problem: &problem };
                let mut response = self.show(problem.status, &page);
                set_retry_after(&mut response, &problem);
                response
            }
            Err(error) => refused(error),
        }
    }

    /// The names of the committee's members, by index.
    async fn members(&self) -> Result<Members, RpcError> {
        let committee = self.api.network_validators(None).await?;
        let validators = committee.map(|committee| committee.validators).unwrap_or_default();
        Ok(Members(validators.into_iter().map(|validator| validator.name).collect()))
    }
}

/// Names of members, by index.
#[derive(Debug)]
struct Members(Vec<String>);

impl Members {
    fn name(&self, index: u16) -> String {
        let name = self.0.get(usize::from(index)).cloned();
        name.unwrap_or_else(|| format!("member {index}"))
    }

    /// The names, separated by spaces. Names have no spaces.
    fn joined(&self) -> String {
        self.0.join(" ")
    }
}

/// Parses the parameters of a query; unknown ones are ignored.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::<T>::try_from_uri(uri).map(|Query(parameters)| parameters).map_err(|error| {
        let advice = "Heights and positions are whole numbers from 0 on.";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid address", error.body_text(), advice)
    })
}

/// The page at `/`. A client that does not accept HTML gets plain text, which does not count as a
/// request.
pub(crate) fn home<A: QuorateServer, S: Clone + Send + Sync + 'static>(
    explorer: Arc<Explorer<A>>,
    endpoint: Arc<Endpoint>,
) -> MethodRouter<S> {
    get(front::<A>)
        .with_state(explorer)
        .route_layer(from_fn_with_state(endpoint, admit))
        .route_layer(map_response(page::harden))
        .route_layer(from_fn(welcome_programs))
}

/// All other pages, and the assets.
pub(crate) fn routes<A: QuorateServer>(explorer: Arc<Explorer<A>>, endpoint: Arc<Endpoint>) -> Router {
    Router::new()
        .route("/blocks", get(block_list::<A>))
        .route("/blocks/{at}", get(one_block::<A>))
        .route("/transactions/{id}", get(one_transaction::<A>))
        .route("/validators", get(all_validators::<A>))
        .route("/mempool", get(pool::<A>))
        .route("/explain", get(why::<A>))
        .route("/search", get(find::<A>))
        .route_layer(from_fn_with_state(endpoint, admit))
        .with_state(explorer)
        .route("/assets/{version}/{name}", get(assets::asset))
        .route_layer(map_response(page::harden))
}

/// A page counts as one request.
async fn admit(State(endpoint): State<Arc<Endpoint>>, request: Request, next: Next) -> Response {
    match endpoint.admit(&request) {
        Ok(_slot) => next.run(request).await,
        Err(error) => refused(error),
    }
}

async fn welcome_programs(request: Request, next: Next) -> Response {
    if page::wants_html(request.headers()) {
        next.run(request).await
    } else {
        ([(VARY, "accept")], health::welcome().await).into_response()
    }
}

/// The name in a path.
fn named(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(name)| name).map_err(|_| {
        let text = "The address is not UTF-8.".to_owned();
        let advice = "Names of blocks and transactions have only digits and letters.";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid address", text, advice)
    })
}

type Site<A> = State<Arc<Explorer<A>>>;

async fn front<A: QuorateServer>(State(site): Site<A>, headers: HeaderMap) -> Response {
    site.answer(&headers, overview::page(&site, &headers).await).await
}

async fn block_list<A: QuorateServer>(State(site): Site<A>, uri: Uri, headers: HeaderMap) -> Response {
    site.answer(&headers, blocks::page(&site, &headers, &uri).await).await
}

async fn one_block<A: QuorateServer>(
    State(site): Site<A>,
    at: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let page = match named(at) {
        Ok(at) => block::page(&site, &headers, &at, &uri).await,
        Err(problem) => Err(problem),
    };
    site.answer(&headers, page).await
}

async fn one_transaction<A: QuorateServer>(
    State(site): Site<A>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let page = match named(id) {
        Ok(id) => transaction::page(&site, &headers, &id).await,
        Err(problem) => Err(problem),
    };
    site.answer(&headers, page).await
}

async fn all_validators<A: QuorateServer>(State(site): Site<A>, headers: HeaderMap) -> Response {
    site.answer(&headers, validators::page(&site, &headers).await).await
}

async fn pool<A: QuorateServer>(State(site): Site<A>, headers: HeaderMap) -> Response {
    site.answer(&headers, mempool::page(&site, &headers).await).await
}

async fn why<A: QuorateServer>(State(site): Site<A>, headers: HeaderMap) -> Response {
    site.answer(&headers, explanation::page(&site, &headers).await).await
}

async fn find<A: QuorateServer>(State(site): Site<A>, uri: Uri, headers: HeaderMap) -> Response {
    site.answer(&headers, search::page(&site, &headers, &uri).await).await
}
