//! Faults that are switched on in the replica (`ledger/src/mutant.rs`), and the shortest scenario
//! that shows each.
//!
//! Without the fault, every scenario ends well. With the fault, the oracle notices a broken rule. A
//! second run checks agreement alone. It continues to the consequence of the fault: two final
//! blocks at one height, or a network that stops for ever.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used)]

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

use quorate_ledger::mutant::{Mutant, activate};
use quorate_ledger::{BlockHash, BlockSkeleton, Height, View};
use quorate_pbft::{Input, Message, Record, Seen, To, ViewChangeMessage, ViewChangePayload};

use net::{Envelope, Net, STATUS, TIMEOUT, ballot, block, id};

mod net;

/// More messages than any scenario has.
const MANY: usize = 20_000;

/// A committee and its checks: the whole oracle (`rules`), or agreement alone.
struct Scenario {
    net: Net,
    rules: bool,
}

impl Scenario {
    fn input(&mut self, node: usize, input: Input) {
        if self.rules {
            return self.net.input(node, input);
        }
        let now = self.net.now(node);
        self.net.nodes[node].input(now, input);
        self.flush(node);
    }

    /// Sends the messages of a node, and checks only agreement.
    fn flush(&mut self, from: usize) {
        let messages = self.net.nodes[from].flush();
        self.net.oracle.agrees(&self.net.nodes[from]);
        for (to, message) in messages {
            let wanted = |node: &usize| *node != from && (to == To::All || to == To::One(id(*node)));
            for node in (0..self.net.size()).filter(wanted) {
                self.net.links.send(Envelope { from: id(from), to: id(node), message: message.clone() });
            }
        }
    }

    /// Delivers until no message is in flight.
    fn deliver(&mut self) {
        if self.rules {
            return self.net.deliver_all();
        }
        for _ in 0..MANY {
            let Some(Envelope { from, to, message }) = self.net.links.next() else { return };
            let checked = message.check(from, &self.net.config.context);
            if let Ok(message) = checked
                && self.net.nodes[to.index()].runs()
            {
                self.input(to.index(), Input::Received { from, message });
            }
            self.find_skeletons();
        }
        panic!("the members send messages without end");
    }

    /// Stands in for the engines when a view proposes blocks again: supplies their ids.
    fn find_skeletons(&mut self) {
        for node in 0..self.net.size() {
            for header in std::mem::take(&mut self.net.nodes[node].wanted) {
                let holders = self.net.nodes.iter();
                let found = holders.filter_map(|holder| holder.bodies.get(&header.hash())).next().cloned();
                self.input(node, Input::SkeletonFetched(found.expect("a node has accepted it")));
            }
        }
    }

    /// A primary proposes a block of this name, and all messages are delivered.
    fn propose(&mut self, primary: usize, name: &str) -> BlockSkeleton {
        let parent =
            self.net.nodes[primary].replica().proposal_parent().expect("a primary with room").clone();
        let skeleton = block(&parent, name, self.net.now(primary).wall, id(primary));
        self.net.name(&skeleton, name);
        self.net.nodes[primary].bodies.insert(skeleton.hash(), skeleton.clone());
        self.input(primary, Input::Proposed(skeleton.clone()));
        self.deliver();
        skeleton
    }

    /// A Byzantine primary proposes a block on the genesis to these members.
    fn propose_on_genesis(&mut self, from: usize, view: u64, name: &str, to: &[usize]) -> BlockSkeleton {
        let skeleton = block(&net::root(&self.net.config), name, self.net.now(from).wall, id(from));
        self.net.name(&skeleton, name);
        self.send(from, to, &self.net.proposal(from, &skeleton, view));
        skeleton
    }

    /// A Byzantine member sends this message to these members.
    fn send(&mut self, from: usize, to: &[usize], message: &Message) {
        for node in to {
            self.net.inject(from, *node, message.clone());
        }
    }

    /// A Byzantine member sends these members a VIEW-CHANGE for view 1 without any certificate.
    fn leave_without_certificates(&mut self, from: usize, to: &[usize]) -> ViewChangeMessage {
        let change = self.net.view_change(from, 1, ViewChangePayload::default());
        self.send(from, to, &Message::ViewChange(change.clone()));
        change
    }

