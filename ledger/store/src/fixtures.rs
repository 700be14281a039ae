//! Chains for the tests of this crate, with real keys, real signatures and small blocks.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use quorate_governance::{
    ExecutedBlock, GovernanceTransaction, InitialState, Member, Operation, Outcome, Settings, State,
};
use quorate_ledger::{
    Ballot, Block, BlockHash, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee, Epoch,
    EpochProof, FinalityProof, Header, Height, Payload, PublicKey, ReplicaId, SecretKey, Signed, Timestamp,
    TransactionId, VerifiedTransaction, View,
};

use crate::{ForgetfulDisk, JournalIdentity, Ledger, Row, RowKey};

pub(crate) const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// W and K of all chains: a change takes effect two heights after its decision.
pub(crate) const WINDOW: u64 = 1;
pub(crate) const INTERVAL: u64 = 2;

/// A committee of four and the blocks it ordered. Block h has time 1000 h and h % 3 transactions.
pub(crate) struct Chain {
    /// Of the members in committee order. Each has one key for both purposes.
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) anchor: ChainAnchor,
    pub(crate) genesis: Header,
    /// The governance state before block 1.
    pub(crate) initial: State,
    /// The governance state after the last block.
    pub(crate) state: State,
    /// The outcomes of the governance transactions of the last block.
    pub(crate) outcomes: Vec<Outcome>,
    hashes: BTreeMap<Height, BlockHash>,
    /// From height 1 on.
    pub(crate) blocks: Vec<Block>,
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    let consensus = &mut settings.parameters.consensus;
    (consensus.window, consensus.checkpoint_interval, consensus.log_window) =
        (WINDOW, INTERVAL, 2 * INTERVAL);
    settings
}

/// A transaction with an operation.
pub(crate) fn operation(key: &SecretKey, nonce: u64, operation: &Operation) -> VerifiedTransaction {
    let payload = Payload::Governance(operation.to_bytes());
    VerifiedTransaction::sign(&CHAIN, key, nonce, Timestamp(u64::MAX), payload)
}

pub(crate) fn public_key(seed: u8) -> PublicKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap().public()
}

pub(crate) fn transaction(key: &SecretKey, nonce: u64) -> VerifiedTransaction {
    let payload = Payload::Data(nonce.to_be_bytes().to_vec());
    VerifiedTransaction::sign(&CHAIN, key, nonce, Timestamp(u64::MAX), payload)
}

impl Chain {
    pub(crate) fn of(length: u64) -> Self {
        Chain::from_nonce(length, 0)
    }

    /// Chains of different nonces have the same genesis and no block in common.
    pub(crate) fn from_nonce(length: u64, nonce: u64) -> Self {
        let mut chain = Chain::with_settings(settings());
        for height in 1..=length {
            let transactions: Vec<_> = (0..height % 3)
                .map(|number| transaction(&chain.keys[0], nonce + 10 * height + number))
                .collect();
            chain.extend(&transactions, Timestamp(1000 * height + nonce.min(1)));
        }
        chain
    }

