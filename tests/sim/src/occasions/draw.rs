//! The random choice of all parameters of a run.

use crate::byzantine::Lie;
use crate::occasions::knobs::{Fault, Knobs};
use crate::occasions::{Occasion, Scenario};
use crate::random::Random;

impl Knobs {
    /// Draws all parameters. A third of the draws are shaped for a scenario; all of them if
    /// `occasion` names one.
    pub fn draw(random: &mut Random, occasion: Occasion) -> Self {
        let mut knobs = Knobs::draw_plainly(random);
        // A copy of the generator: the other draws are the same with and without a scenario.
        let mut aside = random.clone();
        aside.number();
        let mut aside = aside.split();
        let drawn = aside.permille(330).then(|| *aside.choose(Scenario::ALL));
        let shaped = match occasion {
            Occasion { scenario: None, lies: [] } => Occasion::of(drawn),
            occasion => occasion,
        };
        shaped.shape(&mut knobs, &mut aside);
        if occasion == Occasion::default() {
            knobs.draw_operations(random, drawn);
        }
        knobs
    }

    /// The order of the draws is part of the meaning of a seed.
    fn draw_plainly(random: &mut Random) -> Self {
        let mut knobs = Knobs::plain(draw_members(random));
        let quiet = knobs.draw_faulty_members(random);
        knobs.draw_timeouts(random);
        knobs.draw_sizes(random);
        knobs.draw_intervals(random);
        knobs.draw_clients(random);
        knobs.draw_faults(random, quiet);
        // A copy of the generator: this parameter changes the amount of work and nothing else in
        // the run.
        knobs.each_verifies = random.clone().split().between(0, 127) == 0;
        knobs
    }

    /// How often members change the network; in most runs never. Uses a copy of the generator: runs
    /// without operations stay the same.
    fn draw_operations(&mut self, random: &Random, scenario: Option<Scenario>) {
        let mut aside = random.clone();
        (0..3).for_each(|_| _ = aside.number());
        let mut aside = aside.split();
        let share = match scenario {
            None => 450,
            // These wait for something that ends with the epoch.
            Some(Scenario::Censorship | Scenario::Recovery) => 0,
            // It has them already.
            Some(Scenario::Epochs) => 0,
            Some(_) => 250,
        };
        if aside.permille(share) {
            self.governance_gap_ms = aside.between(40, 500);
            if scenario.is_none() && self.members >= 4 && aside.permille(500) {
                self.candidates = 1 + aside.index(2);
            }
            self.registry = scenario.is_none() && aside.permille(200);
        }
    }

    /// Whether the run is calm, and which members are faulty. Returns whether no random fault
    /// occurs.
    fn draw_faulty_members(&mut self, random: &mut Random) -> bool {
        let tolerated = self.tolerated();
        self.calm = tolerated > 0 && random.permille(120);
        let quiet = self.calm || random.permille(80);
        self.faulty = draw_faulty(random, self.members, self.calm);
        let spare = tolerated - self.faulty.len();
        self.old_images = if spare > 0 && !self.calm && random.permille(250) { spare } else { 0 };
        quiet
    }

    /// Delays of messages and disks, and timeouts that fit them.
    fn draw_timeouts(&mut self, random: &mut Random) {
        let calm = self.calm;
        self.delay_ms = match calm {
            true => *random.choose(&[(0, 0), (0, 2), (1, 10)]),
            false => *random.choose(&[(0, 0), (0, 2), (1, 10), (1, 60), (20, 120)]),
        };
        self.disk_ms = *random.choose(if calm { &[0, 1, 5][..] } else { &[0, 1, 5, 5, 30, 30] });
        // Views that end before their blocks are final lead to certificates of several views.
        let hasty = !calm && random.permille(300);
        self.request_timeout_ms = match (calm, hasty) {
            (true, _) => random.between(700, 1000),
            (_, true) => random.between(100, 250),
            _ => random.between(300, 900),
        };
        // Within the cap, a healed network must order a block.
        let timely = self.timely_ms();
        self.timeout_cap_ms = self.request_timeout_ms.max(timely) * random.between(10, 20) / 10;
        self.new_view_timeout_ms =
            random.between(if hasty { 100 } else { 300 }, self.timeout_cap_ms.min(900));
        self.lifetime_ms = random.between(4000, 16_000).max(4 * self.timeout_cap_ms);
    }

