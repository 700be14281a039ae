//! The stream of blocks of one node, without verification.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use quorate_api::{BlockJson, RpcError};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::{CallError, brief};

/// Most bytes of a refusal.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// An open stream. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Events {
    url: String,
    body: Incoming,
    silence: Duration,
    parser: Parser,
}

#[derive(Deserialize)]
struct RefusalJson {
    error: RpcError,
}

impl Events {
    /// Opens the stream of the node at this URL, from a height on.
    pub(crate) async fn open(url: &str, from: u64, config: &ClientConfig) -> Result<Self, CallError> {
        let limit = config.connect_timeout.saturating_add(config.answer_timeout);
        let opening = timeout(limit, request(url, from)).await;
        let response = opening.map_err(|_| CallError::Timeout { url: url.to_owned(), after: limit })??;
        if response.status() != StatusCode::OK {
            return Err(refusal(url, response).await);
        }
        let most = usize::try_from(config.max_response_bytes).unwrap_or(usize::MAX);
        Ok(Events {
            url: url.to_owned(),
            body: response.into_body(),
            silence: config.stream_silence,
            parser: Parser::new(most),
        })
    }

    /// Waits for the next block. Dropping the future loses no block.
    pub(crate) async fn next(&mut self) -> Result<BlockJson, CallError> {
        loop {
            if let Some(event) = self.parser.next().map_err(|reason| self.invalid(&reason))? {
                match event.kind.as_str() {
                    "block" => return self.json(&event.data),
                    "end" => {
                        let error = self.json::<RpcError>(&event.data)?;
                        return Err(CallError::Node { url: self.url.clone(), error });
                    }
                    // A newer node may send other events.
                    _ => continue,
                }
            }
            let frame = timeout(self.silence, self.body.frame())
                .await
                .map_err(|_| CallError::Timeout { url: self.url.clone(), after: self.silence })?;
            let frame =
                frame.ok_or_else(|| unreachable(&self.url, &"the stream ended without an end event"))?;
            let frame = frame.map_err(|error| unreachable(&self.url, &error))?;
            if let Ok(bytes) = frame.into_data() {
                self.parser.push(&bytes);
            }
        }
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, data: &[u8]) -> Result<T, CallError> {
        serde_json::from_slice(data).map_err(|error| self.invalid(&error))
    }

    fn invalid(&self, reason: &dyn ToString) -> CallError {
        CallError::Answer { url: self.url.clone(), reason: brief(reason.to_string()) }
    }
}

fn unreachable(url: &str, reason: &dyn ToString) -> CallError {
    CallError::Unreachable { url: url.to_owned(), reason: brief(reason.to_string()) }
}

async fn request(url: &str, from: u64) -> Result<Response<Incoming>, CallError> {
    let gone = |reason: &dyn ToString| unreachable(url, reason);
    let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| gone(&error))?;
    let authority = uri.authority().ok_or_else(|| gone(&"the URL has no host"))?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let stream = stream.map_err(|error| gone(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| gone(&error))?;
    // The task ends when the body is dropped; the reader of the body gets its errors.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let path = format!("{}/stream?from_height={from}", uri.path().trim_end_matches('/'));
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "text/event-stream")
        .body(Empty::<Bytes>::new())
        .map_err(|error| gone(&error))?;
    sender.send_request(request).await.map_err(|error| gone(&error))
}

async fn refusal(url: &str, response: Response<Incoming>) -> CallError {
    let status = response.status().as_u16();
    let refused = CallError::Refused { url: url.to_owned(), status };
    let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect();
    let Ok(Ok(body)) = timeout(Duration::from_secs(1), body).await else {
        return refused;
    };
    match serde_json::from_slice::<RefusalJson>(&body.to_bytes()) {
        Ok(refusal) => CallError::Node { url: url.to_owned(), error: refusal.error },
        Err(_) => refused,
    }
}

/// Parses a stream of Server-Sent Events.
#[derive(Debug)]
struct Parser {
    bytes: Vec<u8>,
    /// Bytes before this index have no line break.
    searched: usize,
    event: Event,
    /// Most bytes of an event.
    most: usize,
}

/// An event without its id, which the data of our events include.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    data: Vec<u8>,
}

impl Parser {
    fn new(most: usize) -> Self {
        Parser { bytes: Vec::new(), searched: 0, event: Event::default(), most }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete event of the pushed bytes.
    ///
    /// # Errors
    /// If an event is too large.
    fn next(&mut self) -> Result<Option<Event>, &'static str> {
        let mut begin = 0;
        let mut found = None;
        while found.is_none() {
            let Some(length) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                break;
            };
            let end = self.searched + length;
            let line = &self.bytes[begin..end];
            found = self.event.line(line.strip_suffix(b"\r").unwrap_or(line));
            (begin, self.searched) = (end + 1, end + 1);
        }
        self.bytes.drain(..begin);
        self.searched -= begin;
        if self.bytes.len() + self.event.data.len() > self.most {
            return Err("an event has more bytes than the limit");
        }
        Ok(found)
    }
}

impl Event {
    /// Adds a line; returns the event if the line ends it.
    fn line(&mut self, line: &[u8]) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(self);
            return (!event.data.is_empty()).then_some(event);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.kind = String::from_utf8_lossy(value).into_owned(),
            b"data" => self.data.extend_from_slice(value),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_parsed_from_pieces_of_any_size() {
        let text =
            b":\n\nid: 1\nevent: block\ndata: {\"a\":1}\n\n:\r\n\r\nevent:end\r\ndata:x\r\n\r\nevent: bl";
        for size in [1, 2, 7, text.len()] {
            let mut parser = Parser::new(100);
            let mut events = Vec::new();
            for piece in text.chunks(size) {
                parser.push(piece);
                while let Some(event) = parser.next().unwrap() {
                    events.push((event.kind, String::from_utf8(event.data).unwrap()));
                }
            }
            let expected = [("block", "{\"a\":1}"), ("end", "x")];
            assert_eq!(events, expected.map(|(kind, data)| (kind.to_owned(), data.to_owned())), "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        for line in ["data: ", "data: xxxxxxxx\n"] {
            let mut parser = Parser::new(20);
            let failed = (0..100).any(|_| {
                parser.push(line.as_bytes());
                parser.next().is_err()
            });
            assert!(failed, "{line:?}");
        }
    }
}
