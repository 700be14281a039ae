//! Short runs with several epochs and faults at random times: messages are lost, repeated and
//! reordered, members crash, join and leave. A run is repeatable: its seed names it.

use quorate_ledger::Epoch;
use quorate_pbft::{Input, Work};

use crate::net::{Boundary, Epochs, Net, Next, Random, STATUS};

const RUNS: u64 = 150;

/// Epochs of a run: the last one does not end.
const EPOCHS: usize = 3;

struct World {
    epochs: Epochs,
    random: Random,
    percent_lost: u64,
    proposed: usize,
}

impl World {
    fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let (size, window) = (4 + random.below(2), 1 + random.below(4));
        let epochs = Epochs::of(size, |config| {
            config.context.window = u64::try_from(window).unwrap();
            (config.request_timeout, config.new_view_timeout) = (STATUS, STATUS);
            config.timeout_cap = 8 * STATUS;
            (config.checkpoint_interval, config.log_window) = (3, 8);
        });
        World { percent_lost: [0, 5, 20][random.below(3)], epochs, random, proposed: 0 }
    }

    /// One of the epochs that has members.
    fn net(&mut self) -> &mut Net {
        let place = self.random.below(self.epochs.nets.len());
        &mut self.epochs.nets[place]
    }

    fn random_step(&mut self) {
        match self.random.below(100) {
            0..66 => self.deliver_one(),
            66..76 => self.propose(),
            76..84 => self.time_passes(),
            84..86 => self.crash_or_restart(),
            86..92 => self.plan(),
            92..98 => self.advance_one(),
            98 => {
                let node = self.random.below(4);
                self.net().input(node, Input::Censored);
            }
            _ => {
                let node = self.random.below(4);
                self.net().input(node, Input::Pending(Work::Timely));
            }
        }
    }

    /// Any message in flight arrives, or is lost.
    fn deliver_one(&mut self) {
        let (place, lost) = (self.random.next(), self.random.chance(self.percent_lost));
        let repeated = self.random.chance(10);
        let net = self.net();
        if net.links.len() == 0 {
            return;
        }
        let place = usize::try_from(place % net.links.len() as u64).unwrap();
        let envelope = net.links.take(place).unwrap();
        if lost {
            return;
        }
        if repeated {
            net.links.send(envelope.clone());
        }
        net.receive(envelope).unwrap();
    }

    fn propose(&mut self) {
        let name = format!("block {}", self.proposed);
        self.proposed += 1;
        self.net().try_propose(&name);
        self.net().fill();
    }

    fn time_passes(&mut self) {
        for net in &mut self.epochs.nets {
            net.moment = net.moment.after(STATUS / 4);
            for node in 0..net.size() {
                if net.nodes[node].runs() && self.random.chance(90) {
                    net.input(node, Input::Tick);
                }
            }
            net.catch_up();
            net.find_skeletons();
        }
        if self.random.chance(20) {
            self.epochs.serve();
        }
    }

    fn crash_or_restart(&mut self) {
        let (node, how) = (self.random.below(4), self.random.below(3));
        let groups = self.random.below(3);
        let net = self.net();
        if net.nodes[node].is_down() {
            return net.restart(node);
        }
        if net.nodes[node].runs() {
            match how {
                0 => net.crash(node),
                1 => net.nodes[node].crash_at = Some((groups, Boundary::BeforePersist)),
                _ => net.nodes[node].crash_at = Some((groups, Boundary::AfterPersist)),
            }
        }
    }

    /// A block that is not final anywhere decides the end of the latest epoch. At most one member
    /// leaves, and at most one is new.
    fn plan(&mut self) {
        if !self.epochs.is_open_ended() || self.epochs.nets.len() >= EPOCHS {
            return;
        }
        let net = self.epochs.nets.last().unwrap();
        let decided = net.heights().into_iter().max().unwrap() + 1 + self.random.next() % 3;
        let mut members: Vec<Option<usize>> = (0..net.size()).map(Some).collect();
        if members.len() > 4 && self.random.chance(50) {
            members.remove(self.random.below(5));
        }
        if self.random.chance(50) {
            members.push(None);
        }
        let first = u8::try_from(10 * self.epochs.nets.len()).unwrap();
        let members: Vec<(u8, Option<usize>)> = (first..).zip(members).collect();
        self.epochs.plan(Next::of(decided, &members));
    }

    fn advance_one(&mut self) {
        let epoch = self.random.below(self.epochs.nets.len());
        if epoch + 1 < self.epochs.nets.len() || !self.epochs.is_open_ended() {
            let member = self.random.below(self.epochs.nets[epoch].size());
            self.epochs.advance_member(epoch, member);
        }
    }

    /// Every process reaches the last epoch, and all of them order blocks there.
    fn assert_progress(&mut self) {
        self.epochs.restart_crashed();
        for _ in 0..200 {
            self.epochs.pass(STATUS);
            self.epochs.restart_crashed();
            self.plan();
            self.propose_in_last();
            let all_there =
                self.epochs.nets.len() == EPOCHS && self.epochs.last().nodes.iter().all(|node| node.runs());
            if all_there && self.has_ordered() {
                return;
            }
        }
        let heights: Vec<_> = self.epochs.nets.iter().map(Net::heights).collect();
        panic!("no progress: {heights:?}");
    }

    fn propose_in_last(&mut self) {
        self.proposed += 1;
        let name = format!("block {}", self.proposed);
        let net = self.epochs.last();
        net.all_have_work(Work::Timely);
        net.try_propose(&name);
    }

    fn has_ordered(&mut self) -> bool {
        let net = self.epochs.last();
        let (root, heights) = (net.root.height.0, net.heights());
        heights.iter().all(|height| *height == heights[0] && *height >= root + 2)
    }
}

fn run(seed: u64) {
    let mut world = World::of(seed);
    for _ in 0..600 {
        world.random_step();
    }
    world.percent_lost = 0;
    world.assert_progress();
    let tip = world.epochs.last().nodes[0].tip().clone();
    assert_eq!(tip.epoch, Epoch(EPOCHS as u64 - 1));
}

/// R26 and all other rules, in every order of events that the seeds draw.
#[test]
fn random_epochs_agree_and_make_progress() {
    for seed in 0..RUNS {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "the run with seed {seed} failed");
    }
}
