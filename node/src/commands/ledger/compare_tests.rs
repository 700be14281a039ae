#![allow(clippy::unwrap_used)]

use std::path::Path;

use quorate_genesis::TestNetwork;
use quorate_governance::{Operation, Possession};
use quorate_ledger::{
    Ballot, Block, Body, Commit, CommitCertificate, Epoch, Header, Payload, ReplicaId, SecretKey, Signed,
    Timestamp, VerifiedTransaction, View,
};
use quorate_store::{CertifiedRange, ExportWriter, ForgetfulDisk, Ledger};

use super::*;

/// Blocks of a network whose members sign everything. From height `apart` on, the blocks have other
/// times, so that two chains with different `number` differ from there.
fn ranges(
    network: &TestNetwork,
    length: u64,
    apart: u64,
    number: u64,
    signers: &[u16],
) -> Vec<CertifiedRange> {
    runs_in_view(network, length, apart, number, View(number), signers)
}

fn runs_in_view(
    network: &TestNetwork,
    length: u64,
    apart: u64,
    number: u64,
    view: View,
    signers: &[u16],
) -> Vec<CertifiedRange> {
    let genesis = network.genesis();
    let mut parent = genesis.header().clone();
    let mut ranges = Vec::new();
    for height in 1..=length {
        let time = parent.timestamp.plus_ms(1 + if height >= apart { number } else { 0 });
        let body = Body::of(&[]);
        let header = Header::after(&parent, &body, Timestamp(time.0), ReplicaId(0));
        let block = Block::new(header.clone(), body).unwrap();
        let ballot = Ballot { epoch: Epoch(0), view, height: Height(height), block: block.hash() };
        let vote = |signer: &u16| {
            let key = &network.keys()[usize::from(*signer)];
            Signed::sign(&genesis.chain_id(), key, ReplicaId(*signer), Commit(ballot))
        };
        let votes: Vec<_> = signers.iter().map(vote).collect();
        let certificate =
            CommitCertificate::assemble(genesis.committee(), ballot, &votes).unwrap().into_inner();
        ranges.push(CertifiedRange { blocks: vec![block], certificate });
        parent = header;
    }
    ranges
}

fn written(network: &TestNetwork, path: &Path, ranges: Vec<CertifiedRange>) -> String {
    let genesis = network.genesis();
    let initial = genesis.governance_state();
    let opened = ExportWriter::open(path, genesis.header(), &initial, genesis.anchor(), |_, _| {});
    let (mut writer, _) = opened.unwrap();
    ranges.into_iter().for_each(|range| writer.write(range).unwrap());
    writer.sync().unwrap();
    path.to_str().unwrap().to_owned()
}

fn home(network: &TestNetwork, path: &Path, ranges: &[CertifiedRange]) -> String {
    std::fs::create_dir_all(path.join("data")).unwrap();
    std::fs::write(path.join("config.toml"), "").unwrap();
    let mut ledger = Ledger::create(
        path.join("data/ledger.redb"),
        network.genesis().header(),
        &network.genesis().governance_state(),
    )
    .unwrap();
    ranges.iter().for_each(|range| ledger.append(&range.blocks, &range.certificate).unwrap());
    ledger.make_durable().unwrap();
    path.to_str().unwrap().to_owned()
}

fn compared(network: &TestNetwork, first: &str, second: &str) -> Report {
    compare(first, second, network.genesis()).unwrap()
}

