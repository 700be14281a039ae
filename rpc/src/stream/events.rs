//! `GET /stream`: blocks as Server-Sent Events.
//!
//! axum's own type for them passes a whole event to the connection at once. This module sends a
//! large block in pieces, so that it notices when the client has taken the block and can release
//! its memory.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream;
use quorate_api::{EndReason, ErrorKind, RpcError, excerpt};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::Streams;
use super::blocks::{BlockMessage, BlockStream};
use super::slots::StreamSlot;
use crate::json_rpc::RequestRefusal;
use crate::limits::{Client, Reservation, UNIT_BYTES};
use crate::stopping::Stopping;
use crate::transport::{ConnectionPlace, HangUp, LAST_EVENT_ID};

/// A comment, which readers ignore.
const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// The parameters of the query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    from_height: Option<u64>,
    full: Option<bool>,
}

/// The handler.
pub(crate) async fn events(
    State(streams): State<Arc<Streams>>,
    request: Request,
) -> Result<Response, RequestRefusal> {
    streams.origins.check(request.headers())?;
    let parameters = parameters(request.uri(), request.headers())?;
    let extensions = request.extensions();
    let slot = streams.slots.take(Client::of(extensions), extensions.get::<ConnectionPlace>().cloned())?;
    let blocks =
        streams.source.stream(parameters.from_height, parameters.full.unwrap_or(true)).map_err(refusal)?;
    if let Some(hang_up) = extensions.get::<HangUp>() {
        hang_up.watch();
    }
    // Capacity for one block in flight, and for the end.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(feed(streams, blocks, sender, slot));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body(receiver)).into_response())
}

fn parameters(uri: &Uri, headers: &HeaderMap) -> Result<Parameters, RequestRefusal> {
    let invalid = |message: String| {
        RequestRefusal::new(StatusCode::BAD_REQUEST, RpcError::new(ErrorKind::InvalidParams, message))
    };
    let Query(mut parameters) = Query::<Parameters>::try_from_uri(uri).map_err(|_| {
        let query = excerpt(uri.query().unwrap_or_default());
        invalid(format!(
            "the query {query:?} is invalid; the parameters of /stream are from_height=HEIGHT and full=true or false"
        ))
    })?;
    // A browser that resumes repeats the address with its first from_height, so the last seen id
    // takes precedence.
    if let Some(seen) = headers.get(LAST_EVENT_ID) {
        let seen = seen.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let next = seen.and_then(|height| height.checked_add(1));
        let next = next.ok_or_else(|| invalid("Last-Event-ID must be the height of a block".to_owned()))?;
        parameters.from_height = Some(next);
    }
    Ok(parameters)
}

fn refusal(error: RpcError) -> RequestRefusal {
    let status = match error.kind() {
        ErrorKind::Pruned => StatusCode::GONE,
        ErrorKind::Syncing | ErrorKind::StorageDamaged => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    RequestRefusal::new(status, error)
}

/// A message in flight, with the permit and the memory that are released when the client has taken
/// it.
#[derive(Debug)]
struct Outgoing {
    text: Bytes,
    _held: (Option<OwnedSemaphorePermit>, Option<Arc<Reservation>>),
}

/// Sends blocks until the reader disconnects, the reader is too slow, or the node stops.
async fn feed(streams: Arc<Streams>, blocks: BlockStream, sender: mpsc::Sender<Outgoing>, slot: StreamSlot) {
    let mut feeder = Feeder { stopping: streams.stopping.clone(), streams, blocks, sender };
    if let Err(Some(reason)) = feeder.run().await {
        let error = reason.at(feeder.blocks.position());
        let data = serde_json::to_string(&error).unwrap_or_default();
        let text = format!("event: end\ndata: {data}\n\n").into();
        // The channel has capacity for it. It follows the block in flight, if the reader ever takes
        // that.
        let _ = feeder.sender.try_send(Outgoing { text, _held: (None, None) });
    }
    drop(slot);
}

struct Feeder {
    streams: Arc<Streams>,
    stopping: Stopping,
    blocks: BlockStream,
    sender: mpsc::Sender<Outgoing>,
}

impl Feeder {
    /// # Errors
    /// Always returns an error: why the stream ended, `None` if the reader has disconnected.
    async fn run(&mut self) -> Result<(), Option<EndReason>> {
        let in_flight = Arc::new(Semaphore::new(1));
        let mut bytes_before = 0;
        loop {
            let allowance = self.streams.allowance(bytes_before);
            let permit = self.unless_over(timeout(allowance, Arc::clone(&in_flight).acquire_owned())).await?;
            // The semaphore is never closed, so the result is a permit or a timeout.
            let permit = permit.ok().and_then(Result::ok).ok_or(Some(EndReason::SlowReader))?;
            let (text, reservation) = self.message().await?;
            bytes_before = text.len();
            let message = Outgoing { text, _held: (Some(permit), reservation) };
            self.sender.try_send(message).map_err(|_| None)?;
        }
    }

    /// The next block, or a sign of life after the keep-alive time.
    async fn message(&mut self) -> Result<(Bytes, Option<Arc<Reservation>>), Option<EndReason>> {
        let Feeder { streams, stopping, blocks, sender } = self;
        let next = timeout(streams.keep_alive, blocks.next());
        match unless_over(stopping, sender, next).await? {
            Ok(Ok(BlockMessage { height, json, reservation })) => {
                let text = format!("id: {height}\nevent: block\ndata: {json}\n\n");
                Ok((text.into(), Some(reservation)))
            }
            Ok(Err(reason)) => Err(Some(reason)),
            Err(_) => Ok((Bytes::from_static(SIGN_OF_LIFE), None)),
        }
    }

    async fn unless_over<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, Option<EndReason>> {
        unless_over(&mut self.stopping, &self.sender, waiting).await
    }
}

async fn unless_over<T>(
    stopping: &mut Stopping,
    sender: &mpsc::Sender<Outgoing>,
    waiting: impl Future<Output = T>,
) -> Result<T, Option<EndReason>> {
    tokio::select! {
        biased;
        () = sender.closed() => Err(None),
        () = stopping.stopped() => Err(Some(EndReason::Stopping)),
        done = waiting => Ok(done),
    }
}

/// The messages in pieces. The client has taken a message when the connection polls for the next
/// one.
fn body(messages: mpsc::Receiver<Outgoing>) -> Body {
    let pieces = stream::unfold((messages, None), |(mut messages, current)| async move {
        let unfinished = current.filter(|message: &Outgoing| !message.text.is_empty());
        // A finished message was dropped above, which releases its permit before the wait for the
        // next one.
        let mut message = match unfinished {
            Some(message) => message,
            None => messages.recv().await?,
        };
        let piece = message.text.split_to(message.text.len().min(UNIT_BYTES));
        Some((Ok::<_, Infallible>(piece), (messages, Some(message))))
    });
    Body::from_stream(pieces)
}
