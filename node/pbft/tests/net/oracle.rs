//! What must hold whatever happens, checked on every message and block with arithmetic of its own.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Ballot, BlockHash, Height, ReplicaId, Signature, View};
use quorate_pbft::{Finalised, Message, Record};

use super::node::Node;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    PrePrepare,
    Prepare,
    Commit,
}

#[derive(Default)]
pub(crate) struct Oracle {
    members: usize,
    /// What each correct member said, by kind, view and height.
    said: BTreeMap<(ReplicaId, Kind, View, Height), BlockHash>,
    /// Every COMMIT that was put on the way by anybody.
    commits: BTreeSet<(ReplicaId, Ballot, Signature)>,
    /// What correct members hold to be final.
    finals: BTreeMap<Height, BlockHash>,
    /// Length of each member's chain when it was last looked at.
    looked_at: BTreeMap<ReplicaId, usize>,
}

impl Oracle {
    pub(crate) fn of(members: usize) -> Self {
        Oracle { members, ..Oracle::default() }
    }

    /// A correct node hands out a message: its own votes in it must be promises that it has written down.
    pub(crate) fn speaks(&mut self, node: &Node, message: &Message) {
        let (kind, signer, ballot) = match message {
            Message::PrePrepare(proposal) => (Kind::PrePrepare, proposal.vote.signer, proposal.vote.body.0),
            Message::Prepare(vote) => (Kind::Prepare, vote.signer, vote.body.0),
            Message::Commit(vote) => {
                self.commits.insert((vote.signer, vote.body.0, vote.signature));
                (Kind::Commit, vote.signer, vote.body.0)
            }
            Message::Status(_) => return,
        };
        if signer != node.me {
            assert_eq!(kind, Kind::PrePrepare, "R2: only proposals are passed on");
            return;
        }
        let said = *self.said.entry((node.me, kind, ballot.view, ballot.height)).or_insert(ballot.block);
        assert_eq!(said, ballot.block, "R4: member {} contradicts itself at {ballot:?}", node.me);
        let at_height = || node.journal.iter().filter(|record| record.height() == ballot.height);
        let remembered = at_height().any(|record| match (kind, record) {
            (Kind::PrePrepare | Kind::Prepare, Record::Accepted(proposal)) => *proposal.ballot() == ballot,
            (Kind::Commit, Record::Prepared(certificate)) => certificate.ballot() == ballot,
            _ => false,
        });
        assert!(remembered, "R13: member {} speaks before it remembers: {ballot:?}", node.me);
        if kind == Kind::Commit {
            Oracle::commits_in_order(node, &ballot);
        }
    }

    /// R10: a COMMIT needs the parent to be final here, or our COMMIT for it in the same view, which counts from
    /// when it was written down.
    fn commits_in_order(node: &Node, ballot: &Ballot) {
        let parent = node.bodies[&ballot.block].header().parent;
        let below = ballot.height.previous().expect("nobody commits to the root");
        let below_it = usize::try_from(below.0).expect("a short chain");
        let is_final = node.chain.get(below_it).is_some_and(|header| header.hash() == parent);
        let promised = Ballot { height: below, block: parent, ..*ballot };
        let is_promised = || {
            node.journal.iter().any(|record| match record {
                Record::Prepared(certificate) => record.height() == below && certificate.ballot() == promised,
                _ => false,
            })
        };
        assert!(is_final || is_promised(), "R10: member {} commits out of order: {ballot:?}", node.me);
    }

    /// A corrupt member sends something: its COMMITs may end in certificates.
    pub(crate) fn injected(&mut self, message: &Message) {
        if let Message::Commit(vote) = message {
            self.commits.insert((vote.signer, vote.body.0, vote.signature));
        }
    }

    /// R8: a certificate has exactly two thirds of the members, rounded up, and all of them said it.
    pub(crate) fn certified(&self, node: &Node, finalised: &Finalised) {
        let (ballot, votes) = (finalised.certificate.ballot(), finalised.certificate.votes());
        assert_eq!(votes.signers().count(), (2 * self.members).div_ceil(3), "R1: exactly a quorum");
        for (signer, signature) in votes.signers().iter().zip(votes.signatures()) {
            let said = signer == node.me || self.commits.contains(&(signer, *ballot, *signature));
            assert!(said, "member {signer} never committed to {ballot:?}");
        }
    }

    /// Agreement: nobody holds another block to be final, and every block extends the one below.
    pub(crate) fn agrees(&mut self, node: &Node) {
        let before = self.looked_at.insert(node.me, node.chain.len()).unwrap_or(1);
        for pair in node.chain[before.min(node.chain.len()) - 1..].windows(2) {
            assert_eq!(pair[1].parent, pair[0].hash(), "a chain");
            assert_eq!(pair[1].height, pair[0].height.next(), "without a gap");
            let hash = pair[1].hash();
            let agreed = *self.finals.entry(pair[1].height).or_insert(hash);
            assert_eq!(agreed, hash, "AGREEMENT broken at height {} by member {}", pair[1].height, node.me);
        }
    }
}
