//! Committees in which a fault can be switched on, and the check that it is detected.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

use quorate_ledger::mutant::{Mutant, activate};
use quorate_ledger::{BlockHash, BlockSkeleton, Height, View};
use quorate_pbft::{Input, Message, Record, To, ViewChangeMessage, ViewChangePayload};

use crate::net::{self, Envelope, Net, TIMEOUT, block, id};

/// The end of a run in which two blocks become final at one height.
pub(crate) const TWO_FINAL: &str = "AGREEMENT broken at height 1";

/// More messages than any scenario has.
const MANY: usize = 20_000;

/// A committee and its checks: the whole oracle (`rules`), or agreement alone.
pub(crate) struct Scenario {
    pub(crate) net: Net,
    pub(crate) rules: bool,
}

impl Scenario {
    pub(crate) fn input(&mut self, node: usize, input: Input) {
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
    pub(crate) fn deliver(&mut self) {
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
    pub(crate) fn propose(&mut self, primary: usize, name: &str) -> BlockSkeleton {
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
    pub(crate) fn propose_on_genesis(
        &mut self,
        from: usize,
        view: u64,
        name: &str,
        to: &[usize],
    ) -> BlockSkeleton {
        let skeleton = block(&net::root(&self.net.config), name, self.net.now(from).wall, id(from));
        self.net.name(&skeleton, name);
        self.send(from, to, &self.net.proposal(from, &skeleton, view));
        skeleton
    }

    /// A Byzantine member sends this message to these members.
    pub(crate) fn send(&mut self, from: usize, to: &[usize], message: &Message) {
        for node in to {
            self.net.inject(from, *node, message.clone());
        }
    }

    /// A Byzantine member sends these members a VIEW-CHANGE for view 1 without any certificate.
    pub(crate) fn leave_without_certificates(&mut self, from: usize, to: &[usize]) -> ViewChangeMessage {
        let change = self.net.view_change(from, 1, ViewChangePayload::default());
        self.send(from, to, &Message::ViewChange(change.clone()));
        change
    }

    /// The engines of these members report censorship. All of them leave their view before a
    /// message is delivered.
    pub(crate) fn leave(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.input(*node, Input::Censored);
        }
        self.deliver();
    }

    /// The last VIEW-CHANGE that a member wrote.
    pub(crate) fn view_change_of(&self, node: usize) -> ViewChangeMessage {
        let written = self.net.nodes[node].journal.iter().rev().find_map(|record| match record {
            Record::ViewChange(change) => Some(change.message().clone()),
            _ => None,
        });
        written.expect("it has left a view")
    }

    /// Cuts these members off: all messages from and to them are lost. Replaces earlier losses.
    pub(crate) fn cut_off(&mut self, nodes: &'static [u16]) {
        self.net.links.heal();
        self.net.partition(nodes);
    }

    pub(crate) fn restart(&mut self, node: usize) {
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
    pub(crate) fn connect(&mut self, one: usize, other: usize) {
        self.input(other, Input::PeerUp(id(one)));
        self.input(one, Input::PeerUp(id(other)));
    }

    /// R8: at most one block is prepared in a view and height, at any members.
    pub(crate) fn assert_one_prepared(&self) {
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
    pub(crate) fn ends_with(mut self, names: &[&str]) {
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
pub(crate) fn detects(mutant: Mutant, size: usize, steps: fn(Scenario), rule: &str, end: &str) {
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
