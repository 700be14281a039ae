//! One keep-alive HTTP/1.1 connection to a node, for many thousand requests.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Largest response in bytes: the default limit of nodes.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Not the URL of a node.
    #[error("{0:?} is not the URL of a node: write it as http://127.0.0.1:8545")]
    Url(String),
    /// No process listens there, or the name cannot be resolved.
    #[error("no connection to {address}: {source}; does the node run, and is this its RPC address?")]
    Connect {
        /// Host and port.
        address: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The connection broke, or the response was not HTTP.
    #[error("{address} did not respond: {source}")]
    Broken {
        /// Host and port.
        address: String,
        /// The error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The response took too long.
    #[error("{address} did not respond within {} ms", .time_limit.as_millis())]
    Timeout {
        /// Host and port.
        address: String,
        /// The time limit.
        time_limit: Duration,
    },
}

/// Where a node serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    place: Place,
    /// The name of the node in requests and errors.
    authority: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Network { host: String, port: u16 },
    Socket(PathBuf),
}

impl std::str::FromStr for Endpoint {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Url(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        let authority = uri.authority().filter(|_| plain && uri.query().is_none()).ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err(wrong());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None => 80,
        };
        Ok(Endpoint { place: Place::Network { host, port }, authority: authority.to_string() })
    }
}

impl Endpoint {
    /// A socket in the file system.
    pub(crate) fn socket(path: PathBuf) -> Self {
        Endpoint { authority: path.display().to_string(), place: Place::Socket(path) }
    }

    /// Host and port, unless it is a socket in the file system.
    pub(crate) fn host_and_port(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Network { host, port } => Some((host, *port)),
            Place::Socket(_) => None,
        }
    }

    /// The `Host` header of a request.
    fn host(&self) -> &str {
        match self.place {
            Place::Network { .. } => &self.authority,
            Place::Socket(_) => "localhost",
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, std::io::Error> {
        Ok(match &self.place {
            Place::Network { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // Without this, the delay of small segments would be measured as latency of the
                // network.
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Socket(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

/// The byte stream under a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is opened on first use, and again after it was closed.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: Endpoint,
    time_limit: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection with this time limit for each request.
    pub(crate) fn new(endpoint: Endpoint, time_limit: Duration) -> Self {
        Connection { endpoint, time_limit, sender: None }
    }

    /// Posts JSON to the root; returns the status and the body.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<(StatusCode, Bytes), HttpError> {
        self.request(Method::POST, "/", body).await
    }

    /// Gets a path; returns the status and the body.
    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), HttpError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Nodes close idle connections, which this side notices only when the next request fails.
    /// Therefore a request that fails on a used connection is retried once on a new one. All
    /// requests are safe to repeat.
    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        if self.sender.is_some() {
            match self.attempt(method.clone(), path, body.clone()).await {
                Err(HttpError::Broken { .. }) => {}
                answer => return answer,
            }
        }
        self.attempt(method, path, body).await
    }

    async fn attempt(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.within(self.open()).await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.endpoint.host())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.broken(error))?;
        let exchange = async {
            sender.ready().await.map_err(|error| self.broken(error))?;
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            Ok((status, body.map_err(|error| self.broken(error))?.to_bytes()))
        };
        let answer = self.within(exchange).await?;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let stream = self.endpoint.connect().await;
        let stream = stream
            .map_err(|source| HttpError::Connect { address: self.endpoint.authority.clone(), source })?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // The task ends with the connection. The sender reports errors of the connection.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
        match timeout(self.time_limit, work).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout {
                address: self.endpoint.authority.clone(),
                time_limit: self.time_limit,
            }),
        }
    }

    fn broken(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HttpError {
        HttpError::Broken { address: self.endpoint.authority.clone(), source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn urls_of_nodes_are_understood_and_others_refused() {
        let parse = |text: &str| text.parse::<Endpoint>();
        let at =
            |text: &str| parse(text).unwrap().host_and_port().map(|(host, port)| format!("{host} {port}"));
        assert_eq!(at("http://127.0.0.1:8545").unwrap(), "127.0.0.1 8545");
        assert_eq!(at("http://[::1]:1/").unwrap(), "::1 1");
        assert_eq!(at("http://node-a").unwrap(), "node-a 80");
        for wrong in
            ["127.0.0.1:8545", "https://a", "http://", "http://a/path", "http://u:p@a", "http://a?b", ""]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Responds once per connection and then closes it, as a node does with idle connections.
    async fn one_answer_a_connection(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_connection_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(one_answer_a_connection(listener));
        let mut connection = Connection::new(url.parse().unwrap(), Duration::from_secs(10));
        for _ in 0..3 {
            assert_eq!(connection.get("/").await.unwrap(), (StatusCode::OK, Bytes::from_static(b"ok")));
        }
    }

    #[tokio::test]
    async fn silence_and_absence_are_errors_that_name_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
        let mut connection = Connection::new(endpoint.clone(), Duration::from_millis(20));
        let error = connection.post(Bytes::new()).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Timeout { .. }) && error.to_string().contains(&address),
            "{error}"
        );
        drop(listener);
        let error = Connection::new(endpoint, Duration::from_secs(10)).get("/").await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Connect { .. }) && error.to_string().contains(&address),
            "{error}"
        );
    }
}
