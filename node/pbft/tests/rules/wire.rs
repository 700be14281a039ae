//! Recomputes every test vector of `WIRE.md` that this crate owns, through the public API. A change
//! of format must be a decision, not an accident.

use quorate_ledger::{
    Ballot, BlockHash, BlockSkeleton, Body, ChainId, Commit, CommitCertificate, Committee, Epoch, Hash,
    Header, Height, PROTOCOL_VERSION, Payload, ReplicaId, SecretKey, Signable, SignatureSet, Signed, Signers,
    Timestamp, Transaction, Verified, View, decode, encode, signing_hash,
};
use quorate_pbft::{
    Checked, CheckedContent, CheckedProposal, Checkpoint, CheckpointCertificate, Crossed, EpochContext,
    EpochRoot, Evidence, HiddenCertificate, HighWaterMark, Message, NewView, NewViewMessage, Pair,
    PrePrepare, Prepare, PreparedCertificate, Proposal, Record, Seen, SlotStatus, Status, Unreadable,
    ViewChange, ViewChangeMessage, ViewChangePayload,
};

use crate::net::{self, Net};
use crate::vectors::{DOCUMENT, Vectors};

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const VIEW: View = View(1);

fn members() -> (Vec<SecretKey>, Committee) {
    let keys = net::keys(4);
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    (keys, committee)
}

fn sign<T: Signable>(member: u16, body: T) -> Verified<Signed<T>> {
    Signed::sign(&CHAIN, &members().0[usize::from(member)], ReplicaId(member), body)
}

/// The block at height 7 of the document, with its three transactions.
fn block() -> BlockSkeleton {
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
    BlockSkeleton::new(header, body.ids()).unwrap()
}

fn ballot() -> Ballot {
    Ballot { epoch: Epoch(0), view: VIEW, height: Height(7), block: block().hash() }
}

fn proposal() -> Message {
    let vote = sign(1, PrePrepare(ballot())).into_inner();
    Message::PrePrepare(Proposal { vote, header: block().header().clone(), ids: block().ids().to_vec() })
}

fn context() -> EpochContext {
    let root = EpochRoot { height: Height(0), block: BlockHash::from_bytes([0; 32]) };
    EpochContext { chain: CHAIN, committee: members().1, root, window: net::WINDOW, memo: None }
}

fn checked(message: Message, from: u16) -> Checked {
    message.check(ReplicaId(from), &context()).unwrap()
}