    /// The engines of these members report censorship. All of them leave their view before a
    /// message is delivered.
    fn leave(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.input(*node, Input::Censored);
        }
        self.deliver();
    }

    /// The last VIEW-CHANGE that a member wrote.
    fn view_change_of(&self, node: usize) -> ViewChangeMessage {
        let written = self.net.nodes[node].journal.iter().rev().find_map(|record| match record {
            Record::ViewChange(change) => Some(change.message().clone()),
            _ => None,
        });
        written.expect("it has left a view")
    }

    /// Cuts these members off: all messages from and to them are lost. Replaces earlier losses.
    fn cut_off(&mut self, nodes: &'static [u16]) {
        self.net.links.heal();
        self.net.partition(nodes);
    }

    fn restart(&mut self, node: usize) {
        if self.rules {
            self.net.restart(node);
        } else {
            let now = self.net.now(node);
            self.net.nodes[node].restart(now);
            self.flush(node);
            for other in (0..self.net.size()).filter(|other| *other != node) {
                if self.net.nodes[other].runs() {
                    self.connect(node, other);
                }
            }
        }
        self.deliver();
    }

    /// Two members have a new channel.
    fn connect(&mut self, one: usize, other: usize) {
        self.input(other, Input::PeerUp(id(one)));
        self.input(one, Input::PeerUp(id(other)));
    }

    /// R8: at most one block is prepared in a view and height, at any members.
    fn assert_one_prepared(&self) {
        let mut prepared: BTreeMap<(Height, View), BlockHash> = BTreeMap::new();
        for record in self.net.nodes.iter().flat_map(|node| &node.journal) {
            if let Record::Prepared(certificate) = record {
                let ballot = certificate.ballot();
                let first = *prepared.entry((ballot.height, ballot.view)).or_insert(ballot.block);
                assert_eq!(first, ballot.block, "R8: two blocks are prepared in one view");
            }
        }
    }

    /// Heals the network. In the end every correct node has exactly these blocks. Runs only with
    /// the whole oracle, which must have seen every message for that.
    fn ends_with(mut self, names: &[&str]) {
        if !self.rules {
            return;
        }
        self.net.links.heal();
        self.net.links.release();
        self.net.pass(2 * TIMEOUT);
        self.net.assert_chain(names);
    }
}

/// Runs a scenario without the fault and with it, each checked by the whole oracle and by agreement
/// alone. With the fault, the oracle must report `rule`, and the run without the oracle must end
/// with `end`.
fn detects(mutant: Mutant, size: usize, steps: fn(Scenario), rule: &str, end: &str) {
    for (rules, expected) in [(true, rule), (false, end)] {
        steps(Scenario { net: Net::of(size), rules });
        activate(Some(mutant));
        let outcome = catch_unwind(|| steps(Scenario { net: Net::of(size), rules }));
        activate(None);
        let message = text(outcome.expect_err("no check detects the fault").as_ref());
        assert!(message.contains(expected), "{mutant:?} must end with {expected:?}, not with {message:?}");
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal.or_else(|| panic.downcast_ref::<String>().cloned()).expect("panics have a text")
}

const TWO_FINAL: &str = "AGREEMENT broken at height 1";

/// M1, R1: of five members, 0 is Byzantine and the primary. It proposes A to 1 and 2, and B to 3
/// and 4, and sends COMMIT for both. If three are a quorum, each half is a quorum together with
/// member 0.
#[test]
fn a_quorum_of_2f_plus_1_lets_a_faulty_member_split_five() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        for (name, half) in [("A", [1, 2]), ("B", [3, 4])] {
            let block = scenario.propose_on_genesis(0, 0, name, &half);
            scenario.send(0, &half, &scenario.net.commit(0, ballot(&block, 0)));
        }
        scenario.deliver();
        scenario.leave(&[1, 2, 3, 4]);
        scenario.propose(1, "C");
        scenario.ends_with(&["C"]);
    }
    detects(Mutant::QuorumOfTwoFaults, 5, steps, "R1: exactly a quorum", TWO_FINAL);
}

