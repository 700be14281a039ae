//! Exports of chains whose members sign everything.

use std::collections::BTreeMap;
use std::path::Path;

use quorate_genesis::TestNetwork;
use quorate_governance::{ExecutedBlock, GovernanceTransaction, Operation, State};
use quorate_ledger::{
    Ballot, Block, BlockHash, Body, Commit, CommitCertificate, Header, Height, Payload, ReplicaId, SecretKey,
    Signed, Timestamp, VerifiedTransaction, View,
};
use quorate_store::{CertifiedRange, ExportWriter};

/// W of these networks: a change that block c decides takes effect at c + 3.
const WINDOW: u64 = 2;

/// Time of block h: this, and h milliseconds. It is later than that of the genesis.
pub(crate) const TIME_MS: u64 = 1_700_000_100_000;

/// A chain with a certificate for each block.
pub(crate) struct Chain {
    pub(crate) network: TestNetwork,
    pub(crate) state: State,
    /// The keys that sign certificates, in committee order.
    pub(crate) signers: Vec<SecretKey>,
    ranges: Vec<CertifiedRange>,
    hashes: BTreeMap<Height, BlockHash>,
}

impl Chain {
    /// A network of this many members, without a block.
    pub(crate) fn of(members: usize) -> Self {
        let network = TestNetwork::seeded(members, 1);
        let network = network.with_parameters(|parameters| parameters.consensus.window = WINDOW).unwrap();
        Chain {
            state: network.genesis().governance_state(),
            signers: network.keys().to_vec(),
            hashes: BTreeMap::from([(Height(0), network.genesis().header().hash())]),
            ranges: Vec::new(),
            network,
        }
    }

    /// The last header.
    pub(crate) fn last(&self) -> &Header {
        let last = self.ranges.last().and_then(|range| range.blocks.last());
        last.map_or(self.network.genesis().header(), Block::header)
    }

    /// Adds a block with these operations of members.
    pub(crate) fn block(&mut self, operations: &[(u16, Operation)]) {
        let (chain, height) = (self.network.genesis().chain_id(), self.last().height.next());
        let payloads: Vec<Vec<u8>> = operations.iter().map(|(_, operation)| operation.to_bytes()).collect();
        let sign = |(nonce, (member, payload)): (u64, (u16, &Vec<u8>))| {
            let key = self.network.governance_key(ReplicaId(member));
            let nonce = height.0 * 100 + nonce;
            let payload = Payload::Governance(payload.clone());
            VerifiedTransaction::sign(&chain, key, nonce, Timestamp(u64::MAX), payload)
        };
        let members = operations.iter().map(|(member, _)| *member);
        let transactions: Vec<_> = (0..).zip(members.zip(&payloads)).map(sign).collect();
        let body = Body::of(&transactions);
        let mut header = Header::after(self.last(), &body, Timestamp(TIME_MS + height.0), ReplicaId(0));
        header.next_committee = self.state.config(height.next()).unwrap().committee().hash();
        let block = Block::new(header, body).unwrap();
        let executed: Vec<_> = transactions
            .iter()
            .zip(&payloads)
            .map(|(transaction, payload)| GovernanceTransaction {
                id: transaction.id(),
                sender: transaction.transaction().sender,
                payload,
            })
            .collect();
        let certificate = self.certificate(&block);
        let executed = ExecutedBlock { height, hash: block.hash(), transactions: &executed };
        self.state.apply(&executed, &self.hashes).unwrap();
        self.hashes.insert(height, block.hash());
        self.ranges.push(CertifiedRange { blocks: vec![block], certificate });
    }

    pub(crate) fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block(&[]);
        }
    }

    fn certificate(&self, block: &Block) -> CommitCertificate {
        let (epoch, height) = (block.header().epoch, block.height());
        let ballot = Ballot { epoch, view: View(0), height, block: block.hash() };
        let chain = self.network.genesis().chain_id();
        let sign = |(index, key)| Signed::sign(&chain, key, ReplicaId(index), Commit(ballot));
        let votes: Vec<_> = (0..).zip(&self.signers).map(sign).collect();
        let committee = self.state.config(height).unwrap().committee();
        CommitCertificate::assemble(committee, ballot, &votes).unwrap().into_inner()
    }

    /// Writes an export of all blocks.
    pub(crate) fn export(&self, path: &Path) {
        let genesis = self.network.genesis();
        let initial = genesis.governance_state();
        let opened = ExportWriter::open(path, genesis.header(), &initial, genesis.anchor(), |_, _| {});
        let (mut writer, _) = opened.unwrap();
        for range in &self.ranges {
            writer.write(range.clone()).unwrap();
        }
        writer.sync().unwrap();
    }
}
