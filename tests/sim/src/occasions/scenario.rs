//! Occasions: runs that are shaped so that one kind of situation occurs repeatedly.
//!
//! A third of all seeds are shaped for a random scenario. A hunt for a deliberate fault runs the
//! seeds of the scenario in which that fault does harm. The rules and the other random choices of
//! the seeds are the same.

use std::time::Duration;

use crate::byzantine::Lie;
use crate::occasions::knobs::{Fault, Knobs};
use crate::random::Random;

/// The kind of situation for which a run is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A faulty first primary whose proposals and votes break rules, under load and without other
    /// faults.
    BadPrimary,
    /// Views that fail one after the other, with Byzantine members that forge VIEW-CHANGEs and
    /// NEW-VIEWs.
    BadViews,
    /// A member that is down while more than 65 blocks are ordered, and Byzantine members that
    /// serve ranges.
    FarBehind,
    /// A faulty first primary that censors a client for longer than the censorship bound.
    Censorship,
    /// One member at a time is cut off from most others, while the rest orders.
    CutOff,
    /// Most votes are lost for so long that many views fail with accepted blocks.
    LostVotes,
    /// Members restart often, with short transaction lifetimes, and clients resend old
    /// transactions.
    Restarts,
    /// The first primary is dead, and no other fault occurs for many timeouts after that.
    Recovery,
}

/// What all runs of a hunt have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occasion {
    /// The scenario; the mix of all if `None`.
    pub scenario: Option<Scenario>,
    /// Behaviours of the first faulty member. It is the first primary unless the scenario chooses
    /// another one.
    pub lies: &'static [Lie],
}

impl Occasion {
    /// The runs of this scenario.
    pub const fn of(scenario: Option<Scenario>) -> Self {
        Occasion { scenario, lies: &[] }
    }

    /// Changes the drawn parameters so that the situation occurs.
    pub(crate) fn shape(self, knobs: &mut Knobs, random: &mut Random) {
        if let Some(scenario) = self.scenario {
            scenario.shape(knobs, random);
            knobs.scenario = Some(scenario);
        }
        if self.lies.is_empty() {
            return;
        }
        knobs.calm = false;
        if knobs.tolerated() == 0 {
            knobs.members = 4;
        }
        let lies = Fault::Lies(self.lies.to_vec());
        match knobs.faulty.first_mut() {
            Some((_, fault)) => *fault = lies,
            None => {
                knobs.old_images = 0;
                knobs.faulty = vec![(0, lies)];
            }
        }
    }
}

impl std::fmt::Display for Occasion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(scenario) = self.scenario {
            write!(f, " --scenario {scenario:?}")?;
        }
        if !self.lies.is_empty() {
            write!(f, " --lies ")?;
            for (index, lie) in self.lies.iter().enumerate() {
                write!(f, "{}{lie:?}", if index > 0 { "," } else { "" })?;
            }
        }
        Ok(())
    }
}

impl Scenario {
    /// All of them.
    pub const ALL: &[Scenario] = &[
        Scenario::BadPrimary,
        Scenario::BadViews,
        Scenario::FarBehind,
        Scenario::Censorship,
        Scenario::CutOff,
        Scenario::LostVotes,
        Scenario::Restarts,
        Scenario::Recovery,
    ];