#[test]
fn the_first_difference_is_found_in_every_kind_of_source() {
    let network = TestNetwork::seeded(4, 1);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (ours, theirs) = ([0, 1, 2], [1, 2, 3]);
    let first = ranges(&network, 20, 8, 0, &ours);
    let second = ranges(&network, 30, 8, 5, &theirs);
    let copies = [
        (written(&network, &at("first"), first.clone()), written(&network, &at("second"), second.clone())),
        (home(&network, &at("first-home"), &first), home(&network, &at("second-home"), &second)),
    ];
    for (first, second) in
        [(&copies[0].0, &copies[0].1), (&copies[1].0, &copies[1].1), (&copies[0].0, &copies[1].1)]
    {
        let report = compared(&network, first, second);
        assert_eq!((report.same, report.common_height, report.heights), (false, 20, [20, 30]));
        let difference = report.difference.unwrap();
        assert_eq!(difference.height, 8);
        let names = |members: &[usize]| -> Vec<String> {
            members.iter().map(|member| network.genesis().validators()[*member].name.clone()).collect()
        };
        let signed = |side: usize| {
            let certificate = difference.certificates[side].as_ref().unwrap();
            (certificate.view, certificate.height, certificate.signers.clone())
        };
        assert_eq!(signed(0), (0, 8, names(&[0, 1, 2])));
        assert_eq!(signed(1), (5, 8, names(&[1, 2, 3])));
        assert_eq!(difference.proven_faulty, names(&[]), "each may be correct: the views differ");
        assert_ne!(difference.hashes[0], difference.hashes[1]);
    }
}

/// Nodes may hold different certificates for one block, and one may be ahead.
#[test]
fn other_certificates_and_another_length_are_no_difference() {
    let network = TestNetwork::seeded(4, 1);
    let directory = tempfile::tempdir().unwrap();
    let first = written(&network, &directory.path().join("first"), ranges(&network, 9, 100, 0, &[0, 1, 2]));
    let second = home(&network, &directory.path().join("second"), &ranges(&network, 12, 100, 3, &[0, 2, 3]));
    let empty = written(&network, &directory.path().join("empty"), Vec::new());
    for (first, second, common) in [(&first, &second, 9), (&second, &first, 9), (&first, &empty, 0)] {
        let report = compared(&network, first, second);
        assert!(report.same && report.difference.is_none());
        assert_eq!(report.common_height, common);
    }
}

fn proven_faulty(network: &TestNetwork, first: &str, second: &str) -> Vec<String> {
    compared(network, first, second).difference.unwrap().proven_faulty
}

/// A validator that signed two blocks at one height in one view is faulty. No other validator is
/// named: not for certificates of different views or heights, and not for invalid signatures.
#[test]
fn only_a_validator_that_is_proven_faulty_is_named() {
    let network = TestNetwork::seeded(4, 1);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let chain = |number, view, signers: &[u16]| runs_in_view(&network, 9, 5, number, View(view), signers);
    let first = written(&network, &at("first"), chain(0, 3, &[0, 1, 2]));
    let name = |member: usize| network.genesis().validators()[member].name.clone();
    let same_view = written(&network, &at("same-view"), chain(5, 3, &[0, 2, 3]));
    assert_eq!(proven_faulty(&network, &first, &same_view), [name(0), name(2)]);
    let later_view = written(&network, &at("later-view"), chain(5, 4, &[0, 2, 3]));
    assert!(proven_faulty(&network, &first, &later_view).is_empty());

    // The certificate that makes height 5 final is for height 7.
    let mut joined = chain(5, 3, &[0, 2, 3]);
    let above: Vec<CertifiedRange> = joined.splice(4..7, []).collect();
    let certificate = above[2].certificate.clone();
    let blocks = above.into_iter().flat_map(|range| range.blocks).collect();
    joined.insert(4, CertifiedRange { blocks, certificate });
    let higher = written(&network, &at("higher"), joined);
    let difference = compared(&network, &first, &higher).difference.unwrap();
    assert_eq!((difference.height, difference.certificates[1].as_ref().unwrap().height), (5, 7));
    assert!(difference.proven_faulty.is_empty());

    // Signatures of members 0 and 2 for other blocks, presented as if they were for these.
    let (ours, forged) = (chain(0, 3, &[0, 1, 2]), chain(5, 3, &[0, 2, 3]));
    let forged = forged.into_iter().zip(&ours).map(|(range, other)| {
        let votes = other.certificate.votes().clone();
        CertifiedRange {
            certificate: CommitCertificate::claimed(*range.certificate.ballot(), votes),
            ..range
        }
    });
    let forged = home(&network, &at("forged"), &forged.collect::<Vec<_>>());
    let difference = compared(&network, &first, &forged).difference.unwrap();
    assert!(difference.proven_faulty.is_empty() && difference.certificates[1].is_none());
}

