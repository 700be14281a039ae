//! Records when validators had each block.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quorate_api::ChainHead;
use quorate_e2e::{Rpc, between_looks};
use serde_json::json;

/// When a height was first seen at any validator.
type Seen = BTreeMap<u64, Instant>;

/// Polls the heads of validators in the background. Validators that do not respond are polled
/// again.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    watchers: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(nodes: &[SocketAddr]) -> Watch {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let watchers = nodes.iter().map(|node| {
            let (rpc, seen, stop) = (Rpc::new(*node), Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(head) = rpc.call::<ChainHead>("chain_head", &json!({})) {
                        seen.lock().unwrap().entry(head.height).or_insert_with(Instant::now);
                    }
                    between_looks();
                }
            })
        });
        Watch { watchers: watchers.collect(), seen, stop }
    }

    /// The highest block seen.
    pub(crate) fn height(&self) -> u64 {
        self.seen.lock().unwrap().keys().next_back().copied().unwrap_or_default()
    }

    /// When the first block above this height was seen.
    pub(crate) fn first_above(&self, height: u64) -> Option<Instant> {
        let seen = self.seen.lock().unwrap();
        seen.range(height + 1..).map(|(_, at)| *at).min()
    }

    /// The longest time between two moments without a new block at any validator.
    pub(crate) fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let seen = self.seen.lock().unwrap();
        let inside = seen.values().copied().filter(|at| (from..to).contains(at));
        let mut moments: Vec<Instant> = inside.chain([from, to]).collect();
        moments.sort_unstable();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for watcher in self.watchers.drain(..) {
            // A watcher that panicked has printed its message.
            let _ = watcher.join();
        }
    }
}
