//! Pages for people, made of the results of the methods.
//!
//! A page uses only the methods of JSON-RPC ([`Api`]), so it can show nothing that `README.md` does
//! not describe. Pages are complete without JavaScript; `assets/live.js` keeps them up to date, and
//! `assets/receipt.js` verifies receipts in the browser. askama escapes all untrusted text, and the
//! headers forbid content of other origins.

mod assets;
mod block;
mod blocks;
mod explanation;
mod governance;
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
use quorate_api::{RpcError, ValidatorJson, ValidatorSet};
use serde::de::DeserializeOwned;

use crate::health;
use crate::json_rpc::Endpoint;
use crate::limits::MemoryBudget;
use crate::methods::Api;
use crate::node::Node;
use page::{Frame, Problem, ProblemPage, refused, set_retry_after, shown};

/// Makes the pages.
pub(crate) struct Explorer<N> {
    api: Api<N>,
    memory: MemoryBudget,
}

impl<N: Node> Explorer<N> {
    pub(crate) fn new(api: Api<N>, memory: MemoryBudget) -> Self {
        Explorer { api, memory }
    }

    fn frame(&self, headers: &HeaderMap, here: &'static str) -> Frame {
        Frame::new(&self.api.node_status(), headers, here)
    }

    fn show(&self, status: StatusCode, page: &impl askama::Template) -> Response {
        shown(&self.memory, status, page)
    }

    /// A page, or the page for its problem.
    fn answer(&self, headers: &HeaderMap, page: Result<Response, Problem>) -> Response {
        let problem = match page {
            Ok(response) => return response,
            Err(problem) => problem,
        };
        let page = ProblemPage { frame: self.frame(headers, ""), problem: &problem };
        let mut response = self.show(problem.status, &page);
        set_retry_after(&mut response, &problem);
        response
    }

    /// The names of the members that ordered the block at a height, by index.
    fn members_at(&self, height: u64) -> Result<Members, RpcError> {
        Ok(self.api.network_validators(Some(height))?.map(Members::of).unwrap_or_default())
    }
}

/// Names of the members of one epoch, by index.
#[derive(Debug, Default)]
struct Members(Vec<String>);

impl Members {
    fn of(committee: ValidatorSet) -> Self {
        let name = |validator: ValidatorJson| match validator.name {
            // A member of an earlier epoch whose name is not known any more.
            name if name.is_empty() => short(&validator.public_key.to_string()),
            name => name,
        };
        Members(committee.validators.into_iter().map(name).collect())
    }

    fn name(&self, index: u16) -> String {
        let name = self.0.get(usize::from(index)).cloned();
        name.unwrap_or_else(|| format!("member {index}"))
    }

    /// The names, separated by spaces. Names have no spaces.
    fn joined(&self) -> String {
        self.0.join(" ")
    }
}

/// The beginning and the end of a key.
fn short(key: &str) -> String {
    match (key.get(..8), key.get(key.len().saturating_sub(6)..)) {
        (Some(begin), Some(end)) => format!("{begin}…{end}"),
        _ => key.to_owned(),
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
pub(crate) fn home<N: Node, S: Clone + Send + Sync + 'static>(
    explorer: Arc<Explorer<N>>,
    endpoint: Arc<Endpoint>,
) -> MethodRouter<S> {
    get(front::<N>)
        .with_state(explorer)
        .route_layer(from_fn_with_state(endpoint, admit))
        .route_layer(map_response(page::harden))
        .route_layer(from_fn(welcome_programs))
}

/// All other pages, and the assets.
pub(crate) fn routes<N: Node>(explorer: Arc<Explorer<N>>, endpoint: Arc<Endpoint>) -> Router {
    Router::new()
        .route("/blocks", get(block_list::<N>))
        .route("/blocks/{at}", get(one_block::<N>))
        .route("/transactions/{id}", get(one_transaction::<N>))
        .route("/validators", get(all_validators::<N>))
        .route("/governance", get(committee::<N>))
        .route("/proposals", get(open_proposals::<N>))
        .route("/clients", get(client_list::<N>))
        .route("/mempool", get(pool::<N>))
        .route("/explain", get(why::<N>))
        .route("/search", get(find::<N>))
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

type Site<N> = State<Arc<Explorer<N>>>;

async fn front<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, overview::page(&site, &headers).await)
}

async fn block_list<N: Node>(State(site): Site<N>, uri: Uri, headers: HeaderMap) -> Response {
    site.answer(&headers, blocks::page(&site, &headers, &uri).await)
}

async fn one_block<N: Node>(
    State(site): Site<N>,
    at: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let page = match named(at) {
        Ok(at) => block::page(&site, &headers, &at, &uri).await,
        Err(problem) => Err(problem),
    };
    site.answer(&headers, page)
}

async fn one_transaction<N: Node>(
    State(site): Site<N>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let page = match named(id) {
        Ok(id) => transaction::page(&site, &headers, &id).await,
        Err(problem) => Err(problem),
    };
    site.answer(&headers, page)
}

async fn all_validators<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, validators::page(&site, &headers))
}

async fn committee<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, governance::committee(&site, &headers).await)
}

async fn open_proposals<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, governance::proposals(&site, &headers).await)
}

async fn client_list<N: Node>(State(site): Site<N>, uri: Uri, headers: HeaderMap) -> Response {
    site.answer(&headers, governance::clients(&site, &headers, &uri).await)
}

async fn pool<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, mempool::page(&site, &headers))
}

async fn why<N: Node>(State(site): Site<N>, headers: HeaderMap) -> Response {
    site.answer(&headers, explanation::page(&site, &headers))
}

async fn find<N: Node>(State(site): Site<N>, uri: Uri, headers: HeaderMap) -> Response {
    site.answer(&headers, search::page(&site, &headers, &uri).await)
}
