//! Parameters of a run, drawn at random before it starts.

use std::time::Duration;

use quorate_genesis::TestNetwork;
use quorate_governance::{Config, Parameters};
use quorate_ledger::{Epoch, ReplicaId, View};

use crate::byzantine::Lie;
use crate::occasions::Scenario;

/// How a member is faulty from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It never runs.
    Silent,
    /// It behaves in all these Byzantine ways.
    Lies(Vec<Lie>),
}

/// The size, speed and faults of one run.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// The epoch in which these parameters are in force.
    pub epoch: Epoch,
    /// Members, n.
    pub members: usize,
    /// Members that are faulty from the start, by index. They count towards f.
    pub faulty: Vec<(usize, Fault)>,
    /// Members whose disks may be restored to an old state. They count towards f as well.
    pub old_images: usize,
    /// The only faults are Byzantine members, and the first primary is correct: no view may be
    /// left.
    pub calm: bool,
    /// W.
    pub window: u64,
    /// Upper limit of transactions in a block.
    pub block_transactions: u64,
    /// `max_transaction_lifetime_ms`.
    pub lifetime_ms: u64,
    /// `empty_block_gap_ms`.
    pub empty_block_gap_ms: u64,
    /// `status_interval_ms`.
    pub status_interval_ms: u64,
    /// `request_timeout_ms`.
    pub request_timeout_ms: u64,
    /// `new_view_timeout_ms`.
    pub new_view_timeout_ms: u64,
    /// `timeout_cap_ms`.
    pub timeout_cap_ms: u64,
    /// K.
    pub checkpoint_interval: u64,
    /// L.
    pub log_window: u64,
    /// `clock_tolerance_ms`.
    pub clock_tolerance_ms: u64,
    /// `batch_delay_ms`.
    pub batch_delay_ms: u64,
    /// Upper limit of transactions in a pool.
    pub pool_transactions: u64,
    /// Upper limit of transactions of one sender.
    pub sender_transactions: u64,
    /// Duration of the first half of the run.
    pub chaos: Duration,
    /// Upper limit of the milliseconds between two submissions.
    pub submission_gap_ms: u64,
    /// Minimum and maximum delay of a message in milliseconds.
    pub delay_ms: (u64, u64),
    /// Lost messages per thousand.
    pub loss: u64,
    /// Links that lose most messages, per thousand.
    pub lossy_links: u64,
    /// Messages delivered twice, per thousand.
    pub doubling: u64,
    /// Gossip that is lost in addition, per thousand.
    pub gossip_loss: u64,
    /// Whether messages of one link keep their order.
    pub ordered: bool,
    /// Upper limit of the milliseconds for writing a group of records.
    pub disk_ms: u64,
    /// Upper limit of the milliseconds between two faults; no faults if 0.
    pub fault_gap_ms: u64,
    /// Upper limit of the clock offset in milliseconds, in both directions.
    pub skew_ms: u64,
    /// Whether a power loss keeps some of the unsynced data.
    pub torn: bool,
    /// Whether every member verifies signatures itself, instead of sharing a memo of valid ones.
    pub each_verifies: bool,
    /// The scenario that shapes the run, if any.
    pub scenario: Option<Scenario>,
    /// A member that is down from one time to another.
    pub away: Option<(usize, Duration, Duration)>,
    /// Upper limit of the milliseconds between two times at which one member is cut off; never if
    /// 0.
    pub cut_gap_ms: u64,
    /// Lost PREPAREs and COMMITs in the first half, per thousand.
    pub votes_lost: u64,
    /// Submissions that repeat an old transaction, per thousand.
    pub repeats: u64,
    /// Upper limit of the milliseconds between two operations of members; no operations if 0.
    pub governance_gap_ms: u64,
    /// Machines that may become members. If there are any, members also rotate keys and are removed.
    pub candidates: usize,
    /// Whether members restrict who may submit, register the clients and revoke them.
    pub registry: bool,
}

impl Knobs {
    /// A network of this size where everything is timely and no fault occurs by itself.
    pub fn plain(members: usize) -> Self {
        Knobs {
            epoch: Epoch(0),
            members,
            faulty: Vec::new(),
            old_images: 0,
            calm: false,
            window: 8,
            block_transactions: 100,
            lifetime_ms: 16_000,
            empty_block_gap_ms: 1000,
            status_interval_ms: 100,
            request_timeout_ms: 500,
            new_view_timeout_ms: 500,
            timeout_cap_ms: 2000,
            checkpoint_interval: 8,
            log_window: 32,
            clock_tolerance_ms: 500,
            batch_delay_ms: 5,
            pool_transactions: 5000,
            sender_transactions: 5000,
            chaos: Duration::ZERO,
            submission_gap_ms: 100,
            delay_ms: (1, 3),
            loss: 0,
            lossy_links: 0,
            doubling: 0,
            gossip_loss: 0,
            ordered: true,
            disk_ms: 1,
            fault_gap_ms: 0,
            skew_ms: 0,
            torn: false,
            each_verifies: false,
            scenario: None,
            away: None,
            cut_gap_ms: 0,
            votes_lost: 0,
            repeats: 0,
            governance_gap_ms: 0,
            candidates: 0,
            registry: false,
        }
    }

