#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    Ballot, Body, ChainId, Commit, CommitCertificate, Hash, Header, ReplicaId, SecretKey, Signed, Timestamp,
    View, decode, encode,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// Blocks per epoch in these tests.
const LENGTH: u64 = 3;

/// A chain with epochs. In each of them, another of five keys is absent.
struct Chain {
    anchor: ChainAnchor,
    /// From height 0 on.
    headers: Vec<Header>,
    /// Height of the last block of each ended epoch.
    ends: Vec<usize>,
}

fn keys(epoch: u64) -> Vec<SecretKey> {
    let absent = u8::try_from(epoch % 5).unwrap() + 1;
    let seeds = (1..=5).filter(|seed| *seed != absent);
    let mut keys: Vec<SecretKey> = seeds.map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

fn members(epoch: u64) -> Vec<PublicKey> {
    keys(epoch).iter().map(SecretKey::public).collect()
}

fn committee(epoch: u64) -> Committee {
    Committee::new(Epoch(epoch), members(epoch)).unwrap()
}

/// A certificate that the members of an epoch sign for any header.
fn certify(header: &Header, epoch: u64) -> CommitCertificate {
    let ballot = Ballot { epoch: header.epoch, view: View(2), height: header.height, block: header.hash() };
    let commits: Vec<_> = (0..)
        .zip(&keys(epoch))
        .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot)))
        .collect();
    CommitCertificate::assemble(&committee(epoch), ballot, &commits).unwrap().into_inner()
}

fn alone(header: Header, epoch: u64) -> FinalityProof {
    FinalityProof { certificate: certify(&header, epoch), header, descendants: Vec::new() }
}

impl Chain {
    fn of(ended: u64) -> Self {
        let mut headers = vec![Header::genesis(CHAIN, committee(0).hash(), Timestamp(0))];
        let mut ends = Vec::new();
        for epoch in 0..=ended {
            for place in 1..=LENGTH {
                let parent = headers.last().unwrap();
                let mut header =
                    Header::after(parent, &Body::of(&[]), parent.timestamp.plus_ms(1), ReplicaId(0));
                if place == LENGTH && epoch < ended {
                    header.next_committee = committee(epoch + 1).hash();
                    ends.push(headers.len());
                }
                header.check_follows(parent).unwrap();
                headers.push(header);
            }
        }
        Chain { anchor: ChainAnchor::new(CHAIN, committee(0)), headers, ends }
    }

    fn proof(&self, epoch: usize) -> EpochProof {
        let last = self.headers[self.ends[epoch]].clone();
        let epoch = u64::try_from(epoch).unwrap();
        EpochProof { last: alone(last, epoch), next: members(epoch + 1) }
    }

    /// An anchor with the first `ended` epoch proofs.
    fn proven(&self, ended: usize) -> ChainAnchor {
        let mut anchor = self.anchor.clone();
        (0..ended).for_each(|epoch| anchor.extend(&self.proof(epoch)).unwrap());
        anchor
    }

    /// The block at a height with the certificate of its epoch.
    fn final_block(&self, height: usize) -> FinalityProof {
        let header = self.headers[height].clone();
        let epoch = header.epoch.0;
        alone(header, epoch)
    }
}

/// Signs an altered last header of epoch 0.
fn altered(chain: &Chain, change: impl FnOnce(&mut Header)) -> EpochProof {
    let mut proof = chain.proof(0);
    change(&mut proof.last.header);
    proof.last = alone(proof.last.header, 0);
    proof
}

#[test]
fn every_block_is_proven_once_its_epoch_is() {
    let chain = Chain::of(3);
    for known in 0..=3 {
        let anchor = chain.proven(known);
        let newest = Epoch(u64::try_from(known).unwrap());
        assert_eq!(anchor.newest().epoch(), newest);
        for height in 1..chain.headers.len() {
            let proof = chain.final_block(height);
            let epoch = proof.header.epoch;
            if epoch <= newest {
                assert_eq!(proof.verify(&anchor), Ok(()), "height {height} with {known} proofs");
                assert!(anchor.heights(epoch).unwrap().contains(proof.header.height));
            } else {
                assert_eq!(proof.verify(&anchor), Err(ProofError::Unproven { epoch, newest }));
                assert_eq!(anchor.heights(epoch), None);
            }
        }
    }
    let anchor = chain.proven(2);
    let first_and_last = |epoch| {
        let heights = anchor.heights(Epoch(epoch)).unwrap();
        (heights.first.0, heights.last.map(|last| last.0))
    };
    assert_eq!([0, 1, 2].map(first_and_last), [(0, Some(3)), (4, Some(6)), (7, None)]);
    assert_eq!(anchor.committee(Epoch(1)), Some(&committee(1)));
    assert_eq!(anchor.committee(Epoch(3)), None);
}

