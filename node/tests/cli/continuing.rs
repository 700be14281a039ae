//! `quorate genesis continue`, and what the program says about a network that continues a chain.

use std::fs;
use std::path::Path;

use quorate_genesis::{Continuation, Genesis, Predecessor, TestNetwork};
use quorate_governance::{Change, Operation, ParameterName};
use quorate_ledger::{PublicKey, SecretKey};
use serde_json::json;

use crate::chain::{Chain, TIME_MS};
use crate::program::{Run, Scratch, quorate, quorate_reading};

fn key(number: u8) -> PublicKey {
    SecretKey::from_bytes(&[number; 32]).unwrap().public()
}

/// Five members in epoch 1 at block 8: member 0 has two clients, member 4 has one.
fn chain() -> Chain {
    let mut chain = Chain::of(5);
    let add = |number: u8| Operation::AddClient {
        name: format!("till-{number}").parse().unwrap(),
        key: key(number),
    };
    chain.block(&[(0, add(11)), (0, add(12)), (4, add(13)), (1, Operation::Renew)]);
    chain.blocks(6);
    let change = Change::SetParameter { parameter: ParameterName::ProposalLifetime, value: 77 };
    let revoke = Change::RevokeClient { key: key(12) };
    let propose = |change: &Change| Operation::Propose { changes: vec![change.clone()] };
    chain.block(&[(0, propose(&change)), (1, propose(&revoke)), (3, add(14))]);
    chain
}

/// The old genesis and an export in a directory.
struct Files {
    scratch: Scratch,
    chain: Chain,
}

impl Files {
    fn of(chain: Chain) -> Self {
        let scratch = Scratch::new();
        scratch.write("genesis.toml", &chain.network.genesis().to_toml());
        chain.export(&scratch.path("old.export"));
        Files { scratch, chain }
    }

    fn run(&self, file: &str, more: &[&str]) -> Run {
        let (from, genesis, file) =
            (self.scratch.text("old.export"), self.scratch.text("genesis.toml"), self.scratch.text(file));
        let usual = ["genesis", "continue", "--from", &from, "--genesis", &genesis, "--file", &file];
        quorate([&usual, more].concat())
    }

    /// Insists on an error, and that no file was written.
    fn refused(&self, more: &[&str]) -> String {
        let before = self.scratch.entries();
        let error = self.run("new.toml", more).error();
        assert_eq!(self.scratch.entries(), before, "no file was written");
        error
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.scratch.path(name)).unwrap()
    }
}

#[test]
fn two_operators_make_the_same_files_and_see_the_same_line() {
    let files = Files::of(chain());
    let last = files.chain.last().clone();
    let made = files.run("new.toml", &["--output", "json"]).json();
    let old = files.chain.network.genesis();
    let new = Genesis::parse(&files.read("new.toml")).unwrap();
    let agreement =
        format!("block 8 {} of chain {} continues as chain {}", last.hash(), old.chain_id(), new.chain_id());
    assert_eq!(made["agreement"], agreement);
    assert_eq!(made["chain_id"], new.chain_id().to_string());
    let expected = json!({
        "chain_id": old.chain_id().to_string(), "height": 8, "block": last.hash().to_string(), "epoch": 1,
        "state_root": files.chain.state.root().to_string(), "timestamp_ms": TIME_MS + 8, "transactions": 7,
    });
    assert_eq!(made["predecessor"], expected);
    assert_eq!((&made["clients"], &made["clients_left_out"]), (&json!(3), &json!(0)));
    assert_eq!(made["not_taken_over"]["proposals"].as_array().unwrap().len(), 2);
    assert!(made["not_taken_over"]["scheduled"][0].as_str().unwrap().contains("till-14"), "{made}");
    assert_eq!(files.read("new.clients").lines().filter(|line| line.starts_with("0x")).count(), 3);

    let again = files.run("again.toml", &["--at", "8"]);
    assert_eq!((again.code, again.err.as_str()), (0, ""));
    assert_eq!(files.read("again.toml"), files.read("new.toml"));
    assert_eq!(files.read("again.clients"), files.read("new.clients"));
    let advice = "Every operator must see this same line before anyone starts:";
    let (_, rest) = again.out.split_once(advice).unwrap();
    assert_eq!(rest.trim_start().lines().next(), Some(agreement.as_str()));
    for said in [
        "all 8 blocks with 7 transactions",
        "3 taken over; submit mode open",
        "open proposals:\n  - of validator-",
        "  - of validator-0: set governance.proposal_lifetime to 77\n",
        "  - of validator-1: revoke the client",
        "scheduled changes (propose them again):\n  - ",
        "If another operator sees a higher block",
    ] {
        assert!(again.out.contains(said), "{said}: {}", again.out);
    }
}

