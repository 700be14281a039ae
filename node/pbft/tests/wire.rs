//! Every test vector of `WIRE.md` that this crate owns, recomputed through the public API: a change of format is
//! a decision, not an accident.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{
    Ballot, BlockHash, Body, ChainId, Commit, Committee, Epoch, Header, Height, Outline, PROTOCOL_VERSION,
    Payload, ReplicaId, SecretKey, Signable, Signed, Signers, Timestamp, Transaction, Verified, View, decode,
    encode, signing_hash,
};
use quorate_pbft::{
    Checked, CheckedProposal, Message, PrePrepare, Prepare, PreparedCertificate, Proposal, Record,
    SlotStatus, Status,
};

use net::Net;
use vectors::{DOCUMENT, Vectors};

mod net;
#[path = "../../../ledger/tests/vectors/mod.rs"]
mod vectors;

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const VIEW: View = View(1);

fn members() -> (Vec<SecretKey>, Committee) {
    let keys = net::keys(4);
    let committee = Committee::new(keys.iter().map(SecretKey::public).collect()).unwrap();
    (keys, committee)
}

fn sign<T: Signable>(member: u16, body: T) -> Verified<Signed<T>> {
    Signed::sign(&CHAIN, &members().0[usize::from(member)], ReplicaId(member), body)
}

/// The block at height 7 of the document, with its three transactions.
fn block() -> Outline {
    let client = SecretKey::from_bytes(&[0x11; 32]).unwrap();
    let transaction = |(nonce, text): (u64, &str)| {
        let payload = Payload::Data(text.into());
        let signed = Transaction::sign(&CHAIN, &client, nonce, Timestamp(1_700_000_060_000), payload);
        signed.verify(&CHAIN).unwrap()
    };
    let body = Body::of(&[(7, "hello"), (8, ""), (9, "quorate")].map(transaction));
    let committee = members().1.hash();
    let header = Header {
        version: PROTOCOL_VERSION,
        chain_id: CHAIN,
        epoch: Epoch(0),
        height: Height(7),
        parent: BlockHash::from_bytes([0xbb; 32]),
        transactions_root: body.root(),
        transaction_count: body.count(),
        body_bytes: body.transaction_bytes(),
        timestamp: Timestamp(1_700_000_000_000),
        committee,
        next_committee: committee,
        proposer: ReplicaId(1),
    };
    Outline::new(header, body.ids()).unwrap()
}

fn ballot() -> Ballot {
    Ballot { epoch: Epoch(0), view: VIEW, height: Height(7), block: block().hash() }
}

fn proposal() -> Message {
    let vote = sign(1, PrePrepare(ballot())).into_inner();
    Message::PrePrepare(Proposal { vote, header: block().header().clone(), ids: block().ids().to_vec() })
}

fn checked(message: Message, from: u16) -> Checked {
    message.check(ReplicaId(from), &CHAIN, Epoch(0), &members().1).unwrap()
}

