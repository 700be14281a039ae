//! The files in `ledger/receipts`, on which every verifier must agree: this program, the Python
//! client and the JavaScript verifier read the same files in their tests.
//!
//! The tests create the files here and compare them with those in the repository. With
//! `QUORATE_WRITE_RECEIPTS=1` in the environment they write the files.

#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quorate_api::MAX_PROOF_JSON_BYTES;
use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, BlockHash, ChainId, Commit, CommitCertificate, Epoch, FinalityProof, Hash, Header, Height,
    MerkleTree, Receipt, ReplicaId, SignatureSet, Signed, Signers, Timestamp, TransactionId, View, from_hex,
    merkle_root, to_hex,
};
use serde_json::Value;

use super::*;

const RECEIPT: [&str; 4] = ["transaction", "index", "path", "proof"];
const PROOF: [&str; 3] = ["header", "descendants", "certificate"];
const HEADER: [&str; 12] = [
    "version",
    "chain_id",
    "epoch",
    "height",
    "parent",
    "transactions_root",
    "transaction_count",
    "body_bytes",
    "timestamp_ms",
    "committee",
    "next_committee",
    "proposer",
];
const CERTIFICATE: [&str; 6] = ["epoch", "view", "height", "block", "signers", "signatures"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ledger/receipts")
}

/// Signs everything, as a quorum that breaks every rule would.
struct Quorum(TestNetwork);

impl Quorum {
    fn new() -> Self {
        Quorum(TestNetwork::seeded(4, 7))
    }

    /// The header of a block with these transactions.
    fn header(&self, parent: &Header, ids: &[TransactionId]) -> Header {
        Header {
            height: parent.height.next(),
            parent: parent.hash(),
            transactions_root: merkle_root(ids),
            transaction_count: u32::try_from(ids.len()).unwrap(),
            body_bytes: u32::try_from(200 * ids.len()).unwrap(),
            timestamp: parent.timestamp.plus_ms(1000),
            proposer: ReplicaId(1),
            ..self.0.genesis().header().clone()
        }
    }

    fn certificate(
        &self,
        header: &Header,
        signers: &[u16],
        change: impl FnOnce(&mut Ballot),
    ) -> CommitCertificate {
        let (height, block) = (header.height, header.hash());
        let mut ballot = Ballot { epoch: header.epoch, view: View(12), height, block };
        change(&mut ballot);
        let chain = self.0.genesis().chain_id();
        let sign = |signer: &u16| {
            Signed::sign(&chain, self.0.key(ReplicaId(*signer)), ReplicaId(*signer), Commit(ballot))
                .into_inner()
                .signature
        };
        let signatures = signers.iter().map(sign).collect();
        let signers = Signers::of(signers.iter().copied().map(ReplicaId));
        CommitCertificate::claimed(ballot, SignatureSet::claimed(signers, signatures))
    }

    fn receipt(
        &self,
        ids: &[TransactionId],
        index: u32,
        header: Header,
        descendants: Vec<Header>,
    ) -> Receipt {
        let certified = descendants.last().unwrap_or(&header);
        let certificate = self.certificate(certified, &[0, 1, 2], |_| {});
        let position = usize::try_from(index).unwrap();
        Receipt {
            transaction: ids[position],
            index,
            path: MerkleTree::new(ids).path(position).unwrap(),
            proof: FinalityProof { header, descendants, certificate },
        }
    }

    /// The receipt of one transaction of `count`, in a block with this many blocks above it up to
    /// the certificate.
    fn ordered(&self, index: u32, count: u32, above: usize) -> Receipt {
        let ids = ids(count);
        let header = self.header(self.0.genesis().header(), &ids);
        let mut descendants: Vec<Header> = Vec::new();
        for _ in 0..above {
            descendants.push(self.header(descendants.last().unwrap_or(&header), &[]));
        }
        self.receipt(&ids, index, header, descendants)
    }

    /// The third of five transactions; its header is altered before it is signed.
    fn altered(&self, change: impl FnOnce(&mut Header)) -> Receipt {
        let ids = ids(5);
        let mut header = self.header(self.0.genesis().header(), &ids);
        change(&mut header);
        self.receipt(&ids, 2, header, Vec::new())
    }