#[test]
fn an_operator_changes_what_is_gone() {
    let files = Files::of(chain());
    let (lost, added, governance) = (key(21), key(22), key(23));
    let made = files.run(
        "new.toml",
        &[
            "--name",
            "clearing-2",
            "--without",
            "validator-4",
            "--key",
            &format!("validator-0={lost}"),
            "--validator",
            &format!("bank-e={added}"),
            "--governance-key",
            &format!("bank-e={governance}"),
            "--governance-key",
            &format!("validator-2={}", key(24)),
        ],
    );
    assert!(made.code == 0 && made.err.is_empty(), "{made:?}");
    let new = Genesis::parse(&files.read("new.toml")).unwrap();
    assert_eq!((new.name(), new.validators().len(), new.inherited_clients()), ("clearing-2", 5, 2));
    for said in [
        "2 taken over, 1 of removed members left out",
        "removed     validator-4",
        "new governance key",
        "added",
    ] {
        assert!(made.out.contains(said), "{said}: {}", made.out);
    }
    let row = made.out.lines().find(|line| line.contains(&lost.to_string())).unwrap();
    assert!(row.contains("validator-0") && row.ends_with("new public key"), "{row}");
}

#[test]
fn a_genesis_that_continues_a_chain_is_checked_and_shown() {
    let files = Files::of(chain());
    files.run("new.toml", &[]).ok();
    let new = files.scratch.text("new.toml");
    let checked = quorate(["genesis", "check", &new, "--output", "json"]).json();
    assert_eq!(
        (&checked["predecessor"]["height"], &checked["predecessor"]["clients"]),
        (&json!(8), &json!(3))
    );
    let summary = quorate(["genesis", "check", &new]).ok();
    let continues = format!("continues      chain {}", files.chain.network.genesis().chain_id());
    assert!(summary.contains(&continues) && summary.contains("at height 8 in epoch 1"), "{summary}");
    let shown = quorate(["genesis", "show", &new, "--output", "json"]).json();
    assert_eq!(shown["predecessor"]["block"], files.chain.last().hash().to_string());
    let old = quorate(["genesis", "check", &files.scratch.text("genesis.toml"), "--output", "json"]).json();
    assert_eq!(old.get("predecessor"), None);

    // The file with the clients belongs to it.
    let from_input = quorate_reading(&["genesis", "check", "-"], &files.read("new.toml"));
    assert!(from_input.code == 0 && from_input.err.contains("takes over clients"), "{from_input:?}");
    let clients = files.read("new.clients");
    files.scratch.write("new.clients", &clients.replace("till-11", "till-99"));
    let run = quorate(["genesis", "check", &new]);
    assert!(run.code == 3 && run.out.contains("not the clients of the genesis"), "{run:?}");
    fs::remove_file(files.scratch.path("new.clients")).unwrap();
    let run = quorate(["genesis", "check", &new]);
    assert!(run.code == 0 && run.err.contains("new.clients is not there"), "{run:?}");
}

/// An edit of the written file is another network, and is checked like every genesis.
#[test]
fn the_written_genesis_can_be_edited() {
    let files = Files::of(chain());
    files.run("new.toml", &[]).ok();
    let text = files.read("new.toml");
    let first = Genesis::parse(&text).unwrap();
    files.scratch.write("new.toml", &text.replace("max_clients = 100000", "max_clients = 5000"));
    let new = files.scratch.text("new.toml");
    let checked = quorate(["genesis", "check", &new, "--output", "json"]).json();
    assert_ne!(checked["chain_id"], first.chain_id().to_string());
    files.scratch.write("new.toml", &text.replace("\"validator-0\"", "\"bank-a\""));
    let run = quorate(["genesis", "check", &new]);
    assert!(run.code == 3 && run.out.contains("no member has this name"), "{run:?}");
}

