//! `GET /stream`: blocks as Server-Sent Events.
//!
//! axum's own type for them hands a whole event to the connection at once. Here a large block goes in
//! pieces, so that it is known when it was taken and its room can be given back then.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jsonrpsee::types::ErrorObjectOwned;
use quorate_api::{EndReason, ErrorKind, RpcError, excerpt};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::Streams;
use super::blocks::{BlockStream, Told};
use super::origins::LAST_EVENT_ID;
use super::slots::{ConnectionPlace, StreamSlot};
use crate::budget::{Reservation, UNIT_BYTES};
use crate::client::Client;
use crate::refusal::Refusal;
use crate::stall::HangUp;
use crate::stopping::Stopping;

/// A comment, which readers skip.
const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// What may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    from_height: Option<u64>,
    full: Option<bool>,
}

/// The handler.
pub(crate) async fn events(
    State(streams): State<Arc<Streams>>,
    request: Request,
) -> Result<Response, Refusal> {
    streams.origins.check(request.headers())?;
    let wanted = wanted(request.uri(), request.headers())?;
    let extensions = request.extensions();
    let slot = streams.slots.take(Client::of(extensions), extensions.get::<ConnectionPlace>().cloned())?;
    let blocks = streams.source.stream(wanted.from_height, wanted.full.unwrap_or(true)).map_err(refusal)?;
    if let Some(hang_up) = extensions.get::<HangUp>() {
        hang_up.watch();
    }
    // One on its way, and the end.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(feed(streams, blocks, sender, slot));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, body(receiver)).into_response())
}

fn wanted(uri: &Uri, headers: &HeaderMap) -> Result<Wanted, Refusal> {
    let invalid = |message: String| {
        Refusal::new(StatusCode::BAD_REQUEST, RpcError::new(ErrorKind::InvalidParams, message))
    };
    let Query(mut wanted) = Query::<Wanted>::try_from_uri(uri).map_err(|_| {
        let query = excerpt(uri.query().unwrap_or_default());
        invalid(format!(
            "{query:?} is not understood; /stream takes from_height=HEIGHT and full=true or false"
        ))
    })?;
    // A browser that resumes repeats its address, so what it has seen counts for more than what it says.
    if let Some(seen) = headers.get(LAST_EVENT_ID) {
        let seen = seen.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let next = seen.and_then(|height| height.checked_add(1));
        let next = next.ok_or_else(|| invalid("Last-Event-ID must be the height of a block".to_owned()))?;
        wanted.from_height = Some(next);
    }
    Ok(wanted)
}

fn refusal(error: RpcError) -> Refusal {
    let status = match error.kind() {
        ErrorKind::Pruned => StatusCode::GONE,
        ErrorKind::Syncing | ErrorKind::StorageDamaged => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, error)
}

/// A message on its way, with what is given back when it was taken.
#[derive(Debug)]
struct Outgoing {
    text: Bytes,
    _held: (Option<OwnedSemaphorePermit>, Option<Arc<Reservation>>),
}

/// Sends blocks until the reader goes, is too slow, or the node stops.
async fn feed(streams: Arc<Streams>, blocks: BlockStream, sender: mpsc::Sender<Outgoing>, slot: StreamSlot) {
    let mut feeder = Feeder { stopping: streams.stopping.clone(), streams, blocks, sender };
    if let Err(Some(reason)) = feeder.run().await {
        let error = ErrorObjectOwned::from(reason.at(feeder.blocks.position()));
        let data = serde_json::to_string(&error).unwrap_or_default();
        let text = format!("event: end\ndata: {data}\n\n").into();
        // There is room for it. It goes behind the block that is on its way, if the reader ever takes that.
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
    /// Always: why it ended, `None` if the reader has gone.
    async fn run(&mut self) -> Result<(), Option<EndReason>> {
        let turns = Arc::new(Semaphore::new(1));
        let mut bytes_before = 0;
        loop {
            let allowance = self.streams.allowance(bytes_before);
            let turn = self.unless_over(timeout(allowance, Arc::clone(&turns).acquire_owned())).await?;
            // The semaphore is never closed, so what there can be is a turn or the end of patience.
            let turn = turn.ok().and_then(Result::ok).ok_or(Some(EndReason::SlowReader))?;
            let (text, room) = self.message().await?;
            bytes_before = text.len();
            let message = Outgoing { text, _held: (Some(turn), room) };
            self.sender.try_send(message).map_err(|_| None)?;
        }
    }

    /// The next block, or a sign of life after some silence.
    async fn message(&mut self) -> Result<(Bytes, Option<Arc<Reservation>>), Option<EndReason>> {
        let Feeder { streams, stopping, blocks, sender } = self;
        let next = timeout(streams.keep_alive, blocks.next());
        match unless_over(stopping, sender, next).await? {
            Ok(Ok(Told { height, json, room })) => {
                let text = format!("id: {height}\nevent: block\ndata: {json}\n\n");
                Ok((text.into(), Some(room)))
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

/// The messages in pieces. One was taken when the connection asks for more.
fn body(messages: mpsc::Receiver<Outgoing>) -> Body {
    let pieces = stream::unfold((messages, None), |(mut messages, current)| async move {
        let unfinished = current.filter(|message: &Outgoing| !message.text.is_empty());
        // What was finished is dropped above, before the next one is waited for.
        let mut message = match unfinished {
            Some(message) => message,
            None => messages.recv().await?,
        };
        let piece = message.text.split_to(message.text.len().min(UNIT_BYTES));
        Some((Ok::<_, Infallible>(piece), (messages, Some(message))))
    });
    Body::from_stream(pieces)
}
