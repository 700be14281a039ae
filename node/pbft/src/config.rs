use std::time::Duration;

use quorate_ledger::{BlockLimits, ChainId, Committee, Epoch, MAX_DESCENDANTS};

/// Largest window W (R7). Twice this many heights fit into one STATUS and into one finality proof.
pub const MAX_WINDOW: u64 = 32;
const _: () = assert!(MAX_DESCENDANTS as u64 == 2 * MAX_WINDOW, "every block in flight can be proven");

/// What a replica must know before it starts. All of it comes from the genesis, so it is the same everywhere.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain that is ordered.
    pub chain: ChainId,
    /// The committee's number.
    pub epoch: Epoch,
    /// Who orders it.
    pub committee: Committee,
    /// Limits of blocks and transactions.
    pub limits: BlockLimits,
    /// W: most heights in flight, 1 to [`MAX_WINDOW`]. A primary proposes up to W above the last committed
    /// block, a backup accepts up to 2 W, since its own last committed block may be older than the primary's.
    pub window: u64,
    /// How far a fresh block's time may lie ahead of this node's wall clock.
    pub clock_tolerance: Duration,
    /// How long pending work may go without a commit before the view is left; doubled while views fail.
    pub request_timeout: Duration,
    /// How long a quorum that has left the views below waits for a NEW-VIEW; doubled while views fail.
    pub new_view_timeout: Duration,
    /// Neither of the two grows beyond this. Messages must arrive within it for the network to go on.
    pub timeout_cap: Duration,
    /// K: every so many heights a CHECKPOINT is signed.
    pub checkpoint_interval: u64,
    /// L: how far above the stable checkpoint proposals are accepted, at least 2 K.
    pub log_window: u64,
    /// How often STATUS is sent, idle or not.
    pub status_interval: Duration,
}