/// M1, R1: a partition cuts six correct members in two halves. Replicas 0, 2 and 3 are with the
/// primary of view 0; replicas 1, 4 and 5 are with the primary of view 1. If three are a quorum,
/// each half orders blocks, although no member is faulty.
#[test]
fn a_quorum_of_2f_plus_1_splits_six_correct_members() {
    fn steps(mut scenario: Scenario) {
        scenario.cut_off(&[1, 4, 5]);
        scenario.propose(0, "A");
        scenario.leave(&[1, 4, 5]);
        if scenario.net.view(1) == (1, true) {
            scenario.propose(1, "B");
        }
        scenario.net.links.heal();
        scenario.net.pass(2 * STATUS);
        scenario.propose(1, "C");
        scenario.ends_with(&["C"]);
    }
    detects(Mutant::QuorumOfTwoFaults, 6, steps, "R1: exactly a quorum", TWO_FINAL);
}

/// M2, R8: the Byzantine primary 0 proposes another block to each backup. If one PREPARE is enough,
/// each backup prepares its block by its own vote alone. No block becomes final by that, since
/// COMMITs are still counted correctly and R20a refuses a tie. But no view can begin any more: each
/// would have to select two blocks at one height.
#[test]
fn prepared_one_short_leaves_two_blocks_that_no_view_can_choose_from() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        for (node, name) in [(1, "A"), (2, "B"), (3, "C")] {
            scenario.propose_on_genesis(0, 0, name, &[node]);
        }
        scenario.deliver();
        scenario.leave(&[1, 2, 3]);
        if scenario.rules {
            scenario.assert_one_prepared();
        }
        scenario.net.pass(20 * TIMEOUT);
        assert!((1..4).any(|node| scenario.net.view(node).1), "no further view begins");
        scenario.propose(1, "D");
        scenario.ends_with(&["D"]);
    }
    detects(Mutant::PreparedOneShort, 4, steps, "R8: two blocks are prepared", "no further view begins");
}

/// M3, R20a: A is final at replica 0 with the COMMITs of replica 2 and the Byzantine member 3.
/// Replica 2 has prepared A; replica 1 has received nothing. If two VIEW-CHANGEs are enough,
/// replica 1 begins view 1 with its own and that of member 3, which omits A. Then replica 2
/// follows.
#[test]
fn a_view_that_begins_without_a_quorum_loses_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(3);
        scenario.net.links.lose(|envelope| envelope.is_in_view(0) && envelope.to == id(1));
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to == id(2));
        let a = scenario.propose(0, "A");
        scenario.send(3, &[0, 2], &scenario.net.prepare(3, ballot(&a, 0)));
        scenario.send(3, &[0], &scenario.net.commit(3, ballot(&a, 0)));
        scenario.deliver();
        assert_eq!(scenario.net.heights()[..3], [1, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave_without_certificates(3, &[1]);
        scenario.leave(&[1]);
        scenario.leave_without_certificates(3, &[2]);
        scenario.deliver();
        let b = scenario.propose(1, "B");
        scenario.send(3, &[1, 2], &scenario.net.prepare(3, ballot(&b, 1)));
        scenario.send(3, &[1, 2], &scenario.net.commit(3, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::ViewChangeQuorumShort, 4, steps, "a quorum of view changes", TWO_FINAL);
}

/// M4, R10: the primary 0 proposes A and, on top of it, C. All PREPAREs for A are lost. If COMMIT
/// for C does not wait for A, both become final at replica 0 with the COMMITs for C alone. No
/// member has a prepared certificate for A, so view 1 begins without it.
#[test]
fn a_commit_above_a_hole_finalises_a_block_that_is_not_prepared() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| envelope.is_prepare() && envelope.is_at(1));
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        scenario.propose(0, "C");

        scenario.cut_off(&[0]);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::CommitOutOfOrder, 4, steps, "commits out of order", TWO_FINAL);
}

/// M5, R20a: only replica 0 prepares A, in view 0. The others begin view 1 without A, and B becomes
/// final there, at replica 1 alone. View 2 begins without replica 1 and with replica 0: A was
/// prepared in view 0, B in view 1. If the certificate of the lowest view counts, the view selects
/// A.
#[test]
fn the_lowest_certificate_selects_an_outdated_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| {
            envelope.is_in_view(0) && (envelope.is_commit() || envelope.is_prepare() && envelope.to != id(0))
        });
        scenario.propose(0, "A");

        scenario.cut_off(&[0]);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(1) && envelope.is_commit() && envelope.to != id(1));
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        assert_eq!(scenario.net.heights(), [0, 1, 0, 0]);

        scenario.cut_off(&[1]);
        scenario.leave(&[2, 3]);
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::LowestCertificate, 4, steps, "R20: the selection", TWO_FINAL);
}

