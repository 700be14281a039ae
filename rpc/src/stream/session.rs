//! Serves a WebSocket.
//!
//! One task does everything, so at most one message is in flight and nothing queues up: until the
//! client has taken a message, the task reads, answers and fetches nothing more.

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
use super::subscribe::SubscriptionMethods;
use super::subscriptions::{Event, Subscription, Subscriptions, notification};
use crate::json_rpc::{Answer, Endpoint, failure};
use crate::limits::Client;
use crate::stopping::Stopping;

/// How many pings in a row the client may leave unanswered.
const MAX_UNANSWERED_PINGS: u32 = 3;

/// Serves a WebSocket to its end.
pub(crate) async fn run(socket: WebSocket, client: Option<Client>, endpoint: &Endpoint, streams: &Streams) {
    let methods = SubscriptionMethods::new(streams.source.clone(), streams.max_subscriptions);
    let stopping = streams.stopping.clone();
    let mut session = Session { socket, streams, stopping, subscriptions: Subscriptions::default() };
    let mut requests = FuturesUnordered::new();
    let end = session.serve(&methods, &mut requests, |text| handle(endpoint, client, &methods, text)).await;
    session.close(end, requests).await;
}

/// The outcome of a message.
struct Handled {
    answer: Option<Answer>,
    begun: Vec<Subscription>,
}

async fn handle(
    endpoint: &Endpoint,
    client: Option<Client>,
    methods: &SubscriptionMethods,
    request: Request,
) -> Handled {
    let begun = Mutex::default();
    let answer = endpoint.message(client, &request, &|call, reply| methods.call(call, reply, &begun)).await;
    Handled { answer, begun: begun.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

/// The JSON of a message. Some clients send it as binary.
type Request = Bytes;

/// Why a session ends.
enum End {
    /// The client has disconnected.
    Gone,
    /// The server stops.
    Stopping,
    /// The client did not take a message in time.
    Slow,
    /// The client sent an invalid message, or one that is too large.
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
        methods: &SubscriptionMethods,
        requests: &mut FuturesUnordered<F>,
        handle: impl Fn(Request) -> F,
    ) -> End {
        let mut stopping = self.stopping.clone();
        let keep_alive = self.streams.keep_alive;
        let mut pings = interval_at(Instant::now() + keep_alive, keep_alive);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            let has_room = requests.len() < self.streams.max_requests;
            let sent = tokio::select! {
                biased;
                () = stopping.stopped() => Err(End::Stopping),
                Some(handled) = requests.next() => self.answer(methods, handled).await,
                received = self.socket.recv(), if has_room => {
                    unanswered = 0;
                    let request = match received {
                        Some(Ok(Message::Text(text))) => text.into(),
                        Some(Ok(Message::Binary(bytes))) => bytes,
                        // The library responds to pings and closes when it is polled again.
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return self.refusal(error),
                        None => return End::Gone,
                    };
                    requests.push(handle(request));
                    Ok(())
                }
                // While nothing is read, pongs are not read either, so no ping counts.
                _ = pings.tick(), if has_room => {
                    unanswered += 1;
                    if unanswered > MAX_UNANSWERED_PINGS {
                        Err(End::Gone)
                    } else {
                        self.send(Message::Ping(Bytes::new())).await
                    }
                }
                event = self.subscriptions.next() => self.notify(methods, event).await,
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    async fn answer(&mut self, methods: &SubscriptionMethods, handled: Handled) -> Result<(), End> {
        // Send no further block of an ended subscription, and none of a new one before the response
        // with its id.
        self.subscriptions.retain(|id| methods.is_live(id));
        let mut sent = Ok(());
        if let Some(answer) = handled.answer {
            let (text, _reservations) = answer.into_text();
            sent = self.send(Message::Text(text.into())).await;
        }
        self.subscriptions.add(handled.begun.into_iter().filter(|begun| methods.is_live(begun.id)));
        sent
    }

    async fn notify(&mut self, methods: &SubscriptionMethods, event: Event) -> Result<(), End> {
        match event {
            Event::Block(id, block) => self.send(Message::Text(notification(id, &block).into())).await,
            Event::Ended(subscription, reason) => {
                methods.end(subscription.id);
                self.send(Message::Text(subscription.end_notification(reason).into())).await
            }
        }
    }

    /// Sends a message. If that takes too long, or the server stops meanwhile, the message stays in
    /// flight, and the final messages follow it.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        let bytes = match &message {
            Message::Text(text) => text.len(),
            _ => 0,
        };
        let allowance = self.streams.allowance(bytes);
        tokio::select! {
            // Poll the message first: a block that counts as sent must be in flight before any
            // final message. The previous message was flushed, so the socket accepts this one at
            // once.
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

    /// Sends the final messages, and waits until the client has read them.
    async fn close<F: Future<Output = Handled>>(mut self, end: End, mut requests: FuturesUnordered<F>) {
        let limit = match end {
            End::Gone => return,
            // The other half of the grace is for the rest of the shutdown.
            End::Stopping => self.streams.write_timeout.min(self.streams.shutdown_grace / 2),
            End::Slow | End::Refused { .. } => self.streams.write_timeout,
        };
        let final_messages = async {
            let (code, reason) = match end {
                End::Gone | End::Stopping => {
                    // Running requests return early, because the server stops.
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
                    (close_code::POLICY, "the client takes messages too slowly")
                }
                End::Refused { code, error } => {
                    let (text, _reservations) = failure(RawValue::NULL, &error).into_text();
                    self.socket.send(Message::Text(text.into())).await?;
                    (code, "the last message says why")
                }
            };
            self.socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            // Read to the end: closing a connection with unread data may discard the last messages
            // on their way to the client.
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        // A client that does not read them in time gets no more.
        let _ = timeout(limit, final_messages).await;
    }

    async fn end_all(&mut self, reason: EndReason) -> Result<(), axum::Error> {
        for notification in self.subscriptions.end_notifications(reason) {
            self.socket.send(Message::Text(notification.into())).await?;
        }
        Ok(())
    }
}