#[test]
fn an_unproven_block_is_called_unproven_and_asks_for_the_epoch_proofs() {
    let chain = Chain::of(2);
    let text = chain.final_block(8).verify(&chain.anchor).unwrap_err().to_string();
    assert!(text.starts_with("unproven") && text.contains("give the epoch proofs up to epoch 2"), "{text}");
}

#[test]
fn proofs_are_taken_in_order_and_once() {
    let chain = Chain::of(3);
    let mut anchor = chain.proven(1);
    for (epoch, got) in [(0, 0), (2, 2)] {
        let refusal = EpochProofError::Epoch { wanted: Epoch(1), got: Epoch(got) };
        assert_eq!(anchor.extend(&chain.proof(epoch)), Err(refusal));
    }
    assert_eq!(anchor, chain.proven(1), "a refused proof changes nothing");
    anchor.extend(&chain.proof(1)).unwrap();
}

#[test]
fn a_block_within_an_epoch_does_not_end_it() {
    let chain = Chain::of(1);
    let mut anchor = chain.anchor.clone();
    let within = EpochProof { last: chain.final_block(2), next: members(1) };
    assert_eq!(anchor.extend(&within), Err(EpochProofError::NotLast { height: Height(2) }));
    let same = altered(&chain, |header| header.next_committee = header.committee);
    assert_eq!(anchor.extend(&same), Err(EpochProofError::NotLast { height: Height(3) }));
}

#[test]
fn members_that_the_block_does_not_name_are_refused() {
    let chain = Chain::of(1);
    let mut anchor = chain.anchor.clone();
    let with = |next: Vec<PublicKey>| EpochProof { next, ..chain.proof(0) };
    let epoch = Epoch(1);
    for next in [members(0), members(2), members(1)[..3].to_vec()] {
        assert_eq!(anchor.extend(&with(next)), Err(EpochProofError::Members { epoch }));
    }
    // The hash of the same members in another epoch is another one.
    let hash = Committee::new(Epoch(2), members(1)).unwrap().hash();
    let other = altered(&chain, |header| header.next_committee = hash);
    assert_eq!(anchor.extend(&other), Err(EpochProofError::Members { epoch }));
    let descending = members(1).into_iter().rev().collect();
    // No point of the curve has this x.
    let mut bytes = [0; 33];
    (bytes[0], bytes[32]) = (2, 5);
    let no_point = vec![PublicKey::from_bytes(bytes).unwrap()];
    for (next, size) in [(Vec::new(), Some(0)), (descending, None), (no_point, None)] {
        let Err(EpochProofError::Committee { epoch: Epoch(1), error }) = anchor.extend(&with(next)) else {
            panic!("keys that form no committee are accepted");
        };
        assert_eq!(size.is_some(), matches!(error, CommitteeError::Size(_)), "{error}");
    }
    assert_eq!(anchor, chain.anchor);
}

#[test]
fn the_same_members_can_begin_an_epoch() {
    let chain = Chain::of(1);
    let mut anchor = chain.anchor.clone();
    let renewed = Committee::new(Epoch(1), members(0)).unwrap();
    let mut proof = altered(&chain, |header| header.next_committee = renewed.hash());
    proof.next = members(0);
    anchor.extend(&proof).unwrap();
    assert_eq!(anchor.newest(), &renewed);
    // A vote counts in the epoch that it names, although the keys are the same in both.
    let certificate = certify(&chain.headers[1], 0);
    let refusal = crate::CertificateError::Epoch { wanted: Epoch(1), got: Epoch(0) };
    assert_eq!(certificate.check(&CHAIN, &renewed), Err(refusal.clone()));
    assert_eq!(certificate.check_form(&renewed), Err(refusal));
    assert_eq!(anchor.check_certificate(&certificate), Ok(()));
}

#[test]
fn the_last_block_must_be_final() {
    let chain = Chain::of(1);
    let mut anchor = chain.anchor.clone();
    let mut other_signers = chain.proof(0);
    other_signers.last.certificate = certify(&other_signers.last.header, 1);
    let mut uncertified = chain.proof(0);
    uncertified.last.certificate = certify(&chain.headers[2], 0);
    let mut descends = chain.proof(0);
    descends.last.descendants = vec![chain.headers[4].clone()];
    for proof in [other_signers, uncertified, descends] {
        let refused = anchor.extend(&proof);
        assert!(matches!(refused, Err(EpochProofError::Proof { epoch: Epoch(0), .. })), "{refused:?}");
    }
    let other_chain = altered(&chain, |header| header.chain_id = ChainId::from_bytes([9; 32]));
    let error = ProofError::Header { height: Height(3), field: "chain_id" };
    assert_eq!(anchor.extend(&other_chain), Err(EpochProofError::Proof { epoch: Epoch(0), error }));
    assert_eq!(anchor, chain.anchor);
}

