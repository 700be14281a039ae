//! After a restart, a member has everything that it signed and answered (R13).

use std::time::Duration;

use quorate_engine::{Engine, EpochRole, Event, Fatal, Submission};
use quorate_ledger::{Height, SecretKey};
use quorate_pbft::Phase;
use quorate_store::{Journal, Ledger, Row, RowKey};

use crate::net::{Net, Parcel, id};

/// R13: only the journal is synced for each block. The ledger follows once a second, and a power
/// cut may remove its last blocks.
#[test]
fn blocks_that_only_the_journal_kept_are_appended_again() {
    let mut net = Net::of(4);
    net.commit_each(0..5);
    assert_eq!(net.overview(2).durable, Height(0));
    let ids = net.ids(2);
    net.power_loss(2);
    let ledger = Ledger::open_on(net.nodes[2].ledger.attach(), net.genesis.header()).unwrap();
    assert_eq!(ledger.head().height, Height(0), "the ledger alone has lost the blocks");
    drop(ledger);
    net.nodes[2].engine = net.try_open(2).unwrap().into_member();
    assert_eq!(net.ids(2), ids);
    assert_eq!(net.overview(2).durable, Height(5));
    for id in &ids {
        assert!(net.engine(2).reader().receipt(id).unwrap().unwrap().verify(net.genesis.anchor()).is_ok());
    }
}

#[test]
fn after_a_power_loss_of_all_members_the_chain_continues() {
    let mut net = Net::of(4);
    net.commit_each(0..3);
    net.lose(|_, _, parcel| parcel.is_commit());
    let transaction = net.transaction(3);
    net.submit(1, &transaction).unwrap();
    net.deliver_all();
    net.lose_nothing();
    for member in 0..4 {
        net.power_loss(member);
    }
    for member in 0..4 {
        net.open(member);
        let slot = &net.overview(member).pbft.slots[0];
        assert_eq!((slot.height, slot.phase), (Height(4), Phase::Prepared), "member {member}");
    }
    net.pass(Duration::from_secs(5));
    for member in 0..4 {
        assert_eq!(net.height(member), 4);
        assert_eq!(net.ids(member).last(), Some(&transaction.id()), "the prepared block is committed");
    }
    net.commit_each(10..12);
    assert_eq!(net.height(3), 6);
}

/// R13a: no other member has the body. PREPARE promises the body, so the primary must not lose it
/// either.
#[test]
fn an_accepted_block_survives_with_its_body() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_gossip());
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.power_loss(0);
    net.queue.clear();
    net.open(0);
    let stands = net.overview(0);
    assert_eq!((stands.pbft.slots[0].phase, stands.in_flight), (Phase::PrePrepared, 1));
    assert!(net.engine(0).is_pending(&transaction.id()));
    net.pass(Duration::from_secs(5));
    for member in 0..4 {
        assert_eq!(
            net.ids(member),
            [transaction.id()],
            "the block is proposed again, and its body is served"
        );
    }
}

/// R4, R13b: a primary that proposes two blocks at one height is faulty, so it proposes the same
/// block again.
#[test]
fn a_restarted_primary_proposes_the_same_block_again() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_vote());
    net.submit(0, &net.transaction(1)).unwrap();
    net.deliver_all();
    let before = net.overview(0).pbft.slots[0].block;
    net.power_loss(0);
    net.now += Duration::from_secs(1);
    net.open(0);
    net.submit(0, &net.transaction(2)).unwrap();
    let slots = net.overview(0).pbft.slots;
    assert_eq!(slots[0].block, before);
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.ids(3).len(), 2);
    assert!((0..4).all(|member| net.overview(member).pbft_counters.contradictions == 0));
}

#[test]
fn after_a_failed_sync_no_message_leaves() {
    for of_journal in [true, false] {
        let mut net = Net::of(4);
        net.log.clear();
        let disk = if of_journal { &net.nodes[0].journal } else { &net.nodes[0].ledger };
        disk.fail_sync_after(0);
        let (ticket, transaction) = (net.ticket(), net.transaction(1));
        let submitted = [Event::Submitted { ticket, transaction: transaction.clone() }];
        let failed = if of_journal {
            net.try_handle(0, submitted)
        } else {
            // The ledger is synced a second after it has grown.
            net.handle(0, submitted);
            net.deliver_all();
            net.log.clear();
            net.now += Duration::from_secs(2);
            net.try_handle(0, [])
        };
        assert!(matches!(failed, Err(Fatal::Storage(_))), "of the journal: {of_journal}");
        assert!(net.log.is_empty(), "nothing left the member: {:?}", net.log);
        net.now += Duration::from_secs(1);
        let again = net.try_handle(0, [Event::Gossiped(vec![net.transaction(2)])]);
        assert!(matches!(again, Err(Fatal::Storage(_))), "the engine stays stopped");
        assert!(net.log.is_empty());
        // After the disk is repaired, the node starts again where it was.
        net.power_loss(0);
        net.open(0);
        net.pass(Duration::from_secs(5));
        net.submit(0, &net.transaction(3)).unwrap();
        net.pass(Duration::from_secs(5));
        assert_eq!(net.ids(0), net.ids(1));
        assert!(!net.ids(0).is_empty());
    }
}

