//! What can be seen of a committee from outside.

use quorate_ledger::{Header, Outline};
use quorate_pbft::Request;

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

    /// Gives a block that a corrupt member made a name.
    pub(crate) fn name(&mut self, outline: &Outline, name: &str) {
        self.names.insert(outline.hash(), name.to_owned());
    }

    /// Asserts that every running node has exactly these blocks.
    pub(crate) fn assert_chain(&self, names: &[&str]) {
        for node in self.nodes.iter().filter(|node| node.runs()) {
            assert_eq!(self.chain(node.me.index()), names, "the chain of member {}", node.me);
        }
    }

    /// What a node told its engine, besides examinations and final blocks.
    pub(crate) fn heard(&self, node: usize) -> &[Request] {
        &self.nodes[node].heard
    }

    pub(crate) fn contradictions(&self, node: usize) -> Vec<u16> {
        let accused = self.heard(node).iter().filter_map(|request| match request {
            Request::Contradiction { replica, .. } => Some(replica.0),
            _ => None,
        });
        accused.collect()
    }

    pub(crate) fn bad_proposals(&self, node: usize) -> Vec<&str> {
        let reasons = self.heard(node).iter().filter_map(|request| match request {
            Request::BadProposal { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        reasons.collect()
    }

    pub(crate) fn overdue(&self, node: usize) -> usize {
        self.heard(node).iter().filter(|request| matches!(request, Request::Overdue(_))).count()
    }
}
