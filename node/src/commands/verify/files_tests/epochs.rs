//! Receipts with epoch proofs: a folder for each case, with `receipt.json` and `epochs.json`.
//!
//! The cases in `good` are proven. Those in `bad` are refused. Those in `unproven` are called
//! unproven, because the epoch proofs are valid but do not reach the epoch of the receipt.

use quorate_ledger::{EpochProof, PublicKey, SecretKey};

use super::chain::{Chain, added_key, rotated_key};
use super::*;

/// The files of all cases by name.
pub(super) fn files(chain: &Chain) -> BTreeMap<String, Vec<u8>> {
    let bad = [
        bad_lists(chain),
        bad_proofs(chain),
        bad_texts(chain),
        out_of_epoch(chain),
        old_keys(chain),
        contradictions(chain),
    ];
    let kinds = [("good", good(chain)), ("bad", bad.concat()), ("unproven", unproven(chain))];
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

fn good(chain: &Chain) -> Vec<Case> {
    let [first_1, first_2, first_3, first_4] = [1, 2, 3, 4].map(|epoch| chain.first(epoch));
    let [last_0, last_1, last_2] = [0, 1, 2].map(|epoch| chain.last(epoch));
    let [none, one, both, all] = [0, 1, 2, 4].map(|epoch| chain.text_to(epoch));
    let spaced = one.replace(',', " ,\n\t").replace(':', " : ");
    vec![
        ("no-epoch-needed", chain.receipt(1, 1), none),
        ("last-of-epoch-0", chain.receipt(last_0, last_0), both.clone()),
        ("first-of-epoch-1", chain.receipt(first_1, first_1), one),
        ("first-of-epoch-1-by-its-last", chain.receipt(first_1, last_1), both.clone()),
        ("last-of-epoch-1", chain.receipt(last_1, last_1), spaced),
        ("first-of-epoch-2", chain.receipt(first_2, first_2), both.clone()),
        ("epoch-2-with-descendants", chain.receipt(first_2, first_2 + 2), both.clone()),
        ("epoch-0-with-more-epochs-than-needed", chain.receipt(1, 3), both),
        ("removed-member-in-its-last-block", chain.receipt(last_2, last_2), all.clone()),
        ("after-a-removal", chain.receipt(first_3, first_3), chain.text_to(3)),
        ("after-a-renewal", chain.receipt(first_4, first_4 + 1), all),
    ]
}

fn unproven(chain: &Chain) -> Vec<Case> {
    let within = |epoch: usize| chain.first(epoch) + 1;
    let forged = chain.header(within(2));
    let forged = chain.receipt_with(within(2), chain.proof(forged, Vec::new(), 0));
    vec![
        ("epoch-1-without-proofs", chain.receipt(within(1), within(1)), chain.text_to(0)),
        ("epoch-2-with-the-proof-of-epoch-1", chain.receipt(within(2), within(2) + 1), chain.text_to(1)),
        // The verifier has no keys to tell that these signatures are forged.
        ("epoch-2-forged", forged, chain.text_to(1)),
    ]
}

/// Proofs that are good, in a list that is not.
fn bad_lists(chain: &Chain) -> Vec<Case> {
    let (first, second) = (chain.end_of(0), chain.end_of(1));
    let receipt = chain.receipt(chain.first(2), chain.first(2));
    let list = |proofs: &[&EpochProof]| chain.text(&proofs.iter().copied().cloned().collect::<Vec<_>>());
    vec![
        ("proofs-stale", receipt.clone(), list(&[&first, &first])),
        ("proofs-missing-first", receipt.clone(), list(&[&second])),
        ("proofs-twice", receipt.clone(), list(&[&first, &second, &second])),
        ("proofs-out-of-order", receipt, list(&[&second, &first])),
        ("proofs-stale-for-epoch-0", chain.receipt(1, 1), list(&[&first, &first])),
    ]
}

/// Proofs that prove nothing; the receipt is good.
fn bad_proofs(chain: &Chain) -> Vec<Case> {
    let first = chain.end_of(0);
    let with_next = |next: Vec<PublicKey>| chain.text(&[EpochProof { next, ..first.clone() }]);
    let with_last = |last: FinalityProof| chain.text(&[EpochProof { last, ..first.clone() }]);
    let altered = |change: fn(&mut Header)| chain.text(&[chain.end_with(0, change)]);
    let keys = chain.members(1);
    let reversed: Vec<PublicKey> = keys.iter().rev().copied().collect();
    let renewed = Committee::new(Epoch(2), keys.clone()).unwrap().hash();
    let end = chain.last(0);
    let last = chain.header(end);
    let receipt = chain.receipt(end + 1, end + 1);
    let case = |name: &'static str, proofs: String| (name, receipt.clone(), proofs);
    vec![
        case("members-of-epoch-0", with_next(chain.members(0))),
        case("members-none", with_next(Vec::new())),
        case("members-one-less", with_next(keys[..3].to_vec())),
        case("members-descending", with_next(reversed)),
        case("members-twice", with_next([&keys[..], &keys[3..]].concat())),
        case(
            "members-by-the-hash-of-another-epoch",
            chain.text(&[chain.end_with(0, |header| header.next_committee = renewed)]),
        ),
        case("last-signed-by-the-next-committee", with_last(chain.proof(last.clone(), Vec::new(), 1))),
        case("last-with-a-descendant", with_last(chain.proof(last, vec![chain.header(end + 1)], 1))),
        case("last-within-its-epoch", with_last(chain.proof(chain.header(end - 1), Vec::new(), 0))),
        case("last-does-not-end-its-epoch", altered(|header| header.next_committee = header.committee)),
        case("last-of-another-chain", altered(|header| header.chain_id = ChainId::from_bytes([1; 32]))),
        case("last-of-version-1", altered(|header| header.version = 1)),
    ]
}

/// Texts of a form that is not allowed, or with one altered byte.
fn bad_texts(chain: &Chain) -> Vec<Case> {
    let first = chain.end_of(0);
    let plain = chain.text(std::slice::from_ref(&first));
    let receipt = chain.receipt(chain.first(1), chain.first(1));
    let signature = first.last.certificate.votes().signatures()[1].to_string();
    let mut other = signature.clone();
    let digit = if other.ends_with('0') { "1" } else { "0" };
    other.replace_range(other.len() - 1.., digit);
    let id = chain.network.genesis().chain_id().to_string();
    let case = |name: &'static str, from: &str, to: &str| (name, receipt.clone(), replaced(&plain, from, to));
    vec![
        case("byte-of-a-signature", &signature, &other),
        case("byte-of-the-time", "\"timestamp_ms\":17", "\"timestamp_ms\":18"),
        case("byte-of-the-view", "\"view\":12", "\"view\":13"),
        case("another-chain-id", &id, &Hash::ZERO.to_string()),
        case("surplus-in-list", "{\"chain_id\"", "{\"note\":1,\"chain_id\""),
        case("surplus-in-proof", "{\"last\"", "{\"note\":1,\"last\""),
        case("repeated-proofs", "\"proofs\":", "\"proofs\":[],\"proofs\":"),
        case("null-for-proofs", &plain, &format!("{{\"chain_id\":\"{id}\",\"proofs\":null}}")),
        case("null-for-everything", &plain, "null"),
        case("array-for-everything", &plain, "[]"),
    ]
}

/// The receipt of an altered block, which the members of an epoch sign.
fn altered(chain: &Chain, height: usize, epoch: usize, change: impl FnOnce(&mut Header)) -> Receipt {
    let mut header = chain.header(height);
    change(&mut header);
    chain.receipt_with(height, chain.proof(header, Vec::new(), epoch))
}

/// Good epoch proofs, and a receipt that a committee signed outside of its epoch.
fn out_of_epoch(chain: &Chain) -> Vec<Case> {
    let [first_1, first_2, first_3] = [1, 2, 3].map(|epoch| chain.first(epoch));
    let [last_0, last_3] = [0, 3].map(|epoch| chain.last(epoch));
    let moved = |height: usize, epoch: usize| {
        altered(chain, height, epoch, |header| {
            header.epoch = Epoch(u64::try_from(epoch).unwrap());
            header.committee = chain.committee(epoch).hash();
            header.next_committee = header.committee;
        })
    };
    let signed = |height: usize, epoch: usize| altered(chain, height, epoch, |_| {});
    let beyond = moved(first_1, 0).proof.header;
    let extended = chain.receipt_with(last_0, chain.proof(chain.header(last_0), vec![beyond], 0));
    let [none, both, all] = [0, 2, 4].map(|epoch| chain.text_to(epoch));
    let case = |name: &'static str, receipt: Receipt| (name, receipt, both.clone());
    vec![
        case("old-committee-signs-in-the-next-epoch", signed(first_1, 0)),
        case("old-committee-signs-beyond-its-epoch", moved(first_1, 0)),
        case("old-committee-signs-far-beyond-its-epoch", moved(first_3, 0)),
        case("old-committee-of-a-rotated-key-signs-beyond-its-epoch", moved(first_2, 1)),
        case("old-committee-extends-its-last-block", extended),
        case("new-committee-signs-before-its-epoch", moved(last_0, 1)),
        ("same-keys-sign-before-their-epoch", moved(last_3, 4), all),
        case("descendant-in-the-next-epoch", chain.receipt(last_0, first_1)),
        ("descendant-in-an-unproven-epoch", chain.receipt(last_0, first_1), none),
    ]
}

/// Good epoch proofs, and a block that members sign with a key that left the committee, or that is not
/// yet in it. The other signatures of the quorum are good.
fn old_keys(chain: &Chain) -> Vec<Case> {
    let [old, removed] = [1, 2].map(|index| chain.network.key(ReplicaId(index)).clone());
    // The quorum of an epoch with one member, or its place, and the key that signs there instead.
    let signers = |epoch: usize, place: ReplicaId, key: &SecretKey| {
        let mut signers: Vec<_> =
            chain.quorum(epoch).into_iter().map(|(replica, key)| (replica, key.clone())).collect();
        if signers.iter().all(|(replica, _)| *replica != place) {
            signers.pop();
        }
        signers.retain(|(replica, _)| *replica != place);
        signers.push((place, key.clone()));
        signers.sort_by_key(|(replica, _)| *replica);
        signers
    };
    let proof = |height: usize, epoch: usize, place: ReplicaId, key: &SecretKey| {
        let header = chain.header(height);
        let signers = signers(epoch, place, key);
        let signers: Vec<_> = signers.iter().map(|(replica, key)| (*replica, key)).collect();
        FinalityProof { certificate: chain.signed(&header, &signers), header, descendants: Vec::new() }
    };
    let case = |name: &'static str, height: usize, epoch: usize, place: ReplicaId, key: &SecretKey| {
        let proofs = chain.text_to(4);
        (name, chain.receipt_with(height, proof(height, epoch, place, key)), proofs)
    };
    let own_place = chain.index_of(1, &rotated_key());
    let [first_1, first_2, first_3] = [1, 2, 3].map(|epoch| chain.first(epoch));
    let forged_end = EpochProof { last: proof(chain.last(1), 1, own_place, &old), next: chain.members(2) };
    vec![
        case("old-key-of-a-rotated-member", first_1, 1, own_place, &old),
        case(
            "old-key-of-a-rotated-member-an-epoch-later",
            first_2,
            2,
            chain.index_of(2, &rotated_key()),
            &old,
        ),
        case("new-key-of-a-rotated-member-before-its-epoch", 1, 0, ReplicaId(1), &rotated_key()),
        case("removed-member-in-the-place-of-another", first_3, 3, ReplicaId(0), &removed),
        case("removed-member-in-a-place-of-its-own", first_3, 3, ReplicaId(4), &removed),
        case("added-member-before-its-epoch", first_1, 1, ReplicaId(4), &added_key()),
        (
            "last-signed-with-the-old-key-of-a-rotated-member",
            chain.receipt(first_2, first_2),
            chain.text(&[chain.end_of(0), forged_end]),
        ),
    ]
}

/// Certified headers that are not those of the epoch proofs.
fn contradictions(chain: &Chain) -> Vec<Case> {
    let (last_0, first_1) = (chain.last(0), chain.first(1));
    let both = chain.text_to(2);
    let case = |name: &'static str, height: usize, change: fn(&mut Header)| {
        let epoch = usize::from(height == first_1);
        (name, altered(chain, height, epoch, change), both.clone())
    };
    vec![
        case("another-last-block", last_0, |header| header.timestamp = header.timestamp.plus_ms(1)),
        case("another-first-block", first_1, |header| header.parent = BlockHash(Hash::ZERO)),
        case("epoch-ends-early", last_0 - 1, |header| header.next_committee = Hash::ZERO),
        case("epoch-does-not-end", last_0, |header| header.next_committee = header.committee),
        case("committee-of-another-epoch", first_1, |header| header.committee = Hash::ZERO),
    ]
}