/// R13: a certificate may contain this node's own COMMIT, and a reader on another thread may serve
/// it at once.
#[test]
fn readers_see_a_block_only_when_its_records_are_durable() {
    let mut net = Net::of(1);
    let reader = net.engine(0).reader();
    net.nodes[0].journal.fail_sync_after(0);
    let (ticket, transaction) = (net.ticket(), net.transaction(1));
    let failed = net.try_handle(0, [Event::Submitted { ticket, transaction: transaction.clone() }]);
    assert!(matches!(failed, Err(Fatal::Storage(_))));
    assert_eq!(reader.head().unwrap().height, Height(0));
    assert_eq!(reader.locate(&transaction.id()).unwrap(), None);
}

#[test]
fn journal_rows_go_when_the_ledger_is_durable() {
    let mut net = Net::of(4);
    let mut most = 0;
    for round in 0..30 {
        net.commit_each(10 * round..10 * round + 10);
        most = most.max(net.overview(1).journal_rows);
    }
    assert_eq!(net.height(1), 300);
    // Blocks of little more than a second at 20 milliseconds each, with four rows a block.
    assert!(most <= 4 * 60, "{most} rows");
    net.pass(Duration::from_secs(2));
    let standing = net.overview(1).journal_rows;
    assert_eq!(
        standing,
        1 + 3 + 2 + 1 + 1,
        "own high-water mark, three of others, two CHECKPOINTs, stable checkpoint, collected height"
    );
}

#[test]
fn closing_makes_everything_durable() {
    let mut net = Net::of(1);
    net.commit_each(0..3);
    net.nodes[0].engine.take().unwrap().close().unwrap();
    net.power_loss(0);
    let ledger = Ledger::open_on(net.nodes[0].ledger.attach(), net.genesis.header()).unwrap();
    assert_eq!(ledger.head().height, Height(3));
    let journal = Journal::open_on(net.nodes[0].journal.attach(), &net.identity(0)).unwrap();
    assert_eq!(journal.row_count(), 2, "the high-water mark and the collected height stay");
}

#[test]
fn a_node_without_a_key_of_a_member_follows() {
    let net = Net::of(1);
    let node = &net.nodes[0];
    let ledger = Ledger::open_on(node.ledger.attach(), net.genesis.header()).unwrap();
    let journal = Journal::open_on(node.journal.attach(), &net.identity(0)).unwrap();
    let stranger = SecretKey::from_bytes(&[9; 32]).unwrap();
    let role = Engine::open(&[stranger], ledger, journal, None, net.time(0)).unwrap();
    assert!(matches!(role, EpochRole::Follower(ledger) if ledger.head().height == Height(0)));
}

/// A member must not vote if the journal has rows that this version did not write, or lacks rows.
#[test]
fn an_unreadable_journal_is_refused() {
    let spoiled = |spoil: &dyn Fn(&mut Journal)| {
        let mut net = Net::of(4);
        net.lose(|_, _, parcel| parcel.is_commit());
        net.submit(0, &net.transaction(1)).unwrap();
        net.deliver_all();
        net.power_loss(1);
        let mut journal = Journal::open_on(net.nodes[1].journal.attach(), &net.identity(1)).unwrap();
        assert_eq!(journal.row_count(), 3 + 4, "accepted, its body, prepared; rows without a height");
        spoil(&mut journal);
        drop(journal);
        net.try_open(1).map(|_| ()).map_err(|error| error.to_string())
    };
    let row = |kind, value: &'static [u8]| Row {
        key: RowKey { height: Height(1), kind, detail: [0; 32] },
        value: value.into(),
    };
    assert_eq!(spoiled(&|_| {}), Ok(()));
    let unknown = spoiled(&|journal| journal.write(&[row(77, b"?")], None).unwrap()).unwrap_err();
    assert!(unknown.contains("unknown kind 77"), "{unknown}");
    let garbage = spoiled(&|journal| journal.write(&[row(3, b"garbage")], None).unwrap()).unwrap_err();
    assert!(garbage.contains("cannot be understood"), "{garbage}");
    let incomplete = spoiled(&|journal| {
        let rows = journal.rows().unwrap();
        let kept: Vec<Row<'_>> = rows
            .iter()
            .filter(|(key, _)| key.kind != 2)
            .map(|(key, value)| Row { key: *key, value: value.into() })
            .collect();
        journal.write(&kept, Some(Height(1))).unwrap();
    })
    .unwrap_err();
    assert!(incomplete.contains("the body of block"), "{incomplete}");
}

/// R24a: a restarted member first asks the others which statements they received, and then votes
/// again.
#[test]
fn a_restarted_backup_takes_part_again() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    net.power_loss(3);
    net.power_loss(2);
    assert_eq!(net.submit(0, &net.transaction(5)), Ok(Submission::Pending));
    net.pass(Duration::from_secs(2));
    assert_eq!(net.height(0), 2, "two of four are no quorum");
    net.open(3);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.height(0), 3);
    assert_eq!(net.height(3), 3);
    assert!(net.log.iter().any(|(from, _, parcel)| *from == id(3) && matches!(parcel, Parcel::Consensus(_))));
}
