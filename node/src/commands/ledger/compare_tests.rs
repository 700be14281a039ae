#![allow(clippy::unwrap_used)]

use std::path::Path;

use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, Block, Body, Commit, CommitCertificate, Epoch, Header, ReplicaId, Signed, Timestamp, View,
};
use quorate_store::{ExportWriter, Ledger, Run};

use super::*;

/// Blocks of a network whose members sign whatever they are asked to. From height `apart` on they have other times, so that
/// chains of two numbers part there.
fn runs(network: &TestNetwork, length: u64, apart: u64, number: u64, signers: &[u16]) -> Vec<Run> {
    let genesis = network.genesis();
    let mut parent = genesis.header().clone();
    let mut runs = Vec::new();
    for height in 1..=length {
        let time = parent.timestamp.plus_ms(1 + if height >= apart { number } else { 0 });
        let body = Body::of(&[]);
        let header = Header::after(&parent, &body, Timestamp(time.0), ReplicaId(0));
        let block = Block::new(header.clone(), body).unwrap();
        let ballot =
            Ballot { epoch: Epoch(0), view: View(number), height: Height(height), block: block.hash() };
        let vote = |signer: &u16| {
            let key = &network.keys()[usize::from(*signer)];
            Signed::sign(&genesis.chain_id(), key, ReplicaId(*signer), Commit(ballot))
        };
        let votes: Vec<_> = signers.iter().map(vote).collect();
        let certificate =
            CommitCertificate::assemble(genesis.committee(), ballot, &votes).unwrap().into_inner();
        runs.push(Run { blocks: vec![block], certificate });
        parent = header;
    }
    runs
}

fn written(network: &TestNetwork, path: &Path, runs: Vec<Run>) -> String {
    let genesis = network.genesis();
    let (mut writer, _) = ExportWriter::open(path, genesis.header(), genesis.anchor(), |_, _| {}).unwrap();
    runs.into_iter().for_each(|run| writer.write(run).unwrap());
    writer.sync().unwrap();
    path.to_str().unwrap().to_owned()
}

fn home(network: &TestNetwork, path: &Path, runs: &[Run]) -> String {
    std::fs::create_dir_all(path.join("data")).unwrap();
    std::fs::write(path.join("config.toml"), "").unwrap();
    let mut ledger = Ledger::create(path.join("data/ledger.redb"), network.genesis().header()).unwrap();
    runs.iter().for_each(|run| ledger.append(&run.blocks, &run.certificate).unwrap());
    ledger.make_durable().unwrap();
    path.to_str().unwrap().to_owned()
}

fn compared(network: &TestNetwork, first: &str, second: &str) -> Report {
    compare(first, second, network.genesis()).unwrap()
}

#[test]
fn where_two_chains_part_is_found_whatever_holds_them() {
    let network = TestNetwork::seeded(4, 1);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (ours, theirs) = ([0, 1, 2], [1, 2, 3]);
    let first = runs(&network, 20, 8, 0, &ours);
    let second = runs(&network, 30, 8, 5, &theirs);
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
        assert_eq!(difference.signers, [names(&[0, 1, 2]), names(&[1, 2, 3])]);
        assert_eq!(difference.signed_both, names(&[1, 2]));
        assert_ne!(difference.hashes[0], difference.hashes[1]);
    }
}

/// Nodes may hold different certificates for one block, and one may be ahead.
#[test]
fn other_certificates_and_another_length_are_no_difference() {
    let network = TestNetwork::seeded(4, 1);
    let directory = tempfile::tempdir().unwrap();
    let first = written(&network, &directory.path().join("first"), runs(&network, 9, 100, 0, &[0, 1, 2]));
    let second = home(&network, &directory.path().join("second"), &runs(&network, 12, 100, 3, &[0, 2, 3]));
    let empty = written(&network, &directory.path().join("empty"), Vec::new());
    for (first, second, common) in [(&first, &second, 9), (&second, &first, 9), (&first, &empty, 0)] {
        let report = compared(&network, first, second);
        assert!(report.same && report.difference.is_none());
        assert_eq!(report.common_height, common);
    }
}