    /// A chain without a block.
    pub(crate) fn with_settings(settings: Settings) -> Self {
        let mut keys: Vec<SecretKey> =
            (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::public);
        let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
        let genesis = Header::genesis(CHAIN, committee.hash(), Timestamp(0));
        let member = |(index, key): (usize, &SecretKey)| Member {
            name: format!("m{index}").parse().unwrap(),
            consensus_key: key.public(),
            governance_key: key.public(),
        };
        let members = keys.iter().enumerate().map(member).collect();
        let clients = Vec::new();
        let initial = InitialState { chain: CHAIN, block: genesis.hash(), members, settings, clients };
        let initial = State::initial(initial).unwrap();
        Chain {
            keys,
            anchor: ChainAnchor::new(CHAIN, committee),
            hashes: BTreeMap::from([(Height(0), genesis.hash())]),
            genesis,
            state: initial.clone(),
            initial,
            outcomes: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// A chain whose epochs have this many blocks each, except for the newest one, which has at most
    /// as many. The members stay the same: in each epoch, another one of them renews its key.
    pub(crate) fn with_epochs(length: u64, blocks_per_epoch: u64) -> Self {
        let mut chain = Chain::of(0);
        for height in 1..=length {
            let mut transactions = vec![transaction(&chain.keys[0], height)];
            if (height + WINDOW).is_multiple_of(blocks_per_epoch) {
                let member = usize::try_from(height / blocks_per_epoch).unwrap() % chain.keys.len();
                transactions.push(operation(&chain.keys[member], height, &Operation::Renew));
            }
            chain.extend(&transactions, Timestamp(1000 * height));
        }
        chain
    }

    fn committee(&self, epoch: Epoch) -> Committee {
        Committee::new(epoch, self.keys.iter().map(SecretKey::public).collect()).unwrap()
    }

    /// An anchor with the committees of the epochs up to that of the block at this height.
    pub(crate) fn anchor_up_to(&self, height: u64) -> ChainAnchor {
        let mut anchor = self.anchor.clone();
        for height in 1..height {
            let header = self.block(height).header().clone();
            if header.ends_epoch() {
                let last =
                    FinalityProof { header, descendants: Vec::new(), certificate: self.certificate(height) };
                let next = self.keys.iter().map(SecretKey::public).collect();
                anchor.extend(&EpochProof { last, next }).unwrap();
            }
        }
        anchor
    }

    pub(crate) fn extend(&mut self, transactions: &[VerifiedTransaction], time: Timestamp) {
        let block = self.block_with(transactions, time);
        self.hashes.insert(block.height(), block.hash());
        let operations = block.body().governance();
        let operations: Vec<_> = operations
            .map(|(_, transaction)| (transaction.id(), transaction.sender, transaction.payload))
            .collect();
        let transactions: Vec<_> = operations
            .iter()
            .filter_map(|(id, sender, payload)| match payload {
                Payload::Governance(payload) => {
                    Some(GovernanceTransaction { id: *id, sender: *sender, payload })
                }
                Payload::Data(_) => None,
            })
            .collect();
        let executed =
            ExecutedBlock { height: block.height(), hash: block.hash(), transactions: &transactions };
        self.outcomes = self.state.apply(&executed, &self.hashes).unwrap();
        self.blocks.push(block);
    }

    /// The next block, which is not added.
    pub(crate) fn block_with(&self, transactions: &[VerifiedTransaction], time: Timestamp) -> Block {
        let body = Body::of(transactions);
        let parent = self.blocks.last().map_or(&self.genesis, Block::header);
        let mut header = Header::after(parent, &body, time, ReplicaId(0));
        header.next_committee = self.state.config(header.height.next()).unwrap().committee().hash();
        Block::new(header, body).unwrap()
    }

    /// The block at a height from 1 on.
    pub(crate) fn block(&self, height: u64) -> &Block {
        &self.blocks[usize::try_from(height).unwrap() - 1]
    }

    pub(crate) fn certificate(&self, height: u64) -> CommitCertificate {
        self.certificate_of(self.block(height))
    }

    pub(crate) fn certificate_of(&self, block: &Block) -> CommitCertificate {
        let ballot = Ballot {
            epoch: block.header().epoch,
            view: View(0),
            height: block.height(),
            block: block.hash(),
        };
        let commits: Vec<_> = (0..)
            .zip(&self.keys)
            .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot)))
            .collect();
        CommitCertificate::assemble(&self.committee(ballot.epoch), ballot, &commits).unwrap().into_inner()
    }

    /// Appends the blocks of these heights with a certificate for the last.
    pub(crate) fn append(&self, ledger: &mut Ledger, heights: std::ops::RangeInclusive<u64>) {
        let blocks: Vec<Block> = heights.clone().map(|height| self.block(height).clone()).collect();
        ledger.append(&blocks, &self.certificate(*heights.end())).unwrap();
    }

    /// A ledger in memory that holds the whole chain: block 1 with its own certificate, then one
    /// certificate for every three blocks.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger =
            Ledger::create_on(ForgetfulDisk::new().attach(), &self.genesis, &self.initial).unwrap();
        self.fill(&mut ledger);
        ledger
    }

    pub(crate) fn fill(&self, ledger: &mut Ledger) {
        let last = self.blocks.len() as u64;
        let mut first = 1;
        while first <= last {
            let end = if first == 1 { 1 } else { last.min(first + 2) };
            self.append(ledger, first..=end);
            first = end + 1;
        }
    }

    pub(crate) fn ids(&self, height: u64) -> Vec<TransactionId> {
        self.block(height).body().ids().to_vec()
    }
}

pub(crate) fn identity() -> JournalIdentity {
    JournalIdentity { chain_id: CHAIN, validator: public_key(1) }
}

pub(crate) fn key(height: u64, kind: u8, detail: u8) -> RowKey {
    RowKey { height: Height(height), kind, detail: [detail; 32] }
}

pub(crate) fn row(key: RowKey, value: &[u8]) -> Row<'_> {
    Row { key, value: value.into() }
}

/// A ledger file in which one bit of the body at a height is flipped, in every copy of the page,
/// because old copies stay in the file.
pub(crate) fn with_damaged_body(chain: &Chain, height: u64, mut file: Vec<u8>) -> Vec<u8> {
    let body = chain.block(height).body().as_bytes();
    assert!(body.len() > 32, "the body is found by its content");
    let copies: Vec<usize> =
        (0..=file.len() - body.len()).filter(|at| file[*at..].starts_with(body)).collect();
    assert!(!copies.is_empty());
    copies.into_iter().for_each(|at| file[at + body.len() - 1] ^= 1);
    file
}
