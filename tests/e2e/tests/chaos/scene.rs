//! A network under load that a fault strikes.

use std::time::{Duration, Instant};

use quorate_e2e::{Load, Network, PATIENCE, scaled, until, wait_until};

use crate::PACE;
use crate::watch::Watch;

/// Answers of `committed` before a fault, and again after all are level.
const BETWEEN: usize = 60;

/// How long somebody must be on its way to another view until it is plain that nobody follows.
const MUTE: Duration = Duration::from_secs(4);

/// What a scenario has measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Transactions a second that were answered committed before the fault.
    pub(crate) before: f64,
    /// The same while it lasted.
    pub(crate) during: f64,
    /// How long the fault lasted.
    pub(crate) lasted: Duration,
    /// The longest time without a block, from the beginning of the fault until all were level.
    pub(crate) pause: Duration,
    /// From the end of the fault to the next block.
    pub(crate) first: Duration,
    /// From the end of the fault until all were level.
    pub(crate) level: Duration,
    /// Views from the beginning of the fault until all were level.
    pub(crate) views: u64,
    pub(crate) sent: usize,
    pub(crate) committed: usize,
    pub(crate) expired: usize,
    /// Validators that had left their view alone in the end.
    pub(crate) mute: usize,
    /// What is special about it.
    pub(crate) note: String,
}

/// See the module.
pub(crate) struct Scene {
    pub(crate) network: Network,
    pub(crate) load: Load,
    /// The view before the fault, and the index of its primary.
    pub(crate) view: u64,
    pub(crate) primary: usize,
    watch: Watch,
    began: Instant,
    struck: Instant,
    /// Answers of `committed` when the fault struck, and when it ended.
    counts: [usize; 2],
    healed: Instant,
    /// The highest block when the fault ended.
    height: u64,
    pub(crate) note: String,
    /// Transactions that were handed in by others than the clients.
    pub(crate) sent_besides: usize,
}

impl Scene {
    /// A network that works, with a client for each validator that is picked from all, of which the first is the primary
    /// and the others follow in the order in which they would take over.
    pub(crate) fn start(network: Network, picked: &[usize]) -> Scene {
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
        let sent_besides = 1;
        Scene {
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
            sent_besides,
        }
    }

    /// The usual one, with lines between the validators and a client for each.
    pub(crate) fn with_lines() -> Scene {
        Scene::start(Network::testnet(4).behind_lines(), &[0, 1, 2, 3])
    }

    /// The validator that is so many places after the primary.
    pub(crate) fn backup(&self, place: usize) -> usize {
        (self.primary + place) % self.network.size()
    }

    /// All validators but these, in their order after the primary.
    pub(crate) fn others(&self, without: &[usize]) -> Vec<usize> {
        let all = (0..self.network.size()).map(|place| self.backup(place));
        all.filter(|index| !without.contains(index)).collect()
    }

    /// The fault begins now.
    pub(crate) fn strikes(&mut self) {
        self.struck = Instant::now();
        self.counts[0] = self.load.committed();
    }

    /// The fault ends now.
    pub(crate) fn heals(&mut self) {
        self.counts[1] = self.load.committed();
        self.height = self.watch.height();
        self.healed = Instant::now();
    }

    /// Heals all lines.
    pub(crate) fn heals_lines(&mut self) {
        self.heals();
        self.network.lines().heal();
    }

    /// Waits until these validators see exactly so many others: the proof that a line is cut.
    pub(crate) fn contact_is_lost(&self, indices: &[usize], left: usize) {
        for index in indices {
            self.network.wait_until_connected(*index, left);
        }
    }

    /// The highest block that one of these validators has.
    pub(crate) fn height_of(&self, indices: &[usize]) -> u64 {
        indices.iter().map(|index| self.network.rpc(*index).head().height).max().unwrap_or_default()
    }

    /// The height of these validators, once they have had nothing new for a second.
    pub(crate) fn settled_height(&self, indices: &[usize]) -> u64 {
        let (mut height, mut since) = (self.height_of(indices), Instant::now());
        wait_until("those that are cut off have nothing new", || {
            let now = self.height_of(indices);
            if now != height {
                (height, since) = (now, Instant::now());
            }
            since.elapsed() >= Duration::from_secs(1)
        });
        height
    }

    /// Waits until all are level, but for those that have left their view alone. Says when they were, and who those are.
    fn all_are_level(&self) -> (Instant, Vec<usize>) {
        let network = &self.network;
        // Who is mute, and since when.
        let mut mute = (Vec::new(), Instant::now());
        until("all are level, or have left their view alone", PATIENCE, || {
            let (found, now) = (network.mute(), Instant::now());
            if mute.0 != found {
                mute = (found, now);
            }
            let others = self.others(&mute.0);
            let mut pairs = others.iter().zip(others.iter().cycle().skip(1));
            let connected = |index: &usize| network.rpc(*index).status().peers_connected as usize;
            let level = pairs.all(|(index, other)| network.is_level(*index, *other))
                && self.others(&[]).iter().all(|index| connected(index) == network.size() - 1);
            let settled = mute.0.is_empty() || mute.1.elapsed() >= MUTE;
            (level && settled).then(|| (now, mute.0.clone()))
        })
    }

    /// Whoever has left a view alone is mute until the next one begins (`node/pbft/PROTOCOL.md`, What is left out), and
    /// counts as one that is gone. So let the primary die: the others need the one that is mute, and get it.
    fn takes_back(&mut self, mute: &[usize]) {
        let view = self.network.common_view(&self.others(mute));
        let primary = self.network.primary_of(view);
        let start = Instant::now();
        self.network.kill(primary);
        let took = self.network.time_to_order_after(view, &self.others(&[primary]), start);
        self.network.start(primary);
        let (_, left) = self.all_are_level();
        assert!(left.is_empty(), "{left:?} stay mute in a view that began without them");
        let names: Vec<&str> =
            mute.iter().map(|index| self.network.validators()[*index].name.as_str()).collect();
        let comma = if self.note.is_empty() { "" } else { "; " };
        self.note += &format!(
            "{comma}{} left the view alone and was mute until the next one began, {} ms after the primary was killed",
            names.join(" and "),
            took.as_millis()
        );
    }

    /// Waits until all is well again, and asserts that all has been well all the time.
    pub(crate) fn ends(mut self) -> Figures {
        let Scene { network, watch, .. } = &self;
        let all: Vec<usize> = (0..network.size()).collect();
        wait_until("a block is committed after the fault", || watch.first_above(self.height).is_some());
        let first = watch.first_above(self.height).unwrap().saturating_duration_since(self.healed);
        let (level, mute) = self.all_are_level();
        let views = network.common_view(&self.others(&mute)) - self.view;
        if !mute.is_empty() {
            self.takes_back(&mute);
        }
        let Scene { network, load, watch, .. } = &self;
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
            mute: mute.len(),
            note: self.note.clone(),
        };
        let chain = network.equal_chains(&all);
        let handed_in = figures.sent + self.sent_besides;
        let Scene { network, load, .. } = self;
        let promised = load.finish();
        chain.assert_keeps(&promised);
        assert!(chain.places().len() <= handed_in, "blocks hold what was handed in, and nothing else");
        network.assert_nobody_lied(&all);
        figures.committed = promised.len();
        figures
    }
}