    /// The same with an altered descendant.
    fn with_descendant(&self, change: impl FnOnce(&mut Header)) -> Receipt {
        let ids = ids(5);
        let header = self.header(self.0.genesis().header(), &ids);
        let mut descendant = self.header(&header, &[]);
        change(&mut descendant);
        self.receipt(&ids, 2, header, vec![descendant])
    }

    /// The same with another certificate.
    fn certified(&self, signers: &[u16], change: impl FnOnce(&mut Ballot)) -> Receipt {
        let mut receipt = self.ordered(2, 5, 0);
        receipt.proof.certificate = self.certificate(&receipt.proof.header, signers, change);
        receipt
    }
}

/// Ids of transactions that do not exist.
fn ids(count: u32) -> Vec<TransactionId> {
    let id = |number: u32| {
        let mut bytes = [0xa5; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        TransactionId::from_bytes(bytes)
    };
    (0..count).map(id).collect()
}

fn text(receipt: &Receipt) -> String {
    serde_json::to_string(&ReceiptJson::from(receipt)).unwrap()
}

/// A receipt whose JSON form was changed after it was made.
fn edited(receipt: &Receipt, edit: impl FnOnce(&mut ReceiptJson)) -> String {
    let mut json = ReceiptJson::from(receipt);
    edit(&mut json);
    serde_json::to_string(&json).unwrap()
}

/// The same object as an array of its fields, which serde also accepts for structures.
fn listed(text: &str, object: &str, names: &[&str]) -> String {
    let value: Value = serde_json::from_str(object).unwrap();
    let list: Vec<&Value> = names.iter().map(|name| &value[name]).collect();
    replaced(text, object, &serde_json::to_string(&list).unwrap())
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1)
}

