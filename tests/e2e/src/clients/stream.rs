//! Streams of blocks from one node, parsed byte by byte as `rpc/README.md` describes them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use quorate_api::BlockJson;
use serde::Deserialize;
use serde_json::json;

use crate::clients::http::{invalid, open, read_body, read_head};
use crate::clients::rpc::{CallError, Failure, refused, request};

/// Time limit for opening a stream.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Upper limit of a line or a message in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// A key for the handshake and the expected response: the example of RFC 6455.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

/// A socket that is read until a deadline.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    end: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

fn connect(address: SocketAddr, head: &str) -> io::Result<BufReader<Timed>> {
    let mut stream = open(address, TIMEOUT)?;
    stream.write_all(format!("{head}\r\nhost: {address}\r\n\r\n").as_bytes())?;
    Ok(BufReader::new(Timed { stream, end: Instant::now() + TIMEOUT }))
}

/// A line without its line break.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_BYTES).read_line(&mut line)?;
    let whole = line.strip_suffix('\n').ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(whole.strip_suffix('\r').unwrap_or(whole).to_owned())
}

/// The content of a body in chunked encoding.
#[derive(Debug)]
struct Chunked {
    wire: BufReader<Timed>,
    /// Remaining bytes of the current chunk.
    left: usize,
}

impl Read for Chunked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let length = line(&mut self.wire)?;
            self.left =
                usize::from_str_radix(&length, 16).map_err(|_| invalid("a chunk without a length"))?;
        }
        let most = buffer.len().min(self.left);
        let read = self.wire.read(&mut buffer[..most])?;
        self.left -= read;
        if self.left == 0 && !line(&mut self.wire)?.is_empty() {
            return Err(invalid("a chunk that is longer than it says"));
        }
        Ok(read)
    }
}

fn read_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, CallError> {
    serde_json::from_str(text).map_err(|error| CallError::Invalid(format!("{error}: {text:.200}")))
}

/// `GET /stream`. It cannot be used after an error.
#[derive(Debug)]
pub struct EventStream {
    body: BufReader<Chunked>,
}

impl EventStream {
    /// Opens a stream that continues after the last event that was seen, or begins with block 1.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn open(address: SocketAddr, seen: Option<u64>) -> Result<Self, CallError> {
        let resume = seen.map(|height| format!("\r\nlast-event-id: {height}")).unwrap_or_default();
        // As a browser does it: the URL stays the same.
        let mut wire = connect(address, &format!("GET /stream?from_height=1 HTTP/1.1{resume}"))?;
        let mut response = read_head(&mut wire)?;
        if response.status != 200 {
            read_body(&mut wire, &mut response)?;
            return Err(refused(&response.body));
        }
        let headers = [response.header("content-type"), response.header("transfer-encoding")];
        if headers != [Some("text/event-stream"), Some("chunked")] {
            return Err(CallError::Invalid(format!("not an event stream: {headers:?}")));
        }
        Ok(EventStream { body: BufReader::new(Chunked { wire, left: 0 }) })
    }

    /// The next block, if it arrives before this moment.
    ///
    /// # Errors
    /// [`CallError`], also for the node's message at the end of the stream.
    pub fn next(&mut self, end: Instant) -> Result<BlockJson, CallError> {
        self.body.get_mut().wire.get_mut().end = end;
        let (mut id, mut kind, mut data) = (None, None, None);
        loop {
            let line = line(&mut self.body)?;
            match line.split_once(": ") {
                Some(("id", value)) => id = value.parse::<u64>().ok(),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                None if line.is_empty() || line == ":" => {}
                _ => return Err(CallError::Invalid(format!("not a line of an event: {line:.200}"))),
            }
            let (true, Some(data)) = (line.is_empty(), &data) else { continue };
            return match kind.as_deref() {
                Some("block") => {
                    let block: BlockJson = read_json(data)?;
                    let names_it = id == Some(block.header.height);
                    names_it
                        .then_some(block)
                        .ok_or_else(|| CallError::Invalid("an id that is not a height".into()))
                }
                Some("end") => Err(CallError::Refused(read_json::<Failure>(data)?.into())),
                other => Err(CallError::Invalid(format!("an event of the kind {other:?}"))),
            };
        }
    }
}

