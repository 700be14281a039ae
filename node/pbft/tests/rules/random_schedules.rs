//! Thousands of short runs with faults at random times. A run is repeatable: its seed names it.
//!
//! Views end and begin. Members crash at every boundary and restart in any state. One Byzantine
//! member sends anything: two proposals, votes for any block, VIEW-CHANGEs without its
//! certificates, NEW-VIEWs of different quorums. At every step, the oracle checks agreement,
//! certificates, COMMITs in height order, records before messages, and the beginning of every view.
//! After healing, the network must make progress.

use std::collections::BTreeMap;

use quorate_ledger::{
    Ballot, BlockHash, BlockSkeleton, CommitCertificate, Epoch, Height, SignatureSet, View,
};
use quorate_pbft::{Evidence, Input, Message, Record, Request, ViewChangeMessage, ViewChangePayload, Work};

use crate::net::{self, Boundary, Net, Random, STATUS, ballot, block, id};

const RUNS: u64 = 2000;

/// What happened in all runs together. A test whose runs reach none of this would prove little.
#[derive(Debug, Default)]
struct Coverage {
    contradictions: usize,
    hidden: usize,
    crashes: usize,
    caught_up: usize,
    through_descendants: usize,
    repaired: u64,
    blocks: u64,
    views: u64,
    proposed_again: usize,
    byzantine_began: usize,
    stable: u64,
}

impl Coverage {
    fn and(&self, other: &Coverage) -> Coverage {
        Coverage {
            contradictions: self.contradictions + other.contradictions,
            hidden: self.hidden + other.hidden,
            crashes: self.crashes + other.crashes,
            caught_up: self.caught_up + other.caught_up,
            through_descendants: self.through_descendants + other.through_descendants,
            repaired: self.repaired + other.repaired,
            blocks: self.blocks.max(other.blocks),
            views: self.views + other.views,
            proposed_again: self.proposed_again + other.proposed_again,
            byzantine_began: self.byzantine_began + other.byzantine_began,
            stable: self.stable + other.stable,
        }
    }
}

/// Prints the seed of a run that fails.
struct SeedReport(u64);

impl Drop for SeedReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the run with seed {} failed", self.0);
        }
    }
}

struct World {
    net: Net,
    random: Random,
    /// The Byzantine member, if any. All others are correct.
    byzantine: Option<usize>,
    /// Blocks that were proposed, for the Byzantine member to vote for.
    known: Vec<BlockSkeleton>,
    percent_lost: u64,
    percent_repeated: u64,
    proposed: u64,
    crashes: usize,
}