/// M6, R20b: A is final at replica 0. The Byzantine primary 1 begins view 1 with the VIEW-CHANGEs
/// of replicas 2 and 3, which prove that A was prepared. It proposes no block again. A replica that
/// does not select again accepts this, and votes for B.
#[test]
fn an_unverified_selection_lets_the_primary_drop_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(1);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave(&[2, 3]);
        let hides = scenario.leave_without_certificates(1, &[2, 3]);
        let changes = vec![hides, scenario.view_change_of(2), scenario.view_change_of(3)];
        scenario.send(1, &[2, 3], &Message::NewView(scenario.net.new_view_of(1, changes, vec![])));
        let b = scenario.propose_on_genesis(1, 1, "B", &[2, 3]);
        scenario.send(1, &[2, 3], &scenario.net.commit(1, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["A"]);
    }
    detects(Mutant::NewViewNotRecomputed, 4, steps, "R20: the selection", TWO_FINAL);
}

/// M7, R20a: A is final at replica 0, and all others have prepared it. View 1 begins without
/// replica 0. If the NEW-VIEW omits prepared blocks, the primary fills the height with B.
#[test]
fn a_new_view_without_the_prepared_blocks_loses_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::NewViewDropsPrepared, 4, steps, "R20: the selection", TWO_FINAL);
}

/// R19a: replica 0 has prepared A. Replicas 1 and 2 and the Byzantine member 3 leave view 0 without
/// having prepared it, and view 1 begins. Replica 2 restarts before the NEW-VIEW arrives. It asks
/// for its high-water mark (R24a). Only member 3 answers, and replica 0, which has not received the
/// VIEW-CHANGE of replica 2. If replica 2 is in view 0 again, it prepares A and sends COMMIT for
/// it: A is final at replica 0. Then replica 2 receives the NEW-VIEW of view 1, and votes for B
/// there.
fn a_replica_restarts_after_it_left_its_view(mut scenario: Scenario) {
    scenario.net.corrupt(3);
    scenario
        .net
        .links
        .lose(|envelope| envelope.is_prepare() && envelope.from != id(3) && envelope.to != id(0));
    scenario.net.links.lose(|envelope| envelope.is_commit() && envelope.from == id(0));
    scenario.net.links.lose(|envelope| envelope.is_view_change() && envelope.to == id(0));
    scenario.net.links.lose(Envelope::is_new_view);
    let a = scenario.propose(0, "A");
    scenario.leave_without_certificates(3, &[1, 2]);
    scenario.leave(&[1]);
    assert_eq!(
        (scenario.net.view(0), scenario.net.view(1), scenario.net.view(2)),
        ((0, true), (1, true), (1, false))
    );

    scenario.net.crash(2);
    scenario.net.links.lose(|envelope| envelope.is_between(1, 2) || envelope.is_between(2, 1));
    scenario.restart(2);
    scenario.send(3, &[2], &Message::Seen(Seen::default()));
    scenario.deliver();
    scenario.send(3, &[2], &scenario.net.prepare(3, ballot(&a, 0)));
    scenario.send(3, &[0], &scenario.net.commit(3, ballot(&a, 0)));
    scenario.deliver();

    scenario.cut_off(&[0]);
    scenario.net.links.lose(Envelope::is_seen);
    scenario.connect(1, 2);
    scenario.deliver();
    let b = scenario.propose(1, "B");
    scenario.send(3, &[1, 2], &scenario.net.prepare(3, ballot(&b, 1)));
    scenario.send(3, &[1, 2], &scenario.net.commit(3, ballot(&b, 1)));
    scenario.deliver();
    scenario.ends_with(&["B"]);
}