#[test]
fn existing_files_are_not_overwritten() {
    let files = Files::of(chain());
    for name in ["new.toml", "new.clients"] {
        let path = files.scratch.write(name, "precious");
        let error = files.refused(&[]);
        assert!(error.contains(name) && error.contains("not overwritten"), "{error}");
        assert_eq!(files.read(name), "precious");
        fs::remove_file(path).unwrap();
    }
    let error = files.run("new.clients", &[]).error();
    assert!(error.contains("ends in .toml") && !files.scratch.path("new.clients").exists(), "{error}");
    // A directory that is not there.
    let error = files.run("nowhere/new.toml", &[]).error();
    assert!(error.contains("cannot be created"), "{error}");
}

#[test]
fn an_export_that_ends_elsewhere_than_agreed_is_refused() {
    let files = Files::of(chain());
    let error = files.refused(&["--at", "9"]);
    assert!(error.contains("ends at block 8, but the operators agreed on block 9"), "{error}");
    let error = files.refused(&["--at", "7"]);
    assert!(
        error.contains("ends at block 8, above block 7") && error.contains("agree on block 8"),
        "{error}"
    );
    let empty = Files::of(Chain::of(4));
    let error = empty.refused(&[]);
    assert!(error.contains("the chain has no block"), "{error}");
}

#[test]
fn an_export_that_is_not_whole_and_valid_is_refused() {
    let files = Files::of(chain());
    let export = files.scratch.path("old.export");
    let whole = fs::read(&export).unwrap();
    let no_file = "no file was written";

    fs::write(&export, &whole[..whole.len() - 50]).unwrap();
    let error = files.refused(&[]);
    assert!(error.contains(no_file) && error.contains("ends within a record"), "{error}");

    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&export, &damaged).unwrap();
    let error = files.refused(&[]);
    assert!(error.contains(no_file) && error.contains("old.export"), "{error}");

    fs::write(&export, b"my letters").unwrap();
    let error = files.refused(&[]);
    assert!(error.contains("not a Quorate export"), "{error}");
    fs::remove_file(&export).unwrap();
    let error = files.refused(&[]);
    assert!(error.contains("old.export cannot be read"), "{error}");

    // The old genesis of another network.
    fs::write(&export, &whole).unwrap();
    files.scratch.write("genesis.toml", &TestNetwork::seeded(5, 2).genesis().to_toml());
    let error = files.refused(&[]);
    assert!(error.contains(no_file) && error.contains("belongs to chain"), "{error}");
}

/// The certificate of the last block is signed with other keys.
#[test]
fn an_export_whose_last_block_no_quorum_certified_is_refused() {
    let mut forged = chain();
    forged.signers = TestNetwork::seeded(5, 2).keys().to_vec();
    forged.block(&[]);
    let error = Files::of(forged).refused(&[]);
    assert!(error.contains("no file was written") && error.contains("certificate at height 9"), "{error}");
}

#[test]
fn changes_that_do_not_fit_the_members_are_refused() {
    let files = Files::of(chain());
    let key_of_1 = files.chain.network.keys()[1].public();
    let cases: [(&[&str], &str); 5] = [
        (&["--without", "bank-x"], "--without names \"bank-x\", but the network has no such member"),
        (&["--key", &format!("bank-x={}", key(21))], "--key names \"bank-x\""),
        (&["--key", &format!("validator-0={key_of_1}")], "which \"validator-1\" has in the network"),
        (&["--without", "validator-0", "--without", "validator-1"], "fewer than 4 tolerate no fault"),
        (&["--name", "No Name"], "name is \"No Name\""),
    ];
    for (more, expected) in cases {
        let error = files.refused(more);
        assert!(error.contains(expected), "{error}");
    }
    let small =
        files.run("small.toml", &["--without", "validator-0", "--without", "validator-1", "--allow-small"]);
    assert!(small.code == 0 && small.err.contains("warning: number of validators: 3"), "{small:?}");
}

