#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::ForgetfulDisk;
use crate::fixtures::{identity, key, row};

fn journal() -> (ForgetfulDisk, Journal) {
    let disk = ForgetfulDisk::new();
    let journal = Journal::create_on(disk.attach(), &identity()).unwrap();
    (disk, journal)
}

fn keys(journal: &Journal) -> Vec<RowKey> {
    journal.rows().unwrap().into_iter().map(|(key, _)| key).collect()
}

#[test]
fn rows_come_back_in_the_order_of_their_keys() {
    let (disk, mut journal) = journal();
    let ordered = [
        key(0, 9, 9),
        key(1, 0, 0),
        key(1, 0, 1),
        key(1, 2, 0),
        key(255, 0, 0),
        key(256, 0, 0),
        key(u64::MAX, 255, 255),
    ];
    let rows: Vec<Row<'_>> = ordered.iter().rev().map(|key| row(*key, b"value")).collect();
    journal.write(&rows, None).unwrap();
    assert_eq!(keys(&journal), ordered);
    assert_eq!((journal.row_count(), journal.bytes()), (7, 7 * 46));
    let mut sorted = ordered;
    sorted.sort();
    assert_eq!(sorted, ordered, "keys and their bytes have one order");
    drop(journal);
    let journal = Journal::open_on(disk.attach(), &identity()).unwrap();
    assert_eq!(keys(&journal), ordered);
    assert_eq!((journal.row_count(), journal.bytes()), (7, 7 * 46));
}

#[test]
fn a_row_of_the_same_name_is_replaced() {
    let (_, mut journal) = journal();
    journal.write(&[row(key(1, 1, 1), b"long value")], None).unwrap();
    journal.write(&[row(key(1, 1, 1), b"old"), row(key(1, 1, 1), b"new!")], None).unwrap();
    assert_eq!(journal.rows().unwrap(), [(key(1, 1, 1), b"new!".to_vec())]);
    assert_eq!((journal.row_count(), journal.bytes()), (1, 45));
}

#[test]
fn single_rows_are_deleted_and_one_that_is_also_written_stays() {
    let (disk, mut journal) = journal();
    journal
        .write(&[row(key(0, 5, 0), b"x"), row(key(7, 1, 0), b"x"), row(key(7, 1, 1), b"x")], None)
        .unwrap();
    let gone = [key(7, 1, 0), key(7, 1, 1), key(9, 9, 9)];
    journal.replace(&gone, &[row(key(7, 1, 1), b"new")], None).unwrap();
    assert_eq!(keys(&journal), [key(0, 5, 0), key(7, 1, 1)]);
    assert_eq!((journal.row_count(), journal.bytes()), (2, 42 + 44));
    drop(journal);
    assert_eq!(keys(&Journal::open_on(disk.attach(), &identity()).unwrap()), [key(0, 5, 0), key(7, 1, 1)]);
}

#[test]
fn collecting_keeps_height_zero_higher_rows_and_rows_written_with_it() {
    let (_, mut journal) = journal();
    let rows: Vec<RowKey> = [0, 1, 2, 3].map(|height| key(height, 255, 255)).to_vec();
    let write: Vec<Row<'_>> = rows.iter().map(|key| row(*key, b"x")).collect();
    journal.write(&write, None).unwrap();
    journal.write(&[], Some(Height(0))).unwrap();
    assert_eq!(keys(&journal), rows);
    journal.write(&[row(key(1, 7, 0), b"kept")], Some(Height(2))).unwrap();
    assert_eq!(keys(&journal), [key(0, 255, 255), key(1, 7, 0), key(3, 255, 255)]);
    journal.write(&[], Some(Height(u64::MAX))).unwrap();
    assert_eq!(keys(&journal), [key(0, 255, 255)]);
    assert_eq!((journal.row_count(), journal.bytes()), (1, 42));
}

#[test]
fn a_write_costs_one_sync_and_an_empty_write_none() {
    let (disk, mut journal) = journal();
    let before = disk.syncs();
    journal.write(&[], None).unwrap();
    journal.write(&[], Some(Height(0))).unwrap();
    assert_eq!(disk.syncs(), before);
    let rows = [row(key(1, 0, 0), b"a"), row(key(2, 0, 0), b"b")];
    journal.write(&rows, Some(Height(9))).unwrap();
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn a_row_beyond_the_limit_is_refused_and_the_journal_stays_usable() {
    let (_, mut journal) = journal();
    let long = vec![0; MAX_ROW_BYTES + 1];
    let rows = [row(key(1, 0, 0), b"small"), row(key(2, 0, 0), &long)];
    let error = journal.write(&rows, None).unwrap_err();
    assert!(matches!(error, StoreError::RowTooLarge { bytes, .. } if bytes == MAX_ROW_BYTES + 1));
    assert_eq!(journal.row_count(), 0);
    journal.write(&[row(key(2, 0, 0), &long[..MAX_ROW_BYTES])], None).unwrap();
    assert_eq!(journal.row_count(), 1);
}

/// After a failed sync the content of the disk is unknown. Nothing more may be acknowledged, even
/// if the disk works again.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let (disk, mut journal) = journal();
    journal.write(&[row(key(1, 0, 0), b"safe")], None).unwrap();
    disk.fail_sync_after(0);
    let error = journal.write(&[row(key(2, 0, 0), b"doubtful")], None).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    for _ in 0..3 {
        let error = journal.write(&[row(key(3, 0, 0), b"later")], None).unwrap_err();
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    }
    assert!(journal.write(&[], Some(Height(9))).is_err());
    assert_eq!(journal.row_count(), 1);
    drop(journal);
    disk.power_loss();
    let journal = Journal::open_on(disk.attach(), &identity()).unwrap();
    assert_eq!(journal.rows().unwrap(), [(key(1, 0, 0), b"safe".to_vec())]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Compares the journal with a sorted map.
    #[test]
    fn a_journal_is_a_sorted_map(
        writes in prop::collection::vec(
            (
                prop::collection::vec((0u64..6, 0u8..3, 0u8..3, prop::collection::vec(any::<u8>(), 0..64)), 0..6),
                prop::option::of(0u64..6),
                any::<bool>(),
            ),
            1..12,
        ),
    ) {
        let (disk, mut journal) = journal();
        let mut model = std::collections::BTreeMap::new();
        for (rows, collect, reopen) in writes {
            let named: Vec<_> = rows
                .into_iter()
                .map(|(height, kind, detail, value)| (key(height, kind, detail), value))
                .collect();
            let given: Vec<Row<'_>> = named.iter().map(|(key, value)| row(*key, value)).collect();
            journal.write(&given, collect.map(Height)).unwrap();
            if let Some(through) = collect {
                model.retain(|key: &RowKey, _| key.height == Height(0) || key.height > Height(through));
            }
            model.extend(named);
            if reopen {
                drop(journal);
                disk.power_loss();
                journal = Journal::open_on(disk.attach(), &identity()).unwrap();
            }
            let expected: Vec<_> = model.iter().map(|(key, value)| (*key, value.clone())).collect();
            prop_assert_eq!(journal.rows().unwrap(), expected);
            prop_assert_eq!(journal.row_count(), model.len() as u64);
            let bytes: usize = model.values().map(|value| 41 + value.len()).sum();
            prop_assert_eq!(journal.bytes(), bytes as u64);
        }
    }
}
