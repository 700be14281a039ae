//! Closes connections of clients that do not read their responses.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Most bytes that a client may send after the request of a stream. They are discarded.
const MAX_DISCARDED: usize = 64 << 10;

/// Whether the client's end of a connection is watched while a response is sent.
///
/// hyper notices that a client has closed the connection only if the client has sent nothing after
/// its request. Otherwise an endless response would keep its place until the next write.
#[derive(Debug, Clone, Default)]
pub(crate) struct HangUp(Arc<AtomicBool>);

impl HangUp {
    /// From now on, discard what the client sends, and close the connection when the client closes
    /// its side.
    pub(crate) fn watch(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose writes fail if the client has taken nothing for some time. Responses stay in
/// memory until they are taken, so the wait must be limited.
#[derive(Debug)]
pub(crate) struct StallGuard<S> {
    stream: S,
    stall_timeout: Duration,
    hang_up: HangUp,
    /// Bytes that were discarded.
    discarded: usize,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(stream: S, stall_timeout: Duration, hang_up: HangUp) -> Self {
        StallGuard { stream, stall_timeout, hang_up, discarded: 0, stalled: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let stall_timeout = self.stall_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_timeout)));
        stalled
            .as_mut()
            .poll(context)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take the response")))
    }
}

impl<S: AsyncRead + Unpin> StallGuard<S> {
    /// Discards what the client has sent, and registers for a wake-up when more arrives.
    ///
    /// # Errors
    /// If the client has closed its side, or has sent too much.
    fn discard(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut buffer) else {
                return Ok(());
            };
            read?;
            self.discarded += buffer.filled().len();
            if buffer.filled().is_empty() || self.discarded > MAX_DISCARDED {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    "the client has closed the connection",
                ));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.watch(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this whenever anything has happened on the connection, so it also watches the
    /// client's end.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hang_up.is_watched() {
            self.discard(context)?;
        }
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, progress)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let (server, _client) = duplex(16);
        let mut guarded = StallGuard::new(server, Duration::from_secs(20), HangUp::default());
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_at_times_is_not() {
        let (server, mut client) = duplex(16);
        let mut guarded = StallGuard::new(server, Duration::from_secs(20), HangUp::default());
        let reader = tokio::spawn(async move {
            let mut taken = [0; 8];
            for _ in 0..8 {
                // Time is paused and advances only here, or when all tasks are idle.
                tokio::time::advance(Duration::from_secs(15)).await;
                client.read_exact(&mut taken).await.unwrap();
            }
        });
        guarded.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn a_watched_client_may_close_and_may_not_send_without_end() {
        for (sent, ended) in [(&b"x"[..], false), (&[0; MAX_DISCARDED + 1][..], true)] {
            let (server, mut client) = duplex(2 * MAX_DISCARDED);
            let hang_up = HangUp::default();
            let mut guarded = StallGuard::new(server, Duration::from_secs(20), hang_up.clone());
            client.write_all(sent).await.unwrap();
            guarded.flush().await.unwrap();
            hang_up.watch();
            assert_eq!(guarded.flush().await.is_err(), ended);
            drop(client);
            assert!(guarded.flush().await.is_err());
        }
    }
}