/// A home of the old network with the new genesis.
fn home_with_new_genesis(scratch: &Scratch) -> (String, Genesis) {
    let net = scratch.text("net");
    quorate(["testnet", "--validators", "4", "--output", &net]).ok();
    let home = format!("{net}/validator-0");
    let old = Genesis::parse(&fs::read_to_string(format!("{home}/genesis.toml")).unwrap()).unwrap();
    let mut draft = old.to_draft();
    let mut chain = Chain::of(4);
    chain.block(&[]);
    let continued = Continuation::default().of(chain.network.genesis(), chain.last(), &chain.state).unwrap();
    let predecessor = *continued.genesis.predecessor().unwrap();
    draft.predecessor = Some(Predecessor { chain_id: old.chain_id(), ..predecessor });
    let new = draft.check().unwrap();
    fs::write(format!("{home}/genesis.toml"), new.to_toml()).unwrap();
    (home, old)
}

/// With and without --init, the old data stays, and the message says what to do with it.
#[test]
fn a_node_with_the_new_genesis_refuses_the_data_of_the_old_network() {
    let scratch = Scratch::new();
    let (home, old) = home_with_new_genesis(&scratch);
    let (ledger, journal) = (format!("{home}/data/ledger.redb"), format!("{home}/data/journal.redb"));
    let before = fs::read(&journal).unwrap();
    let start = |more: &[&str]| {
        let usual = ["node", "--home", &home, "--log-level", "off"];
        quorate([&usual, more].concat()).error()
    };
    let told = |error: &str, file: &str| {
        let belongs = format!("{file} belongs to chain {}", old.chain_id());
        for said in
            [belongs.as_str(), "record of the old chain", "move it to another place and keep it", "--init"]
        {
            assert!(error.contains(said), "{said}: {error}");
        }
    };
    told(&start(&[]), &ledger);
    told(&start(&["--init"]), &ledger);
    let genesis = scratch.write("old.toml", &old.to_toml());
    let verified = quorate(["ledger", "verify", "--home", &home, "--genesis", &genesis]).ok();
    assert!(verified.starts_with("VERIFIED"), "the old ledger is as it was: {verified}");

    // Only one of the two files was moved away.
    fs::remove_file(&ledger).unwrap();
    told(&start(&[]), &journal);
    told(&start(&["--init"]), &journal);
    assert!(!Path::new(&ledger).exists());
    assert!(fs::read(&journal).unwrap() == before, "the old journal is as it was");
    let checked = quorate(["config", "check", "--home", &home]).error();
    told(&checked, &journal);
}

/// A home in which neither the genesis nor its predecessor fits the data.
#[test]
fn data_of_an_unrelated_chain_is_not_called_a_predecessor() {
    let scratch = Scratch::new();
    let (home, _) = home_with_new_genesis(&scratch);
    fs::write(format!("{home}/genesis.toml"), Chain::of(4).network.genesis().to_toml()).unwrap();
    let error = quorate(["node", "--home", &home, "--log-level", "off"]).error();
    assert!(error.contains("belongs to chain") && !error.contains("continues"), "{error}");
}

/// The first start needs the clients; nothing is created without them.
#[test]
fn a_home_without_the_clients_of_its_genesis_gets_no_data() {
    let files = Files::of(chain());
    files.run("new.toml", &[]).ok();
    let home = files.scratch.path("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("config.toml"), "").unwrap();
    fs::copy(files.scratch.path("new.toml"), home.join("genesis.toml")).unwrap();
    let secret = files.chain.network.keys()[0].to_pem(None);
    files.scratch.write_secret("home/key.pem", &secret);
    let start =
        || quorate(["node", "--home", home.to_str().unwrap(), "--init", "--log-level", "off"]).error();
    let error = start();
    assert!(error.contains("takes over clients") && error.contains("genesis.clients"), "{error}");
    fs::write(home.join("genesis.clients"), "x\n").unwrap();
    let error = start();
    assert!(error.contains("does not fit") && error.contains("line 1 is \"x\""), "{error}");
    assert!(!home.join("data/ledger.redb").exists());

    let exported = files.scratch.text("new.export");
    let (genesis, home) = (files.scratch.text("home/genesis.toml"), home.to_str().unwrap());
    let error = quorate(["ledger", "export", &exported, "--home", home, "--genesis", &genesis]).error();
    assert!(error.contains("does not fit"), "{error}");
}
