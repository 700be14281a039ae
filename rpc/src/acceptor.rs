//! Accepting connections, and stopping.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::response::IntoResponse;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::client::Client;
use crate::config::RpcConfig;
use crate::head::{self, MAX_HEAD_BYTES, MAX_HEADERS};
use crate::meter::Meter;
use crate::router::refusing_router;
use crate::stall::{HangUp, StallGuard};
use crate::stopping::Stopping;
use crate::stream::ConnectionPlace;

/// Connections above the limit that are told so before they are closed. Beyond these they are just closed.
const REFUSED_CONNECTIONS: usize = 64;

/// One of so many connections is kept for clients on the node's own machine: `quorate explain` must reach a node whose
/// clients wait. Where these are limited as others are, since they stand for many, none is kept.
const LOCAL_SHARE: usize = 16;

/// What is read of a head that is too long, so that it can be told so. Beyond this hyper answers 431 without a body.
const READ_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;

/// How long to wait when the system has no file descriptors left, or another fault of the listener.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(crate) trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, with the address of its other side where there are addresses. Dropping the future
    /// loses none.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, client) = self.accept().await?;
        // Answers are written in one piece, so waiting for more only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot send without delay");
        }
        Ok((stream, Some(client)))
    }
}

/// A server that runs. Dropping it stops it, too, without waiting for what is in flight.
#[derive(Debug)]
pub(crate) struct Accepting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Accepting {
    /// Stops accepting, ends all waits with what is known, answers what is in flight for at most the
    /// configured grace, then closes every connection.
    pub(crate) async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a server ended badly");
        }
    }
}

/// Serves what `router` makes when it is given the sign to stop.
pub(crate) fn accept<L: Listener>(
    listener: L,
    config: RpcConfig,
    meter: Meter,
    router: impl FnOnce(Stopping) -> Router,
) -> Accepting {
    let (stop, stopping) = Stopping::channel();
    let acceptor = Acceptor {
        http: http(&config),
        router: TowerToHyperService::new(router(stopping.clone())),
        refusing: TowerToHyperService::new(refusing_router()),
        slots: Arc::new(Semaphore::new(config.max_connections)),
        refusals: Arc::new(Semaphore::new(REFUSED_CONNECTIONS)),
        connections: JoinSet::new(),
        stopping,
        config,
        meter,
    };
    Accepting { stop, task: tokio::spawn(acceptor.run(listener)) }
}

/// Whether a client may have one of so many free connections.
fn has_room(config: &RpcConfig, free: usize, client: Option<SocketAddr>) -> bool {
    let is_local = client.is_none_or(|client| Client::from(client.ip()).is_local());
    let kept = if is_local || config.limit_loopback { 0 } else { config.max_connections / LOCAL_SHARE };
    free > kept
}

fn http(config: &RpcConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(READ_BUFFER_BYTES);
    http
}

struct Acceptor {
    http: http1::Builder,
    router: TowerToHyperService<Router>,
    refusing: TowerToHyperService<Router>,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    connections: JoinSet<()>,
    stopping: Stopping,
    config: RpcConfig,
    meter: Meter,
}

impl Acceptor {
    async fn run<L: Listener>(mut self, listener: L) {
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                () = stopping.stopped() => break,
                Some(_) = self.connections.join_next() => {}
                accepted = listener.next() => match accepted {
                    Ok((stream, client)) => self.admit(stream, client),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_BACK_OFF).await;
                    }
                },
            }
        }
        drop(listener);
        let Acceptor { mut connections, slots, config, .. } = self;
        let all_closed = async {
            while connections.join_next().await.is_some() {}
            // A WebSocket has left its connection behind and kept the place.
            let places = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
            drop(slots.acquire_many(places).await);
        };
        if timeout(config.shutdown_grace, all_closed).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections are cut off at shutdown");
        }
        connections.shutdown().await;
    }

    fn admit<S>(&mut self, stream: S, client: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if has_room(&self.config, self.slots.available_permits(), client)
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            self.spawn(stream, self.router.clone(), client, slot);
            return;
        }
        self.meter.connection_refused();
        if let Ok(slot) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.spawn(stream, self.refusing.clone(), client, slot);
        }
    }

    fn spawn<S>(
        &mut self,
        stream: S,
        service: TowerToHyperService<Router>,
        client: Option<SocketAddr>,
        slot: OwnedSemaphorePermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hang_up = HangUp::default();
        let guarded = StallGuard::new(stream, self.config.write_stall_timeout, hang_up.clone());
        let place = ConnectionPlace::new(slot);
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(client) = client {
                request.extensions_mut().insert(ConnectInfo(client));
            }
            request.extensions_mut().insert(place.clone());
            request.extensions_mut().insert(hang_up.clone());
            let checked = head::check(&request).map(|()| service.call(request));
            async move {
                match checked {
                    Ok(answering) => answering.await,
                    Err(refusal) => Ok(([(CONNECTION, "close")], refusal).into_response()),
                }
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(guarded), service).with_upgrades();
        let mut stopping = self.stopping.clone();
        let inside = self.meter.connection();
        self.connections.spawn(async move {
            let _inside = inside;
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopping.stopped() => {
                    // What is in flight is answered, then the connection closes.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // Whatever ends a connection early is the client's doing.
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_connections_are_kept_for_the_own_machine() {
        let config = RpcConfig { max_connections: 32, ..RpcConfig::default() };
        let (local, other) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([192, 0, 2, 1], 1)));
        assert!(has_room(&config, 3, Some(other)) && !has_room(&config, 2, Some(other)));
        // A client without an address came through a socket of the owner's.
        assert!(has_room(&config, 1, Some(local)) && has_room(&config, 1, None));
        assert!(!has_room(&config, 0, Some(local)) && !has_room(&config, 0, None));
        // Behind a proxy on the own machine, all clients look local.
        let proxied = RpcConfig { limit_loopback: true, ..config };
        assert!(has_room(&proxied, 1, Some(other)));
        let small = RpcConfig { max_connections: 15, ..RpcConfig::default() };
        assert!(has_room(&small, 1, Some(other)), "there is no sixteenth of it");
    }
}