    /// The scenario with this name.
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL.iter().find(|scenario| format!("{scenario:?}") == name).copied()
    }

    /// Changes the drawn parameters so that the situation occurs.
    fn shape(self, knobs: &mut Knobs, random: &mut Random) {
        knobs.calm = false;
        knobs.old_images = 0;
        knobs.skew_ms = knobs.skew_ms.min(200);
        knobs.pool_transactions = 5000;
        knobs.sender_transactions = 5000;
        knobs.delay_ms = *random.choose(&[(0, 2), (1, 10), (1, 10)]);
        knobs.disk_ms = *random.choose(&[0, 1, 5]);
        // Four members show most faults soonest and cost least.
        if self != Scenario::BadViews || random.permille(800) {
            knobs.members = 4;
            knobs.faulty.clear();
        }
        match self {
            Scenario::BadPrimary => {
                still(knobs);
                knobs.members = 4;
                knobs.faulty = vec![(0, Fault::Lies(some_of(random, BAD_PRIMARY)))];
                knobs.window = *random.choose(&[2, 4, 8]);
                knobs.block_transactions = *random.choose(&[3, 10]);
                knobs.batch_delay_ms = random.between(0, 5);
                knobs.submission_gap_ms = random.between(20, 80);
                timeouts(knobs, random, (200, 400));
                knobs.chaos = random.millis(1000, 2000);
            }
            Scenario::BadViews => {
                let tolerated = knobs.tolerated().max(1);
                knobs.members = knobs.members.max(4);
                let lies = |random: &mut Random| Fault::Lies(some_of(random, BAD_VIEWS));
                knobs.faulty = (0..tolerated).map(|index| (index, lies(random))).collect();
                knobs.window = *random.choose(&[2, 4, 8]);
                knobs.submission_gap_ms = random.between(20, 80);
                knobs.loss = *random.choose(&[0, 100, 200]);
                knobs.fault_gap_ms = *random.choose(&[0, 0, 800]);
                timeouts(knobs, random, (100, 200));
            }
            Scenario::FarBehind => {
                still(knobs);
                knobs.faulty = vec![(
                    3,
                    Fault::Lies(some_of(
                        random,
                        &[Lie::Strip, Lie::Strip, Lie::LieInAnswers, Lie::KeepCheckpoints],
                    )),
                )];
                knobs.away = Some((random.index(3), Duration::from_millis(300), random.millis(850, 1100)));
                knobs.window = *random.choose(&[1, 4, 8, 8]);
                knobs.block_transactions = 1;
                knobs.batch_delay_ms = 0;
                knobs.submission_gap_ms = 12;
                knobs.gossip_loss = *random.choose(&[0, 100, 1000]);
                knobs.delay_ms = (0, 1);
                knobs.disk_ms = 0;
                timeouts(knobs, random, (400, 600));
                knobs.chaos = random.millis(1200, 1400);
            }
            Scenario::Censorship => {
                still(knobs);
                knobs.faulty = vec![(0, Fault::Lies(vec![Lie::Censor]))];
                knobs.delay_ms = (0, 2);
                knobs.disk_ms = 0;
                knobs.gossip_loss = 0;
                knobs.block_transactions = 10;
                knobs.submission_gap_ms = random.between(15, 30);
                timeouts(knobs, random, (140, 150));
                let bound = 18 * knobs.request_timeout_ms;
                knobs.chaos = Duration::from_millis(bound + 1800);
                knobs.lifetime_ms = knobs.lifetime_ms.max(4 * bound);
            }
            Scenario::CutOff => {
                still(knobs);
                knobs.fault_gap_ms = 0;
                knobs.cut_gap_ms = random.between(300, 900);
                knobs.submission_gap_ms = random.between(20, 80);
                knobs.window = *random.choose(&[1, 4, 8]);
                timeouts(knobs, random, (150, 400));
                knobs.chaos = random.millis(3000, 5000);
            }
            Scenario::LostVotes => {
                still(knobs);
                knobs.window = *random.choose(&[1, 1, 2]);
                knobs.block_transactions = *random.choose(&[1, 3]);
                knobs.submission_gap_ms = random.between(60, 160);
                knobs.votes_lost = 900;
                knobs.delay_ms = (0, 2);
                knobs.disk_ms = 0;
                timeouts(knobs, random, (100, 110));
                knobs.timeout_cap_ms = 430;
                knobs.chaos = random.millis(6000, 9000);
            }
            Scenario::Restarts => {
                knobs.faulty.clear();
                knobs.loss = 0;
                knobs.lossy_links = 0;
                knobs.fault_gap_ms = random.between(200, 500);
                knobs.repeats = 600;
                knobs.submission_gap_ms = random.between(40, 150);
                timeouts(knobs, random, (200, 400));
                knobs.lifetime_ms = 4 * knobs.timeout_cap_ms.max(1000);
                knobs.chaos = random.millis(4000, 7000);
            }
            Scenario::Recovery => {
                still(knobs);
                knobs.faulty = vec![(0, Fault::Silent)];
                knobs.submission_gap_ms = random.between(60, 140);
                timeouts(knobs, random, (100, 120));
                knobs.chaos = random.millis(4500, 6000);
            }
        }
        knobs.checkpoint_interval = random.between(knobs.window, 2 * knobs.window);
        knobs.log_window = knobs.checkpoint_interval * random.between(2, 4);
    }
}

/// Behaviours of a first primary.
const BAD_PRIMARY: &[Lie] = &[
    Lie::Misfill,
    Lie::Misfill,
    Lie::HideBranch,
    Lie::ProposeTwice,
    Lie::VoteAsPrimary,
    Lie::ForgeVotes,
    Lie::VoteFar,
    Lie::ForgeSeen,
    Lie::Equivocate,
    Lie::PushTime,
    Lie::VoteTwice,
];

/// Behaviours that concern views.
const BAD_VIEWS: &[Lie] = &[
    Lie::ForgeChange,
    Lie::ForgeChange,
    Lie::ForgeView,
    Lie::ForgeView,
    Lie::ProposeAgain,
    Lie::Equivocate,
    Lie::VoteAsPrimary,
    Lie::VoteTwice,
    Lie::Replay,
    Lie::ForgeVotes,
    Lie::Spam,
];

/// One to three of these.
fn some_of(random: &mut Random, lies: &[Lie]) -> Vec<Lie> {
    let mut chosen = vec![*random.choose(lies)];
    while chosen.len() < 3 && random.permille(600) {
        let lie = *random.choose(lies);
        if !chosen.contains(&lie) {
            chosen.push(lie);
        }
    }
    chosen
}

/// Disables random faults.
fn still(knobs: &mut Knobs) {
    (knobs.loss, knobs.lossy_links, knobs.fault_gap_ms) = (0, 0, 0);
    (knobs.gossip_loss, knobs.skew_ms) = (0, 0);
}

/// Draws a request timeout in this range, and adapts everything that depends on it.
fn timeouts(knobs: &mut Knobs, random: &mut Random, request_ms: (u64, u64)) {
    knobs.request_timeout_ms = random.between(request_ms.0, request_ms.1);
    let timely = 400 + 12 * (knobs.delay_ms.1 + knobs.disk_ms);
    knobs.timeout_cap_ms = knobs.request_timeout_ms.max(timely);
    knobs.new_view_timeout_ms = random.between(100, 300);
    let most = 200.min(knobs.request_timeout_ms).min(knobs.new_view_timeout_ms);
    knobs.status_interval_ms = random.between(60, most);
    knobs.batch_delay_ms = knobs.batch_delay_ms.min(knobs.request_timeout_ms / 4);
    knobs.lifetime_ms = knobs.lifetime_ms.max(4 * knobs.timeout_cap_ms);
}
