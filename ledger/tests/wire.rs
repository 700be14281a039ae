//! Every test vector of `WIRE.md`, recomputed through the public API.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{
    Ballot, BlockHash, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee, Domain, Epoch,
    EpochProof, FinalityProof, Header, Height, MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_MEMBERS,
    MAX_PATH_SIBLINGS, MAX_PAYLOAD_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS, MerklePath,
    PROTOCOL_VERSION, Payload, PublicKey, Receipt, ReplicaId, SecretKey, Signature, Signed, Timestamp,
    Transaction, TransactionId, Verified, VerifiedTransaction, View, decode, encode, merkle_root,
    signing_hash, tagged_hash,
};

use vectors::{DOCUMENT, Vectors};

mod vectors;

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const VALID_UNTIL: Timestamp = Timestamp(1_700_000_060_000);
const BLOCK_TIME: Timestamp = Timestamp(1_700_000_000_000);

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

/// The keys 01…01 to 04…04 in the order of their public halves, and their committee.
fn members() -> (Vec<SecretKey>, Committee) {
    let mut keys: Vec<SecretKey> = (1..=4).map(secret).collect();
    keys.sort_by_key(SecretKey::public);
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    (keys, committee)
}

fn signed(nonce: u64, payload: Payload) -> Transaction {
    Transaction::sign(&CHAIN, &secret(0x11), nonce, VALID_UNTIL, payload)
}

/// The three transactions of the block at height 7.
fn transactions() -> Vec<VerifiedTransaction> {
    [(7, "hello"), (8, ""), (9, "quorate")]
        .map(|(nonce, text)| signed(nonce, Payload::Data(text.into())).verify(&CHAIN).unwrap())
        .into()
}

fn header() -> Header {
    let (_, committee) = members();
    let body = Body::of(&transactions());
    Header {
        version: PROTOCOL_VERSION,
        chain_id: CHAIN,
        epoch: Epoch(0),
        height: Height(7),
        parent: BlockHash::from_bytes([0xbb; 32]),
        transactions_root: body.root(),
        transaction_count: body.count(),
        body_bytes: body.transaction_bytes(),
        timestamp: BLOCK_TIME,
        committee: committee.hash(),
        next_committee: committee.hash(),
        proposer: ReplicaId(1),
    }
}

/// The empty block at height 8.
fn descendant() -> Header {
    Header::after(&header(), &Body::of(&[]), Timestamp(BLOCK_TIME.0 + 1000), ReplicaId(2))
}

fn ballot() -> Ballot {
    Ballot { epoch: Epoch(0), view: View(2), height: Height(8), block: descendant().hash() }
}

fn commits() -> Vec<Verified<Signed<Commit>>> {
    let (keys, _) = members();
    (0..)
        .zip(&keys)
        .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot())))
        .collect()
}

fn certificate() -> CommitCertificate {
    let (_, committee) = members();
    CommitCertificate::assemble(&committee, ballot(), &commits()).unwrap().into_inner()
}

fn receipt() -> Receipt {
    let ids: Vec<TransactionId> = transactions().iter().map(VerifiedTransaction::id).collect();
    Receipt {
        transaction: ids[1],
        index: 1,
        path: MerklePath::new(&ids, 1).unwrap(),
        proof: FinalityProof {
            header: header(),
            descendants: vec![descendant()],
            certificate: certificate(),
        },
    }
}

/// Three of the four members, and the key 11…11.
fn next_members() -> Vec<PublicKey> {
    let (keys, _) = members();
    keys[..3].iter().map(SecretKey::public).chain([secret(0x11).public()]).collect()
}

/// The empty block at height 9, the last one of epoch 0.
fn last_of_epoch() -> Header {
    let next_committee = Committee::new(Epoch(1), next_members()).unwrap().hash();
    let time = Timestamp(BLOCK_TIME.0 + 2000);
    Header { next_committee, ..Header::after(&descendant(), &Body::of(&[]), time, ReplicaId(2)) }
}