/// A signature with n - s instead of s, which also satisfies the equation of ECDSA.
fn high_s(signature: &str) -> String {
    let order = from_hex("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let mut bytes = from_hex(signature).unwrap();
    let mut borrow = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    to_hex(&bytes)
}

fn good(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let plain = quorum.ordered(2, 5, 0);
    let pretty = serde_json::to_string_pretty(&ReceiptJson::from(&plain)).unwrap();
    let compact = text(&plain);
    let ReceiptJson { transaction, index, path, proof } = ReceiptJson::from(&plain);
    let (path, proof) =
        (serde_json::to_string(&path_texts(&path)).unwrap(), serde_json::to_string(&proof).unwrap());
    vec![
        ("plain", compact.clone()),
        ("white-space", format!("\r\n\t {}\n", pretty.replace(": ", "\t:\r\n"))),
        (
            "other-order",
            format!(r#"{{"proof":{proof},"path":{path},"index":{index},"transaction":"{transaction}"}}"#),
        ),
        (
            "escapes",
            replaced(&replaced(&compact, "\"0x", "\"\\u0030\\u0078"), "\"index\"", "\"\\u0069ndex\""),
        ),
        ("alone", text(&quorum.ordered(0, 1, 0))),
        ("first-of-five", text(&quorum.ordered(0, 5, 0))),
        ("last-of-five", text(&quorum.ordered(4, 5, 0))),
        ("last-of-ten-thousand", text(&quorum.ordered(9_999, 10_000, 0))),
        ("first-of-ten-thousand", text(&quorum.ordered(0, 10_000, 0))),
        ("descendant", text(&quorum.ordered(2, 5, 1))),
        ("most-descendants", text(&quorum.ordered(2, 5, 64))),
        ("other-signers", text(&quorum.certified(&[0, 2, 3], |_| {}))),
        (
            "largest-numbers",
            text(&{
                let mut receipt = quorum.altered(|header| {
                    header.height = Height(u64::MAX);
                    header.timestamp = Timestamp(u64::MAX);
                    header.body_bytes = u32::MAX;
                    header.proposer = ReplicaId(u16::MAX);
                });
                let header = receipt.proof.header.clone();
                receipt.proof.certificate =
                    quorum.certificate(&header, &[1, 2, 3], |ballot| ballot.view = View(u64::MAX));
                receipt
            }),
        ),
        ("above-2-53", text(&quorum.with_heights_above_2_53())),
    ]
}

fn path_texts(path: &[Hash]) -> Vec<String> {
    path.iter().map(ToString::to_string).collect()
}

impl Quorum {
    /// Numbers that a reader with floating-point numbers would round, in consecutive headers.
    fn with_heights_above_2_53(&self) -> Receipt {
        let ids = ids(5);
        let mut header = self.header(self.0.genesis().header(), &ids);
        header.height = Height((1 << 53) - 1);
        header.timestamp = Timestamp(1 << 53);
        let mut descendants =
            vec![Header { timestamp: header.timestamp.plus_ms(1), ..self.header(&header, &[]) }];
        descendants.push(self.header(&descendants[0], &[]));
        self.receipt(&ids, 2, header, descendants)
    }
}

/// Files with the content of a good one in a form that is not allowed.
fn of_another_form(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let receipt = quorum.ordered(2, 5, 1);
    let json = ReceiptJson::from(&receipt);
    let plain = text(&receipt);
    let header = serde_json::to_string(&json.proof.header).unwrap();
    let descendant = serde_json::to_string(&json.proof.descendants[0]).unwrap();
    let certificate = serde_json::to_string(&json.proof.certificate).unwrap();
    let proof = serde_json::to_string(&json.proof).unwrap();
    let all_listed = {
        let headers = listed(&listed(&proof, &header, &HEADER), &descendant, &HEADER);
        let inner = listed(&headers, &certificate, &CERTIFICATE);
        let whole = replaced(&plain, &proof, &listed(&inner, &inner, &PROOF));
        listed(&whole, &whole, &RECEIPT)
    };
    let spaces = " ".repeat(MAX_PROOF_JSON_BYTES + 1 - plain.len());
    let in_place = |from: &str, to: &str| replaced(&plain, from, to);
    vec![
        ("array-for-receipt", listed(&plain, &plain, &RECEIPT)),
        ("array-for-proof", listed(&plain, &proof, &PROOF)),
        ("array-for-header", listed(&plain, &header, &HEADER)),
        ("array-for-descendant", listed(&plain, &descendant, &HEADER)),
        ("array-for-certificate", listed(&plain, &certificate, &CERTIFICATE)),
        ("array-for-everything", all_listed),
        ("array-around", format!("[{plain}]")),
        (
            "object-for-list",
            in_place("\"descendants\":[", "\"descendants\":{\"0\":")
                .replace("}],\"certificate\"", "}},\"certificate\""),
        ),
        ("null-for-list", replaced(&text(&quorum.ordered(0, 1, 0)), "\"path\":[]", "\"path\":null")),
        (
            "null-for-descendants",
            replaced(&text(&quorum.ordered(2, 5, 0)), "\"descendants\":[]", "\"descendants\":null"),
        ),
        ("surplus-in-receipt", in_place("\"index\":", "\"note\":\"\",\"index\":")),
        ("surplus-in-proof", in_place("\"descendants\":", "\"note\":\"\",\"descendants\":")),
        ("surplus-in-header", in_place("\"version\":", "\"note\":0,\"version\":")),
        ("surplus-in-certificate", in_place("\"view\":", "\"note\":null,\"view\":")),
        ("surplus-proto", in_place("\"index\":", "\"__proto__\":{},\"index\":")),
        ("repeated-in-receipt", in_place("\"index\":2", "\"index\":3,\"index\":2")),
        ("repeated-in-header", in_place("\"version\":1", "\"version\":1,\"version\":1")),
        ("repeated-by-escape", in_place("\"index\":2", "\"inde\\u0078\":2,\"index\":2")),
        ("missing-index", in_place("\"index\":2,", "")),
        ("missing-descendants", replaced(&text(&quorum.ordered(2, 5, 0)), "\"descendants\":[],", "")),
        ("missing-view", in_place("\"view\":12,", "")),
        ("number-with-point", in_place("\"index\":2", "\"index\":2.0")),
        ("number-with-exponent", in_place("\"index\":2", "\"index\":2e0")),
        ("number-in-quotes", in_place("\"index\":2", "\"index\":\"2\"")),
        ("number-with-zero", in_place("\"index\":2", "\"index\":02")),
        ("number-negative", in_place("\"index\":2", "\"index\":-2")),
        ("number-minus-zero", in_place("\"epoch\":0", "\"epoch\":-0")),
        ("number-true", in_place("\"version\":1", "\"version\":true")),
        ("number-null", in_place("\"epoch\":0", "\"epoch\":null")),
        ("number-too-wide", in_place("\"version\":1", "\"version\":65537")),
        ("number-beyond-64-bits", in_place("\"view\":12", "\"view\":18446744073709551628")),
        ("number-not-a-number", in_place("\"view\":12", "\"view\":NaN")),
        (
            "hex-upper-case",
            in_place(
                &json.transaction.to_string(),
                &format!("0x{}", json.transaction.to_string()[2..].to_uppercase()),
            ),
        ),
        ("hex-capital-x", in_place("\"0x", "\"0X")),
        ("hex-without-0x", in_place("\"0x", "\"")),
        ("hex-longer", in_place("\"0x", "\"0x00")),
        ("hex-odd", in_place("\"0x", "\"0x0")),
        ("hex-as-number", in_place(&format!("\"{}\"", json.transaction), "0")),
        ("trailing-object", format!("{plain} {{}}")),
        ("trailing-comma", replaced(&plain, "]}}", "],}}")),
        ("trailing-nul", format!("{plain}\0")),
        ("comment", format!("/* a receipt */{plain}")),
        ("byte-order-mark", format!("\u{feff}{plain}")),
        ("space-of-another-kind", format!("\u{a0}{plain}")),
        ("single-quotes", plain.replace('"', "'")),
        ("control-character", in_place("\"index\":", "\"in\tdex\":")),
        ("half-a-character", in_place("\"index\":", "\"\\ud800\":0,\"index\":")),
        ("too-long", format!("{plain}{spaces}")),
        ("cut-off", plain[..plain.len() - 1].to_owned()),
        ("empty", String::new()),
        ("null", "null".to_owned()),
        ("deep", "[".repeat(100_000)),
    ]
}

/// Files in the right form that prove nothing.
fn without_proof(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let plain = quorum.ordered(2, 5, 0);
    let other = Hash::ZERO;
    let swap = |json: &mut ReceiptJson| json.proof.certificate.signatures.swap(0, 1);
    let signers = |signers: &[u16]| {
        edited(&quorum.certified(&[0, 1, 2], |_| {}), |json| {
            json.proof.certificate.signers = signers.to_vec();
        })
    };
    // Far more transactions than any block has, so that a path of fifteen is right.
    let many = ids(20_000);
    let long = quorum.receipt(&many, 0, quorum.header(quorum.0.genesis().header(), &many), Vec::new());
    let high_s = {
        let signature = ReceiptJson::from(&plain).proof.certificate.signatures[1].to_string();
        replaced(&text(&plain), &signature, &high_s(&signature))
    };
    vec![
        ("path-of-fifteen", text(&long)),
        ("path-shorter", edited(&plain, |json| _ = json.path.pop())),
        ("path-longer", edited(&plain, |json| json.path.push(other))),
        ("path-of-another", edited(&plain, |json| json.path[0] = other)),
        ("index-of-another", edited(&plain, |json| json.index = 3)),
        ("index-beyond", edited(&plain, |json| json.index = 5)),
        ("index-beyond-largest", edited(&plain, |json| json.index = u32::MAX)),
        ("transaction-of-another", edited(&plain, |json| json.transaction = ids(9)[8])),
        ("descendants-65", text(&quorum.ordered(2, 5, 65))),
        ("descendant-skips", text(&quorum.with_descendant(|header| header.height = header.height.next()))),
        ("descendant-stays", text(&quorum.with_descendant(|header| header.height = Height(1)))),
        ("descendant-of-another", text(&quorum.with_descendant(|header| header.parent = BlockHash(other)))),
        (
            "descendant-of-the-same-time",
            text(&quorum.with_descendant(|header| header.timestamp = header.timestamp.minus_ms(1000))),
        ),
        (
            "descendant-of-another-chain",
            text(&quorum.with_descendant(|header| header.chain_id = ChainId::from_bytes([1; 32]))),
        ),
        ("version-2", text(&quorum.altered(|header| header.version = 2))),
        ("epoch-1", text(&quorum.altered(|header| header.epoch = Epoch(1)))),
        ("another-chain", text(&quorum.altered(|header| header.chain_id = ChainId::from_bytes([1; 32])))),
        ("another-committee", text(&quorum.altered(|header| header.committee = other))),
        ("another-next-committee", text(&quorum.altered(|header| header.next_committee = other))),
        (
            "certificate-of-another-height",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.height = Height(2))),
        ),
        (
            "certificate-of-another-epoch",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.epoch = Epoch(1))),
        ),
        (
            "certificate-of-another-block",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.block = BlockHash(other))),
        ),
        ("certificate-of-another-view", edited(&plain, |json| json.proof.certificate.view = 13)),
        ("signers-too-few", text(&quorum.certified(&[0, 1], |_| {}))),
        ("signers-too-many", text(&quorum.certified(&[0, 1, 2, 3], |_| {}))),
        ("signers-none", text(&quorum.certified(&[], |_| {}))),
        ("signers-twice", signers(&[0, 1, 1])),
        (
            "signers-descending",
            edited(&plain, |json| {
                json.proof.certificate.signers.reverse();
                json.proof.certificate.signatures.reverse();
            }),
        ),
        ("signers-no-member", signers(&[0, 1, 4])),
        ("signers-beyond-31", signers(&[0, 1, 31])),
        ("signers-others", signers(&[0, 1, 3])),
        ("signatures-one-less", edited(&plain, |json| _ = json.proof.certificate.signatures.pop())),
        (
            "signatures-one-more",
            edited(&plain, |json| {
                let certificate = &mut json.proof.certificate;
                certificate.signatures.push(certificate.signatures[0]);
            }),
        ),
        ("signatures-swapped", edited(&plain, swap)),
        ("signature-high-s", high_s),
        ("signature-of-zeros", {
            let signature = ReceiptJson::from(&plain).proof.certificate.signatures[1].to_string();
            replaced(&text(&plain), &signature, &format!("0x{}", "0".repeat(128)))
        }),
    ]
}

