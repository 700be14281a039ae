//! A network under load, prepared for a fault.

use std::time::{Duration, Instant};

use quorate_e2e::{Load, Network, WAIT_LIMIT, scaled, until, wait_until};

use crate::PACE;
use crate::watch::Watch;

/// Transactions reported `committed` before a fault, and again after all validators have caught up.
const BETWEEN: usize = 60;

/// How long a validator must have left its view alone until the scenario assumes that no other
/// follows.
const EXCLUDED_FOR: Duration = Duration::from_secs(4);

/// The measurements of a scenario.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Transactions per second that were reported committed before the fault.
    pub(crate) before: f64,
    /// The same during the fault.
    pub(crate) during: f64,
    /// How long the fault lasted.
    pub(crate) lasted: Duration,
    /// The longest time without a block, from the beginning of the fault until all validators had
    /// caught up.
    pub(crate) pause: Duration,
    /// From the end of the fault to the next block.
    pub(crate) first: Duration,
    /// From the end of the fault until all validators had caught up.
    pub(crate) level: Duration,
    /// Views from the beginning of the fault until all validators had caught up.
    pub(crate) views: u64,
    pub(crate) sent: usize,
    pub(crate) committed: usize,
    pub(crate) expired: usize,
    /// Validators that had left their view alone in the end.
    pub(crate) excluded: usize,
    /// Additional results.
    pub(crate) note: String,
}

/// A network under load. See the module.
pub(crate) struct FaultTest {
    pub(crate) network: Network,
    pub(crate) load: Load,
    /// The view before the fault, and the index of its primary.
    pub(crate) view: u64,
    pub(crate) primary: usize,
    watch: Watch,
    began: Instant,
    struck: Instant,
    /// Transactions reported `committed` when the fault began, and when it ended.
    counts: [usize; 2],
    healed: Instant,
    /// The highest block when the fault ended.
    height: u64,
    pub(crate) note: String,
    /// Transactions that were submitted without the clients.
    pub(crate) sent_by_test: usize,
}

impl FaultTest {
    /// Starts a network with a client for each place in `picked`. Place 0 is the primary; the
    /// others follow in the order in which they would become primary.
    pub(crate) fn start(network: Network, picked: &[usize]) -> FaultTest {
        let mut network = network;
        network.start_all();
        network.order_one(0);
        let all: Vec<usize> = (0..network.size()).collect();
        let view = network.common_view(&all);
        let primary = network.primary_of(view);
        let picked = picked.iter().map(|place| network.primary_of(view + *place as u64));
        let load = Load::paced(network.genesis(), &network.rpc_addresses(picked), PACE);
        let watch = Watch::start(&network.rpc_addresses(all));
        let began = Instant::now();
        load.wait_for_more(scaled(BETWEEN));
        let (counts, height, note) = ([0, 0], 0, String::new());
        let (struck, healed) = (began, began);
        let sent_by_test = 1;
        FaultTest {
            network,
            load,
            view,
            primary,
            watch,
            began,
            struck,
            counts,
            healed,
            height,
            note,
            sent_by_test,
        }
    }

    /// The usual network, with lines between the validators and a client for each.
    pub(crate) fn with_lines() -> FaultTest {
        FaultTest::start(Network::testnet(4).behind_lines(), &[0, 1, 2, 3])
    }

    /// The validator at this place after the primary.
    pub(crate) fn backup(&self, place: usize) -> usize {
        (self.primary + place) % self.network.size()
    }

    /// All validators but these, in their order after the primary.
    pub(crate) fn others(&self, without: &[usize]) -> Vec<usize> {
        let all = (0..self.network.size()).map(|place| self.backup(place));
        all.filter(|index| !without.contains(index)).collect()
    }

    /// The fault begins now.
    pub(crate) fn fault_begins(&mut self) {
        self.struck = Instant::now();
        self.counts[0] = self.load.committed();
    }

    /// The fault ends now.
    pub(crate) fn fault_ends(&mut self) {
        self.counts[1] = self.load.committed();
        self.height = self.watch.height();
        self.healed = Instant::now();
    }

    /// Heals all lines.
    pub(crate) fn heal_lines(&mut self) {
        self.fault_ends();
        self.network.lines().heal();
    }

    /// Waits until these validators are connected to exactly this many others: the proof that a
    /// line is cut.
    pub(crate) fn wait_until_connections_are_lost(&self, indices: &[usize], left: usize) {
        for index in indices {
            self.network.wait_until_connected(*index, left);
        }
    }

    /// The highest block of these validators.
    pub(crate) fn height_of(&self, indices: &[usize]) -> u64 {
        indices.iter().map(|index| self.network.rpc(*index).head().height).max().unwrap_or_default()
    }

