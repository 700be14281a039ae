//! Chains of several epochs with random committees: their proofs hold, and hold only as they were
//! made.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{Index, subsequence};
use quorate_ledger::{
    Ballot, Block, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee, Epoch, EpochProof,
    FinalityProof, Header, MerklePath, Payload, ProofError, PublicKey, Receipt, ReplicaId, SecretKey, Signed,
    Timestamp, VerifiedTransaction, View, decode, encode,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// Keys that may be members.
const KEYS: usize = 7;

fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> =
        (1..).take(KEYS).map(|b| SecretKey::from_bytes(&[b; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

/// The members of an epoch, as indices of keys, and the number of its blocks.
type Plan = Vec<(Vec<usize>, u64)>;

fn plans() -> impl Strategy<Value = Plan> {
    vec((subsequence((0..KEYS).collect::<Vec<_>>(), 1..=KEYS), 1..4u64), 1..=5)
}

struct Chain {
    committees: Vec<Vec<SecretKey>>,
    anchor: ChainAnchor,
    /// From height 1 on, two transactions each.
    blocks: Vec<Block>,
}

fn members(keys: &[SecretKey]) -> Vec<PublicKey> {
    keys.iter().map(SecretKey::public).collect()
}

impl Chain {
    fn of(plan: &Plan) -> Self {
        let all = keys();
        let of_epoch =
            |(members, _): &(Vec<usize>, u64)| members.iter().map(|key| all[*key].clone()).collect();
        let committees: Vec<Vec<SecretKey>> = plan.iter().map(of_epoch).collect();
        let committee = Committee::new(Epoch(0), members(&committees[0])).unwrap();
        let mut parent = Header::genesis(CHAIN, committee.hash(), Timestamp(0));
        let mut chain = Chain { committees, anchor: ChainAnchor::new(CHAIN, committee), blocks: Vec::new() };
        for (epoch, (_, length)) in (0..).zip(plan) {
            for place in 1..=*length {
                let sign = |nonce| {
                    let payload = Payload::Data(vec![7]);
                    VerifiedTransaction::sign(&CHAIN, &all[0], nonce, Timestamp(u64::MAX), payload)
                };
                let nonce = 2 * chain.blocks.len() as u64;
                let body = Body::of(&[sign(nonce), sign(nonce + 1)]);
                let mut header = Header::after(&parent, &body, Timestamp(0), ReplicaId(0));
                if place == *length && epoch + 1 < plan.len() {
                    header.next_committee = chain.committee(epoch + 1).hash();
                }
                parent = header.clone();
                chain.blocks.push(Block::new(header, body).unwrap());
            }
        }
        chain
    }

    fn committee(&self, epoch: usize) -> Committee {
        Committee::new(Epoch(epoch as u64), members(&self.committees[epoch])).unwrap()
    }

    fn certificate(&self, header: &Header) -> CommitCertificate {
        let epoch = usize::try_from(header.epoch.0).unwrap();
        let ballot =
            Ballot { epoch: header.epoch, view: View(2), height: header.height, block: header.hash() };
        let commits: Vec<_> = (0..)
            .zip(&self.committees[epoch])
            .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot)))
            .collect();
        CommitCertificate::assemble(&self.committee(epoch), ballot, &commits).unwrap().into_inner()
    }

    /// The proof of the block at an index by the certificate of a later block of the same epoch.
    fn proof(&self, block: usize, certified: usize) -> FinalityProof {
        let headers = &self.blocks[block..=certified];
        let mut headers: Vec<Header> = headers.iter().map(|block| block.header().clone()).collect();
        let certificate = self.certificate(headers.last().unwrap());
        FinalityProof { header: headers.remove(0), descendants: headers, certificate }
    }

    fn receipt(&self, block: usize, certified: usize) -> Receipt {
        let ids = self.blocks[block].body().ids();
        let path = MerklePath::new(ids, 1).unwrap();
        Receipt { transaction: ids[1], index: 1, path, proof: self.proof(block, certified) }
    }

    fn epoch_proofs(&self) -> Vec<EpochProof> {
        let ends = (0..self.blocks.len()).filter(|index| self.blocks[*index].header().ends_epoch());
        let prove = |(next, block): (usize, usize)| EpochProof {
            last: self.proof(block, block),
            next: members(&self.committees[next]),
        };
        (1..).zip(ends).map(prove).collect()
    }

    /// The last block of the epoch of a block.
    fn end_of_epoch(&self, block: usize) -> usize {
        let epoch = self.blocks[block].header().epoch;
        self.blocks.iter().rposition(|other| other.header().epoch == epoch).unwrap()
    }
}

/// The anchor with all of these proofs, if it accepts them.
fn extended(anchor: &ChainAnchor, proofs: &[EpochProof]) -> Option<ChainAnchor> {
    let mut anchor = anchor.clone();
    proofs.iter().all(|proof| anchor.extend(proof).is_ok()).then_some(anchor)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn proofs_hold_from_the_epoch_proof_on_that_names_their_committee(plan in plans(), at in any::<Index>()) {
        let chain = Chain::of(&plan);
        let proofs = chain.epoch_proofs();
        prop_assert_eq!(proofs.len() + 1, plan.len());
        let block = at.index(chain.blocks.len());
        let epoch = chain.blocks[block].header().epoch;
        let receipts = [chain.receipt(block, block), chain.receipt(block, chain.end_of_epoch(block))];
        for known in 0..=proofs.len() {
            let anchor = extended(&chain.anchor, &proofs[..known]).unwrap();
            let newest = Epoch(known as u64);
            let expected = if epoch <= newest { Ok(()) } else { Err(ProofError::Unproven { epoch, newest }) };
            for receipt in &receipts {
                prop_assert_eq!(receipt.verify(&anchor), expected.clone());
            }
        }
    }

    #[test]
    fn no_changed_byte_of_a_receipt_or_epoch_proof_is_accepted(
        plan in plans(),
        at in any::<Index>(),
        byte in any::<Index>(),
        bit in 0..8u32,
    ) {
        let chain = Chain::of(&plan);
        let proofs = chain.epoch_proofs();
        let anchor = extended(&chain.anchor, &proofs).unwrap();
        let block = at.index(chain.blocks.len());
        let mut bytes = encode(&chain.receipt(block, chain.end_of_epoch(block)));
        let changed = byte.index(bytes.len());
        bytes[changed] ^= 1 << bit;
        let holds = decode::<Receipt>(&bytes).is_ok_and(|claim| claim.verify(&anchor).is_ok());
        prop_assert!(!holds, "byte {} of the receipt", changed);
        if !proofs.is_empty() {
            let which = at.index(proofs.len());
            let anchor = extended(&chain.anchor, &proofs[..which]).unwrap();
            let mut bytes = encode(&proofs[which]);
            let changed = byte.index(bytes.len());
            bytes[changed] ^= 1 << bit;
            let holds = decode::<EpochProof>(&bytes).is_ok_and(|claim| extended(&anchor, &[claim]).is_some());
            prop_assert!(!holds, "byte {} of epoch proof {}", changed, which);
        }
    }

    /// Only the list in order, from epoch 0 on, is accepted.
    #[test]
    fn proofs_in_another_order_are_refused(plan in plans(), first in any::<Index>(), second in any::<Index>()) {
        let chain = Chain::of(&plan);
        let mut proofs = chain.epoch_proofs();
        if proofs.len() >= 2 {
            let (first, second) = (first.index(proofs.len()), second.index(proofs.len()));
            proofs.swap(first, second);
            prop_assert_eq!(extended(&chain.anchor, &proofs).is_some(), first == second);
            proofs.swap(first, second);
            let removed = proofs.remove(first);
            let was_last = first == proofs.len();
            prop_assert_eq!(extended(&chain.anchor, &proofs).is_some(), was_last);
            proofs.insert(first, removed.clone());
            proofs.insert(first, removed);
            prop_assert!(extended(&chain.anchor, &proofs).is_none());
        }
    }
}
