//! From HTTP and WebSockets to JSON-RPC and back, under every limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::future::join_all;
use quorate_api::{ErrorKind, RpcError};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::answer::{Answer, Part, failed, failure, json, success};
use crate::budget::{MemoryBudget, Reservation};
use crate::client::Client;
use crate::config::RpcConfig;
use crate::dispatch::{Dispatcher, response_too_large};
use crate::places::{Load, Place, Places};
use crate::rate::RateLimiter;
use crate::refusal::{Refusal, overloaded, rate_limited};
use crate::request::{Call, Entry, Message, parse};

/// Answers the methods that only one kind of connection has; `None` for all others.
pub(crate) type Local<'a> = &'a (dyn Fn(&Call<'_>) -> Option<Result<Box<RawValue>, RpcError>> + Sync);

/// Everything a POST or a message of a WebSocket needs.
pub(crate) struct Endpoint {
    dispatcher: Dispatcher,
    rates: Arc<RateLimiter>,
    places: Places,
    memory: MemoryBudget,
    max_body_bytes: usize,
    max_response_bytes: usize,
    max_batch: usize,
    body_read_timeout: Duration,
}

/// The handler.
pub(crate) async fn post(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    match endpoint.handle(request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

impl Endpoint {
    pub(crate) fn new(
        config: &RpcConfig,
        dispatcher: Dispatcher,
        memory: MemoryBudget,
        rates: Arc<RateLimiter>,
    ) -> Self {
        Endpoint {
            dispatcher,
            rates,
            places: Places::new(config.max_concurrent_requests),
            memory,
            max_body_bytes: config.max_body_bytes,
            max_response_bytes: config.max_response_bytes,
            max_batch: config.max_batch,
            body_read_timeout: config.body_read_timeout,
        }
    }

    /// Lets in a request for a page, under the limits of requests per second and of requests at a time: it
    /// counts as one JSON-RPC request, and has its place as long as it is held.
    pub(crate) fn admit(&self, request: &Request) -> Result<Place<'_>, RpcError> {
        self.rates.admit(Client::of(request.extensions()), 1).map_err(rate_limited)?;
        self.places.take(Load::Reads).map_err(overloaded)
    }

    async fn handle(&self, request: Request) -> Result<Response, Refusal> {
        let client = Client::of(request.extensions());
        check_content_type(request.headers())?;
        // A body that comes slowly takes no place from those that run.
        if self.places.is_full() {
            return Err(Refusal::overloaded("it serves as many requests as it may"));
        }
        let (body, _reservation) = match timeout(self.body_read_timeout, self.read(request.into_body())).await
        {
            Ok(read) => read?,
            Err(_) => {
                let error = RpcError::new(ErrorKind::RequestTimeout, "the body did not arrive in time");
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        let message = match parse(&body, self.max_batch) {
            Ok(message) => message,
            Err(error) => return Ok(json(StatusCode::OK, failure(RawValue::NULL, error))),
        };
        if let Message::Batch(entries) = &message {
            // The router took one when the request came; these are the other entries.
            self.rates.admit_rest(client, entries.len()).map_err(Refusal::rate_limited)?;
        }
        let _place = self.places.take(Load::of(&message)).map_err(Refusal::overloaded)?;
        Ok(match self.answer(message, &|_| None).await {
            Some(answer) => json(StatusCode::OK, answer),
            None => StatusCode::NO_CONTENT.into_response(),
        })
    }

    /// Reads a body, taking room for it as it arrives: what was only announced costs nothing.
    async fn read(&self, body: Body) -> Result<(Vec<u8>, Reservation), Refusal> {
        let limit = self.max_body_bytes;
        let too_large = || {
            let message = format!("the body has more than {limit} bytes; send less at a time");
            let error = RpcError::new(ErrorKind::RequestTooLarge, message).detail("limit", limit);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error)
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let (mut bytes, mut reservation) = (Vec::new(), Reservation::default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                let error = RpcError::new(ErrorKind::ParseError, "the body ended early");
                Refusal::new(StatusCode::BAD_REQUEST, error)
            })?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            if !self.memory.grow(&mut reservation, bytes.len() + chunk.len()) {
                return Err(Refusal::overloaded("it has no memory left for large requests"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, reservation))
    }

    /// What is answered to a message of a WebSocket; `None` if it held notifications only.
    pub(crate) async fn message(
        &self,
        client: Option<Client>,
        text: &[u8],
        local: Local<'_>,
    ) -> Option<Answer> {
        let refused = |error| Some(failure(RawValue::NULL, error));
        if let Err(wait) = self.rates.admit(client, 1) {
            return refused(rate_limited(wait));
        }
        let Some(_reservation) = self.memory.reserve(text.len()) else {
            return refused(overloaded("it has no memory left for large requests"));
        };
        let message = match parse(text, self.max_batch) {
            Ok(message) => message,
            Err(error) => return refused(error),
        };
        if let Message::Batch(entries) = &message
            && let Err(wait) = self.rates.admit_rest(client, entries.len())
        {
            return refused(rate_limited(wait));
        }
        let _place = match self.places.take(Load::of(&message)) {
            Ok(place) => place,
            Err(full) => return refused(overloaded(full)),
        };
        self.answer(message, local).await
    }

    /// What is answered to a message; `None` if it held notifications only.
    async fn answer(&self, message: Message<'_>, local: Local<'_>) -> Option<Answer> {
        // What is left of the room for the answers of this request.
        let left = AtomicUsize::new(self.max_response_bytes);
        match message {
            Message::Single(entry) => self.answer_entry(entry, &left, local).await.map(Answer::from),
            Message::Batch(entries) => {
                // All at once: a batch of transactions waits for one block, not for one each.
                let running = entries.into_iter().map(|entry| self.answer_entry(entry, &left, local));
                let parts: Vec<Part> = join_all(running).await.into_iter().flatten().collect();
                (!parts.is_empty()).then(|| Answer::array(parts))
            }
        }
    }

    async fn answer_entry(&self, entry: Entry<'_>, left: &AtomicUsize, local: Local<'_>) -> Option<Part> {
        match entry {
            Entry::Invalid(id, error) => Some(failed(id, error)),
            Entry::Notification(call) => {
                // The specification leaves the caller without an answer, be it an error.
                let _ = self.dispatcher.run(&call, |_| ()).await;
                None
            }
            Entry::Call(id, call) => {
                let answered = match local(&call) {
                    Some(answered) => answered.map(|result| success(id, &result)),
                    None => self.dispatcher.run(&call, |result| success(id, result)).await,
                };
                let part = answered.and_then(|text| self.make_room(text, left));
                Some(part.unwrap_or_else(|error| failed(id, error)))
            }
        }
    }

    fn make_room(&self, text: String, left: &AtomicUsize) -> Result<Part, RpcError> {
        let bytes = text.len();
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map_err(|_| response_too_large(self.max_response_bytes))?;
        let reservation = self
            .memory
            .reserve(bytes)
            .ok_or_else(|| overloaded("it has no memory left for large answers"))?;
        Ok(Part::new(text, reservation))
    }
}

/// Browsers send other types across sites without asking; JSON they ask for first.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let error = RpcError::new(ErrorKind::InvalidRequest, "the content type must be application/json");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}