fn epoch_proof() -> EpochProof {
    let (keys, committee) = members();
    let header = last_of_epoch();
    let ballot = Ballot { height: header.height, block: header.hash(), ..ballot() };
    let sign = |(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot));
    let commits: Vec<_> = (0..).zip(&keys).map(sign).collect();
    let certificate = CommitCertificate::assemble(&committee, ballot, &commits).unwrap().into_inner();
    EpochProof { last: FinalityProof { header, descendants: Vec::new(), certificate }, next: next_members() }
}

fn check_hashes(vectors: &mut Vectors) {
    let domains = [
        Domain::Transaction,
        Domain::PrePrepare,
        Domain::Prepare,
        Domain::Commit,
        Domain::Checkpoint,
        Domain::ViewChange,
        Domain::NewView,
        Domain::Possession,
        Domain::Genesis,
        Domain::Header,
        Domain::TransactionId,
        Domain::Committee,
        Domain::MerkleLeaf,
        Domain::MerkleNode,
        Domain::MerkleEmpty,
        Domain::ViewChangeContent,
        Domain::NewViewContent,
        Domain::StateKey,
        Domain::StateValue,
        Domain::StateLeaf,
        Domain::StateNode,
        Domain::StateEmpty,
    ];
    vectors.check("domains", &domains.map(|domain| domain as u8));
    vectors.check("hash_preimage", b"quorate\x01\x42abc");
    let abc = tagged_hash(Domain::TransactionId, &[b"a", b"bc"]);
    assert_eq!(Transaction::id_of(b"abc").as_bytes(), abc.as_bytes(), "parts are joined as they are");
    vectors.check("hash", abc.as_bytes());
}

fn check_keys(vectors: &mut Vectors) {
    let key = secret(0x11);
    vectors.check("secret_key", key.to_bytes().as_slice());
    vectors.check("public_key", key.public().as_bytes());
    vectors.check("curve_order", &ORDER);
    vectors.check("highest_s", &HIGHEST_S);
}

fn check_transactions(vectors: &mut Vectors) {
    let transaction = signed(7, Payload::Data(b"hello".to_vec()));
    let bytes = transaction.to_bytes();
    let (unsigned, signature) = bytes.split_at(bytes.len() - 64);
    let hash = tagged_hash(Domain::Transaction, &[CHAIN.as_bytes(), unsigned]);
    assert_eq!(transaction.signature, secret(0x11).sign(&hash), "nonces are those of RFC 6979");
    assert!(transaction.sender.parse().unwrap().verify(&hash, &transaction.signature));
    assert_eq!(Transaction::from_bytes(&bytes).unwrap(), transaction);

    vectors.check("chain_id", CHAIN.as_bytes());
    vectors.check("transaction_unsigned", unsigned);
    vectors.check("transaction_signing_hash", hash.as_bytes());
    vectors.check("transaction_signature", signature);
    vectors.check("transaction", &bytes);
    vectors.check("transaction_id", transaction.id().as_bytes());

    let twin = [unsigned, &with_high_s(&transaction.signature)].concat();
    assert!(Transaction::from_bytes(&twin).unwrap_err().reason.contains("canonical"));
    vectors.check("transaction_high_s", &twin);

    let governance = signed(10, Payload::Governance(vec![0xff]));
    vectors.check("transaction_governance", &governance.to_bytes());
}

fn check_bodies(vectors: &mut Vectors) {
    let body = Body::of(&transactions());
    assert_eq!(Body::decode(body.as_bytes().to_vec()).unwrap(), body);
    vectors.check("body", body.as_bytes());
    for (id, name) in body.ids().iter().zip(["body_id_0", "body_id_1", "body_id_2"]) {
        vectors.check(name, id.as_bytes());
    }
    vectors.check("body_empty", Body::of(&[]).as_bytes());
}

