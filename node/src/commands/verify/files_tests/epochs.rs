//! Receipts with epoch proofs: a folder for each case, with `receipt.json` and `epochs.json`.
//!
//! The cases in `good` are proven. Those in `bad` are refused. Those in `unproven` are called
//! unproven, because the epoch proofs are valid but do not reach the epoch of the receipt.

use quorate_api::EpochProofsJson;
use quorate_ledger::{EpochProof, PublicKey, SecretKey};

use super::*;

/// Blocks of each epoch. The last one ends it, except in epoch 2.
const BLOCKS: usize = 3;

/// A chain with epochs 0, 1 and 2. Epoch 0 has the validators of the genesis; in epoch 1 another key
/// is in place of the first one; the members of epoch 2 are those of epoch 1.
struct Epochs {
    network: TestNetwork,
    keys: Vec<Vec<SecretKey>>,
    /// From height 1 on, with five transactions each.
    headers: Vec<Header>,
}

fn public(keys: &[SecretKey]) -> Vec<PublicKey> {
    keys.iter().map(SecretKey::public).collect()
}

impl Epochs {
    fn new() -> Self {
        let Quorum(network) = Quorum::new();
        let first = network.keys().to_vec();
        let mut second = first[1..].to_vec();
        second.push(SecretKey::from_bytes(&[7; 32]).unwrap());
        second.sort_by_key(SecretKey::public);
        let mut epochs = Epochs { network, keys: vec![first, second.clone(), second], headers: Vec::new() };
        for height in 1..=3 * BLOCKS {
            let parent = epochs.headers.last().unwrap_or(epochs.network.genesis().header());
            let mut header = child(parent);
            if height % BLOCKS == 0 && height < 3 * BLOCKS {
                header.next_committee = epochs.committee(height / BLOCKS).hash();
            }
            header.check_follows(parent).unwrap();
            epochs.headers.push(header);
        }
        epochs
    }

    fn committee(&self, epoch: usize) -> Committee {
        Committee::new(Epoch(u64::try_from(epoch).unwrap()), public(&self.keys[epoch])).unwrap()
    }

    fn header(&self, height: usize) -> Header {
        self.headers[height - 1].clone()
    }

    /// A certificate that the members of an epoch sign for any header.
    fn certificate(&self, header: &Header, epoch: usize) -> CommitCertificate {
        let ballot =
            Ballot { epoch: header.epoch, view: View(12), height: header.height, block: header.hash() };
        let chain = self.network.genesis().chain_id();
        let sign = |(index, key)| Signed::sign(&chain, key, ReplicaId(index), Commit(ballot)).into_inner();
        let signed = (0..).zip(&self.keys[epoch][..3]).map(sign);
        let signatures = signed.map(|vote| vote.signature).collect();
        let signers = Signers::of((0..3).map(ReplicaId));
        CommitCertificate::claimed(ballot, SignatureSet::claimed(signers, signatures))
    }

    fn proof(&self, header: Header, descendants: Vec<Header>, epoch: usize) -> FinalityProof {
        let certificate = self.certificate(descendants.last().unwrap_or(&header), epoch);
        FinalityProof { header, descendants, certificate }
    }

    /// The receipt of the third transaction of a block that the members of an epoch certify.
    fn receipt_of(&self, header: Header, descendants: Vec<Header>, epoch: usize) -> Receipt {
        let ids = ids(5);
        let path = MerkleTree::new(&ids).path(2).unwrap();
        Receipt { transaction: ids[2], index: 2, path, proof: self.proof(header, descendants, epoch) }
    }

    /// The receipt of the block at a height, with the blocks above it up to the certified one.
    fn receipt(&self, height: usize, certified: usize) -> Receipt {
        let above = (height + 1..=certified).map(|height| self.header(height)).collect();
        self.receipt_of(self.header(height), above, (certified - 1) / BLOCKS)
    }

    /// The proof of the end of an epoch.
    fn end_of(&self, epoch: usize) -> EpochProof {
        self.end_with(epoch, |_| {})
    }

    /// The same with an altered header, which the members sign.
    fn end_with(&self, epoch: usize, change: impl FnOnce(&mut Header)) -> EpochProof {
        let mut header = self.header((epoch + 1) * BLOCKS);
        change(&mut header);
        EpochProof { last: self.proof(header, Vec::new(), epoch), next: public(&self.keys[epoch + 1]) }
    }

    fn text(&self, proofs: &[EpochProof]) -> String {
        serde_json::to_string(&EpochProofsJson::of(self.network.genesis().chain_id(), proofs)).unwrap()
    }
}