fn checked_proposal() -> CheckedProposal {
    match checked(proposal(), 1).into_content() {
        CheckedContent::PrePrepare(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

fn status() -> Status {
    let signers = |members: &[u16]| Signers::of(members.iter().copied().map(ReplicaId));
    let superseded = Ballot { height: Height(6), block: BlockHash::from_bytes([0xdd; 32]), ..ballot() };
    Status {
        epoch: Epoch(0),
        view: VIEW,
        active: true,
        committed: Height(6),
        committed_hash: BlockHash::from_bytes([0xbb; 32]),
        stable: Height(4),
        mark: mark(),
        probing: false,
        superseded: Some(sign(1, PrePrepare(superseded)).into_inner()),
        slots: vec![
            SlotStatus {
                height: Height(7),
                proposal: Some(block().hash()),
                prepares: signers(&[0, 3]),
                commits: signers(&[0]),
            },
            SlotStatus { height: Height(9), proposal: None, prepares: signers(&[2]), commits: signers(&[]) },
        ],
    }
}

/// The prepared certificate of the header and the signatures on the wire, put together by hand.
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

/// The view after that of the block: member 2 begins it.
const NEXT_VIEW: View = View(2);

/// The block below, committed in view 0.
fn anchor() -> CommitCertificate {
    let ballot = Ballot {
        epoch: Epoch(0),
        view: View(0),
        height: Height(6),
        block: BlockHash::from_bytes([0xbb; 32]),
    };
    let votes = [0, 1, 2].map(|member| (ReplicaId(member), sign(member, Commit(ballot)).signature));
    CommitCertificate::claimed(ballot, SignatureSet::first(3, &votes.into()).unwrap())
}

/// The view-change payload of member 3.
fn payload() -> ViewChangePayload {
    ViewChangePayload { anchor: Some(anchor()), prepared: vec![prepared()] }
}

fn view_change(member: u16, payload: ViewChangePayload) -> ViewChangeMessage {
    let body = ViewChange { epoch: Epoch(0), view: NEXT_VIEW, content: payload.hash() };
    ViewChangeMessage { vote: sign(member, body).into_inner(), payload }
}

fn new_view() -> NewViewMessage {
    let view_changes = vec![
        view_change(0, ViewChangePayload::default()),
        view_change(2, ViewChangePayload::default()),
        view_change(3, payload()),
    ];
    let again = sign(2, PrePrepare(Ballot { view: NEXT_VIEW, ..ballot() })).into_inner();
    let pre_prepares = vec![again];
    let content = NewViewMessage::content(&view_changes, &pre_prepares);
    let vote = sign(2, NewView { epoch: Epoch(0), view: NEXT_VIEW, content }).into_inner();
    NewViewMessage { vote, view_changes, pre_prepares }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::of(block().header(), Hash::from_bytes([0x55; 32]))
}

/// The certificate of members 0, 2 and 3, put together by hand.
fn stable() -> CheckpointCertificate {
    let mut bytes = encode(&checkpoint());
    bytes.extend(encode(&Signers::of([0, 2, 3].map(ReplicaId))));
    bytes.extend(3u32.to_le_bytes());
    for member in [0, 2, 3] {
        bytes.extend(encode(&sign(member, checkpoint()).signature));
    }
    decode(&bytes).unwrap()
}

fn evidence() -> Evidence {
    let other = Ballot { block: BlockHash::from_bytes([0xbb; 32]), ..ballot() };
    let vote = |ballot| sign(3, Prepare(ballot)).into_inner();
    Evidence::Prepare(Pair { first: vote(ballot()), second: vote(other) })
}

/// Member 3 sent COMMIT in view 1, and leaves for view 2 without the prepared certificate.
fn hidden() -> Evidence {
    let commit = sign(3, Commit(ballot())).into_inner();
    Evidence::Hidden(HiddenCertificate { commit, view_change: view_change(3, ViewChangePayload::default()) })
}

/// Member 3 sent PREPARE for the block, and member 1 proposed it. Both sent COMMIT for another one.
fn crossed() -> [Evidence; 2] {
    let other = Ballot { block: BlockHash::from_bytes([0xbb; 32]), ..ballot() };
    let commit = |member| sign(member, Commit(other)).into_inner();
    let prepare = sign(3, Prepare(ballot())).into_inner();
    let pre_prepare = sign(1, PrePrepare(ballot())).into_inner();
    [
        Evidence::PrepareCommit(Crossed { accepted: prepare, commit: commit(3) }),
        Evidence::PrePrepareCommit(Crossed { accepted: pre_prepare, commit: commit(1) }),
    ]
}

fn seen() -> Seen {
    Seen {
        prepare: Some(sign(3, Prepare(ballot())).into_inner()),
        commit: Some(sign(3, Commit(ballot())).into_inner()),
        view_change: Some(view_change(3, payload()).vote),
        ..Seen::default()
    }
}

fn mark() -> HighWaterMark {
    HighWaterMark {
        accepted: (VIEW, Height(7)),
        committed: (View(0), Height(6)),
        left: VIEW,
        opened: View(0),
    }
}

/// Checks the bytes of a row, and that they read back as the same record.
fn row(
    vectors: &mut Vectors,
    name: &str,
    record: &Record,
    read: impl Fn(&[u8]) -> Result<Record, Unreadable>,
) {
    let bytes = record.to_bytes();
    vectors.check(name, &bytes);
    assert_eq!(read(&bytes).as_ref(), Ok(record), "{name}");
    assert!(read(&bytes[1..]).is_err(), "{name}");
}

fn check_rows(vectors: &mut Vectors) {
    vectors.check("stored_accepted", &Record::Accepted(checked_proposal()).to_bytes());
    row(vectors, "stored_mark", &Record::Mark(Epoch(0), mark()), Record::read_mark);
    row(vectors, "stored_epoch_start", &Record::EpochStart(Epoch(3)), Record::read_epoch_start);
    let stable = stable().verify(&CHAIN, &members().1).unwrap();
    row(vectors, "checkpoint_certificate", &Record::Stable(stable), Record::read_stable);
    // The other records are stored with the bytes of their message, without its tag.
    let change = checked(Message::ViewChange(view_change(3, payload())), 3).into_content();
    let CheckedContent::ViewChange(change) = change else { unreachable!() };
    let begun = checked(Message::NewView(new_view()), 2).into_content();
    let CheckedContent::NewView(begun) = begun else { unreachable!() };
    let heard = Record::Heard(ReplicaId(3), Box::new(seen()));
    let records = [
        (Record::ViewChange(change), Message::ViewChange(view_change(3, payload()))),
        (Record::NewView(begun), Message::NewView(new_view())),
        (Record::Checkpoint(sign(3, checkpoint())), Message::Checkpoint(sign(3, checkpoint()).into_inner())),
        (Record::Evidence(evidence().check(&context()).unwrap()), Message::Evidence(evidence())),
        (Record::Evidence(hidden().check(&context()).unwrap()), Message::Evidence(hidden())),
        (
            Record::Evidence(crossed()[0].clone().check(&context()).unwrap()),
            Message::Evidence(crossed()[0].clone()),
        ),
        (
            Record::Evidence(crossed()[1].clone().check(&context()).unwrap()),
            Message::Evidence(crossed()[1].clone()),
        ),
        (heard, Message::Seen(seen())),
    ];
    for (record, message) in records {
        assert_eq!(record.to_bytes(), encode(&message)[1..]);
    }
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
        ("message_view_change", Message::ViewChange(view_change(3, payload()))),
        ("message_new_view", Message::NewView(new_view())),
        ("message_checkpoint", Message::Checkpoint(sign(3, checkpoint()).into_inner())),
        ("message_evidence", Message::Evidence(evidence())),
        ("message_evidence_hidden", Message::Evidence(hidden())),
        ("message_evidence_prepare_commit", Message::Evidence(crossed()[0].clone())),
        ("message_evidence_pre_prepare_commit", Message::Evidence(crossed()[1].clone())),
        ("message_seen", Message::Seen(seen())),
    ];
    for (name, message) in messages {
        let bytes = encode(&message);
        vectors.check(name, &bytes);
        assert_eq!(decode(&bytes), Ok(message.clone()), "{name} reads back");
        assert_eq!(Message::DEAR_TAGS.contains(&bytes[0]), message.is_dear(), "{name}");
        let from = if name == "message_pre_prepare" { 1 } else { 3 };
        checked(message, from);
    }
    vectors.check("prepared_certificate", &encode(&prepared()));
    vectors.check("payload_hash", payload().hash().as_bytes());
    vectors.check(
        "view_change_signing_hash",
        signing_hash(&CHAIN, &view_change(3, payload()).vote.body).as_bytes(),
    );
    vectors.check("new_view_content_hash", new_view().vote.body.content.as_bytes());
    vectors.check("new_view_signing_hash", signing_hash(&CHAIN, &new_view().vote.body).as_bytes());
    vectors.check("checkpoint_signing_hash", signing_hash(&CHAIN, &checkpoint()).as_bytes());
    check_rows(&mut vectors);
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));
}