/// All of these are certified by the committee whose epoch they name.
#[test]
fn a_committee_certifies_nothing_outside_of_its_epoch() {
    let chain = Chain::of(2);
    let anchor = chain.proven(2);
    let heights = |epoch| anchor.heights(Epoch(epoch)).unwrap();
    for (height, epoch) in [(4, 0), (9, 0), (3, 1), (7, 1), (6, 2)] {
        let mut header = chain.headers[height].clone();
        header.epoch = Epoch(epoch);
        header.committee = committee(epoch).hash();
        header.next_committee = header.committee;
        let refusal =
            ProofError::Height { height: header.height, epoch: Epoch(epoch), heights: heights(epoch) };
        assert_eq!(alone(header, epoch).verify(&anchor), Err(refusal));
    }
    // A ballot of the next epoch does not count either.
    let forged = FinalityProof { certificate: certify(&chain.headers[4], 0), ..chain.final_block(4) };
    assert!(matches!(forged.verify(&anchor), Err(ProofError::Certificate(_))));
    // Nor does the old committee with headers that name the new one.
    let mut named = chain.headers[4].clone();
    named.committee = committee(0).hash();
    let refusal = ProofError::Header { height: Height(4), field: "committee" };
    assert_eq!(alone(named, 0).verify(&anchor), Err(refusal));
}

#[test]
fn descendants_do_not_cross_the_end_of_an_epoch() {
    let chain = Chain::of(1);
    for anchor in [chain.anchor.clone(), chain.proven(1)] {
        for (block, certified, good) in [(1, 3, true), (2, 4, false), (3, 4, false), (4, 6, true)] {
            let descendants: Vec<Header> = chain.headers[block + 1..=certified].to_vec();
            let header = chain.headers[block].clone();
            let epoch = chain.headers[certified].epoch.0;
            let certificate = certify(&chain.headers[certified], epoch);
            let verdict = FinalityProof { header, descendants, certificate }.verify(&anchor);
            match good {
                true if block < 4 => assert_eq!(verdict, Ok(())),
                true => assert_eq!(verdict.is_ok(), anchor.newest().epoch() == Epoch(1)),
                false => assert_eq!(verdict, Err(ProofError::BeyondEpoch { height: Height(4) })),
            }
        }
    }
    // The old committee extends its own last block, in its own epoch.
    let last = chain.headers[3].clone();
    let mut beyond = Header::after(&last, &Body::of(&[]), Timestamp(99), ReplicaId(0));
    (beyond.epoch, beyond.committee, beyond.next_committee) = (last.epoch, last.committee, last.committee);
    let certificate = certify(&beyond, 0);
    let proof = FinalityProof { header: last, descendants: vec![beyond], certificate };
    assert_eq!(proof.verify(&chain.anchor), Err(ProofError::BeyondEpoch { height: Height(4) }));
}

#[test]
fn certified_headers_that_contradict_the_epoch_proofs_are_refused() {
    let chain = Chain::of(1);
    let anchor = chain.proven(1);
    let mut other_last = chain.headers[3].clone();
    other_last.timestamp = Timestamp(77);
    let mut other_first = chain.headers[4].clone();
    other_first.parent = chain.headers[2].hash();
    for (header, epoch) in [(other_last, 0), (other_first, 1)] {
        let height = header.height;
        assert_eq!(alone(header, epoch).verify(&anchor), Err(ProofError::Contradicts { height }));
    }
    let mut early = chain.headers[2].clone();
    early.next_committee = Hash::ZERO;
    let refusal = ProofError::Header { height: Height(2), field: "next_committee" };
    assert_eq!(alone(early.clone(), 0).verify(&anchor), Err(refusal));
    // Without the proof, the verifier cannot know where the epoch ends.
    assert_eq!(alone(early, 0).verify(&chain.anchor), Ok(()));
}

#[test]
fn every_changed_byte_makes_an_epoch_proof_invalid() {
    let chain = Chain::of(2);
    for epoch in [0, 1] {
        let bytes = encode(&chain.proof(epoch));
        let anchor = chain.proven(epoch);
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 0x01;
            let holds =
                decode::<EpochProof>(&changed).is_ok_and(|claim| anchor.clone().extend(&claim).is_ok());
            assert!(!holds, "byte {position} of epoch {epoch}");
        }
    }
}

#[test]
fn more_members_than_a_committee_has_do_not_decode() {
    let mut proof = Chain::of(1).proof(0);
    proof.next = vec![proof.next[0]; MAX_SIGNATURES as usize];
    assert!(decode::<EpochProof>(&encode(&proof)).is_ok());
    proof.next.push(proof.next[0]);
    assert!(decode::<EpochProof>(&encode(&proof)).is_err());
}