/// A block with five transactions on a parent.
fn child(parent: &Header) -> Header {
    let ids = ids(5);
    Header {
        transactions_root: merkle_root(&ids),
        transaction_count: 5,
        body_bytes: 1000,
        ..Header::after(parent, &Body::of(&[]), parent.timestamp.plus_ms(1000), ReplicaId(1))
    }
}

/// The files of all cases by name.
pub(super) fn files() -> BTreeMap<String, Vec<u8>> {
    let epochs = Epochs::new();
    let kinds = [
        ("good", good(&epochs)),
        (
            "bad",
            [bad_lists(&epochs), bad_proofs(&epochs), bad_texts(&epochs), bad_receipts(&epochs)].concat(),
        ),
        ("unproven", unproven(&epochs)),
    ];
    let mut files = BTreeMap::new();
    for (kind, cases) in kinds {
        for (case, receipt, proofs) in cases {
            let before = files.insert(format!("epochs/{kind}/{case}/receipt.json"), text(&receipt).into());
            assert!(before.is_none(), "{kind}/{case} exists twice");
            files.insert(format!("epochs/{kind}/{case}/epochs.json"), proofs.into());
        }
    }
    files
}

type Case = (&'static str, Receipt, String);

fn good(epochs: &Epochs) -> Vec<Case> {
    let (first, second) = (epochs.end_of(0), epochs.end_of(1));
    let none = epochs.text(&[]);
    let one = epochs.text(std::slice::from_ref(&first));
    let both = epochs.text(&[first, second]);
    let spaced = one.replace(",", " ,\n\t").replace(":", " : ");
    vec![
        ("no-epoch-needed", epochs.receipt(1, 1), none),
        ("last-of-epoch-0", epochs.receipt(3, 3), both.clone()),
        ("first-of-epoch-1", epochs.receipt(4, 4), one),
        ("first-of-epoch-1-by-its-last", epochs.receipt(4, 6), both.clone()),
        ("last-of-epoch-1", epochs.receipt(6, 6), spaced),
        ("first-of-epoch-2", epochs.receipt(7, 7), both.clone()),
        ("epoch-2-with-descendants", epochs.receipt(7, 9), both.clone()),
        ("epoch-0-with-more-epochs-than-needed", epochs.receipt(1, 3), both),
    ]
}

fn unproven(epochs: &Epochs) -> Vec<Case> {
    let one = epochs.text(&[epochs.end_of(0)]);
    vec![
        ("epoch-1-without-proofs", epochs.receipt(5, 5), epochs.text(&[])),
        ("epoch-2-with-the-proof-of-epoch-1", epochs.receipt(8, 9), one.clone()),
        // The verifier has no keys to tell that these signatures are forged.
        ("epoch-2-forged", epochs.receipt_of(epochs.header(8), Vec::new(), 0), one),
    ]
}

/// Proofs that are good, in a list that is not.
fn bad_lists(epochs: &Epochs) -> Vec<Case> {
    let (first, second) = (epochs.end_of(0), epochs.end_of(1));
    let receipt = epochs.receipt(7, 7);
    let list = |proofs: &[&EpochProof]| epochs.text(&proofs.iter().copied().cloned().collect::<Vec<_>>());
    vec![
        ("proofs-stale", receipt.clone(), list(&[&first, &first])),
        ("proofs-missing-first", receipt.clone(), list(&[&second])),
        ("proofs-twice", receipt.clone(), list(&[&first, &second, &second])),
        ("proofs-out-of-order", receipt, list(&[&second, &first])),
        ("proofs-stale-for-epoch-0", epochs.receipt(1, 1), list(&[&first, &first])),
    ]
}

/// Proofs that prove nothing; the receipt is good.
fn bad_proofs(epochs: &Epochs) -> Vec<Case> {
    let first = epochs.end_of(0);
    let with_next = |next: Vec<PublicKey>| epochs.text(&[EpochProof { next, ..first.clone() }]);
    let with_last = |last: FinalityProof| epochs.text(&[EpochProof { last, ..first.clone() }]);
    let altered = |change: fn(&mut Header)| epochs.text(&[epochs.end_with(0, change)]);
    let keys = public(&epochs.keys[1]);
    let reversed: Vec<PublicKey> = keys.iter().rev().copied().collect();
    let renewed = Committee::new(Epoch(2), keys.clone()).unwrap().hash();
    let last = epochs.header(3);
    let receipt = epochs.receipt(4, 4);
    let case = |name: &'static str, proofs: String| (name, receipt.clone(), proofs);
    vec![
        case("members-of-epoch-0", with_next(public(&epochs.keys[0]))),
        case("members-none", with_next(Vec::new())),
        case("members-one-less", with_next(keys[..3].to_vec())),
        case("members-descending", with_next(reversed)),
        case("members-twice", with_next([&keys[..], &keys[3..]].concat())),
        case(
            "members-by-the-hash-of-another-epoch",
            epochs.text(&[epochs.end_with(0, |h| h.next_committee = renewed)]),
        ),
        case("last-signed-by-the-next-committee", with_last(epochs.proof(last.clone(), Vec::new(), 1))),
        case("last-with-a-descendant", with_last(epochs.proof(last, vec![epochs.header(4)], 1))),
        case("last-within-its-epoch", with_last(epochs.proof(epochs.header(2), Vec::new(), 0))),
        case("last-does-not-end-its-epoch", altered(|header| header.next_committee = header.committee)),
        case("last-of-another-chain", altered(|header| header.chain_id = ChainId::from_bytes([1; 32]))),
        case("last-of-version-1", altered(|header| header.version = 1)),
    ]
}

/// Texts of a form that is not allowed, or with one altered byte.
fn bad_texts(epochs: &Epochs) -> Vec<Case> {
    let plain = epochs.text(&[epochs.end_of(0)]);
    let receipt = epochs.receipt(4, 4);
    let signature = epochs.end_of(0).last.certificate.votes().signatures()[1].to_string();
    let mut other = signature.clone();
    let digit = if other.ends_with('0') { "1" } else { "0" };
    other.replace_range(other.len() - 1.., digit);
    let chain = epochs.network.genesis().chain_id().to_string();
    let case = |name: &'static str, from: &str, to: &str| (name, receipt.clone(), replaced(&plain, from, to));
    vec![
        case("byte-of-a-signature", &signature, &other),
        case("byte-of-the-time", "\"timestamp_ms\":17", "\"timestamp_ms\":18"),
        case("byte-of-the-view", "\"view\":12", "\"view\":13"),
        case("another-chain-id", &chain, &Hash::ZERO.to_string()),
        case("surplus-in-list", "{\"chain_id\"", "{\"note\":1,\"chain_id\""),
        case("surplus-in-proof", "{\"last\"", "{\"note\":1,\"last\""),
        case("repeated-proofs", "\"proofs\":", "\"proofs\":[],\"proofs\":"),
        case("null-for-proofs", &plain, &format!("{{\"chain_id\":\"{chain}\",\"proofs\":null}}")),
        case("null-for-everything", &plain, "null"),
        case("array-for-everything", &plain, "[]"),
    ]
}

/// Good epoch proofs, and a receipt that a committee signed outside of its epoch.
fn bad_receipts(epochs: &Epochs) -> Vec<Case> {
    let both = epochs.text(&[epochs.end_of(0), epochs.end_of(1)]);
    let none = epochs.text(&[]);
    let moved = |height: usize, epoch: usize| {
        let mut header = epochs.header(height);
        header.epoch = Epoch(u64::try_from(epoch).unwrap());
        header.committee = epochs.committee(epoch).hash();
        header.next_committee = header.committee;
        epochs.receipt_of(header, Vec::new(), epoch)
    };
    let signed = |height: usize, epoch: usize| epochs.receipt_of(epochs.header(height), Vec::new(), epoch);
    let altered = |height: usize, change: fn(&mut Header)| {
        let mut header = epochs.header(height);
        change(&mut header);
        epochs.receipt_of(header, Vec::new(), (height - 1) / BLOCKS)
    };
    let case = |name: &'static str, receipt: Receipt| (name, receipt, both.clone());
    vec![
        case("old-committee-signs-in-the-next-epoch", signed(4, 0)),
        case("old-committee-signs-beyond-its-epoch", moved(4, 0)),
        case("old-committee-signs-far-beyond-its-epoch", moved(9, 0)),
        case("new-committee-signs-before-its-epoch", moved(3, 1)),
        case("same-keys-sign-before-their-epoch", moved(6, 2)),
        case("descendant-in-the-next-epoch", epochs.receipt(3, 4)),
        ("descendant-in-an-unproven-epoch", epochs.receipt(3, 4), none),
        case("another-last-block", altered(3, |header| header.timestamp = header.timestamp.plus_ms(1))),
        case("another-first-block", altered(4, |header| header.parent = BlockHash(Hash::ZERO))),
        case("epoch-ends-early", altered(2, |header| header.next_committee = Hash::ZERO)),
        case("epoch-does-not-end", altered(3, |header| header.next_committee = header.committee)),
        case("committee-of-another-epoch", altered(4, |header| header.committee = Hash::ZERO)),
    ]
}