impl World {
    fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let size = 4 + random.below(4);
        let mut net = Net::with(size, |config| {
            (config.request_timeout, config.new_view_timeout) = (STATUS, STATUS);
            config.timeout_cap = 8 * STATUS;
            (config.checkpoint_interval, config.log_window) = (3, 8);
        });
        let byzantine = random.chance(60).then(|| random.below(size));
        if let Some(byzantine) = byzantine {
            net.corrupt(byzantine);
        }
        World {
            percent_lost: [0, 5, 30][random.below(3)],
            percent_repeated: [0, 20][random.below(2)],
            net,
            random,
            byzantine,
            known: Vec::new(),
            proposed: 0,
            crashes: 0,
        }
    }

    fn random_step(&mut self) {
        match self.random.below(100) {
            0..70 => self.deliver_one(),
            70..76 => self.propose(),
            76..86 => self.byzantine_acts(),
            86..89 => self.crash_or_restart(),
            89..97 => self.time_passes(),
            97 => {
                let node = self.random.below(self.net.size());
                self.net.input(node, Input::Censored);
            }
            _ => {
                let node = self.random.below(self.net.size());
                if self.net.nodes[node].runs() {
                    let work = if self.random.chance(50) { Work::Timely } else { Work::Nothing };
                    self.net.input(node, Input::Pending(work));
                }
            }
        }
    }

    /// Any message in flight arrives, is lost, or arrives and stays in flight.
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

    /// The Byzantine member sends a message to one member.
    fn byzantine_acts(&mut self) {
        let Some(byzantine) = self.byzantine else { return };
        let to = self.random.below(self.net.size());
        let views = self.net.nodes.iter().filter(|node| node.runs()).map(|node| node.replica().view().0);
        let view = views.max().unwrap_or(0) + self.random.next() % 3;
        let view = view.saturating_sub(self.random.next() % 2);
        let is_primary = byzantine == self.net.primary_of(view);
        let message = match self.random.below(100) {
            0..40 if is_primary => Some(self.propose_anything(byzantine, view)),
            40..80 if is_primary => self.begin_view(byzantine, view),
            0..25 if view > 0 => {
                let payload = self.payload();
                Some(Message::ViewChange(self.net.view_change(byzantine, view, payload)))
            }
            _ => Some(self.vote_for_anything(byzantine, view)),
        };
        if let Some(message) = message {
            self.net.inject(byzantine, to, message);
        }
    }

    /// A proposal on any block that was proposed, or on the genesis.
    fn propose_anything(&mut self, byzantine: usize, view: u64) -> Message {
        let root = net::root(&self.net.config);
        let place = self.random.below(self.known.len() + 1);
        let parent = self.known.get(place).map_or(&root, |skeleton| skeleton.header());
        let name = format!("lie {}", self.random.below(3));
        let skeleton = block(parent, &name, self.net.now(byzantine).wall, id(byzantine));
        if !self.known.contains(&skeleton) {
            self.known.push(skeleton.clone());
        }
        self.net.proposal(byzantine, &skeleton, view)
    }

    /// A vote for a proposed block, or for a hash that names none.
    fn vote_for_anything(&mut self, byzantine: usize, view: u64) -> Message {
        let ballot = if self.known.is_empty() || self.random.chance(20) {
            Ballot {
                epoch: Epoch(0),
                view: View(view),
                height: Height(self.random.next() % 12),
                block: BlockHash::from_bytes([self.random.next().to_le_bytes()[0] % 4; 32]),
            }
        } else {
            // Votes matter only for the latest blocks.
            let back = self.random.below(self.known.len().min(6));
            ballot(&self.known[self.known.len() - 1 - back], view)
        };
        if self.random.chance(50) {
            self.net.prepare(byzantine, ballot)
        } else {
            self.net.commit(byzantine, ballot)
        }
    }

    /// A view-change payload. Its anchor is one that the Byzantine member can prove, perhaps as the
    /// only one. It has some of the prepared certificates of the others.
    fn payload(&mut self) -> ViewChangePayload {
        let byzantine = self.byzantine.unwrap();
        let mut votes: BTreeMap<Ballot, BTreeMap<_, _>> = BTreeMap::new();
        for (signer, ballot, signature) in self.net.oracle.commits() {
            votes.entry(*ballot).or_default().insert(*signer, *signature);
        }
        let quorum = self.net.config.context.committee.quorum();
        let proven = votes.into_iter().filter_map(|(ballot, mut votes)| {
            let Message::Commit(own) = self.net.commit(byzantine, ballot) else { unreachable!() };
            votes.insert(id(byzantine), own.signature);
            Some(CommitCertificate::claimed(ballot, SignatureSet::first(quorum, &votes)?))
        });
        let mut proven: Vec<_> = proven.collect();
        proven.sort_by_key(|certificate| certificate.ballot().height);
        let anchor = if self.random.chance(60) { proven.pop() } else { None };
        let mut prepared = BTreeMap::new();
        let above = anchor.as_ref().map_or(Height(0), |anchor| anchor.ballot().height);
        for record in self.net.nodes.iter().flat_map(|node| &node.journal) {
            if let Record::Prepared(certificate) = record
                && certificate.header().height > above
                && self.random.chance(50)
            {
                prepared.insert(certificate.header().height, (**certificate).clone());
            }
        }
        ViewChangePayload { anchor, prepared: prepared.into_values().collect() }
    }

    /// A NEW-VIEW of some quorum with VIEW-CHANGEs for this view. The own VIEW-CHANGE may be in it
    /// or not.
    fn begin_view(&mut self, byzantine: usize, view: u64) -> Option<Message> {
        if view == 0 {
            return None;
        }
        let mut changes: BTreeMap<usize, ViewChangeMessage> = BTreeMap::new();
        for node in &self.net.nodes {
            let written = node.journal.iter().filter_map(|record| match record {
                Record::ViewChange(change) if change.view() == View(view) => Some(change.message().clone()),
                _ => None,
            });
            changes.extend(written.map(|change| (node.me.index(), change)));
        }
        let payload = self.payload();
        changes.insert(byzantine, self.net.view_change(byzantine, view, payload));
        let quorum = self.net.config.context.committee.quorum();
        while changes.len() > quorum {
            let place = self.random.below(changes.len());
            let signer = *changes.keys().nth(place).unwrap();
            changes.remove(&signer);
        }
        let changes: Vec<_> = changes.into_values().collect();
        let valid = changes.len() == quorum
            && quorate_pbft::Selection::of(
                self.net.config.context.root,
                &changes.iter().map(|change| &change.payload),
            )
            .is_ok();
        valid.then(|| Message::NewView(self.net.new_view(view, changes)))
    }

    fn crash_or_restart(&mut self) {
        let node = self.random.below(self.net.size());
        if Some(node) == self.byzantine {
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

    /// A quarter of a status interval passes. Most running nodes get a tick.
    fn time_passes(&mut self) {
        self.net.moment = self.net.moment.after(STATUS / 4);
        for node in 0..self.net.size() {
            if self.net.nodes[node].runs() && self.random.chance(90) {
                self.net.input(node, Input::Tick);
            }
        }
        self.net.catch_up();
        self.net.find_skeletons();
    }

    /// Restarts all correct members. Later messages are not lost.
    fn heal(&mut self) {
        self.percent_lost = 0;
        for node in 0..self.net.size() {
            self.net.nodes[node].crash_at = None;
            if !self.net.nodes[node].runs() && Some(node) != self.byzantine {
                self.net.restart(node);
            }
        }
    }

    /// All correct members reach the same chain, and new proposals are ordered, whichever member is
    /// the primary.
    fn assert_progress(&mut self) {
        self.net.all_have_work(Work::Timely);
        let correct: Vec<usize> = (0..self.net.size()).filter(|node| Some(*node) != self.byzantine).collect();
        let mut goal = None;
        for _ in 0..250 {
            self.net.pass(STATUS / 2);
            let heights: Vec<u64> = correct.iter().map(|node| self.net.height(*node)).collect();
            let same = heights.iter().all(|height| *height == heights[0]);
            match goal {
                None if same => goal = Some(heights[0] + 2),
                Some(goal) if same && heights[0] >= goal => return,
                _ => {}
            }
            if goal.is_some() {
                self.propose();
            }
        }
        let views: Vec<_> = correct.iter().map(|node| self.net.view(*node)).collect();
        panic!("the network makes no progress at heights {:?} in views {views:?}", self.net.heights());
    }

    fn add_to(&self, seen: &mut Coverage) {
        seen.crashes += self.crashes;
        for node in 0..self.net.size() {
            seen.contradictions += self.net.accused(node).len();
            let hides = |request: &&Request| match request {
                Request::Evidence(evidence) => matches!(**evidence, Evidence::Hidden(_)),
                _ => false,
            };
            seen.hidden += self.net.requests(node).iter().filter(hides).count();
            let node = &self.net.nodes[node];
            // R24: a replica with its own files and a single process is never reported as one with
            // old files or two processes.
            let doubted =
                |request: &Request| matches!(request, Request::Recovering { .. } | Request::SecondInstance);
            assert!(
                !node.requests.iter().any(doubted),
                "the files or process of member {} are reported",
                node.me
            );
            seen.caught_up += node.caught_up;
            seen.through_descendants +=
                node.finalised.iter().filter(|final_| final_.blocks.len() > 1).count();
            seen.blocks = seen.blocks.max(node.tip().height.0);
            let begins = node.journal.iter().filter_map(|record| match record {
                Record::NewView(new_view) => Some(new_view),
                _ => None,
            });
            for new_view in begins {
                seen.proposed_again += new_view.chain().len();
                seen.byzantine_began += usize::from(Some(new_view.vote().signer.index()) == self.byzantine);
            }
            if node.runs() {
                let counters = node.replica().counters();
                seen.repaired += counters.repaired;
                seen.views += counters.views_entered;
                seen.stable += counters.stable_checkpoints;
            }
        }
    }
}

fn run(seed: u64, seen: &mut Coverage) {
    let _named = SeedReport(seed);
    let mut world = World::of(seed);
    let steps = 100 + world.random.below(300);
    for _ in 0..steps {
        world.random_step();
    }
    world.heal();
    world.assert_progress();
    world.add_to(seen);
}

#[test]
fn correct_members_agree_and_make_progress() {
    let every = |first: u64, threads: usize| {
        let mut seen = Coverage::default();
        (first..RUNS).step_by(threads).for_each(|seed| run(seed, &mut seen));
        seen
    };
    let seen = std::thread::scope(|scope| {
        let other = scope.spawn(|| every(1, 2));
        every(0, 2).and(&other.join().unwrap())
    });
    println!("{seen:?}");
    // Schedules that never do these things would prove little.
    assert!(seen.contradictions > 100 && seen.crashes > 1000 && seen.caught_up > 100, "{seen:?}");
    assert!(seen.through_descendants > 100 && seen.repaired > 1000 && seen.blocks > 8, "{seen:?}");
    assert!(seen.views > 1000 && seen.proposed_again > 1000 && seen.byzantine_began > 100, "{seen:?}");
    assert!(seen.stable > 1000 && seen.hidden > 100, "{seen:?}");
}