    /// The height of these validators, once they have had no new block for a second.
    pub(crate) fn settled_height(&self, indices: &[usize]) -> u64 {
        let (mut height, mut since) = (self.height_of(indices), Instant::now());
        wait_until("the validators that are cut off have no new block", || {
            let now = self.height_of(indices);
            if now != height {
                (height, since) = (now, Instant::now());
            }
            since.elapsed() >= Duration::from_secs(1)
        });
        height
    }

    /// Waits until all validators have caught up, except those that have left their view alone.
    /// Returns the time, and the latter.
    fn wait_until_all_caught_up(&self) -> (Instant, Vec<usize>) {
        let network = &self.network;
        // The validators that are excluded from the view, and since when.
        let mut excluded = (Vec::new(), Instant::now());
        until("all have caught up, or have left their view alone", WAIT_LIMIT, || {
            let (found, now) = (network.excluded_from_view(), Instant::now());
            if excluded.0 != found {
                excluded = (found, now);
            }
            let others = self.others(&excluded.0);
            let mut pairs = others.iter().zip(others.iter().cycle().skip(1));
            let connected = |index: &usize| network.rpc(*index).status().peers_connected as usize;
            let level = pairs.all(|(index, other)| network.is_caught_up(*index, *other))
                && self.others(&[]).iter().all(|index| connected(index) == network.size() - 1);
            let settled = excluded.0.is_empty() || excluded.1.elapsed() >= EXCLUDED_FOR;
            (level && settled).then(|| (now, excluded.0.clone()))
        })
    }

    /// A validator that has left its view alone is excluded until the next view begins
    /// (`node/pbft/PROTOCOL.md`, What is left out), and counts as failed. Therefore kill the
    /// primary: the others then need the excluded validator for a quorum, and the next view begins
    /// with it.
    fn recover_excluded(&mut self, excluded: &[usize]) {
        let view = self.network.common_view(&self.others(excluded));
        let primary = self.network.primary_of(view);
        let start = Instant::now();
        self.network.kill(primary);
        let took = self.network.time_to_order_after(view, &self.others(&[primary]), start);
        self.network.start(primary);
        let (_, left) = self.wait_until_all_caught_up();
        assert!(left.is_empty(), "{left:?} stay excluded from a view that began without them");
        let names: Vec<&str> =
            excluded.iter().map(|index| self.network.validators()[*index].name.as_str()).collect();
        let comma = if self.note.is_empty() { "" } else { "; " };
        self.note += &format!(
            "{comma}{} left the view alone and was excluded until the next one began, {} ms after the primary was killed",
            names.join(" and "),
            took.as_millis()
        );
    }

    /// Waits until the network has recovered, and asserts all invariants.
    pub(crate) fn finish(mut self) -> Figures {
        let FaultTest { network, watch, .. } = &self;
        let all: Vec<usize> = (0..network.size()).collect();
        wait_until("a block is committed after the fault", || watch.first_above(self.height).is_some());
        let first = watch.first_above(self.height).unwrap().saturating_duration_since(self.healed);
        let (level, excluded) = self.wait_until_all_caught_up();
        let views = network.common_view(&self.others(&excluded)) - self.view;
        if !excluded.is_empty() {
            self.recover_excluded(&excluded);
        }
        let FaultTest { network, load, watch, .. } = &self;
        load.wait_for_more(scaled(BETWEEN));
        for index in &all {
            network.wait_until_ready(*index);
        }
        load.stop();
        wait_until("all clients have stopped", || load.has_stopped());
        let rate = |transactions: usize, time: Duration| {
            #[allow(clippy::cast_precision_loss)]
            let rate = transactions as f64 / time.as_secs_f64().max(0.001);
            rate
        };
        let mut figures = Figures {
            before: rate(self.counts[0], self.struck - self.began),
            during: rate(self.counts[1] - self.counts[0], self.healed - self.struck),
            lasted: self.healed - self.struck,
            pause: watch.longest_pause(self.struck, level),
            first,
            level: level - self.healed,
            views,
            sent: load.sent(),
            committed: 0,
            expired: load.expired(),
            excluded: excluded.len(),
            note: self.note.clone(),
        };
        let chain = network.equal_chains(&all);
        let submitted = figures.sent + self.sent_by_test;
        let FaultTest { network, load, .. } = self;
        let promised = load.finish();
        chain.assert_contains(&promised);
        assert!(chain.places().len() <= submitted, "blocks contain only submitted transactions");
        network.assert_no_evidence(&all);
        figures.committed = promised.len();
        figures
    }
}
