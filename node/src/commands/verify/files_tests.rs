//! The files in `ledger/receipts`, on which every verifier must agree: this program, the Python
//! client and the JavaScript verifier read the same files in their tests. Those in `epochs` and
//! `every-byte` are receipts with epoch proofs.
//!
//! The tests create the files here and compare them with those in the repository. With
//! `QUORATE_WRITE_RECEIPTS=1` in the environment they write the files.

#![allow(clippy::unwrap_used)]

mod another_form;
mod chain;
mod epochs;
mod every_byte;
mod leading_back;
mod unproven;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quorate_api::MAX_PROOF_JSON_BYTES;
use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, BlockHash, Body, ChainId, Commit, CommitCertificate, Epoch, FinalityProof, Hash, Header, Height,
    MerkleTree, Receipt, ReplicaId, SignatureSet, Signed, Signers, Timestamp, TransactionId, View, from_hex,
    merkle_root, to_hex,
};
use serde_json::Value;

use super::*;

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

    /// The committee certifies a block above one that ends the epoch.
    fn above_the_last_of_its_epoch(&self) -> Receipt {
        let ids = ids(5);
        let mut header = self.header(self.0.genesis().header(), &ids);
        header.next_committee = Hash::ZERO;
        let descendant = self.header(&header, &[]);
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

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1)
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
        // Without epoch proofs, a verifier knows neither the next committee nor the last height.
        ("last-of-its-epoch", text(&quorum.altered(|header| header.next_committee = Hash::ZERO))),
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
    for (name, text) in another_form::files(&quorum).into_iter().chain(unproven::files(&quorum)) {
        add("bad", name, text.into());
    }
    let mut bytes = text(&quorum.ordered(2, 5, 0)).into_bytes();
    bytes.extend([b' ', 0xff]);
    add("bad", "not-utf-8", bytes);
    let chain = chain::Chain::new();
    files.extend(epochs::files(&chain));
    files.extend(every_byte::files(&chain));
    files
}

fn files_in_repository() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::from([(
        "genesis.toml".to_owned(),
        std::fs::read(directory().join("genesis.toml")).unwrap(),
    )]);
    for folder in ["good", "bad", "epochs", "every-byte"] {
        read_folder(folder, &mut found);
    }
    found
}

/// Reads all files in a folder, and in the folders in it.
fn read_folder(folder: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(directory().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read_folder(&name, found);
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
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
            .and_then(|text| proven(&text, &genesis, None).map_err(|error| format!("{error:?}")));
        if name.starts_with("good/") {
            assert!(verdict.is_ok(), "{name}: {verdict:?}");
        } else if name.starts_with("bad/") {
            assert!(verdict.is_err(), "{name} is accepted as proven");
        }
    }
}

#[test]
fn the_program_proves_receipts_with_the_epoch_proofs_that_they_need() {
    let files = files_in_repository();
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let genesis = Genesis::parse(&text("genesis.toml")).unwrap();
    let cases = files.keys().filter_map(|name| name.strip_prefix("epochs/")?.strip_suffix("/receipt.json"));
    let mut kinds = BTreeMap::<&str, u32>::new();
    for case in cases {
        let epochs = text(&format!("epochs/{case}/epochs.json"));
        let verdict = proven(&text(&format!("epochs/{case}/receipt.json")), &genesis, Some(&epochs));
        let kind = match &verdict {
            Ok(_) => "good",
            Err(NotProven::Invalid(_)) => "bad",
            Err(NotProven::Unproven(_)) => "unproven",
        };
        assert!(case.starts_with(kind), "{case}: {verdict:?}");
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}