/// The expected files by name.
fn files() -> BTreeMap<String, Vec<u8>> {
    let quorum = Quorum::new();
    let mut files = BTreeMap::from([("genesis.toml".to_owned(), quorum.0.genesis().to_toml().into_bytes())]);
    let mut add = |folder: &str, name: &str, bytes: Vec<u8>| {
        let before = files.insert(format!("{folder}/{name}.json"), bytes);
        assert!(before.is_none(), "{folder}/{name} exists twice");
    };
    for (name, text) in good(&quorum) {
        add("good", name, text.into());
    }
    for (name, text) in of_another_form(&quorum).into_iter().chain(without_proof(&quorum)) {
        add("bad", name, text.into());
    }
    let mut bytes = text(&quorum.ordered(2, 5, 0)).into_bytes();
    bytes.extend([b' ', 0xff]);
    add("bad", "not-utf-8", bytes);
    files
}

fn files_in_repository() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::from([(
        "genesis.toml".to_owned(),
        std::fs::read(directory().join("genesis.toml")).unwrap(),
    )]);
    for folder in ["good", "bad"] {
        for entry in std::fs::read_dir(directory().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            found.insert(format!("{folder}/{name}"), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_files_in_the_repository_are_up_to_date() {
    let files = files();
    if std::env::var_os("QUORATE_WRITE_RECEIPTS").is_some() {
        for (name, bytes) in &files {
            let path = directory().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    let found = files_in_repository();
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, files.keys().collect::<Vec<_>>());
    for (name, bytes) in files {
        assert!(
            found[&name] == bytes,
            "{name} is another: run this with QUORATE_WRITE_RECEIPTS=1 if it should be"
        );
    }
}

#[test]
fn the_program_proves_the_good_files_and_no_other() {
    let genesis = std::fs::read_to_string(directory().join("genesis.toml")).unwrap();
    let genesis = Genesis::parse(&genesis).unwrap();
    for (name, bytes) in files_in_repository() {
        let verdict = String::from_utf8(bytes)
            .map_err(|error| error.to_string())
            .and_then(|text| prove(&text, &genesis));
        if name.starts_with("good/") {
            assert!(verdict.is_ok(), "{name}: {verdict:?}");
        } else if name.starts_with("bad/") {
            assert!(verdict.is_err(), "{name} is accepted as proven");
        }
    }
}