    /// The network with these parameters in its genesis.
    ///
    /// # Panics
    /// If they are invalid, which is an error in [`Knobs::draw`].
    pub fn network(&self, seed: u64) -> TestNetwork {
        TestNetwork::seeded(self.members, seed)
            .with_parameters(|parameters| {
                parameters.block.max_transactions = self.block_transactions;
                parameters.block.max_transaction_lifetime_ms = self.lifetime_ms;
                parameters.block.empty_block_gap_ms = self.empty_block_gap_ms;
                parameters.block.max_transaction_bytes = 4096;
                parameters.block.max_body_bytes = 16 << 10;
                let consensus = &mut parameters.consensus;
                consensus.window = self.window;
                consensus.status_interval_ms = self.status_interval_ms;
                consensus.request_timeout_ms = self.request_timeout_ms;
                consensus.new_view_timeout_ms = self.new_view_timeout_ms;
                consensus.timeout_cap_ms = self.timeout_cap_ms;
                consensus.checkpoint_interval = self.checkpoint_interval;
                consensus.log_window = self.log_window;
                consensus.clock_tolerance_ms = self.clock_tolerance_ms;
                consensus.batch_delay_ms = self.batch_delay_ms;
                parameters.mempool.max_transactions = self.pool_transactions;
                parameters.mempool.max_transactions_per_sender =
                    self.sender_transactions.min(self.pool_transactions);
            })
            .expect("every drawn genesis is valid")
    }

    /// Whether only Byzantine members can delay a message: no loss, no crash, no cut, equal clocks.
    pub fn is_timely(&self) -> bool {
        let lost = self.loss + self.lossy_links + self.votes_lost;
        let cut = self.fault_gap_ms + self.cut_gap_ms;
        lost + cut + self.skew_ms == 0 && self.away.is_none()
    }

    /// Whether the network is timely and no Byzantine member acts close to deadlines, or leaves
    /// some members out, as a twin does that has stopped. Otherwise random time differences decide
    /// which member leaves. The request timeout must also be long enough to order a block and to
    /// request its transactions, and the primary must have room for what others resend (R21e).
    pub fn is_prompt(&self) -> bool {
        let ample = self.request_timeout_ms >= self.timely_ms();
        let roomy = self.pool_transactions > self.window * self.block_transactions;
        let late =
            |lie: &Lie| matches!(lie, Lie::Dawdle | Lie::Censor | Lie::Withhold | Lie::PushTime | Lie::Twin);
        let lies = |fault: &Fault| matches!(fault, Fault::Lies(lies) if lies.iter().any(late));
        self.is_timely() && ample && roomy && !self.faulty.iter().any(|(_, fault)| lies(fault))
    }

    /// A request timeout with which a healed network orders a block, including requests for its
    /// transactions.
    pub(super) fn timely_ms(&self) -> u64 {
        400 + 12 * (self.delay_ms.1 + self.disk_ms)
    }

    /// Whether no member retracts a claimed height: twins and some Byzantine members do.
    pub fn keeps_claims(&self) -> bool {
        let fickle = |lie: &Lie| matches!(lie, Lie::Twin | Lie::LieInStatus);
        !self.faulty.iter().any(|(_, fault)| matches!(fault, Fault::Lies(lies) if lies.iter().any(fickle)))
    }

    /// The same, with the parameters and the number of members that this configuration has.
    #[must_use]
    pub fn in_epoch(&self, network: &Config) -> Knobs {
        let Parameters { block, consensus, mempool, .. } = network.parameters();
        Knobs {
            epoch: network.epoch(),
            members: network.committee().size(),
            window: consensus.window,
            block_transactions: block.max_transactions,
            lifetime_ms: block.max_transaction_lifetime_ms,
            empty_block_gap_ms: block.empty_block_gap_ms,
            status_interval_ms: consensus.status_interval_ms,
            request_timeout_ms: consensus.request_timeout_ms,
            new_view_timeout_ms: consensus.new_view_timeout_ms,
            timeout_cap_ms: consensus.timeout_cap_ms,
            checkpoint_interval: consensus.checkpoint_interval,
            log_window: consensus.log_window,
            clock_tolerance_ms: consensus.clock_tolerance_ms,
            batch_delay_ms: consensus.batch_delay_ms,
            pool_transactions: mempool.max_transactions,
            sender_transactions: mempool.max_transactions_per_sender,
            ..self.clone()
        }
    }

    /// The primary of a view: the members take turns, and epochs begin with different ones.
    pub fn primary(&self, view: View) -> ReplicaId {
        let turn = (self.epoch.0 + view.0) % self.members as u64;
        ReplicaId(u16::try_from(turn).expect("a committee is small"))
    }

    /// The largest number of members that may be faulty: the largest f with 3f + 1 <= n.
    pub fn tolerated(&self) -> usize {
        (self.members - 1) / 3
    }

    /// The quorum: the smallest number of members such that any two sets share a correct member.
    pub fn quorum(&self) -> usize {
        (self.members + self.tolerated() + 2) / 2
    }
}
