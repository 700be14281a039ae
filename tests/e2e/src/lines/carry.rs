//! One direction of a connection that passes a line.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::state::{Delivery, Line, Passed};

/// Upper limit of bytes that are forwarded at a time.
const PIECE: usize = 64 << 10;

/// Upper limit of pieces in flight at the same time; beyond it the sender must wait.
const MAX_PIECES_IN_FLIGHT: usize = 1024;

/// Counters of forwarded data.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    bytes: AtomicU64,
    pieces: AtomicU64,
}

impl Counted {
    pub(crate) fn passed(&self) -> Passed {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Passed { bytes: read(&self.bytes), pieces: read(&self.pieces) }
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }
}

/// Forwards bytes in one direction as the state of the line allows, and then the end of the stream.
/// An error ends the connection. Reading and delivery are independent of each other, so a delay
/// does not limit the throughput.
pub(crate) async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut line: watch::Receiver<Line>,
    upward: bool,
    counted: &Counted,
) -> io::Result<()> {
    let (departures, mut arrivals) = mpsc::channel::<(Instant, Vec<u8>)>(MAX_PIECES_IN_FLIGHT);
    let clock = line.clone();
    let load = async move {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await?;
            let due = Instant::now() + clock.borrow().delay();
            if length == 0 || departures.send((due, piece[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let unload = async move {
        while let Some((due, piece)) = arrivals.recv().await {
            sleep_until(due).await;
            if wait_for_delivery(&mut line, upward, |delivery| delivery != Delivery::Held).await?
                == Delivery::Open
            {
                to.write_all(&piece).await?;
                counted.add(piece.len());
            }
        }
        wait_for_delivery(&mut line, upward, |delivery| delivery == Delivery::Open).await?;
        to.shutdown().await
    };
    tokio::try_join!(load, unload).map(|_| ())
}

/// Waits until a direction of the line is in the given state.
async fn wait_for_delivery(
    line: &mut watch::Receiver<Line>,
    upward: bool,
    wanted: impl Fn(Delivery) -> bool,
) -> io::Result<Delivery> {
    let line = line.wait_for(|line| wanted(line.delivery(upward))).await;
    line.map(|line| line.delivery(upward)).map_err(io::Error::other)
}