fn checked_proposal() -> CheckedProposal {
    match checked(proposal(), 1) {
        Checked::PrePrepare(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

fn status() -> Status {
    let signers = |members: &[u16]| Signers::of(members.iter().copied().map(ReplicaId));
    Status {
        epoch: Epoch(0),
        view: VIEW,
        committed: Height(6),
        committed_hash: BlockHash::from_bytes([0xbb; 32]),
        slots: vec![
            SlotStatus {
                height: Height(7),
                proposal: true,
                prepares: signers(&[0, 3]),
                commits: signers(&[0]),
            },
            SlotStatus { height: Height(9), proposal: false, prepares: signers(&[2]), commits: signers(&[]) },
        ],
    }
}

/// The certificate that the header and the signatures on the wire make, put together by hand.
fn prepared() -> PreparedCertificate {
    let mut bytes = encode(block().header());
    bytes.extend(encode(&VIEW));
    bytes.extend(encode(&sign(1, PrePrepare(ballot())).signature));
    bytes.extend(encode(&Signers::of([ReplicaId(0), ReplicaId(3)])));
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(encode(&sign(0, Prepare(ballot())).signature));
    bytes.extend(encode(&sign(3, Prepare(ballot())).signature));
    decode(&bytes).unwrap()
}

#[test]
fn the_vectors_of_the_document() {
    let mut vectors = Vectors::parse(DOCUMENT, "pbft");
    vectors.check("proposal_ballot", &encode(&ballot()));
    vectors.check("pre_prepare_signing_hash", signing_hash(&CHAIN, &PrePrepare(ballot())).as_bytes());
    vectors.check("prepare_signing_hash", signing_hash(&CHAIN, &Prepare(ballot())).as_bytes());
    let prepare = Message::Prepare(sign(3, Prepare(ballot())).into_inner());
    let commit = Message::Commit(sign(3, Commit(ballot())).into_inner());
    let messages = [
        ("message_pre_prepare", proposal()),
        ("message_prepare", prepare),
        ("message_commit", commit),
        ("message_status", Message::Status(status())),
    ];
    for (name, message) in messages {
        let bytes = encode(&message);
        vectors.check(name, &bytes);
        assert_eq!(decode(&bytes), Ok(message.clone()), "{name} reads back");
        let from = if name == "message_pre_prepare" { 1 } else { 3 };
        checked(message, from);
    }
    vectors.check("prepared_certificate", &encode(&prepared()));
    vectors.check("stored_accepted", &Record::Accepted(checked_proposal()).to_bytes());
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));
}

/// R8: what a replica writes down as prepared anyone can check, and nobody can make of fewer or other votes.
#[test]
fn a_prepared_certificate_proves_itself() {
    let (_, committee) = members();
    let verified = prepared().verify(&CHAIN, &committee).unwrap();
    assert_eq!((verified.ballot(), verified.view(), verified.header()), (ballot(), VIEW, block().header()));

    let good = encode(&prepared());
    let (signers, first) = (196 + 8 + 64, 196 + 8 + 64 + 8);
    let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let claim: PreparedCertificate = decode(&bytes).unwrap();
        claim.verify(&CHAIN, &committee).unwrap_err().to_string()
    };
    let swap = |bytes: &mut Vec<u8>, at: usize, with: &[u8]| bytes[at..at + with.len()].copy_from_slice(with);
    let pre_prepare = encode(&sign(1, PrePrepare(ballot())).signature);
    assert!(refusal(&|bytes| bytes[196] = 2).contains("pre-prepare"), "of another view");
    assert!(refusal(&|bytes| bytes[34] = 1).contains("pre-prepare"), "of another epoch");
    assert!(refusal(&|bytes| bytes[signers] = 0b1010).contains("the primary is among"), "the primary twice");
    assert!(refusal(&|bytes| bytes[signers] = 0b1101).contains("exactly 2"), "three signers");
    assert!(refusal(&|bytes| bytes[signers] = 0b0101).contains("member 2"), "another signer");
    assert!(refusal(&|bytes| swap(bytes, signers, &[1, 1])).contains("no member"), "member 8 of four");
    assert!(refusal(&|bytes| swap(bytes, first, &pre_prepare)).contains("member 0"), "another kind of vote");
    assert!(prepared().verify(&ChainId::from_bytes([1; 32]), &committee).is_err(), "of another chain");
}

/// What replicas write down in a run verifies with the public keys alone, for every size.
#[test]
fn certificates_of_a_run_verify() {
    for size in [1, 4, 6] {
        let mut net = Net::of(size);
        net.propose("A");
        net.deliver_all();
        for node in &net.nodes {
            let (mut prepared, mut finalised) = (0, 0);
            for record in &node.journal {
                match record {
                    Record::Accepted(_) => {}
                    Record::Prepared(certificate) => {
                        let claim = (**certificate).clone();
                        prepared += 1;
                        assert!(claim.verify(&net::CHAIN, &net.config.committee).is_ok());
                    }
                    Record::Finalised(certificate) => {
                        finalised += 1;
                        assert!(certificate.check(&net::CHAIN, &net.config.committee).is_ok());
                    }
                }
            }
            assert_eq!((prepared, finalised), (1, 1));
        }
    }
}
