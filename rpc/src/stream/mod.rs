//! Streams of blocks: WebSocket and Server-Sent Events.
//!
//! Both read a [`BlockStream`](blocks::BlockStream), which reads the ledger at the pace of its
//! reader; neither queues blocks. A message is sent when the client has taken the one before. If
//! that takes too long, the stream ends with the reason and the height from which to continue.

mod blocks;
mod events;
mod session;
mod slots;
mod socket;
mod subscribe;
mod subscriptions;

use std::time::Duration;

pub(crate) use blocks::BlockSource;
pub(crate) use events::events;
pub(crate) use socket::upgrade;

use crate::config::RpcConfig;
use crate::limits::UNIT_BYTES;
use crate::meter::Meter;
use crate::stopping::Stopping;
use crate::transport::Origins;
use slots::StreamSlots;

/// The state that all streams share.
#[derive(Debug)]
pub(crate) struct Streams {
    source: BlockSource,
    slots: StreamSlots,
    origins: Origins,
    stopping: Stopping,
    max_subscriptions: usize,
    max_requests: usize,
    max_message_bytes: usize,
    write_timeout: Duration,
    keep_alive: Duration,
    shutdown_grace: Duration,
}

impl Streams {
    pub(crate) fn new(
        config: &RpcConfig,
        source: BlockSource,
        origins: Origins,
        stopping: Stopping,
        meter: Meter,
    ) -> Self {
        Streams {
            source,
            slots: StreamSlots::new(config.max_streams, config.max_streams_per_address, meter),
            origins,
            stopping,
            max_subscriptions: config.max_subscriptions,
            max_requests: config.max_socket_requests,
            max_message_bytes: config.max_message_bytes,
            write_timeout: config.stream_write_timeout,
            keep_alive: config.stream_keep_alive,
            shutdown_grace: config.shutdown_grace,
        }
    }

    /// How long a reader may take for this many bytes.
    fn allowance(&self, bytes: usize) -> Duration {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        self.write_timeout.saturating_mul(units.max(1))
    }
}