fn check_trees(vectors: &mut Vectors) {
    let ids: Vec<TransactionId> = (0..5).map(|byte| TransactionId::from_bytes([byte; 32])).collect();
    for count in [0, 1, 2, 3, 5] {
        vectors.check(&format!("tree_root_{count}"), merkle_root(&ids[..count]).as_bytes());
    }
    for index in [3, 4] {
        let path = MerklePath::new(&ids, index).unwrap();
        let place = u32::try_from(index).unwrap();
        assert!(path.leads_to(&merkle_root(&ids), &ids[index], place, 5));
        vectors.check(&format!("tree_path_{index}_of_5"), &encode(&path));
    }
}

fn check_committees(vectors: &mut Vectors) {
    let (keys, committee) = members();
    for (index, key) in keys.iter().enumerate() {
        vectors.check(&format!("member_secret_{index}"), key.to_bytes().as_slice());
        vectors.check(&format!("member_{index}"), key.public().as_bytes());
    }
    vectors.check("committee", &encode(&committee.members().to_vec()));
    vectors.check("committee_hash", committee.hash().as_bytes());

    let mut everyone: Vec<_> = (1..).take(MAX_MEMBERS).map(|byte| secret(byte).public()).collect();
    everyone.sort();
    let quorums: Vec<u8> = (1..=MAX_MEMBERS)
        .map(|size| Committee::new(Epoch(0), everyone[..size].to_vec()).unwrap())
        .map(|committee| u8::try_from(committee.quorum()).unwrap())
        .collect();
    vectors.check("quorums", &quorums);
}

fn check_headers(vectors: &mut Vectors) {
    descendant().check_follows(&header()).unwrap();
    vectors.check("header", &encode(&header()));
    vectors.check("block_hash", header().hash().as_bytes());
    vectors.check("next_header", &encode(&descendant()));
    vectors.check("next_block_hash", descendant().hash().as_bytes());
}

fn check_certificates(vectors: &mut Vectors) {
    vectors.check("ballot", &encode(&ballot()));
    vectors.check("commit_signing_hash", signing_hash(&CHAIN, &Commit(ballot())).as_bytes());
    for (index, commit) in commits().iter().enumerate() {
        vectors.check(&format!("commit_signature_{index}"), commit.signature.as_bytes());
    }
    vectors.check("signed_commit", &encode(&commits()[3].clone().into_inner()));
    vectors.check("certificate", &encode(&certificate()));
}

fn check_receipts(vectors: &mut Vectors) {
    let (_, committee) = members();
    let mut anchor = ChainAnchor::new(CHAIN, committee);
    let bytes = encode(&receipt());
    decode::<Receipt>(&bytes).unwrap().verify(&anchor).unwrap();
    vectors.check("finality_proof", &encode(&receipt().proof));
    vectors.check("receipt", &bytes);

    let next = Committee::new(Epoch(1), next_members()).unwrap();
    last_of_epoch().check_follows(&descendant()).unwrap();
    anchor.extend(&epoch_proof()).unwrap();
    assert_eq!(anchor.newest(), &next);
    vectors.check("next_committee", &encode(&next_members()));
    vectors.check("next_committee_hash", next.hash().as_bytes());
    vectors.check("last_header", &encode(&last_of_epoch()));
    vectors.check("last_block_hash", last_of_epoch().hash().as_bytes());
    vectors.check("epoch_proof", &encode(&epoch_proof()));
}

#[test]
fn every_vector_is_what_the_code_computes() {
    let mut vectors = Vectors::parse(DOCUMENT, "ledger");
    check_hashes(&mut vectors);
    check_keys(&mut vectors);
    check_transactions(&mut vectors);
    check_bodies(&mut vectors);
    check_trees(&mut vectors);
    check_committees(&mut vectors);
    check_headers(&mut vectors);
    check_certificates(&mut vectors);
    check_receipts(&mut vectors);
    if let Err(problems) = vectors.finish() {
        panic!("WIRE.md and the code differ; what the code says:\n{problems}");
    }
}

