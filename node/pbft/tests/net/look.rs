//! Observation of a committee from outside.

use quorate_ledger::{BlockSkeleton, Header, ReplicaId};
use quorate_pbft::{Cause, Counters, Evidence, Record, Request, SigningStatus, SlotOverview};

use super::Net;

impl Net {
    /// Height of a node's chain.
    pub(crate) fn height(&self, node: usize) -> u64 {
        self.nodes[node].tip().height.0
    }

    pub(crate) fn heights(&self) -> Vec<u64> {
        (0..self.size()).map(|node| self.height(node)).collect()
    }

    /// Names of the blocks on a node's chain.
    pub(crate) fn chain(&self, node: usize) -> Vec<&str> {
        let name = |header: &Header| self.names.get(&header.hash()).map_or("?", String::as_str);
        self.nodes[node].chain[1..].iter().map(name).collect()
    }

    /// Names a block that a Byzantine member made.
    pub(crate) fn name(&mut self, skeleton: &BlockSkeleton, name: &str) {
        self.names.insert(skeleton.hash(), name.to_owned());
    }

    /// Asserts that every running node has exactly these blocks.
    pub(crate) fn assert_chain(&self, names: &[&str]) {
        for node in self.nodes.iter().filter(|node| node.runs()) {
            assert_eq!(self.chain(node.me.index()), names, "the chain of member {}", node.me);
        }
    }

    /// All records about single heights that a node has written, Finalised included.
    pub(crate) fn height_records(&self, node: usize) -> Vec<Record> {
        let journal = self.nodes[node].journal.iter();
        journal.filter(|record| record.height().is_some()).cloned().collect()
    }

    /// Requests of a node to its engine, without examinations and final blocks.
    pub(crate) fn requests(&self, node: usize) -> &[Request] {
        &self.nodes[node].requests
    }

    /// The members against which a node has evidence, in the order in which it found it.
    pub(crate) fn accused(&self, node: usize) -> Vec<u16> {
        let culprits = self.requests(node).iter().filter_map(|request| match request {
            Request::Evidence(evidence) => Some(evidence.culprit().0),
            _ => None,
        });
        culprits.collect()
    }

    /// How many proofs a node has that this member hid a certificate (R22b).
    pub(crate) fn proofs_of_hiding(&self, node: usize, member: ReplicaId) -> usize {
        let hides = |request: &&Request| {
            matches!(request, Request::Evidence(evidence)
                if evidence.culprit() == member && matches!(**evidence, Evidence::Hidden(_)))
        };
        self.requests(node).iter().filter(hides).count()
    }

    pub(crate) fn bad_proposals(&self, node: usize) -> Vec<&str> {
        let reasons = self.requests(node).iter().filter_map(|request| match request {
            Request::BadProposal { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        reasons.collect()
    }

    /// The causes for which a node left its views, in order.
    pub(crate) fn departures(&self, node: usize) -> Vec<Cause> {
        let causes = self.requests(node).iter().filter_map(|request| match request {
            Request::Left(departure) => Some(departure.cause),
            _ => None,
        });
        causes.collect()
    }

    /// The view of a node, and whether it is active in it.
    pub(crate) fn view(&self, node: usize) -> (u64, bool) {
        let replica = self.nodes[node].replica();
        (replica.view().0, replica.is_active())
    }

    /// Asserts that every running node is active in this view.
    pub(crate) fn assert_view(&self, view: u64) {
        for node in self.nodes.iter().filter(|node| node.runs()) {
            assert_eq!(self.view(node.me.index()), (view, true), "the view of member {}", node.me);
        }
    }

    /// The slots of a node, in order of heights and views.
    pub(crate) fn slots(&self, node: usize) -> Vec<SlotOverview> {
        self.nodes[node].replica().overview(self.now(node)).slots
    }

    pub(crate) fn signing(&self, node: usize) -> SigningStatus {
        self.nodes[node].replica().overview(self.now(node)).signing
    }

    pub(crate) fn counters(&self, node: usize) -> Counters {
        self.nodes[node].replica().counters()
    }
}
