//! The layout of the files, read directly with redb: a failing test here means that the format
//! changed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use quorate_ledger::{Body, encode};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle};

use crate::fixtures::{CHAIN, Chain, identity, key, public_key, row};
use crate::{ForgetfulDisk, Journal, Ledger};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn database(disk: &ForgetfulDisk) -> Database {
    redb::Builder::new().create_with_backend(disk.attach()).unwrap()
}

fn tables(database: &Database) -> Vec<String> {
    let transaction = database.begin_read().unwrap();
    let mut names: Vec<_> = transaction.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    names.sort();
    names
}

fn meta(database: &Database) -> Vec<(String, Vec<u8>)> {
    let table = database.begin_read().unwrap().open_table(META).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (name, value) = row.unwrap();
        (name.value().to_owned(), value.value().to_vec())
    });
    rows.collect()
}

#[test]
fn the_layout_of_a_ledger() {
    let chain = Chain::of(5);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut ledger, 1..=2);
    chain.append(&mut ledger, 3..=5);
    drop(ledger);

    let database = database(&disk);
    assert_eq!(
        tables(&database),
        [
            "bodies",
            "certificates",
            "epochs",
            "governance",
            "headers",
            "heights",
            "meta",
            "outcomes",
            "roots",
            "transactions-0",
            "transactions-1"
        ]
    );
    assert_eq!(
        meta(&database),
        [
            ("format".to_owned(), b"quo-ledg\0\x02".to_vec()),
            ("identity".to_owned(), CHAIN.as_bytes().to_vec())
        ]
    );

    let transaction = database.begin_read().unwrap();
    let bytes_at = |name, height: u64| {
        let definition: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(name);
        let table = transaction.open_table(definition).unwrap();
        table.get(height).unwrap().map(|value| value.value().to_vec())
    };
    assert_eq!(bytes_at("headers", 0), Some(encode(&chain.genesis)));
    assert_eq!(bytes_at("bodies", 0), Some(Body::of(&[]).as_bytes().to_vec()));
    assert_eq!(bytes_at("headers", 5), Some(encode(chain.block(5).header())));
    assert_eq!(bytes_at("bodies", 5), Some(chain.block(5).body().as_bytes().to_vec()));
    assert_eq!(bytes_at("certificates", 1), None);
    assert_eq!(bytes_at("certificates", 2), Some(encode(&chain.certificate(2))));

    let heights: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("heights");
    let heights = transaction.open_table(heights).unwrap();
    assert_eq!(heights.get(chain.block(5).hash().as_bytes()).unwrap().unwrap().value(), 5);
    let index: TableDefinition<'_, &[u8; 32], (u64, u32)> = TableDefinition::new("transactions-1");
    let index = transaction.open_table(index).unwrap();
    assert_eq!(index.get(chain.ids(5)[1].as_bytes()).unwrap().unwrap().value(), (5, 1));
}

#[test]
fn the_layout_of_governance_in_a_ledger() {
    let chain = Chain::with_epochs(4, 3);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut ledger, 1..=3);
    chain.append(&mut ledger, 4..=4);
    drop(ledger);

    let transaction = database(&disk).begin_read().unwrap();
    let entries: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("governance");
    let entries = transaction.open_table(entries).unwrap();
    let rows = entries.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), chain.state.entries());

    let outcomes: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("outcomes");
    let outcomes = transaction.open_table(outcomes).unwrap();
    assert_eq!(outcomes.len().unwrap(), 1);
    assert_eq!(outcomes.get((2, 1)).unwrap().unwrap().value(), [0], "executed");

    let epochs: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("epochs");
    let epochs = transaction.open_table(epochs).unwrap();
    let members: Vec<_> = chain.keys.iter().map(quorate_ledger::SecretKey::public).collect();
    let row = epochs.get(0).unwrap().unwrap();
    assert_eq!((epochs.len().unwrap(), row.value()), (1, (3, encode(&members).as_slice())));

    let roots: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("roots");
    let roots = transaction.open_table(roots).unwrap();
    let heights: Vec<u64> = roots.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
    assert_eq!(heights, [0, 2, 3, 4]);
    assert_eq!(roots.get(4).unwrap().unwrap().value(), chain.state.root().as_bytes());
}

#[test]
fn the_layout_of_a_journal() {
    let disk = ForgetfulDisk::new();
    let mut journal = Journal::create_on(disk.attach(), &identity()).unwrap();
    journal.write(&[row(key(0x0102, 3, 4), b"value")], None).unwrap();
    drop(journal);

    let database = database(&disk);
    assert_eq!(tables(&database), ["meta", "rows"]);
    let who = [CHAIN.as_bytes().as_slice(), public_key(1).as_bytes()].concat();
    assert_eq!(
        meta(&database),
        [("format".to_owned(), b"quo-jour\0\x02".to_vec()), ("identity".to_owned(), who)]
    );
    let rows: TableDefinition<'_, &[u8; 41], &[u8]> = TableDefinition::new("rows");
    let rows = database.begin_read().unwrap().open_table(rows).unwrap();
    let (name, value) = rows.first().unwrap().unwrap();
    let mut expected = [4; 41];
    expected[..9].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2, 3]);
    assert_eq!((name.value(), value.value()), (&expected, b"value".as_slice()));
}