/// `chain_subscribe` over a WebSocket. It cannot be used after an error.
#[derive(Debug)]
pub struct SocketStream {
    wire: BufReader<Timed>,
    subscription: u64,
}

#[derive(Deserialize)]
struct Notification {
    params: BlockNotification,
}

#[derive(Deserialize)]
struct BlockNotification {
    subscription: u64,
    height: Option<u64>,
    result: Option<BlockJson>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Begun {
    result: u64,
}

impl SocketStream {
    /// Subscribes to blocks from a height on.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn open(address: SocketAddr, from: u64) -> Result<Self, CallError> {
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: {}",
            KEY.0
        );
        let mut wire = connect(address, &upgrade)?;
        let mut response = read_head(&mut wire)?;
        if response.status != 101 {
            read_body(&mut wire, &mut response)?;
            return Err(refused(&response.body));
        }
        if response.header("sec-websocket-accept") != Some(KEY.1) {
            return Err(CallError::Invalid("an invalid handshake".to_owned()));
        }
        let mut stream = SocketStream { wire, subscription: 0 };
        let call = request(1, "chain_subscribe", &json!({ "from_height": from })).to_string();
        stream.send(0x1, call.as_bytes())?;
        let answer = stream.message()?;
        stream.subscription = match serde_json::from_str::<Begun>(&answer) {
            Ok(Begun { result }) => result,
            Err(_) => return Err(refused(answer.as_bytes())),
        };
        Ok(stream)
    }

    /// The next block, if it arrives before this moment.
    ///
    /// # Errors
    /// [`CallError`], also for the node's message at the end of the stream.
    pub fn next(&mut self, end: Instant) -> Result<BlockJson, CallError> {
        self.wire.get_mut().end = end;
        let text = self.message()?;
        match read_json::<Notification>(&text)?.params {
            BlockNotification { subscription, .. } if subscription != self.subscription => {
                Err(CallError::Invalid(format!("a notification of subscription {subscription}")))
            }
            BlockNotification { height, result: Some(block), error: None, .. }
                if height == Some(block.header.height) =>
            {
                Ok(block)
            }
            BlockNotification { result: None, error: Some(error), .. } => {
                Err(CallError::Refused(error.into()))
            }
            _ => Err(CallError::Invalid(format!("not a notification with a block: {text:.200}"))),
        }
    }

    /// Sends a frame of a client, with a mask that does not change the payload.
    fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u16::try_from(payload.len()).map_err(|_| invalid("a message that is too long"))?;
        let mut frame = vec![0x80 | kind, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        self.wire.get_mut().stream.write_all(&frame)
    }

    /// The next text message. Responds to pings.
    fn message(&mut self) -> Result<String, CallError> {
        loop {
            let [kind, length] = self.take()?;
            let length = match length {
                126 => u64::from(u16::from_be_bytes(self.take()?)),
                127 => u64::from_be_bytes(self.take()?),
                short => u64::from(short),
            };
            if length > MAX_BYTES {
                return Err(CallError::Invalid(format!("a message of {length} bytes")));
            }
            let mut payload = Vec::new();
            self.wire.by_ref().take(length).read_to_end(&mut payload)?;
            if payload.len() as u64 != length {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match kind {
                0x81 => {
                    return String::from_utf8(payload).map_err(|error| CallError::Invalid(error.to_string()));
                }
                0x89 => self.send(0xa, &payload)?,
                0x88 => return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
                _ => return Err(CallError::Invalid(format!("a frame of the kind {kind:#x}"))),
            }
        }
    }

    fn take<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.wire.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