#[test]
fn wrong_unused_missing_and_misplaced_vectors_are_reported() {
    let problems = |document: &str| {
        let mut vectors = Vectors::parse(document, "ledger");
        vectors.check("a", &[1, 2]);
        vectors.finish().err()
    };
    let block = |lines: &str| format!("Text.\n```vectors ledger\n{lines}\n```\n");
    assert_eq!(problems(&block("a = 0x0102")), None);
    assert_eq!(problems(&block("a = 0x\n  01\n  02")), None);
    let expected = [
        (block("a = 0x0103"), "a = 0x0102"),
        (block(""), "a = 0x0102"),
        (block("a = 0x0102\nb = 0x03"), "b is not recomputed"),
        (block("a = 0x0102\na = 0x0102"), "given before"),
        (block("a = 0x0102\nb: 0x03"), "neither"),
        (block("a = 0x01020"), "pairs of the digits"),
        (block("  01\na = 0x0102"), "nothing to continue"),
        (block("a = 0x0102") + "b = 0x03\n", "outside of a block"),
        (block("a = 0x0102") + "```vectors leger\nb = 0x03\n```\n", "no test reads"),
    ];
    for (document, problem) in expected {
        let found = problems(&document).unwrap_or_default();
        assert!(found.contains(problem), "{problem:?} is not in {found:?} of {document}");
    }
    let other = block("a = 0x0102") + "```vectors pbft\nb = 0x\n  03\n```\n";
    assert_eq!(problems(&other), None, "another crate's vectors are its own business");
}

#[test]
fn the_limits_are_those_of_the_code() {
    let rows = [
        ("members of a committee, signatures of a certificate", MAX_MEMBERS as u64),
        ("bytes of a transaction, signature included", MAX_TRANSACTION_BYTES.into()),
        ("bytes of a payload", MAX_PAYLOAD_BYTES.into()),
        ("transactions of a block", MAX_TRANSACTIONS.into()),
        ("bytes of all transactions of a block", MAX_BODY_BYTES.into()),
        ("siblings of a path", MAX_PATH_SIBLINGS.into()),
        ("descendants of a finality proof", MAX_DESCENDANTS.into()),
    ];
    for (what, limit) in rows {
        let row = format!("| {what} | ");
        let (_, rest) = DOCUMENT.split_once(&row).unwrap_or_else(|| panic!("WIRE.md has no row {row:?}"));
        let number: String = rest.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit).collect();
        assert_eq!(number, limit.to_string(), "{what}");
    }
}

/// Order of the secp256k1 group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
    0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// Half of the order minus one.
const HIGHEST_S: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// The signature with the other s that satisfies the equation: the order minus s.
fn with_high_s(signature: &Signature) -> [u8; 64] {
    let mut bytes = *signature.as_bytes();
    let mut borrow = 0;
    for (digit, order) in bytes[32..].iter_mut().zip(ORDER).rev() {
        let difference = 256 + i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 256);
        *digit = u8::try_from(difference % 256).unwrap();
    }
    bytes
}

#[test]
fn r_and_s_are_accepted_up_to_their_limits() {
    let plus_one = |mut number: [u8; 32]| {
        number[31] += 1;
        number
    };
    let minus_one = |mut number: [u8; 32]| {
        number[31] -= 1;
        number
    };
    let one = plus_one([0; 32]);
    let accepts = |r: [u8; 32], s: [u8; 32]| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Signature::from_bytes(bytes).is_ok()
    };
    assert!(accepts(one, one));
    assert!(accepts(minus_one(ORDER), HIGHEST_S));
    assert!(!accepts(ORDER, HIGHEST_S));
    assert!(!accepts(minus_one(ORDER), plus_one(HIGHEST_S)));
    assert!(!accepts([0; 32], one));
    assert!(!accepts(one, [0; 32]));
}