/// Blocks of a network whose member 0 rotates its key in block 1, up to block 12. Epoch 1 begins with
/// block 10. From block 11 on, the blocks have other times.
fn rotated(network: &TestNetwork, new_key: &SecretKey, number: u64) -> Vec<CertifiedRange> {
    let genesis = network.genesis();
    let chain = genesis.chain_id();
    let owner = network.governance_key(ReplicaId(0));
    let possession = Possession::sign(&chain, owner.public(), new_key, Epoch(0));
    let rotate = Operation::Rotate { consensus_key: new_key.public(), possession };
    let payload = Payload::Governance(rotate.to_bytes());
    let rotation = VerifiedTransaction::sign(&chain, owner, 1, Timestamp(u64::MAX), payload);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), genesis.header(), &genesis.governance_state()).unwrap();
    let mut parent = genesis.header().clone();
    let mut ranges = Vec::new();
    for height in 1..=12 {
        let body = if height == 1 { Body::of(std::slice::from_ref(&rotation)) } else { Body::of(&[]) };
        let time = parent.timestamp.plus_ms(1 + if height > 10 { number } else { 0 });
        let state = ledger.governance();
        let next = state.config(parent.height.next().next()).unwrap().committee().hash();
        let block = Block::proposed(&parent, body, time, ReplicaId(0), next).unwrap();
        parent = block.header().clone();
        let committee = state.config(parent.height).unwrap().committee().clone();
        let ballot =
            Ballot { epoch: parent.epoch, view: View(0), height: parent.height, block: block.hash() };
        let keys = network.keys().iter().chain([new_key]);
        let members = keys.filter_map(|key| Some((committee.index_of(&key.public())?, key)));
        let votes: Vec<_> =
            members.map(|(index, key)| Signed::sign(&chain, key, index, Commit(ballot))).collect();
        let certificate = CommitCertificate::assemble(&committee, ballot, &votes).unwrap().into_inner();
        ledger.append(std::slice::from_ref(&block), &certificate).unwrap();
        ranges.push(CertifiedRange { blocks: vec![block], certificate });
    }
    ranges
}

/// The genesis has no name for a key that came later.
#[test]
fn faulty_validators_of_a_later_epoch_are_named() {
    let network = TestNetwork::seeded(4, 1);
    let new_key = SecretKey::from_bytes(&[2; 32]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let [first, second] = [0, 5].map(|number| rotated(&network, &new_key, number));
    let chains = [
        (written(&network, &at("first"), first.clone()), written(&network, &at("second"), second.clone())),
        (home(&network, &at("first-home"), &first), home(&network, &at("second-home"), &second)),
    ];
    let mut keys: Vec<_> =
        network.keys()[1..].iter().map(SecretKey::public).chain([new_key.public()]).collect();
    keys.sort();
    let name = |key| network.genesis().name_of(key).map_or_else(|| key.to_string(), str::to_owned);
    let signers: Vec<String> = keys[..3].iter().map(name).collect();
    assert!(signers.contains(&new_key.public().to_string()));
    for (first, second) in chains {
        let difference = compared(&network, &first, &second).difference.unwrap();
        assert_eq!(difference.height, 11);
        for certificate in &difference.certificates {
            assert_eq!(certificate.as_ref().unwrap().signers, signers);
        }
        assert_eq!(difference.proven_faulty, signers);
    }
}
