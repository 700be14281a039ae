//! Accepts connections, and stops.

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

use super::head::{self, MAX_HEAD_BYTES, MAX_HEADERS};
use super::place::ConnectionPlace;
use super::stall::{HangUp, StallGuard};
use crate::config::RpcConfig;
use crate::json_rpc::RequestRefusal;
use crate::limits::Client;
use crate::meter::Meter;
use crate::stopping::Stopping;

/// How many connections above the limit get a response before they are closed. Others are closed
/// without one.
const REFUSED_CONNECTIONS: usize = 64;

/// One of this many connections is reserved for clients on the node's own machine, so that `quorate
/// explain` reaches a node that is busy with clients. None is reserved if local clients are limited
/// like others (a proxy for many).
const LOCAL_SHARE: usize = 16;

/// How much is read of a head that is too long, so that it can get a refusal with a body. Beyond
/// this hyper responds with 431 without a body.
const READ_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;

/// How long to wait after an error of the listener, such as no free file descriptors.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// A source of connections.
pub(crate) trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, with the client's address if the transport has addresses. Dropping the
    /// future loses no connection.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, client) = self.accept().await?;
        // Responses are written in one piece, so Nagle's algorithm would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot send without delay");
        }
        Ok((stream, Some(client)))
    }
}

/// A running server. Dropping it also stops it, without waiting for requests in flight.
#[derive(Debug)]
pub(crate) struct Accepting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Accepting {
    /// Stops accepting, ends all waits with the status so far, serves requests in flight for at
    /// most the configured grace, then closes every connection.
    pub(crate) async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a server task failed");
        }
    }
}

/// Serves the router that `router` makes from the stop signal.
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

/// Refuses every request of a connection above the limit.
fn refusing_router() -> Router {
    Router::new().fallback(|| async {
        let refusal = RequestRefusal::overloaded("its limit of connections is reached").into_response();
        ([(CONNECTION, "close")], refusal)
    })
}

/// Whether a client may take one of this many free connections.
fn has_room(config: &RpcConfig, free: usize, client: Option<SocketAddr>) -> bool {
    let is_local = client.is_none_or(|client| Client::from(client.ip()).is_local());
    let reserved = if is_local || config.limit_loopback { 0 } else { config.max_connections / LOCAL_SHARE };
    free > reserved
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
            // A WebSocket outlives its HTTP connection and keeps its slot, so wait for all slots
            // too.
            let places = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
            drop(slots.acquire_many(places).await);
        };
        if timeout(config.shutdown_grace, all_closed).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "closing connections that did not finish before shutdown"
            );
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
                    // Serve the requests in flight, then close the connection.
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // The client caused the error, so it is not worth a warning.
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
    fn the_last_connections_are_reserved_for_local_clients() {
        let config = RpcConfig { max_connections: 32, ..RpcConfig::default() };
        let (local, other) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([192, 0, 2, 1], 1)));
        assert!(has_room(&config, 3, Some(other)) && !has_room(&config, 2, Some(other)));
        // A client without an address uses the operator's Unix socket.
        assert!(has_room(&config, 1, Some(local)) && has_room(&config, 1, None));
        assert!(!has_room(&config, 0, Some(local)) && !has_room(&config, 0, None));
        // All clients of a proxy on the same machine look local.
        let proxied = RpcConfig { limit_loopback: true, ..config };
        assert!(has_room(&proxied, 1, Some(other)));
        let small = RpcConfig { max_connections: 15, ..RpcConfig::default() };
        assert!(has_room(&small, 1, Some(other)), "a sixteenth of 15 rounds to zero");
    }
}
