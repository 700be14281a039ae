//! Thousands of short runs in which everything that may go wrong does, at random but repeatably (a run is named
//! by its seed). The oracle checks agreement, certificates, in-order COMMITs and kept promises at every step;
//! after healing the network must go on.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{Ballot, BlockHash, Epoch, Height, Outline, View};
use quorate_pbft::Input;

use net::{Boundary, Net, Random, STATUS, ballot, block, id};

mod net;

const RUNS: u64 = 2000;

/// What happened in all runs together, so that a run of nothing but quiet nights does not pass for a test.
#[derive(Debug, Default)]
struct Seen {
    contradictions: usize,
    crashes: usize,
    caught_up: usize,
    through_descendants: usize,
    repaired: u64,
    blocks: u64,
}

impl Seen {
    fn and(&self, other: &Seen) -> Seen {
        Seen {
            contradictions: self.contradictions + other.contradictions,
            crashes: self.crashes + other.crashes,
            caught_up: self.caught_up + other.caught_up,
            through_descendants: self.through_descendants + other.through_descendants,
            repaired: self.repaired + other.repaired,
            blocks: self.blocks.max(other.blocks),
        }
    }
}

struct World {
    net: Net,
    random: Random,
    /// The member that lies; everybody else is correct.
    liar: Option<usize>,
    /// Blocks that were proposed, for the liar to vote for.
    known: Vec<Outline>,
    percent_lost: u64,
    percent_repeated: u64,
    proposed: u64,
    crashes: usize,
}

