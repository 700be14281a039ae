//! Stands in for the engines. They propose blocks, fetch what a replica lacks, and report pending
//! work.

use quorate_ledger::BlockSkeleton;
use quorate_pbft::{Input, Work};

use super::{Net, STATUS, block, block_of, id};

impl Net {
    /// The node that may propose now. If several may, the one in the latest view.
    pub(crate) fn proposer(&self) -> Option<usize> {
        let ready =
            self.nodes.iter().filter(|node| node.runs() && node.replica().proposal_parent().is_some());
        ready.max_by_key(|node| node.replica().view()).map(|node| node.me.index())
    }

    /// The primary makes a block of this name, if its window has room.
    pub(crate) fn try_propose(&mut self, name: &str) -> Option<BlockSkeleton> {
        let primary = self.proposer()?;
        Some(self.propose_by(primary, name))
    }

    /// This node makes a block of this name. It must be a primary with room in its window.
    pub(crate) fn propose_by(&mut self, primary: usize, name: &str) -> BlockSkeleton {
        let parent = self.nodes[primary].replica().proposal_parent().expect("a primary with room").clone();
        let next_committee = self.nodes[primary].replica().next_committee_at(parent.height.next());
        let ids = block(&parent, name, self.now(primary).wall, id(primary)).ids().to_vec();
        let skeleton = block_of(&parent, ids, self.now(primary).wall, id(primary), next_committee);
        self.names.insert(skeleton.hash(), name.to_owned());
        self.nodes[primary].bodies.insert(skeleton.hash(), skeleton.clone());
        self.input(primary, Input::Proposed(skeleton.clone()));
        skeleton
    }

    /// The primary orders an empty block if a height must be filled (R26c).
    pub(crate) fn fill(&mut self) {
        let fills = |node: &&super::Node| node.runs() && node.replica().may_fill();
        let Some(primary) = self.nodes.iter().find(fills).map(|node| node.me.index()) else { return };
        let replica = self.nodes[primary].replica();
        let parent = replica.proposal_parent().expect("it may fill").clone();
        let next_committee = replica.next_committee_at(parent.height.next());
        let skeleton = block_of(&parent, Vec::new(), self.now(primary).wall, id(primary), next_committee);
        self.names.insert(skeleton.hash(), "empty".to_owned());
        self.nodes[primary].bodies.insert(skeleton.hash(), skeleton.clone());
        self.input(primary, Input::Proposed(skeleton));
    }

    pub(crate) fn propose(&mut self, name: &str) -> BlockSkeleton {
        self.try_propose(name).expect("the primary runs and has room")
    }

    /// Stands in for the engines of nodes that are behind: fetches certified blocks from a member
    /// that has them (R12b). It fetches at once if a certificate is known, and after a status
    /// interval if a member only claims them.
    pub(crate) fn catch_up(&mut self) {
        if !self.catching_up {
            return;
        }
        for index in 0..self.size() {
            let node = &self.nodes[index];
            let (tip, moment) = (node.tip().height, self.moment);
            let ahead = node.heads.iter().find(|(_, head)| **head > tip).map(|(member, _)| member.index());
            let Some(source) = ahead.filter(|_| node.runs()) else {
                self.nodes[index].behind_since = None;
                continue;
            };
            let since = *self.nodes[index].behind_since.get_or_insert(moment);
            if (self.nodes[index].certain > tip || moment.since(since) >= STATUS) && self.nodes[source].runs()
            {
                let (chain, now) = (self.nodes[source].chain.clone(), self.now(index));
                let certified = chain.last().expect("a chain has its root").height;
                if certified <= tip {
                    continue; // a crash took the blocks that it claimed
                }
                let certificate = self.nodes[source].certificates[&certified].clone();
                let before = self.nodes[index].finalised.len();
                self.nodes[index].catch_up_from(now, &chain, certificate);
                self.nodes[index].behind_since = None;
                self.flush(index, before);
            }
        }
    }

    /// Stands in for the engines when a view proposes blocks again: supplies their ids, if any
    /// running node has them (R12c).
    pub(crate) fn find_skeletons(&mut self) {
        if !self.finding_skeletons {
            return;
        }
        for index in 0..self.size() {
            for header in std::mem::take(&mut self.nodes[index].wanted) {
                let holders = self.nodes.iter().filter(|node| node.runs());
                let found = holders.filter_map(|node| node.bodies.get(&header.hash())).next().cloned();
                match found {
                    Some(skeleton) => self.input(index, Input::SkeletonFetched(skeleton)),
                    None => self.nodes[index].wanted.push(header),
                }
            }
        }
    }

    /// Supplies the transactions of all withheld blocks to this node.
    pub(crate) fn supply(&mut self, node: usize) {
        let (now, before) = (self.now(node), self.nodes[node].finalised.len());
        self.nodes[node].supply(now);
        self.flush(node, before);
    }

    /// Reports this pending work to every running node.
    pub(crate) fn all_have_work(&mut self, work: Work) {
        for node in 0..self.size() {
            if self.nodes[node].runs() {
                self.input(node, Input::Pending(work));
            }
        }
    }

    /// The engine of every running node reports censorship, so each node leaves its view (R21d).
    pub(crate) fn all_report_censorship(&mut self) {
        self.report_censorship(|_| true);
    }

    /// The engine of every running node but one reports censorship.
    pub(crate) fn all_report_censorship_but(&mut self, spared: usize) {
        self.report_censorship(|node| node != spared);
    }

    fn report_censorship(&mut self, included: impl Fn(usize) -> bool) {
        for node in (0..self.size()).filter(|node| included(*node)) {
            if self.nodes[node].runs() {
                self.input(node, Input::Censored);
            }
        }
    }
}
