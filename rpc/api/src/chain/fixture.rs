//! A small certified chain for the tests of this crate.

#![allow(clippy::unwrap_used)]

use quorate_ledger::{
    Ballot, Block, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee, Epoch, EpochProof,
    FinalityProof, Header, MerklePath, Payload, PublicKey, Receipt, ReplicaId, SecretKey, Signed, Timestamp,
    Transaction, VerifiedTransaction, View,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

pub(crate) struct World {
    keys: Vec<SecretKey>,
    pub(crate) anchor: ChainAnchor,
    /// Heights 1 to 3; the first block has five transactions, the others have none.
    pub(crate) blocks: Vec<Block>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut keys: Vec<SecretKey> =
            (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::public);
        let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
        let genesis = Header::genesis(CHAIN, committee.hash(), Timestamp(0));
        let transactions: Vec<VerifiedTransaction> = (0..5)
            .map(|nonce| {
                let payload = Payload::Data(vec![7; usize::try_from(nonce).unwrap()]);
                Transaction::sign(&CHAIN, &keys[0], nonce, Timestamp(9), payload).verify(&CHAIN).unwrap()
            })
            .collect();
        let mut blocks = Vec::new();
        let mut parent = genesis;
        for (time, transactions) in [(5, &transactions[..]), (6, &[]), (7, &[])] {
            let body = Body::of(transactions);
            let header = Header::after(&parent, &body, Timestamp(time), ReplicaId(1));
            parent = header.clone();
            blocks.push(Block::new(header, body).unwrap());
        }
        World { keys, anchor: ChainAnchor::new(CHAIN, committee), blocks }
    }

    pub(crate) fn certify(&self, block: &Block) -> CommitCertificate {
        self.certify_header(block.header())
    }

    fn certify_header(&self, header: &Header) -> CommitCertificate {
        let ballot = Ballot { epoch: Epoch(0), view: View(12), height: header.height, block: header.hash() };
        let commits: Vec<_> = (0..)
            .zip(&self.keys)
            .map(|(i, key)| Signed::sign(&CHAIN, key, ReplicaId(i), Commit(ballot)))
            .collect();
        CommitCertificate::assemble(self.anchor.newest(), ballot, &commits).unwrap().into_inner()
    }

    /// Proof of the first block by the certificate of `blocks[certified]`.
    pub(crate) fn proof(&self, certified: usize) -> FinalityProof {
        FinalityProof {
            header: self.blocks[0].header().clone(),
            descendants: self.blocks[1..=certified].iter().map(|block| block.header().clone()).collect(),
            certificate: self.certify(&self.blocks[certified]),
        }
    }

    /// Proof that epoch 0 ends with a block above the others. The members stay.
    pub(crate) fn epoch_proof(&self) -> EpochProof {
        let next: Vec<PublicKey> = self.keys.iter().map(SecretKey::public).collect();
        let next_committee = Committee::new(Epoch(1), next.clone()).unwrap().hash();
        let parent = self.blocks[2].header();
        let header =
            Header { next_committee, ..Header::after(parent, &Body::of(&[]), Timestamp(8), ReplicaId(1)) };
        let certificate = self.certify_header(&header);
        EpochProof { last: FinalityProof { header, descendants: Vec::new(), certificate }, next }
    }

    pub(crate) fn receipt(&self, index: usize, certified: usize) -> Receipt {
        let ids = self.blocks[0].body().ids();
        Receipt {
            transaction: ids[index],
            index: u32::try_from(index).unwrap(),
            path: MerklePath::new(ids, index).unwrap(),
            proof: self.proof(certified),
        }
    }
}
