//! A minimal HTTP/1.1 client for nodes, over a blocking socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any wait that a node allows.
const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// Time limit for everything else on a local socket.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Upper limit of a response body in bytes.
const MAX_BODY_BYTES: u64 = 32 << 20;

/// Upper limit of a response head in bytes.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// A keep-alive connection, opened on first use.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A connection to this address; it is not open yet.
    pub fn new(address: SocketAddr) -> Self {
        Http { address, stream: None }
    }

    /// Posts JSON to the root.
    ///
    /// # Errors
    /// If the connection fails or the response is not HTTP.
    pub fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        self.request("POST", "/", &[("content-type", "application/json")], body)
    }

    /// Gets a path.
    ///
    /// # Errors
    /// As [`Http::post`].
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], &[])
    }

    /// Sends any request. A request that fails on a used connection is retried once on a new one,
    /// because nodes close idle connections. Therefore use it only for requests that can be
    /// repeated.
    ///
    /// # Errors
    /// As [`Http::post`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        if let Some(stream) = self.stream.take()
            && let Ok(response) = self.exchange(stream, &message)
        {
            return Ok(response);
        }
        let stream = open(self.address, READ_TIMEOUT)?;
        self.exchange(BufReader::new(stream), &message)
    }

    fn exchange(&mut self, mut stream: BufReader<TcpStream>, message: &[u8]) -> io::Result<Response> {
        // A node may refuse a message before it has read all of it.
        let written = stream.get_mut().write_all(message);
        let response = read_response(&mut stream).map_err(|error| written.err().unwrap_or(error))?;
        let closing = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !closing {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

pub(crate) fn open(address: SocketAddr, read_timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(read_timeout))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid HTTP response: {what}"))
}

/// Reads a response up to its body.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Response> {
    let mut head = stream.take(MAX_HEAD_BYTES);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        head.read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let first = line()?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| invalid(&first))?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Response { status, headers, body: Vec::new() })
}

fn read_response(stream: &mut impl BufRead) -> io::Result<Response> {
    let mut response = read_head(stream)?;
    read_body(stream, &mut response)?;
    Ok(response)
}

/// Reads the body that belongs to a head, with the length from the head.
pub(crate) fn read_body(stream: &mut impl BufRead, response: &mut Response) -> io::Result<()> {
    let status = response.status;
    let length = match response.header("content-length") {
        Some(length) => length.parse::<u64>().map_err(|_| invalid(length))?,
        None if status == 204 => 0,
        None => return Err(invalid("no content-length")),
    };
    if length > MAX_BODY_BYTES {
        return Err(invalid("a body that is too long"));
    }
    stream.take(length).read_to_end(&mut response.body)?;
    if response.body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Sends raw bytes to a port and closes the sending direction. Returns what came back until the
/// other side closed the connection, or was silent for some seconds.
///
/// # Errors
/// If no process listens there.
pub fn send_raw(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    const SILENCE: Duration = Duration::from_secs(3);
    let mut stream = open(address, SILENCE)?;
    // The other side may close the connection before everything is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    // The same applies here, and a read may time out; keep what was received before.
    let _ = stream.take(MAX_BODY_BYTES).read_to_end(&mut answer);
    Ok(answer)
}
