use std::time::Duration;

use quorate_ledger::{BlockLimits, ChainId, Committee, Epoch, MAX_DESCENDANTS};

/// Largest window W (R7). A STATUS and a finality proof have room for twice as many heights.
pub const MAX_WINDOW: u64 = 32;
const _: () = assert!(MAX_DESCENDANTS as u64 == 2 * MAX_WINDOW, "every block in flight can be proven");

/// The parameters of a replica. All of them come from the genesis, so they are the same at all
/// replicas.
#[derive(Debug, Clone)]
pub struct Config {
    /// The id of the chain.
    pub chain: ChainId,
    /// The epoch of the committee.
    pub epoch: Epoch,
    /// The members that order the chain.
    pub committee: Committee,
    /// Limits of blocks and transactions.
    pub limits: BlockLimits,
    /// W, in heights, 1 to [`MAX_WINDOW`]. A primary proposes up to W above its last committed
    /// block. A backup accepts up to 2 W above its own, which may lag behind the primary's (R7).
    pub window: u64,
    /// How far the time of a fresh block may be ahead of the wall clock (R6).
    pub clock_tolerance: Duration,
    /// The request timeout before doublings: how long work may be pending without a commit before
    /// the replica leaves the view (R15a).
    pub request_timeout: Duration,
    /// The new-view timeout before doublings: how long a replica waits for a NEW-VIEW once a quorum
    /// has left the views below (R15c).
    pub new_view_timeout: Duration,
    /// Doublings make no timeout longer than this. For progress, messages must arrive within it
    /// (R15a).
    pub timeout_cap: Duration,
    /// K, in heights: members sign a CHECKPOINT at every multiple of it (R23).
    pub checkpoint_interval: u64,
    /// L, in heights: replicas accept proposals up to this far above the stable checkpoint. At
    /// least 2 K (R23).
    pub log_window: u64,
    /// How often a replica sends STATUS, also when idle (R14a).
    pub status_interval: Duration,
}
