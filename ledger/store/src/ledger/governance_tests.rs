//! Governance in the ledger: execution, the rows that it writes, and blocks that contradict it.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use quorate_governance::{Change, Client, EntryKey, Operation, Outcome, Reason, State, Submit};
use quorate_ledger::{
    Block, Epoch, Header, Height, NotPermitted, Payload, PublicKey, SecretKey, Timestamp,
    VerifiedTransaction, encode,
};

use super::*;
use crate::database::tables::{EPOCHS, GOVERNANCE, OUTCOMES, ROOTS};
use crate::error::Contradiction;
use crate::fixtures::{CHAIN, Chain, INTERVAL, operation, public_key, settings, transaction};
use crate::{ForgetfulDisk, StoreError};

fn empty(chain: &Chain) -> (ForgetfulDisk, Ledger) {
    let disk = ForgetfulDisk::new();
    let ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    (disk, ledger)
}

/// Appends each block of the chain that the ledger lacks with its own certificate.
fn append_all(chain: &Chain, ledger: &mut Ledger) {
    for height in ledger.head().height.0 + 1..=chain.blocks.len() as u64 {
        chain.append(ledger, height..=height);
    }
}

/// A block with data, a renewal, and an operation that is none.
fn mixed() -> Chain {
    let mut chain = Chain::of(0);
    let malformed = Payload::Governance(vec![0xff]);
    let malformed = VerifiedTransaction::sign(&CHAIN, &chain.keys[1], 7, Timestamp(u64::MAX), malformed);
    let renewal = operation(&chain.keys[0], 1, &Operation::Renew);
    let data = transaction(&chain.keys[0], 1);
    chain.extend(&[data, renewal, malformed], Timestamp(1));
    chain
}

