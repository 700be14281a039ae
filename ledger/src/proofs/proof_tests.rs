#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    Ballot, Body, ChainId, Commit, Committee, Hash, Height, MerklePath, Payload, ReplicaId, SecretKey,
    Signed, Timestamp, Transaction, VerifiedTransaction, View, decode, encode,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

struct World {
    keys: Vec<SecretKey>,
    anchor: ChainAnchor,
    headers: Vec<Header>,
    transactions: Vec<VerifiedTransaction>,
}

/// Blocks at heights 1 to 3; the first holds five transactions.
fn world() -> World {
    let mut keys: Vec<SecretKey> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    let genesis = Header::genesis(CHAIN, committee.hash(), Timestamp(0));
    let transactions: Vec<_> = (0..5)
        .map(|nonce| {
            Transaction::sign(&CHAIN, &keys[0], nonce, Timestamp(9), Payload::Data(vec![1]))
                .verify(&CHAIN)
                .unwrap()
        })
        .collect();
    let mut headers = vec![Header::after(&genesis, &Body::of(&transactions), Timestamp(5), ReplicaId(0))];
    for time in [6, 7] {
        let parent = headers.last().unwrap();
        headers.push(Header::after(parent, &Body::of(&[]), Timestamp(time), ReplicaId(0)));
    }
    World { keys, anchor: ChainAnchor::new(CHAIN, committee), headers, transactions }
}

impl World {
    fn certify(&self, header: &Header) -> CommitCertificate {
        let ballot =
            Ballot { epoch: header.epoch, view: View(2), height: header.height, block: header.hash() };
        let commits: Vec<_> = (0..)
            .zip(&self.keys)
            .map(|(i, key)| Signed::sign(&CHAIN, key, ReplicaId(i), Commit(ballot)))
            .collect();
        CommitCertificate::assemble(self.anchor.newest(), ballot, &commits).unwrap().into_inner()
    }

    fn receipt(&self, index: usize, certified: usize) -> Receipt {
        let ids: Vec<_> = self.transactions.iter().map(VerifiedTransaction::id).collect();
        Receipt {
            transaction: ids[index],
            index: u32::try_from(index).unwrap(),
            path: MerklePath::new(&ids, index).unwrap(),
            proof: FinalityProof {
                header: self.headers[0].clone(),
                descendants: self.headers[1..=certified].to_vec(),
                certificate: self.certify(&self.headers[certified]),
            },
        }
    }
}

#[test]
fn a_receipt_proves_with_and_without_descendants() {
    let world = world();
    for certified in 0..3 {
        for index in 0..5 {
            world.receipt(index, certified).verify(&world.anchor).unwrap();
        }
    }
}

/// Every byte of a receipt matters: any change makes it invalid.
#[test]
fn every_changed_byte_makes_a_receipt_invalid() {
    let world = world();
    let receipt = world.receipt(3, 1);
    let bytes = encode(&receipt);
    for position in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[position] ^= flip;
            let holds = decode::<Receipt>(&changed).is_ok_and(|claim| claim.verify(&world.anchor).is_ok());
            assert!(!holds, "byte {position} flipped by {flip:#x}");
        }
    }
}

#[test]
fn a_receipt_of_another_chain_or_committee_is_refused() {
    let world = world();
    let receipt = world.receipt(0, 0);
    let other = ChainAnchor::new(ChainId::from_bytes([2; 32]), world.anchor.newest().clone());
    assert!(matches!(receipt.verify(&other), Err(ProofError::Header { field: "chain_id", .. })));
    let other = ChainAnchor::new(CHAIN, Committee::new(Epoch(0), vec![world.keys[0].public()]).unwrap());
    assert!(matches!(receipt.verify(&other), Err(ProofError::Header { field: "committee", .. })));
}

#[test]
fn a_gap_between_block_and_certificate_is_refused() {
    let world = world();
    let mut receipt = world.receipt(0, 2);
    receipt.proof.descendants.remove(0);
    assert_eq!(receipt.verify(&world.anchor), Err(ProofError::Broken { height: Height(3) }));
    receipt.proof.descendants.clear();
    assert_eq!(receipt.verify(&world.anchor), Err(ProofError::Uncertified));
}

type Change = fn(&mut Header);

/// Even certified: if the committee signs such headers, it violates the protocol, and they prove
/// nothing about this chain.
#[test]
fn certified_headers_of_another_chain_are_refused() {
    let world = world();
    let changes: [(&str, Change); 3] = [
        ("version", |header| header.version += 1),
        ("chain_id", |header| header.chain_id = ChainId::from_bytes([9; 32])),
        ("committee", |header| header.committee = Hash::ZERO),
    ];
    for (field, change) in changes {
        let mut receipt = world.receipt(0, 1);
        change(&mut receipt.proof.descendants[0]);
        receipt.proof.certificate = world.certify(&receipt.proof.descendants[0]);
        let refusal = Err(ProofError::Header { height: Height(2), field });
        assert_eq!(receipt.verify(&world.anchor), refusal);
    }
}

#[test]
fn certified_headers_that_do_not_follow_are_refused() {
    let world = world();
    let changes: [Change; 4] = [
        |header| header.height = Height(3),
        |header| header.height = Height(0),
        |header| header.parent = header.hash(),
        |header| header.timestamp = Timestamp(5),
    ];
    for change in changes {
        let mut receipt = world.receipt(0, 1);
        change(&mut receipt.proof.descendants[0]);
        let height = receipt.proof.descendants[0].height;
        receipt.proof.certificate = world.certify(&receipt.proof.descendants[0]);
        assert_eq!(receipt.verify(&world.anchor), Err(ProofError::Broken { height }));
    }
}

/// Every field of the ballot must match the last header.
#[test]
fn a_good_certificate_for_another_block_is_refused() {
    let world = world();
    let mut receipt = world.receipt(0, 1);
    receipt.proof.certificate = world.certify(&world.headers[2]);
    assert_eq!(receipt.verify(&world.anchor), Err(ProofError::Uncertified));
}

#[test]
fn a_proof_with_too_many_descendants_is_refused_before_it_is_checked() {
    let world = world();
    let mut receipt = world.receipt(0, 0);
    receipt.proof.descendants = vec![world.headers[1].clone(); MAX_DESCENDANTS as usize + 1];
    assert_eq!(receipt.verify(&world.anchor), Err(ProofError::TooLong(65)));
    assert!(decode::<Receipt>(&encode(&receipt)).is_err());
}
