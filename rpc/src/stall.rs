//! Cuts off clients that ask and then do not listen.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Most bytes that a client may send on behind the request of a stream. They are thrown away.
const MAX_SENT_BEHIND: usize = 64 << 10;

/// Whether a connection is looked after while its answer is on its way.
///
/// hyper notices that a client has gone as long as the client has sent nothing behind its request. An answer that has
/// no end would keep its place until something is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct HangUp(Arc<AtomicBool>);

impl HangUp {
    /// From now on the client has nothing more to say: what it sends is thrown away, and its end ends the connection.
    pub(crate) fn watch(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose writes fail once the other side has taken nothing for some time. Answers wait in memory
/// until they are taken, so patience has to end.
#[derive(Debug)]
pub(crate) struct StallGuard<S> {
    stream: S,
    patience: Duration,
    hang_up: HangUp,
    /// Bytes that were thrown away.
    sent_behind: usize,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(stream: S, patience: Duration, hang_up: HangUp) -> Self {
        StallGuard { stream, patience, hang_up, sent_behind: 0, stalled: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled
            .as_mut()
            .poll(context)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take the answer")))
    }
}

impl<S: AsyncRead + Unpin> StallGuard<S> {
    /// Throws away what the client sends, and is woken when there is more.
    ///
    /// # Errors
    /// The client has gone, or sends without end.
    fn throw_away(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, &mut buffer) else {
                return Ok(());
            };
            read?;
            self.sent_behind += buffer.filled().len();
            if buffer.filled().is_empty() || self.sent_behind > MAX_SENT_BEHIND {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the client has gone"));
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

    /// hyper flushes whenever anything has happened on the connection.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hang_up.is_watched() {
            self.throw_away(context)?;
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
    async fn a_client_that_takes_a_little_now_and_then_is_not() {
        let (server, mut client) = duplex(16);
        let mut guarded = StallGuard::new(server, Duration::from_secs(20), HangUp::default());
        let reader = tokio::spawn(async move {
            let mut taken = [0; 8];
            for _ in 0..8 {
                // Paused time: it jumps when nothing else can happen.
                tokio::time::advance(Duration::from_secs(15)).await;
                client.read_exact(&mut taken).await.unwrap();
            }
        });
        guarded.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_looked_after_may_go_and_may_not_talk_without_end() {
        for (sent, ended) in [(&b"x"[..], false), (&[0; MAX_SENT_BEHIND + 1][..], true)] {
            let (server, mut client) = duplex(2 * MAX_SENT_BEHIND);
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