/// M8, R13a: [`a_replica_restarts_after_it_left_its_view`], and it had not written its VIEW-CHANGE.
#[test]
fn a_view_change_that_is_not_durable_is_broken_after_a_restart() {
    let steps = a_replica_restarts_after_it_left_its_view;
    detects(Mutant::ViewChangeNotDurable, 4, steps, "R13: the VIEW-CHANGE has no durable record", TWO_FINAL);
}

/// M13, R19a: [`a_replica_restarts_after_it_left_its_view`]. It had written its VIEW-CHANGE, but
/// ignores the record when it starts.
#[test]
fn a_restart_that_goes_back_to_an_earlier_view_breaks_a_view_change() {
    let steps = a_replica_restarts_after_it_left_its_view;
    detects(Mutant::ViewRegresses, 4, steps, "member 2 was in view 1 and is in 0", TWO_FINAL);
}

/// M9, R4, R13a: the Byzantine primary 0 proposes A to replicas 1 and 2, and replica 1 prepares it.
/// Then replica 2 restarts. It asks only member 0 and replica 3, which has not received its vote.
/// The primary proposes B to replicas 2 and 3. If replica 2 has lost its PREPARE for A, it sends
/// one for B, and two blocks are prepared in one view. A replica that lost the proposal of a
/// prepared block does not start (`RestoreError::Incomplete`). So this fault alone makes no second
/// final block, but no view can begin any more (R20a).
#[test]
fn a_proposal_that_is_not_durable_is_contradicted_after_a_restart() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        scenario.net.links.lose(|envelope| envelope.is_prepare() && !envelope.is_between(2, 1));
        scenario.net.links.lose(Envelope::is_commit);
        scenario.propose_on_genesis(0, 0, "A", &[1, 2]);
        scenario.deliver();

        scenario.net.crash(2);
        scenario.cut_off(&[1]);
        scenario.restart(2);
        scenario.send(0, &[2], &Message::Seen(Seen::default()));
        scenario.deliver();
        scenario.propose_on_genesis(0, 0, "B", &[2, 3]);
        scenario.deliver();
        scenario.assert_one_prepared();
        scenario.ends_with(&["A"]);
    }
    detects(
        Mutant::AcceptedNotDurable,
        4,
        steps,
        "sends a vote before its record is durable",
        "R8: two blocks are prepared",
    );
}

/// M10, R13a: A is final at replica 0 with the COMMITs of replicas 1 and 2. Replica 3 received
/// nothing. Replicas 1 and 2 lose power at once, and no member that received their COMMITs can
/// answer them. If they have lost the prepared certificate of A, view 1 begins without A.
#[test]
fn a_certificate_that_is_not_durable_is_missing_in_the_view_change() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| {
            envelope.is_in_view(0) && (envelope.to == id(3) || envelope.is_commit() && envelope.to != id(0))
        });
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.net.links.lose(|envelope| envelope.is_in_view(0));
        scenario.net.crash(1);
        scenario.net.crash(2);
        scenario.restart(1);
        scenario.restart(2);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::PreparedNotDurable, 4, steps, "sends a vote before its record is durable", TWO_FINAL);
}

/// M12, R19a: replicas 2 and 3 leave view 0 before a block is prepared. Their VIEW-CHANGEs reach
/// only the Byzantine member 1. Then the PREPAREs for A arrive. If replicas 2 and 3 still vote in
/// view 0, A is final at replica 0. Member 1 begins view 1 with the earlier VIEW-CHANGEs.
#[test]
fn votes_in_a_left_view_finalise_a_block_that_the_next_view_lacks() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(1);
        scenario.net.links.hold(Envelope::is_prepare);
        scenario.net.links.lose(Envelope::is_view_change);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        scenario.leave(&[2, 3]);
        scenario.net.links.release();
        scenario.deliver();

        scenario.cut_off(&[0]);
        let hides = scenario.leave_without_certificates(1, &[]);
        let changes = vec![hides, scenario.view_change_of(2), scenario.view_change_of(3)];
        scenario.send(1, &[2, 3], &Message::NewView(scenario.net.new_view(1, changes)));
        let b = scenario.propose_on_genesis(1, 1, "B", &[2, 3]);
        scenario.send(1, &[2, 3], &scenario.net.commit(1, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::VotesAfterViewChange, 4, steps, "R19: member 3 votes in", TWO_FINAL);
}
