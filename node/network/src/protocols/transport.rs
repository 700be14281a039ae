//! TCP with noise and yamux, with a time limit for closing a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Transport;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tcp, yamux};
use tokio::time::{Sleep, sleep};

use crate::config::NetworkTiming;

/// Streams on one connection besides those of requests: one direct stream, gossip, identify and
/// Kademlia in both directions, and some in negotiation.
const OTHER_STREAMS: usize = 64;

/// The transport of all connections.
pub(crate) fn build(
    keypair: &Keypair,
    timing: &NetworkTiming,
    requests_per_peer: usize,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let mut multiplexer = yamux::Config::default();
    multiplexer.set_max_num_streams(OTHER_STREAMS + 2 * requests_per_peer);
    let close_timeout = timing.close_timeout;
    Ok(tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(multiplexer)
        .timeout(timing.dial_timeout)
        .map(move |(peer, muxer), _| {
            let muxer = TimedClose { inner: StreamMuxerBox::new(muxer), close_timeout, waiting: None };
            (peer, StreamMuxerBox::new(muxer))
        })
        .boxed())
}

/// A connection that closes within `close_timeout`.
///
/// Closing in good order writes the buffered bytes first. If the peer is frozen or unreachable and
/// its buffers are full, the connection would stay in the state "closing" for as long as TCP
/// retries, a quarter of an hour or for ever. During that time, a restarted instance of the peer
/// would count as its second connection and be refused.
struct TimedClose {
    inner: StreamMuxerBox,
    close_timeout: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl StreamMuxer for TimedClose {
    type Substream = <StreamMuxerBox as StreamMuxer>::Substream;
    type Error = <StreamMuxerBox as StreamMuxer>::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_inbound(context)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Pin::new(&mut self.inner).poll_outbound(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(context) {
            return Poll::Ready(closed);
        }
        let close_timeout = self.close_timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(close_timeout)));
        waiting.as_mut().poll(context).map(Ok)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use futures::io::Cursor;
    use libp2p::core::muxing::StreamMuxerExt;

    use super::*;

    /// A connection whose peer accepts no more bytes.
    struct Stuck;

    impl StreamMuxer for Stuck {
        type Substream = Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_connection_to_a_stuck_peer_can_be_closed() {
        let close_timeout = Duration::from_millis(5);
        let stuck = TimedClose { inner: StreamMuxerBox::new(Stuck), close_timeout, waiting: None };
        tokio::time::timeout(Duration::from_secs(60), stuck.close()).await.unwrap().unwrap();
    }
}