impl World {
    fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let size = 4 + random.below(4);
        let mut net = Net::of(size);
        let liar = random.chance(60).then(|| random.below(size));
        if let Some(liar) = liar {
            net.corrupt(liar);
        }
        World {
            percent_lost: [0, 5, 30][random.below(3)],
            percent_repeated: [0, 20][random.below(2)],
            net,
            random,
            liar,
            known: Vec::new(),
            proposed: 0,
            crashes: 0,
        }
    }

    fn something_happens(&mut self) {
        match self.random.below(100) {
            0..70 => self.deliver_one(),
            70..78 => self.propose(),
            78..86 => self.lie(),
            86..90 => self.crash_or_restart(),
            90..96 => self.time_passes(),
            _ => {
                let node = self.random.below(self.net.size());
                if self.net.nodes[node].runs() {
                    let waiting = self.random.chance(50);
                    self.net.input(node, Input::Pending(waiting));
                }
            }
        }
    }

    /// Any message on the way arrives, is lost, or arrives and stays on the way.
    fn deliver_one(&mut self) {
        let waiting = self.net.links.len();
        if waiting == 0 {
            return;
        }
        let envelope = self.net.links.take(self.random.below(waiting)).unwrap();
        if self.random.chance(self.percent_lost) {
            return;
        }
        if self.random.chance(self.percent_repeated) {
            self.net.links.send(envelope.clone());
        }
        let _ = self.net.receive(envelope);
    }

    fn propose(&mut self) {
        let name = format!("block {}", self.proposed);
        self.proposed += 1;
        self.known.extend(self.net.try_propose(&name));
    }

    /// The liar says something to somebody: a vote for a block that was proposed, made up or its own; as the
    /// primary also a proposal on any block that it or another knows.
    fn lie(&mut self) {
        let Some(liar) = self.liar else { return };
        let to = self.random.below(self.net.size());
        let is_primary = liar == 0;
        if is_primary && self.random.chance(50) {
            let root = net::root(&self.net.config);
            let place = self.random.below(self.known.len() + 1);
            let parent = self.known.get(place).map_or(&root, |outline| outline.header());
            let name = format!("lie {}", self.random.below(3));
            let outline = block(parent, &name, self.net.now(liar).wall, id(liar));
            let message = self.net.proposal(liar, &outline, 0);
            self.net.inject(liar, to, message);
            if !self.known.contains(&outline) {
                self.known.push(outline);
            }
            return;
        }
        let ballot = if self.known.is_empty() || self.random.chance(20) {
            Ballot {
                epoch: Epoch(0),
                view: View(self.random.next() % 3),
                height: Height(self.random.next() % 12),
                block: BlockHash::from_bytes([self.random.next().to_le_bytes()[0] % 4; 32]),
            }
        } else {
            ballot(&self.known[self.random.below(self.known.len())], 0)
        };
        let message = match self.random.below(2) {
            0 => self.net.prepare(liar, ballot),
            _ => self.net.commit(liar, ballot),
        };
        self.net.inject(liar, to, message);
    }

    fn crash_or_restart(&mut self) {
        let node = self.random.below(self.net.size());
        if Some(node) == self.liar {
            return;
        }
        if !self.net.nodes[node].runs() {
            self.net.restart(node);
            return;
        }
        self.crashes += 1;
        match self.random.below(3) {
            0 => self.net.crash(node),
            1 => self.net.nodes[node].crash_at = Some((self.random.below(3), Boundary::BeforePersist)),
            _ => self.net.nodes[node].crash_at = Some((self.random.below(3), Boundary::AfterPersist)),
        }
    }

    /// Part of a status interval passes for everybody; whoever has a deadline by then is woken.
    fn time_passes(&mut self) {
        self.net.moment = self.net.moment.after(STATUS / 4);
        for node in 0..self.net.size() {
            if self.net.nodes[node].runs() && self.random.chance(90) {
                self.net.input(node, Input::Tick);
            }
        }
        self.net.catch_up();
    }

    /// Everything lost so far is gone, nothing is lost any more, everybody correct runs.
    fn heal(&mut self) {
        self.percent_lost = 0;
        for node in 0..self.net.size() {
            self.net.nodes[node].crash_at = None;
            if !self.net.nodes[node].runs() && Some(node) != self.liar {
                self.net.restart(node);
            }
        }
    }

    /// With a correct primary, everything that was proposed is committed everywhere, and more is.
    fn goes_on(&mut self, seed: u64) {
        if self.liar == Some(0) {
            // Its proposals may contradict each other for ever: that is what view changes are for.
            self.net.pass(2 * STATUS);
            return;
        }
        let height = self.net.height(0) + self.net.nodes[0].replica().in_flight();
        self.all_reach(height, seed);
        self.propose();
        self.propose();
        self.all_reach(height + 2, seed);
    }

    fn all_reach(&mut self, height: u64, seed: u64) {
        for _ in 0..8 {
            self.net.deliver_all();
            let correct = (0..self.net.size()).filter(|node| Some(*node) != self.liar);
            if correct.map(|node| self.net.height(node)).all(|reached| reached == height) {
                return;
            }
            self.net.pass(STATUS);
        }
        panic!("seed {seed}: height {height} is not reached by all: {:?}", self.net.heights());
    }

    fn add_to(&self, seen: &mut Seen) {
        seen.crashes += self.crashes;
        for node in 0..self.net.size() {
            seen.contradictions += self.net.contradictions(node).len();
            let node = &self.net.nodes[node];
            seen.caught_up += node.caught_up;
            seen.through_descendants +=
                node.finalised.iter().filter(|final_| final_.blocks.len() > 1).count();
            seen.blocks = seen.blocks.max(node.tip().height.0);
            if node.runs() {
                seen.repaired += node.replica().counters().repaired;
            }
        }
    }
}

fn run(seed: u64, seen: &mut Seen) {
    let mut world = World::of(seed);
    let steps = 100 + world.random.below(150);
    for _ in 0..steps {
        world.something_happens();
    }
    world.heal();
    world.goes_on(seed);
    world.add_to(seen);
}

#[test]
fn correct_members_agree_and_go_on_whatever_happens() {
    let every = |first: u64, threads: usize| {
        let mut seen = Seen::default();
        (first..RUNS).step_by(threads).for_each(|seed| run(seed, &mut seen));
        seen
    };
    let seen = std::thread::scope(|scope| {
        let other = scope.spawn(|| every(1, 2));
        every(0, 2).and(&other.join().unwrap())
    });
    println!("{seen:?}");
    // A schedule that never does these things would prove little.
    assert!(seen.contradictions > 100 && seen.crashes > 1000 && seen.caught_up > 100, "{seen:?}");
    assert!(seen.through_descendants > 100 && seen.repaired > 1000 && seen.blocks > 10, "{seen:?}");
}
