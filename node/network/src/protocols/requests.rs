//! The encoding of requests and answers.
//!
//! A request is a `u32` length (big endian) and that many bytes. An answer begins with one byte for
//! its kind; a successful answer continues in the same form as a request. A refusal is explicit, so
//! that the requester can distinguish it from a broken stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;

use crate::counters::Counters;

/// The reply to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer.
    Answer(Bytes),
    /// The layer above dropped the request, or did not answer within the timeout.
    Refused,
    /// Too many requests of this peer are pending.
    Busy,
    /// The answer exceeds the size limit.
    TooLarge,
}

const ANSWER: u8 = 0;
const REFUSED: u8 = 1;
const BUSY: u8 = 2;
const TOO_LARGE: u8 = 3;

/// Reads and writes requests and replies, with a size limit for each.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    pub(crate) request_bytes_max: usize,
    /// Shared by all connections, because it may change.
    pub(crate) response_bytes_max: Arc<AtomicUsize>,
    /// libp2p emits no event for a request that could not be read, so the codec counts it.
    pub(crate) counters: Arc<Counters>,
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        let request = read_block(io, self.request_bytes_max).await;
        if request.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            self.counters.malformed_received.one();
        }
        request
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut kind = [0];
        io.read_exact(&mut kind).await?;
        match kind[0] {
            ANSWER => {
                let bytes_max = self.response_bytes_max.load(Ordering::Relaxed);
                read_block(io, bytes_max).await.map(Reply::Answer)
            }
            REFUSED => Ok(Reply::Refused),
            BUSY => Ok(Reply::Busy),
            TOO_LARGE => Ok(Reply::TooLarge),
            other => Err(invalid(format!("the kind {other} of an answer is unknown"))),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_block(io, &request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, reply: Reply) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match reply {
            Reply::Answer(bytes) => {
                io.write_all(&[ANSWER]).await?;
                write_block(io, &bytes).await
            }
            Reply::Refused => io.write_all(&[REFUSED]).await,
            Reply::Busy => io.write_all(&[BUSY]).await,
            Reply::TooLarge => io.write_all(&[TOO_LARGE]).await,
        }
    }
}

async fn write_block<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| invalid("a request or answer is longer than 4 GiB".to_owned()))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await
}

async fn read_block<T: AsyncRead + Unpin>(io: &mut T, bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length);
    if length as usize > bytes_max {
        return Err(invalid(format!(
            "a request or answer of {length} bytes is above the limit of {bytes_max}"
        )));
    }
    // Allocate memory as bytes arrive, not for the claimed length.
    let mut block = Vec::new();
    io.take(u64::from(length)).read_to_end(&mut block).await?;
    if block.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(block.into())
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::executor::block_on;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    fn codec() -> Codec {
        let response_bytes_max = Arc::new(AtomicUsize::new(8));
        Codec { request_bytes_max: 8, response_bytes_max, counters: Arc::default() }
    }

    fn written(reply: Reply) -> Vec<u8> {
        let mut wire = Vec::new();
        block_on(codec().write_response(&PROTOCOL, &mut wire, reply)).unwrap();
        wire
    }

    fn read(wire: &[u8]) -> io::Result<Reply> {
        block_on(codec().read_response(&PROTOCOL, &mut Cursor::new(wire)))
    }

    #[test]
    fn replies_survive_the_wire() {
        let replies =
            [Reply::Answer(Bytes::from_static(b"12345678")), Reply::Refused, Reply::Busy, Reply::TooLarge];
        for reply in replies {
            assert_eq!(read(&written(reply.clone())).unwrap(), reply);
        }
        assert_eq!(written(Reply::Answer(Bytes::from_static(b"ab"))), [0, 0, 0, 0, 2, b'a', b'b']);
    }

    #[test]
    fn a_reply_that_is_too_long_incomplete_or_unknown_is_an_error() {
        let long = read(&[ANSWER, 0, 0, 0, 9]).unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
        let short = read(&[ANSWER, 0, 0, 0, 2, 7]).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&[9]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&[]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn requests_have_their_own_limit() {
        let mut codec = Codec { request_bytes_max: 2, ..codec() };
        let mut wire = Vec::new();
        block_on(codec.write_request(&PROTOCOL, &mut wire, Bytes::from_static(b"abc"))).unwrap();
        let error = block_on(codec.read_request(&PROTOCOL, &mut Cursor::new(&wire))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(codec.counters.malformed_received.get(), 1);
    }
}