    /// Sizes of windows, blocks and pools, and the offset of clocks.
    fn draw_sizes(&mut self, random: &mut Random) {
        let calm = self.calm;
        self.window = *random.choose(&[1, 2, 4, 8, 8]);
        self.checkpoint_interval = random.between(self.window, 2 * self.window);
        self.block_transactions = *random.choose(if calm { &[10, 100][..] } else { &[1, 3, 10, 100] });
        // A pool must be able to fill the pipeline.
        let smallest_pool = self.window * self.block_transactions;
        let small_pool = !calm && smallest_pool <= 12 && random.permille(400);
        self.pool_transactions = if small_pool { smallest_pool } else { 5000 };
        self.skew_ms = if calm { 0 } else { *random.choose(&[0, 5, 200, 1500]) };
    }

    fn draw_intervals(&mut self, random: &mut Random) {
        let (request, new_view) = (self.request_timeout_ms, self.new_view_timeout_ms);
        self.empty_block_gap_ms = random.between(1000, 2000);
        self.status_interval_ms = random.between(60, 300.min(request).min(new_view));
        self.log_window = self.checkpoint_interval * random.between(2, 4);
        self.clock_tolerance_ms = random.between(20, 800);
        self.batch_delay_ms = random.between(0, 40.min(request / 4));
    }

    /// How many transactions clients submit, and how long.
    fn draw_clients(&mut self, random: &mut Random) {
        let few = !self.calm && random.permille(150);
        self.sender_transactions = if few { random.between(1, 4) } else { 5000 };
        self.chaos = random.millis(1500, 5000);
        self.submission_gap_ms = random.between(40, 400);
        self.repeats = 150;
    }

    /// How often messages are lost and faults occur; never in a quiet run.
    fn draw_faults(&mut self, random: &mut Random, quiet: bool) {
        self.loss = if quiet { 0 } else { *random.choose(&[0, 10, 50, 200]) };
        self.lossy_links = if quiet { 0 } else { *random.choose(&[0, 0, 100, 300]) };
        self.doubling = *random.choose(&[0, 20, 100]);
        self.gossip_loss = if self.calm { 0 } else { *random.choose(&[0, 100, 500, 1000]) };
        self.ordered = random.permille(500);
        self.fault_gap_ms = if quiet { 0 } else { random.between(100, 1500) };
        self.torn = random.permille(500);
    }
}

fn draw_members(random: &mut Random) -> usize {
    // Most faults show soonest with four members, which also cost least.
    match random.between(0, 39) {
        0 => 1,
        1 => 2,
        2 => 3,
        3..=28 => 4,
        29..=32 => 5,
        33..=35 => 6,
        36..=38 => 7,
        _ => 10,
    }
}

/// Up to f members that are faulty from the start. In a calm run at least one, and not the first.
fn draw_faulty(random: &mut Random, members: usize, calm: bool) -> Vec<(usize, Fault)> {
    let tolerated = (members - 1) / 3;
    let count = match calm {
        true => 1 + random.index(tolerated),
        false if tolerated == 0 || random.permille(350) => 0,
        false => 1 + random.index(tolerated),
    };
    let mut candidates: Vec<usize> = (usize::from(calm)..members).collect();
    let mut faulty = Vec::new();
    for _ in 0..count {
        // The first primaries matter most.
        let index = if random.permille(500) { 0 } else { random.index(candidates.len()) };
        let member = candidates.remove(index);
        if random.permille(150) {
            faulty.push((member, Fault::Silent));
            continue;
        }
        let mut lies = vec![*random.choose(Lie::ALL)];
        while lies.len() < 4 && random.permille(650) {
            let lie = *random.choose(Lie::ALL);
            if !lies.contains(&lie) {
                lies.push(lie);
            }
        }
        faulty.push((member, Fault::Lies(lies)));
    }
    faulty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_a_network() {
        let forced = std::iter::once(None).chain(Scenario::ALL.iter().copied().map(Some));
        let forced: Vec<_> = forced.collect();
        let draws = (0..500).zip(forced.iter().copied().cycle());
        for (seed, scenario) in draws {
            let knobs = Knobs::draw(&mut Random::new(seed), Occasion::of(scenario));
            assert_eq!(knobs.network(seed).keys().len(), knobs.members);
            assert!(knobs.faulty.len() + knobs.old_images <= knobs.tolerated());
            assert!(2 * knobs.quorum() - knobs.members > knobs.tolerated());
            assert!(knobs.quorum() <= knobs.members - knobs.tolerated());
        }
    }
}
