//! The life of a WebSocket.
//!
//! One task does everything, so at most one message is on its way at a time and nothing queues up: while a
//! message is being taken, nothing more is read, answered or fetched.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quorate_api::{EndReason, ErrorKind, RpcError};
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite;

use super::Streams;
use super::desk::Desk;
use super::subscriptions::{News, Subscription, Subscriptions, notification};
use crate::answer::{Answer, failure};
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::stopping::Stopping;

/// Pings that the other side may leave without a sign of life.
const SILENCES: u32 = 3;

/// Serves a WebSocket to its end.
pub(crate) async fn run(socket: WebSocket, client: Option<Client>, endpoint: &Endpoint, streams: &Streams) {
    let desk = Desk::new(streams.source.clone(), streams.max_subscriptions);
    let stopping = streams.stopping.clone();
    let mut session = Session { socket, streams, stopping, subscriptions: Subscriptions::default() };
    let mut requests = FuturesUnordered::new();
    let end = session.serve(&desk, &mut requests, |text| handle(endpoint, client, &desk, text)).await;
    session.close(end, requests).await;
}

/// What came of a request.
struct Handled {
    answer: Option<Answer>,
    begun: Vec<Subscription>,
}

async fn handle(endpoint: &Endpoint, client: Option<Client>, desk: &Desk, request: Request) -> Handled {
    let begun = Mutex::default();
    let answer = endpoint.message(client, &request, &|call| desk.call(call, &begun)).await;
    Handled { answer, begun: begun.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

/// The JSON of a message. Some clients send it as binary.
type Request = Bytes;

/// Why a session ends.
enum End {
    /// The other side has gone.
    Gone,
    /// The server stops.
    Stopping,
    /// A message was not taken in time.
    Slow,
    /// What came is no message, or too large a one.
    Refused { code: u16, error: RpcError },
}

struct Session<'a> {
    socket: WebSocket,
    streams: &'a Streams,
    stopping: Stopping,
    subscriptions: Subscriptions,
}

impl Session<'_> {
    async fn serve<F: Future<Output = Handled>>(
        &mut self,
        desk: &Desk,
        requests: &mut FuturesUnordered<F>,
        handle: impl Fn(Request) -> F,
    ) -> End {
        let mut stopping = self.stopping.clone();
        let keep_alive = self.streams.keep_alive;
        let mut pings = interval_at(Instant::now() + keep_alive, keep_alive);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unheard = 0;
        loop {
            let has_room = requests.len() < self.streams.max_requests;
            let sent = tokio::select! {
                biased;
                () = stopping.stopped() => Err(End::Stopping),
                Some(handled) = requests.next() => self.answer(desk, handled).await,
                received = self.socket.recv(), if has_room => {
                    unheard = 0;
                    let request = match received {
                        Some(Ok(Message::Text(text))) => text.into(),
                        Some(Ok(Message::Binary(bytes))) => bytes,
                        // Pings and closes are answered by the library when it is asked for more.
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return self.refusal(error),
                        None => return End::Gone,
                    };
                    requests.push(handle(request));
                    Ok(())
                }
                // Nobody is heard while nothing is read.
                _ = pings.tick(), if has_room => {
                    unheard += 1;
                    if unheard > SILENCES {
                        Err(End::Gone)
                    } else {
                        self.send(Message::Ping(Bytes::new())).await
                    }
                }
                news = self.subscriptions.next() => self.tell(desk, news).await,
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    async fn answer(&mut self, desk: &Desk, handled: Handled) -> Result<(), End> {
        // Nothing more is told of what was unsubscribed from, and nothing of what is new before its id.
        self.subscriptions.retain(|id| desk.is_live(id));
        let mut sent = Ok(());
        if let Some(answer) = handled.answer {
            let (text, _room) = answer.into_text();
            sent = self.send(Message::Text(text.into())).await;
        }
        self.subscriptions.add(handled.begun.into_iter().filter(|begun| desk.is_live(begun.id)));
        sent
    }

    async fn tell(&mut self, desk: &Desk, news: News) -> Result<(), End> {
        match news {
            News::Block(id, told) => self.send(Message::Text(notification(id, &told).into())).await,
            News::Ended(subscription, reason) => {
                desk.end(subscription.id);
                self.send(Message::Text(subscription.farewell(reason).into())).await
            }
        }
    }

    /// Hands a message to the other side. If that takes too long, or the server stops meanwhile, the message
    /// stays on its way, and what is said at the end comes behind it.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        let bytes = match &message {
            Message::Text(text) => text.len(),
            _ => 0,
        };
        let allowance = self.streams.allowance(bytes);
        tokio::select! {
            // First the message: a block that counts as told must be on its way before anything is said at
            // the end. One message was flushed before the next, so the socket takes it at once.
            biased;
            sent = timeout(allowance, self.socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Slow),
            },
            () = self.stopping.stopped() => Err(End::Stopping),
        }
    }

    fn refusal(&self, error: axum::Error) -> End {
        use tungstenite::Error;
        let limit = self.streams.max_message_bytes;
        let (code, error) = match error.into_inner().downcast::<Error>().map(|error| *error) {
            Ok(Error::Capacity(_)) => {
                let message = format!("the message has more than {limit} bytes; send less at a time");
                let error = RpcError::new(ErrorKind::RequestTooLarge, message).detail("limit", limit);
                (close_code::SIZE, error)
            }
            Ok(Error::Utf8(_)) => {
                (close_code::INVALID, RpcError::new(ErrorKind::ParseError, "the message is not UTF-8"))
            }
            Ok(Error::Protocol(error)) => {
                let message = format!("not the WebSocket protocol: {error}");
                (close_code::PROTOCOL, RpcError::new(ErrorKind::InvalidRequest, message))
            }
            Ok(_) | Err(_) => return End::Gone,
        };
        End::Refused { code, error }
    }

    /// Says what there is to say, and waits for the other side to hear it.
    async fn close<F: Future<Output = Handled>>(mut self, end: End, mut requests: FuturesUnordered<F>) {
        let patience = match end {
            End::Gone => return,
            // Half of the time is for what is done after this.
            End::Stopping => self.streams.write_timeout.min(self.streams.shutdown_grace / 2),
            End::Slow | End::Refused { .. } => self.streams.write_timeout,
        };
        let farewell = async {
            let (code, reason) = match end {
                End::Gone | End::Stopping => {
                    // Waits end early now.
                    while let Some(handled) = requests.next().await {
                        if let Some(answer) = handled.answer {
                            self.socket.send(Message::Text(answer.into_text().0.into())).await?;
                        }
                        self.subscriptions.add(handled.begun);
                    }
                    self.end_all(EndReason::Stopping).await?;
                    (close_code::AWAY, "the node stops")
                }
                End::Slow => {
                    self.end_all(EndReason::SlowReader).await?;
                    (close_code::POLICY, "messages are taken too slowly")
                }
                End::Refused { code, error } => {
                    let (text, _room) = failure(RawValue::NULL, error).into_text();
                    self.socket.send(Message::Text(text.into())).await?;
                    (code, "the last message says why")
                }
            };
            self.socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            // A connection that is dropped with something unread takes back what was said last.
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        // Whether it was heard is the other side's affair.
        let _ = timeout(patience, farewell).await;
    }

    async fn end_all(&mut self, reason: EndReason) -> Result<(), axum::Error> {
        for farewell in self.subscriptions.farewells(reason) {
            self.socket.send(Message::Text(farewell.into())).await?;
        }
        Ok(())
    }
}