/// R8: third parties can verify a prepared certificate. It cannot be made of fewer or other votes.
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
    assert!(refusal(&|bytes| bytes[196] = 2).contains("PRE-PREPARE"), "of another view");
    assert!(refusal(&|bytes| bytes[34] = 1).contains("PRE-PREPARE"), "of another epoch");
    assert!(refusal(&|bytes| bytes[signers] = 0b1010).contains("the primary is among"), "the primary twice");
    assert!(refusal(&|bytes| bytes[signers] = 0b1101).contains("exactly 2"), "three signers");
    assert!(refusal(&|bytes| bytes[signers] = 0b0101).contains("member 2"), "another signer");
    assert!(refusal(&|bytes| swap(bytes, signers, &[1, 1])).contains("no member"), "member 8 of four");
    assert!(refusal(&|bytes| swap(bytes, first, &pre_prepare)).contains("member 0"), "another kind of vote");
    assert!(prepared().verify(&ChainId::from_bytes([1; 32]), &committee).is_err(), "of another chain");
}

/// The certificates that replicas write in a run verify with the public keys alone, for every size.
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
                    Record::Prepared(certificate) => {
                        let claim = (**certificate).clone();
                        prepared += 1;
                        assert!(claim.verify(&net::CHAIN, &net.config.context.committee).is_ok());
                    }
                    Record::Finalised(certificate) => {
                        finalised += 1;
                        assert!(certificate.check(&net::CHAIN, &net.config.context.committee).is_ok());
                    }
                    _ => {}
                }
            }
            assert_eq!((prepared, finalised), (1, 1));
        }
    }
}
