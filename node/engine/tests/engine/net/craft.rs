//! Blocks, votes and certificates made by hand, with the keys of the whole committee.

use quorate_ledger::{
    Ballot, Block, Body, Commit, CommitCertificate, Epoch, ReplicaId, Signed, VerifiedTransaction, View,
};
use quorate_pbft::{Checked, Message, PrePrepare, Prepare, Proposal};

use crate::net::{Net, id};

impl Net {
    /// A block that the primary could propose on this parent.
    pub(crate) fn block_on(
        &self,
        parent: &quorate_ledger::Header,
        transactions: &[VerifiedTransaction],
    ) -> Block {
        Block::after(parent, Body::of(transactions), self.wall(), ReplicaId(0)).unwrap()
    }

    pub(crate) fn ballot(block: &Block) -> Ballot {
        Ballot { epoch: Epoch(0), view: View(0), height: block.height(), block: block.hash() }
    }

    /// The primary's proposal of any block.
    pub(crate) fn proposal(&self, block: &Block) -> Checked {
        let vote = Signed::sign(
            &self.genesis.chain_id(),
            &self.keys[0],
            ReplicaId(0),
            PrePrepare(Net::ballot(block)),
        );
        let proposal = Proposal {
            vote: vote.into_inner(),
            header: block.header().clone(),
            ids: block.body().ids().to_vec(),
        };
        self.check(ReplicaId(0), Message::PrePrepare(proposal))
    }

    pub(crate) fn commit_vote(&self, member: usize, block: &Block) -> Message {
        let chain = self.genesis.chain_id();
        let vote = Signed::sign(&chain, &self.keys[member], id(member), Commit(Net::ballot(block)));
        Message::Commit(vote.into_inner())
    }

    pub(crate) fn prepare_vote(&self, member: usize, block: &Block) -> Message {
        let chain = self.genesis.chain_id();
        let vote = Signed::sign(&chain, &self.keys[member], id(member), Prepare(Net::ballot(block)));
        Message::Prepare(vote.into_inner())
    }

    /// A quorum's certificate for any block.
    pub(crate) fn certificate(&self, block: &Block) -> CommitCertificate {
        self.certificate_of(Net::ballot(block))
    }

    /// A quorum's certificate for any ballot.
    pub(crate) fn certificate_of(&self, ballot: Ballot) -> CommitCertificate {
        let chain = self.genesis.chain_id();
        let commits: Vec<_> = (0..)
            .zip(&self.keys)
            .map(|(member, key)| Signed::sign(&chain, key, ReplicaId(member), Commit(ballot)))
            .collect();
        CommitCertificate::assemble(self.genesis.committee(), ballot, &commits).unwrap().into_inner()
    }

    /// Blocks on the genesis, each with one transaction.
    pub(crate) fn chain_of(&self, length: u64) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for nonce in 0..length {
            let parent = blocks.last().map_or(self.genesis.header(), Block::header);
            let block = self.block_on(parent, &[self.transaction(1_000_000 + nonce)]);
            blocks.push(block);
        }
        blocks
    }
}
