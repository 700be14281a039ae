//! How each scenario changes the drawn parameters of a run.

use std::time::Duration;

use crate::byzantine::Lie;
use crate::occasions::Scenario;
use crate::occasions::knobs::{Fault, Knobs};
use crate::oracle::waits;
use crate::random::Random;

impl Scenario {
    /// Changes the drawn parameters so that the situation occurs.
    pub(super) fn shape(self, knobs: &mut Knobs, random: &mut Random) {
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
            Scenario::BadPrimary => bad_primary(knobs, random),
            Scenario::BadViews => bad_views(knobs, random),
            Scenario::FarBehind => far_behind(knobs, random),
            Scenario::Censorship => censorship(knobs, random),
            Scenario::CutOff => cut_off(knobs, random),
            Scenario::LostVotes => lost_votes(knobs, random),
            Scenario::Restarts => restarts(knobs, random),
            Scenario::Epochs => epochs(knobs, random),
            Scenario::Recovery => recovery(knobs, random),
        }
        knobs.checkpoint_interval = random.between(knobs.window, 2 * knobs.window);
        knobs.log_window = knobs.checkpoint_interval * random.between(2, 4);
    }
}

fn bad_primary(knobs: &mut Knobs, random: &mut Random) {
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

fn bad_views(knobs: &mut Knobs, random: &mut Random) {
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

fn far_behind(knobs: &mut Knobs, random: &mut Random) {
    still(knobs);
    knobs.faulty = vec![(
        3,
        Fault::Lies(some_of(random, &[Lie::Strip, Lie::Strip, Lie::LieInAnswers, Lie::KeepCheckpoints])),
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

fn censorship(knobs: &mut Knobs, random: &mut Random) {
    still(knobs);
    knobs.faulty = vec![(0, Fault::Lies(vec![Lie::Censor]))];
    knobs.delay_ms = (0, 2);
    knobs.disk_ms = 0;
    knobs.gossip_loss = 0;
    knobs.block_transactions = 10;
    knobs.submission_gap_ms = random.between(15, 30);
    timeouts(knobs, random, (140, 150));
    // Longer than the bound of R21e for a transaction whose watch is the third after the first one.
    let bound = waits::timeouts(3) * knobs.request_timeout_ms;
    knobs.chaos = Duration::from_millis(bound + 1800);
    knobs.lifetime_ms = knobs.lifetime_ms.max(4 * bound);
}

fn cut_off(knobs: &mut Knobs, random: &mut Random) {
    still(knobs);
    knobs.fault_gap_ms = 0;
    knobs.cut_gap_ms = random.between(300, 900);
    knobs.submission_gap_ms = random.between(20, 80);
    knobs.window = *random.choose(&[1, 4, 8]);
    timeouts(knobs, random, (150, 400));
    knobs.chaos = random.millis(3000, 5000);
}

fn lost_votes(knobs: &mut Knobs, random: &mut Random) {
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

fn restarts(knobs: &mut Knobs, random: &mut Random) {
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

fn epochs(knobs: &mut Knobs, random: &mut Random) {
    knobs.members = *random.choose(&[4, 4, 4, 7]);
    knobs.faulty.clear();
    knobs.old_images = if random.permille(600) { knobs.tolerated() } else { 0 };
    if knobs.old_images == 0 && random.permille(500) {
        let mut lies = some_of(random, BAD_VIEWS);
        lies.push(Lie::UseOldKeys);
        knobs.faulty = vec![(0, Fault::Lies(lies))];
    }
    knobs.window = *random.choose(&[1, 2, 4, 8]);
    knobs.governance_gap_ms = random.between(30, 120);
    knobs.candidates = *random.choose(&[0, 1, 2]);
    knobs.registry = random.permille(400);
    if knobs.registry && knobs.old_images == 0 && random.permille(500) {
        knobs.faulty = vec![(0, Fault::Lies(vec![Lie::Misfill]))];
    }
    knobs.loss = *random.choose(&[0, 0, 50]);
    knobs.lossy_links = 0;
    knobs.fault_gap_ms = *random.choose(&[0, 150, 400]);
    knobs.submission_gap_ms = *random.choose(&[40, 150, 2000]);
    timeouts(knobs, random, (200, 400));
    knobs.chaos = random.millis(3000, 5000);
}

fn recovery(knobs: &mut Knobs, random: &mut Random) {
    still(knobs);
    knobs.faulty = vec![(0, Fault::Silent)];
    knobs.submission_gap_ms = random.between(60, 140);
    timeouts(knobs, random, (100, 120));
    knobs.chaos = random.millis(4500, 6000);
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
    Lie::CrossVotes,
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
    knobs.timeout_cap_ms = knobs.request_timeout_ms.max(knobs.timely_ms());
    knobs.new_view_timeout_ms = random.between(100, 300);
    let most = 200.min(knobs.request_timeout_ms).min(knobs.new_view_timeout_ms);
    knobs.status_interval_ms = random.between(60, most);
    knobs.batch_delay_ms = knobs.batch_delay_ms.min(knobs.request_timeout_ms / 4);
    knobs.lifetime_ms = knobs.lifetime_ms.max(4 * knobs.timeout_cap_ms);
}
