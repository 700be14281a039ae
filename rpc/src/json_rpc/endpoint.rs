//! Serves JSON-RPC over HTTP and WebSockets, under all limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::future::join_all;
use quorate_api::{ErrorKind, RpcError};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::answer::{Answer, Part, failed, failure, json};
use super::dispatch::{Dispatcher, Reply};
use super::error::{overloaded, rate_limited, response_too_large};
use super::places::{Load, Place, Places};
use super::request::{Call, Entry, Message, parse};
use super::request_refusal::RequestRefusal;
use crate::config::RpcConfig;
use crate::limits::{Client, MemoryBudget, RateLimiter, Reservation, UNIT_BYTES};

/// Runs the methods that only one kind of connection has; `None` for all others.
pub(crate) type Local<'a> = &'a (dyn Fn(&Call<'_>, Reply<'_>) -> Option<Result<String, RpcError>> + Sync);

/// The state that a POST or a message of a WebSocket needs.
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

/// The only accepted content coding: none.
const IDENTITY: &str = "identity";

/// Why a message is refused as a whole.
enum NoRoom {
    /// More requests than the client may send.
    Rate,
    /// The node has no memory left for it.
    Memory(RpcError),
}

/// Handles a POST of JSON-RPC.
pub(crate) async fn handle_post(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
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

    /// Admits a request for a page, under the limits of requests per second and of concurrent
    /// requests. It counts as one JSON-RPC request, and holds its place until the result is
    /// dropped.
    pub(crate) fn admit(&self, request: &Request) -> Result<Place<'_>, RpcError> {
        self.rates.admit(Client::of(request.extensions()), 1).map_err(rate_limited)?;
        self.places.take(Load::Reads).map_err(overloaded)
    }

    async fn handle(&self, request: Request) -> Result<Response, RequestRefusal> {
        let client = Client::of(request.extensions());
        if self.rates.admit(client, 1).is_err() {
            return Err(self.rate_limited(client, request).await);
        }
        check_content(request.headers())?;
        // A body that arrives slowly takes no place: the place is taken after it was read.
        if self.places.is_full() {
            return Err(RequestRefusal::overloaded("it serves as many requests as it may"));
        }
        let (body, _reservation) = match timeout(self.body_read_timeout, self.read(request.into_body())).await
        {
            Ok(read) => read?,
            Err(_) => {
                let error = RpcError::new(ErrorKind::RequestTimeout, "the body did not arrive in time");
                return Err(RequestRefusal::new(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        let message = match parse(&body, self.max_batch) {
            Ok(message) => message,
            Err(error) => return Ok(json(StatusCode::OK, failure(RawValue::NULL, &error))),
        };
        if let Message::Batch(entries) = &message {
            // One token was taken when the request arrived; these are for the other entries.
            self.rates.admit_rest(client, entries.len()).map_err(RequestRefusal::rate_limited)?;
        }
        let _place = self.places.take(Load::of(&message)).map_err(RequestRefusal::overloaded)?;
        Ok(match self.answer(message, &|_, _| None).await {
            Some(answer) => json(StatusCode::OK, answer),
            None => StatusCode::NO_CONTENT.into_response(),
        })
    }

    /// Refuses a request, with the time until there are enough tokens for all of its entries.
    ///
    /// Only a small body is read to count them. For a larger one, the time is that of
    /// [`RpcConfig::max_batch`] entries, the most that a batch may have.
    async fn rate_limited(&self, client: Option<Client>, request: Request) -> RequestRefusal {
        let is_small = request.body().size_hint().upper().is_some_and(|bytes| bytes <= UNIT_BYTES as u64);
        let entries = if is_small {
            // This needs no place: the number of connections limits such bodies.
            let read = timeout(self.body_read_timeout, self.read(request.into_body())).await;
            read.ok()
                .and_then(Result::ok)
                .map_or(1, |(body, _)| parse(&body, self.max_batch).map_or(1, |message| entries_of(&message)))
        } else {
            self.max_batch
        };
        RequestRefusal::rate_limited(self.rates.wait(client, entries))
    }

    /// Reads a body, and reserves memory as it arrives: an announced length reserves nothing.
    async fn read(&self, body: Body) -> Result<(Vec<u8>, Reservation), RequestRefusal> {
        let limit = self.max_body_bytes;
        let too_large = || {
            let message = format!("the body has more than {limit} bytes; send less at a time");
            let error = RpcError::new(ErrorKind::RequestTooLarge, message).detail("limit", limit);
            RequestRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, error)
        };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let (mut bytes, mut reservation) = (Vec::new(), Reservation::default());
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| {
                let error = RpcError::new(ErrorKind::ParseError, "the body ended early");
                RequestRefusal::new(StatusCode::BAD_REQUEST, error)
            })?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            if !self.memory.grow(&mut reservation, bytes.len() + chunk.len()) {
                return Err(RequestRefusal::overloaded("no memory is left for large requests"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, reservation))
    }

    /// The response to a message of a WebSocket; `None` if it has only notifications.
    ///
    /// On a WebSocket, a client finds the request of an error by its id. So a message that is
    /// refused as a whole is still parsed unless it is large, and every request in it is refused
    /// under its own id.
    pub(crate) async fn message(
        &self,
        client: Option<Client>,
        text: &[u8],
        local: Local<'_>,
    ) -> Option<Answer> {
        let room = self.room(client, text.len());
        let refusal = |entries| match &room {
            Ok(_) => None,
            Err(NoRoom::Rate) => Some(rate_limited(self.rates.wait(client, entries))),
            Err(NoRoom::Memory(error)) => Some(error.clone()),
        };
        if text.len() > UNIT_BYTES
            && let Some(error) = refusal(self.max_batch)
        {
            return Some(failure(RawValue::NULL, &error));
        }
        let message = match parse(text, self.max_batch) {
            Ok(message) => message,
            Err(error) => return Some(failure(RawValue::NULL, &error)),
        };
        let count = entries_of(&message);
        // One token was taken when the message arrived; these are for the other entries.
        let rest = || self.rates.admit_rest(client, count).err().map(rate_limited);
        if let Some(error) = refusal(count).or_else(rest) {
            return refuse_all(message, &error);
        }
        let _place = match self.places.take(Load::of(&message)) {
            Ok(place) => place,
            Err(full) => return refuse_all(message, &overloaded(full)),
        };
        self.answer(message, local).await
    }

    /// Memory for a message of a WebSocket while it is served.
    fn room(&self, client: Option<Client>, bytes: usize) -> Result<Reservation, NoRoom> {
        self.rates.admit(client, 1).map_err(|_| NoRoom::Rate)?;
        let full = || NoRoom::Memory(overloaded("no memory is left for large requests"));
        self.memory.reserve(bytes).ok_or_else(full)
    }

    /// The response to a message; `None` if it has only notifications.
    async fn answer(&self, message: Message<'_>, local: Local<'_>) -> Option<Answer> {
        // The bytes that are left for the responses to this message.
        let left = AtomicUsize::new(self.max_response_bytes);
        match message {
            Message::Single(entry) => self.answer_entry(entry, &left, local).await.map(Answer::from),
            Message::Batch(entries) => {
                // Concurrently: a batch of transactions waits for one block, not for one block
                // each.
                let running = entries.into_iter().map(|entry| self.answer_entry(entry, &left, local));
                let parts: Vec<Part> = join_all(running).await.into_iter().flatten().collect();
                (!parts.is_empty()).then(|| Answer::array(parts))
            }
        }
    }

    async fn answer_entry(&self, entry: Entry<'_>, left: &AtomicUsize, local: Local<'_>) -> Option<Part> {
        match entry {
            Entry::Invalid(id, error) => Some(failed(id, &error)),
            Entry::Notification(call) => {
                // The specification allows no response to a notification, not even an error.
                let _ = self.dispatcher.run(&call, self.dispatcher.reply(None)).await;
                None
            }
            Entry::Call(id, call) => {
                let reply = self.dispatcher.reply(Some(id));
                let part = match local(&call, reply) {
                    // The answer about a subscription is short, and the subscription exists: a
                    // refusal for lack of room would hide its number.
                    Some(answered) => answered.map(|text| Part::new(text, Reservation::default())),
                    None => {
                        let answered = self.dispatcher.run(&call, reply).await;
                        answered.and_then(|text| self.make_room(text, left))
                    }
                };
                Some(part.unwrap_or_else(|error| failed(id, &error)))
            }
        }
    }

    fn make_room(&self, text: String, left: &AtomicUsize) -> Result<Part, RpcError> {
        let bytes = text.len();
        // Reserve memory first: a response that gets none must not use up the room of the others.
        let reservation =
            self.memory.reserve(bytes).ok_or_else(|| overloaded("no memory is left for large responses"))?;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map_err(|_| response_too_large(self.max_response_bytes))?;
        Ok(Part::new(text, reservation))
    }
}

/// Number of requests in a message, for the limit of requests per second.
fn entries_of(message: &Message<'_>) -> usize {
    match message {
        Message::Single(_) => 1,
        Message::Batch(entries) => entries.len(),
    }
}

/// The same error for every request in a message. Notifications get none.
fn refuse_all(message: Message<'_>, error: &RpcError) -> Option<Answer> {
    let refuse = |entry| match entry {
        Entry::Call(id, _) => Some(failed(id, error)),
        Entry::Invalid(id, error) => Some(failed(id, &error)),
        Entry::Notification(_) => None,
    };
    match message {
        Message::Single(entry) => refuse(entry).map(Answer::from),
        Message::Batch(entries) => {
            let parts: Vec<Part> = entries.into_iter().filter_map(refuse).collect();
            (!parts.is_empty()).then(|| Answer::array(parts))
        }
    }
}

/// Checks the content type and the content encoding. Browsers send other content types to other
/// origins without a preflight request, but not JSON. A compressed body would not parse.
fn check_content(headers: &HeaderMap) -> Result<(), RequestRefusal> {
    let refused = |message| {
        let error = RpcError::new(ErrorKind::InvalidRequest, message);
        RequestRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    };
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(IDENTITY.as_bytes())) {
        let refusal = refused("the body must not be compressed: omit Content-Encoding");
        return Err(refusal.with_header(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY)));
    }
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(refused("the content type must be application/json"))
}