#[test]
fn outcomes_are_listed_newest_first_and_by_whole_blocks() {
    let mut chain = mixed();
    let malformed = Payload::Governance(vec![0xff]);
    let malformed = VerifiedTransaction::sign(&CHAIN, &chain.keys[1], 8, Timestamp(u64::MAX), malformed);
    chain.extend(&[malformed], Timestamp(2));
    let (_disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let reader = ledger.reader();
    let places = |below, limit| -> Vec<(u64, u32)> {
        let found = reader.outcomes_below(Height(below), limit).unwrap();
        found.iter().map(|(height, index, _)| (height.0, *index)).collect()
    };
    assert_eq!(places(u64::MAX, 10), [(2, 0), (1, 2), (1, 1)]);
    assert_eq!(places(3, 1), [(2, 0)]);
    assert_eq!(places(3, 2), [(2, 0), (1, 2), (1, 1)], "block 1 is complete");
    assert_eq!(places(2, 1), [(1, 2), (1, 1)]);
    assert_eq!(places(1, 10), []);
}

#[test]
fn the_outcomes_of_a_block_are_written_with_it() {
    let chain = mixed();
    let (disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let expected = [(1, Outcome::Executed), (2, Outcome::Failed(Reason::Malformed))];
    let check = |reader: &LedgerReader| {
        assert_eq!(reader.outcomes(Height(1)).unwrap(), expected);
        for (index, outcome) in expected {
            assert_eq!(reader.outcome(Height(1), index).unwrap(), Some(outcome));
        }
        for (height, index) in [(1, 0), (1, 3), (2, 1), (0, 0)] {
            assert_eq!(reader.outcome(Height(height), index).unwrap(), None);
        }
    };
    check(&ledger.reader());
    drop(ledger);
    check(&Ledger::open_on(disk.attach(), &chain.genesis).unwrap().reader());
}

#[test]
fn opening_rebuilds_the_state_after_the_head() {
    let chain = Chain::with_epochs(8, 3);
    let (disk, mut ledger) = empty(&chain);
    assert_eq!(ledger.governance(), &chain.initial);
    append_all(&chain, &mut ledger);
    assert_eq!(ledger.governance().to_bytes(), chain.state.to_bytes());
    assert_eq!(ledger.reader().governance().unwrap(), chain.state);
    drop(ledger);
    let ledger = Ledger::open_on(disk.attach(), &chain.genesis).unwrap();
    assert_eq!(ledger.governance().to_bytes(), chain.state.to_bytes());
    assert_eq!(ledger.governance().height(), Height(8));
    // It goes on from there.
    let longer = Chain::with_epochs(10, 3);
    let mut ledger = ledger;
    append_all(&longer, &mut ledger);
    assert_eq!(ledger.governance(), &longer.state);
    ledger.reader().verify(&longer.initial, Some(&longer.anchor), |_, _| ()).unwrap();
}

#[test]
fn state_roots_are_stored_at_checkpoints_and_ends_of_epochs() {
    let chain = Chain::with_epochs(10, 3);
    let (_disk, mut ledger) = empty(&chain);
    let mut expected = vec![(0, chain.initial.root())];
    for height in 1..=10 {
        chain.append(&mut ledger, height..=height);
        if height % INTERVAL == 0 || height % 3 == 0 {
            expected.push((height, ledger.governance().root()));
        }
    }
    let reader = ledger.reader();
    let stored = (0..=12).filter_map(|height| Some((height, reader.state_root(Height(height)).unwrap()?)));
    assert_eq!(stored.collect::<Vec<_>>(), expected);
}

#[test]
fn a_ledger_has_the_proofs_of_all_its_epochs() {
    let chain = Chain::with_epochs(10, 3);
    let (_disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let reader = ledger.reader();
    let ends = |from, limit| -> Vec<(u64, u64)> {
        let proofs = reader.epoch_proofs(Epoch(from), limit).unwrap();
        proofs.iter().map(|proof| (proof.last.header.epoch.0, proof.last.header.height.0)).collect()
    };
    assert_eq!(ends(0, 9), [(0, 3), (1, 6), (2, 9)]);
    assert_eq!(ends(1, 1), [(1, 6)]);
    assert_eq!(ends(0, 0), []);
    assert_eq!(ends(3, 9), []);
    assert_eq!(ends(u64::MAX, 9), []);
    for known in [1, 5, 10] {
        assert_eq!(reader.anchor(&chain.anchor_up_to(known)).unwrap(), chain.anchor_up_to(10));
    }
}

/// The committee of four adds a fifth member, whose READY names a block of the same batch.
#[test]
fn a_member_joins_with_a_ready_about_a_block_of_the_batch() {
    let mut chain = Chain::of(0);
    let new = SecretKey::from_bytes(&[77; 32]).unwrap();
    let changes = vec![Change::AddMember {
        name: "m4".parse().unwrap(),
        consensus_key: new.public(),
        governance_key: public_key(78),
    }];
    let proposal = operation(&chain.keys[0], 1, &Operation::Propose { changes });
    let id = proposal.id();
    chain.extend(&[proposal], Timestamp(1));
    chain.extend(&[], Timestamp(2));
    let (height, block) = (Height(2), chain.block(2).hash());
    chain.extend(&[operation(&new, 3, &Operation::Ready { height, block })], Timestamp(3));
    assert_eq!(chain.outcomes, [Outcome::Executed]);
    let approvals: Vec<_> =
        [1, 2].map(|member| operation(&chain.keys[member], 4, &Operation::Approve(id))).into();
    chain.extend(&approvals, Timestamp(4));
    chain.extend(&[], Timestamp(5));

    let (_disk, mut ledger) = empty(&chain);
    chain.append(&mut ledger, 1..=1);
    chain.append(&mut ledger, 2..=4);
    assert_eq!(ledger.governance().next_epoch_start(), Some(Height(6)));
    chain.append(&mut ledger, 5..=5);
    let config = ledger.governance().next_config();
    assert_eq!((config.epoch(), config.committee().size()), (Epoch(1), 5));
    let proofs = ledger.reader().epoch_proofs(Epoch(0), 1).unwrap();
    assert_eq!(proofs[0].next, config.committee().members());
    ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
    assert_eq!(ledger.reader().outcomes(Height(4)).unwrap().len(), 2);
}

/// Offers a block to a ledger at the end of its chain: it must contradict the state and change
/// nothing.
fn contradiction(chain: &Chain, ledger: &mut Ledger, block: &Block) -> Contradiction {
    let before = (ledger.head(), ledger.governance().to_bytes());
    let error = ledger.append(std::slice::from_ref(block), &chain.certificate_of(block)).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("must stop"), "{error}");
    assert_eq!((ledger.head(), ledger.governance().to_bytes()), before);
    ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
    let StoreError::Contradicts { height, contradiction } = error else { panic!("{error}") };
    assert_eq!(height, block.height());
    contradiction
}

#[test]
fn a_block_whose_committees_are_not_those_of_the_state_is_refused() {
    let chain = Chain::with_epochs(7, 4);
    let (_disk, mut ledger) = empty(&chain);
    chain.append(&mut ledger, 1..=3);
    // Block 4 ends the epoch, and block 3 does not.
    let with_next = |height: u64, next| {
        let header = Header { next_committee: next, ..chain.block(height).header().clone() };
        Block::new(header, chain.block(height).body().clone()).unwrap()
    };
    let next_committee = Contradiction::Header { field: "next_committee" };
    let endless = with_next(4, chain.genesis.committee);
    assert_eq!(contradiction(&chain, &mut ledger, &endless), next_committee);
    let other = with_next(4, quorate_ledger::Hash::ZERO);
    assert_eq!(contradiction(&chain, &mut ledger, &other), next_committee);
    chain.append(&mut ledger, 4..=4);
    let early = with_next(5, quorate_ledger::Hash::ZERO);
    assert_eq!(contradiction(&chain, &mut ledger, &early), next_committee);
    chain.append(&mut ledger, 5..=7);
    assert_eq!(ledger.governance(), &chain.state);
}

#[test]
fn a_block_with_transactions_that_are_not_permitted_is_refused() {
    let mut chain = Chain::of(2);
    let (_disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let stranger = SecretKey::from_bytes(&[99; 32]).unwrap();
    let refused = |chain: &Chain, ledger: &mut Ledger, transactions: &[VerifiedTransaction]| {
        let block = chain.block_with(transactions, Timestamp(9_000));
        match contradiction(chain, ledger, &block) {
            Contradiction::Transaction { id, error } => (id, error),
            other => panic!("{other:?}"),
        }
    };
    let renewal = operation(&stranger, 1, &Operation::Renew);
    let data = transaction(&stranger, 1);
    let found = refused(&chain, &mut ledger, &[data, renewal.clone()]);
    assert_eq!(found, (renewal.id(), NotPermitted::SenderUnknown));
    let many: Vec<_> = (0..33).map(|nonce| operation(&chain.keys[0], nonce, &Operation::Renew)).collect();
    assert_eq!(refused(&chain, &mut ledger, &many), (many[32].id(), NotPermitted::Quota));

    chain.extend(&many[..32], Timestamp(9_000));
    append_all(&chain, &mut ledger);
    assert_eq!(ledger.reader().outcomes(Height(3)).unwrap().len(), 32);
}

#[test]
fn in_the_submit_mode_registry_only_clients_within_their_quota_send_data() {
    let mut settings = settings();
    settings.parameters.clients.submit = Submit::Registry;
    settings.governance.max_transactions_per_member = 2;
    let mut chain = Chain::with_settings(settings);
    let client = SecretKey::from_bytes(&[99; 32]).unwrap();
    let add = Operation::AddClient { name: "app".parse().unwrap(), key: client.public() };
    chain.extend(&[operation(&chain.keys[0], 1, &add)], Timestamp(1));
    let (_disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let data: Vec<_> = (0..3).map(|nonce| transaction(&client, nonce)).collect();
    let early = chain.block_with(&data[..1], Timestamp(2));
    let unknown = Contradiction::Transaction { id: data[0].id(), error: NotPermitted::SenderUnknown };
    assert_eq!(contradiction(&chain, &mut ledger, &early), unknown);
    chain.extend(&[], Timestamp(2));
    append_all(&chain, &mut ledger);
    let many = chain.block_with(&data, Timestamp(3));
    let quota = Contradiction::Transaction { id: data[2].id(), error: NotPermitted::Quota };
    assert_eq!(contradiction(&chain, &mut ledger, &many), quota);
    chain.extend(&data[..2], Timestamp(3));
    append_all(&chain, &mut ledger);
    assert_eq!(ledger.head().height, Height(3));
}

#[test]
fn only_the_state_of_the_genesis_begins_a_ledger() {
    let chain = Chain::with_epochs(5, 3);
    let create =
        |state: &State| Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, state).map(|_| ());
    create(&chain.initial).unwrap();
    let error = create(&chain.state).unwrap_err();
    assert!(matches!(error, StoreError::NotInitial { height: Height(5), .. }), "{error}");
    let other = Header { timestamp: Timestamp(1), ..chain.genesis.clone() };
    let error = Ledger::create_on(ForgetfulDisk::new().attach(), &other, &chain.initial).unwrap_err();
    assert!(matches!(error, StoreError::NotInitial { .. }), "{error}");
}

/// A hundred thousand clients are read again when the ledger is opened.
#[test]
fn a_ledger_with_many_clients_opens() {
    const CLIENTS: u32 = 100_000;
    let chain = Chain::of(1);
    let client = |number: u32| {
        let mut key = [2; 33];
        key[1..5].copy_from_slice(&number.to_be_bytes());
        let key = PublicKey::from_bytes(key).unwrap();
        let (name, member) = ("app".parse().unwrap(), "m0".parse().unwrap());
        let client = Client { key, name, member, quota: None, revoked: false };
        (encode(&EntryKey::Client(key)), encode(&client))
    };
    let entries = chain.initial.entries().into_iter().chain((0..CLIENTS).map(client));
    let initial = State::from_entries(entries).unwrap();
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &initial).unwrap();
    let begun = Instant::now();
    chain.append(&mut ledger, 1..=1);
    let appended = begun.elapsed();
    let root = ledger.governance().root();
    drop(ledger);
    let begun = Instant::now();
    let ledger = Ledger::open_on(disk.attach(), &chain.genesis).unwrap();
    println!("{CLIENTS} clients: opened in {:?}, a block appended in {appended:?}", begun.elapsed());
    assert_eq!(ledger.governance().next_config().client_count(), CLIENTS as usize);
    assert_eq!(ledger.governance().root(), root);
}

/// What verification finds after a change that the ledger itself never makes.
fn tampered(change: impl FnOnce(&WriteTransaction) -> Result<(), Fault>) -> String {
    let chain = Chain::with_epochs(7, 3);
    let (_disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let verified = |ledger: &Ledger| ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ());
    verified(&ledger).unwrap();
    ledger.storage.write(Durable::Later, change).unwrap();
    verified(&ledger).unwrap_err().to_string()
}

fn assert_found(expected: &str, change: impl FnOnce(&WriteTransaction) -> Result<(), Fault>) {
    let found = tampered(change);
    assert!(found.contains(expected), "{found}");
}

#[test]
fn verification_finds_damage_in_the_entries_of_the_state() {
    let settings = encode(&EntryKey::Settings);
    assert_found("the entry Settings", |t| {
        let mut other = Chain::of(0).initial.entries().remove(&settings).unwrap();
        other[0] ^= 1;
        t.open_table(GOVERNANCE)?.insert(settings.as_slice(), other.as_slice())?;
        Ok(())
    });
    assert_found("the entry Head of the governance state is missing", |t| {
        t.open_table(GOVERNANCE)?.remove(encode(&EntryKey::Head).as_slice())?;
        Ok(())
    });
    assert_found("the entry Retired(", |t| {
        let key = encode(&EntryKey::Retired(public_key(50)));
        t.open_table(GOVERNANCE)?.insert(key.as_slice(), encode(&Epoch(1)).as_slice())?;
        Ok(())
    });
    assert_found("unknown key", |t| {
        t.open_table(GOVERNANCE)?.insert([77].as_slice(), [].as_slice())?;
        Ok(())
    });
}

#[test]
fn verification_finds_damage_in_outcomes_epochs_and_roots() {
    let failed = encode(&Outcome::Failed(Reason::TooSoon));
    assert_found("the outcomes of block 2", |t| {
        t.open_table(OUTCOMES)?.insert((2, 1), failed.as_slice())?;
        Ok(())
    });
    assert_found("the outcomes of block 5", |t| {
        t.open_table(OUTCOMES)?.remove((5, 1))?;
        Ok(())
    });
    assert_found("the outcome of transaction 1 in block 2", |t| {
        t.open_table(OUTCOMES)?.insert((2, 1), [9].as_slice())?;
        Ok(())
    });
    assert_found("3 outcomes where the chain has 2", |t| {
        t.open_table(OUTCOMES)?.insert((99, 0), failed.as_slice())?;
        Ok(())
    });
    assert_found("the row of the end of epoch 1", |t| {
        t.open_table(EPOCHS)?.remove(1)?;
        Ok(())
    });
    assert_found("the row of the end of epoch 0", |t| {
        let members = encode(&vec![public_key(50)]);
        t.open_table(EPOCHS)?.insert(0, (3, members.as_slice()))?;
        Ok(())
    });
    assert_found("3 ends of epochs where the chain has 2", |t| {
        let members = encode(&vec![public_key(50)]);
        t.open_table(EPOCHS)?.insert(9, (99, members.as_slice()))?;
        Ok(())
    });
    for height in [0, 3, 4] {
        assert_found(&format!("the state root at height {height}"), |t| {
            t.open_table(ROOTS)?.insert(height, &[7; 32])?;
            Ok(())
        });
    }
    assert_found("the state root at height 6", |t| {
        t.open_table(ROOTS)?.remove(6)?;
        Ok(())
    });
    assert_found("6 state roots where the chain has 5", |t| {
        t.open_table(ROOTS)?.insert(99, &[7; 32])?;
        Ok(())
    });
}

/// Damaged rows are errors of the reader that meets them, and never another answer.
#[test]
fn readers_report_damaged_rows() {
    let chain = Chain::with_epochs(7, 3);
    let (disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let change = |t: &WriteTransaction| {
        t.open_table(OUTCOMES)?.insert((2, 1), [9].as_slice())?;
        let members = encode(&vec![public_key(50)]);
        t.open_table(EPOCHS)?.insert(0, (3, members.as_slice()))?;
        t.open_table(EPOCHS)?.insert(1, (5, [0xff; 9].as_slice()))?;
        t.open_table(GOVERNANCE)?.remove(encode(&EntryKey::Settings).as_slice())?;
        Ok(())
    };
    ledger.storage.write(Durable::Later, change).unwrap();
    let reader = ledger.reader();
    let errors = [
        reader.outcome(Height(2), 1).unwrap_err(),
        reader.epoch_proofs(Epoch(0), 9).unwrap_err(),
        reader.epoch_proofs(Epoch(1), 9).unwrap_err(),
        reader.anchor(&chain.anchor).unwrap_err(),
        reader.governance().unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    drop((ledger, reader));
    let error = Ledger::open_on(disk.attach(), &chain.genesis).unwrap_err();
    assert!(error.to_string().contains("the entry of its settings is missing"), "{error}");
}

/// The entries of an earlier block are a possible state, but not that of the head.
#[test]
fn a_state_that_is_not_that_of_the_head_is_damage() {
    let chain = Chain::of(4);
    let (disk, mut ledger) = empty(&chain);
    append_all(&chain, &mut ledger);
    let head = chain.initial.entries().remove(&encode(&EntryKey::Head)).unwrap();
    let change = |t: &WriteTransaction| {
        t.open_table(GOVERNANCE)?.insert(encode(&EntryKey::Head).as_slice(), head.as_slice())?;
        Ok(())
    };
    ledger.storage.write(Durable::Later, change).unwrap();
    drop(ledger);
    let error = Ledger::open_on(disk.attach(), &chain.genesis).unwrap_err();
    assert!(error.to_string().contains("is not that after the head 4"), "{error}");
}
