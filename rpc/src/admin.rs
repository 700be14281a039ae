//! The administrative methods, at a Unix socket that only the node's user can use.
//!
//! A port on the loopback interface would be open to every user of the machine, and to pages in
//! their browsers.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use quorate_api::{ADMIN_METHODS, ErrorKind, RpcError};
use tokio::net::{UnixListener, UnixStream};

use crate::config::RpcConfig;
use crate::json_rpc::{Arguments, Dispatcher, Endpoint, Reply, Service, handle_post};
use crate::limits::{MemoryBudget, RateLimiter};
use crate::meter::Meter;
use crate::transport::{Accepting, Listener, accept};

/// The settings that can change while a node runs.
pub trait Administration: Send + Sync + 'static {
    /// The log level.
    fn log_level(&self) -> String;

    /// Changes the log level; returns the previous one.
    ///
    /// # Errors
    /// The problem with the level, for people.
    fn set_log_level(&self, level: &str) -> Result<String, String>;
}

/// Why the socket could not be created.
#[derive(Debug, thiserror::Error)]
pub enum AdminStartError {
    /// The path has a file that is not a socket, so no node created it.
    #[error("{0} exists and is not a socket: move it away, or choose another path")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error(
        "cannot listen for administration on {path}: {source}; the path must have fewer than 108 bytes, in a writable directory"
    )]
    Bind {
        /// The path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A running server at a socket. Dropping it also stops it, without waiting for requests in flight.
/// Either way the file is removed.
#[derive(Debug)]
pub struct AdminServer {
    accepting: Accepting,
    _file: SocketFile,
}

impl AdminServer {
    /// Serves the requests in flight and removes the socket.
    pub async fn shutdown(self) {
        self.accepting.shutdown().await;
    }
}

/// The file of a socket, removed when it is dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove the socket");
        }
    }
}

/// The system's limit for the path of a socket, including the terminating zero, bytes.
const MAX_PATH_BYTES: usize = 108;

/// Whether a socket can be created at this path, as far as this can be checked without creating it.
///
/// # Errors
/// [`AdminStartError`].
pub fn check_admin_path(path: &Path) -> Result<(), AdminStartError> {
    let bind_error = |source| AdminStartError::Bind { path: path.to_owned(), source };
    if path.as_os_str().len() >= MAX_PATH_BYTES {
        return Err(bind_error(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long")));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(AdminStartError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            std::fs::metadata(parent).map(drop).map_err(bind_error)
        }
        Err(error) => Err(bind_error(error)),
    }
}

/// Serves [`ADMIN_METHODS`] at a new socket. An existing socket is removed as the remains of a
/// killed node: the caller must ensure that no other node uses the same path.
///
/// # Errors
/// [`AdminStartError`].
pub fn serve_admin<A: Administration>(path: &Path, admin: Arc<A>) -> Result<AdminServer, AdminStartError> {
    let bind_error = |source| AdminStartError::Bind { path: path.to_owned(), source };
    check_admin_path(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(bind_error(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(bind_error)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(bind_error)?;
    let config = limits();
    let endpoint = Arc::new(Endpoint::new(
        &config,
        Dispatcher::new(Arc::new(Methods(admin)), ADMIN_METHODS, config.max_response_bytes, Meter::new()),
        MemoryBudget::new(config.max_memory_bytes),
        Arc::new(RateLimiter::new(&config)),
    ));
    let router = Router::new().route("/", post(handle_post).with_state(endpoint));
    let accepting = accept(OwnersOnly(listener), config, Meter::new(), |_| router);
    Ok(AdminServer { accepting, _file: file })
}

/// Limits for few and small requests.
fn limits() -> RpcConfig {
    RpcConfig {
        max_connections: 16,
        max_concurrent_requests: 16,
        max_body_bytes: 64 << 10,
        max_response_bytes: 64 << 10,
        max_memory_bytes: 1 << 20,
        ..RpcConfig::default()
    }
}

/// Accepts only connections of the node's own user and of root. The file's mode has the same
/// effect, but is set only after the file was created.
#[derive(Debug)]
struct OwnersOnly(UnixListener);

impl Listener for OwnersOnly {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        let own = rustix::process::geteuid();
        loop {
            let (stream, _) = self.0.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own.as_raw() || peer.uid() == 0 => return Ok((stream, None)),
                Ok(peer) => tracing::warn!(user = peer.uid(), "another user tried to administer the node"),
                Err(error) => tracing::debug!(%error, "cannot determine the user of a connection"),
            }
        }
    }
}

struct Methods<A>(Arc<A>);

impl<A: Administration> Service for Methods<A> {
    fn run<'a>(
        &'a self,
        method: &'static str,
        mut arguments: Arguments<'a>,
        reply: Reply<'a>,
    ) -> BoxFuture<'a, Result<String, RpcError>> {
        let mut run = || match method {
            "admin_log_level" => reply.with(&self.0.log_level()),
            "admin_set_log_level" => {
                let set = self.0.set_log_level(&arguments.take::<String>()?);
                reply.with(&set.map_err(|problem| RpcError::new(ErrorKind::InvalidParams, problem))?)
            }
            other => unreachable!("{other} is not a method of the table"),
        };
        ready(run()).boxed()
    }
}
