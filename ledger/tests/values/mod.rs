//! Arbitrary values of every type that is sent or stored, and arbitrary damage to their bytes.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use quorate_ledger::{
    Ballot, BlockHash, ChainId, Commit, CommitCertificate, Epoch, EpochProof, FinalityProof, Hash, Header,
    Height, MAX_DESCENDANTS, MAX_MEMBERS, MAX_PATH_SIBLINGS, MerklePath, Payload, PublicKey, Receipt,
    ReplicaId, Signature, SignatureSet, Signed, Signers, Timestamp, Transaction, TransactionId, View,
};

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

/// Bytes in the shape of a key; about half of them are points of the curve.
pub(crate) fn public_key() -> impl Strategy<Value = PublicKey> {
    (any::<bool>(), any::<[u8; 32]>()).prop_map(|(odd, x)| {
        let mut bytes = [2 + u8::from(odd); 33];
        bytes[1..].copy_from_slice(&x);
        PublicKey::from_bytes(bytes).unwrap()
    })
}

/// A canonical signature that does not verify.
pub(crate) fn signature() -> impl Strategy<Value = Signature> {
    vec(any::<u8>(), 64).prop_map(|drawn| {
        let mut bytes: [u8; 64] = drawn.try_into().unwrap();
        for number in [0, 32] {
            bytes[number] &= 0x3f; // below half of the order
            bytes[number + 31] |= 1; // and not zero
        }
        Signature::from_bytes(bytes).unwrap()
    })
}

pub(crate) fn payload() -> impl Strategy<Value = Payload> {
    let bytes = || vec(any::<u8>(), 0..300);
    prop_oneof![bytes().prop_map(Payload::Data), bytes().prop_map(Payload::Governance)]
}

pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    (public_key(), any::<u64>(), any::<u64>(), payload(), signature()).prop_map(
        |(sender, nonce, valid_until, payload, signature)| Transaction {
            sender,
            nonce,
            valid_until: Timestamp(valid_until),
            payload,
            signature,
        },
    )
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    let numbers = (any::<u16>(), any::<[u64; 3]>(), any::<[u32; 2]>(), any::<u16>());
    (numbers, (hash(), hash(), hash(), hash(), hash())).prop_map(|(numbers, hashes)| {
        let (version, [epoch, height, time], [transaction_count, body_bytes], proposer) = numbers;
        let (chain, parent, transactions_root, committee, next_committee) = hashes;
        Header {
            version,
            chain_id: ChainId(chain),
            epoch: Epoch(epoch),
            height: Height(height),
            parent: BlockHash(parent),
            transactions_root,
            transaction_count,
            body_bytes,
            timestamp: Timestamp(time),
            committee,
            next_committee,
            proposer: ReplicaId(proposer),
        }
    })
}

pub(crate) fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<[u64; 3]>(), hash()).prop_map(|([epoch, view, height], block)| Ballot {
        epoch: Epoch(epoch),
        view: View(view),
        height: Height(height),
        block: BlockHash(block),
    })
}

pub(crate) fn signed_commit() -> impl Strategy<Value = Signed<Commit>> {
    (ballot(), any::<u16>(), signature()).prop_map(|(ballot, signer, signature)| Signed {
        body: Commit(ballot),
        signer: ReplicaId(signer),
        signature,
    })
}

/// The numbers of signers and signatures may differ, which only verification detects.
pub(crate) fn signature_set() -> impl Strategy<Value = SignatureSet> {
    (vec(0..32u16, 0..32), vec(signature(), 0..=MAX_MEMBERS)).prop_map(|(signers, signatures)| {
        SignatureSet::claimed(Signers::of(signers.into_iter().map(ReplicaId)), signatures)
    })
}

pub(crate) fn certificate() -> impl Strategy<Value = CommitCertificate> {
    (ballot(), signature_set()).prop_map(|(ballot, votes)| CommitCertificate::claimed(ballot, votes))
}

pub(crate) fn path() -> impl Strategy<Value = MerklePath> {
    vec(hash(), 0..=MAX_PATH_SIBLINGS as usize).prop_map(MerklePath::from_siblings)
}

pub(crate) fn finality_proof() -> impl Strategy<Value = FinalityProof> {
    let few_or_most = prop_oneof![Just(0..4), Just(MAX_DESCENDANTS as usize..MAX_DESCENDANTS as usize + 1)];
    let descendants = few_or_most.prop_flat_map(|count| vec(header(), count));
    (header(), descendants, certificate()).prop_map(|(header, descendants, certificate)| FinalityProof {
        header,
        descendants,
        certificate,
    })
}

pub(crate) fn receipt() -> impl Strategy<Value = Receipt> {
    (hash(), any::<u32>(), path(), finality_proof()).prop_map(|(transaction, index, path, proof)| Receipt {
        transaction: TransactionId(transaction),
        index,
        path,
        proof,
    })
}

pub(crate) fn epoch_proof() -> impl Strategy<Value = EpochProof> {
    (finality_proof(), vec(public_key(), 0..=MAX_MEMBERS)).prop_map(|(last, next)| EpochProof { last, next })
}

/// One change to a string of bytes.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Four bytes that may be a length.
    Number(Index, u32),
}

/// A few changes at once.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let length = prop_oneof![0..70u32, Just(u32::MAX), any::<u32>()];
    let edit = prop_oneof![
        4 => (at(), 0..8u32).prop_map(|(at, bit)| Edit::Flip(at, 1 << bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => at().prop_map(Edit::Remove),
        1 => at().prop_map(Edit::Cut),
        1 => (at(), length).prop_map(|(at, number)| Edit::Number(at, number)),
    ];
    vec(edit, 1..4)
}

/// Applies the changes in turn.
pub(crate) fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits.iter().cloned() {
        let length = bytes.len();
        match edit {
            Edit::Insert(at, byte) => bytes.insert(at.index(length + 1), byte),
            Edit::Cut(at) => bytes.truncate(at.index(length + 1)),
            Edit::Flip(at, bits) if length > 0 => bytes[at.index(length)] ^= bits,
            Edit::Remove(at) if length > 0 => _ = bytes.remove(at.index(length)),
            Edit::Number(at, number) if length >= 4 => {
                let start = at.index(length - 3);
                bytes[start..start + 4].copy_from_slice(&number.to_le_bytes());
            }
            Edit::Flip(..) | Edit::Remove(_) | Edit::Number(..) => {}
        }
    }
    bytes
}
