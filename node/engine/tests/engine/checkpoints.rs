//! CHECKPOINTs become stable, limit the window, and let records below be deleted (R7, R13, R23).

use std::time::Duration;

use quorate_engine::{Event, Fatal, Notice, Submission};
use quorate_ledger::Height;
use quorate_pbft::{Message, SigningStatus};
use quorate_store::Ledger;

use crate::net::{Crash, Net, Parcel, id};

/// K and L of these tests.
const INTERVAL: u64 = 8;
const LOG_WINDOW: u64 = 16;

fn net() -> Net {
    Net::with(4, |parameters| {
        parameters.consensus.checkpoint_interval = INTERVAL;
        parameters.consensus.log_window = LOG_WINDOW;
        parameters.block.max_transactions = 1;
    })
}

fn is_checkpoint(parcel: &Parcel) -> bool {
    matches!(parcel, Parcel::Consensus(Message::Checkpoint(_)))
}

fn stable(net: &Net, member: usize) -> Vec<u64> {
    let stable = net.nodes[member].notices.iter().filter_map(|notice| match notice {
        Notice::Stable(height) => Some(height.0),
        _ => None,
    });
    stable.collect()
}

#[test]
fn every_k_heights_a_checkpoint_becomes_stable_everywhere() {
    let mut net = net();
    net.commit_each(0..40);
    net.pass(Duration::from_secs(3));
    for member in 0..4 {
        assert_eq!(stable(&net, member), [8, 16, 24, 32, 40], "member {member}");
        let certificate = net.engine(member).stable_checkpoint().unwrap();
        assert_eq!(certificate.checkpoint().height, Height(40));
        let block = net.engine(member).reader().header(Height(40)).unwrap().unwrap().hash();
        assert_eq!(certificate.checkpoint().block, block);
        let claim = (**certificate).clone();
        assert!(claim.verify(&net.genesis.chain_id(), net.genesis.committee()).is_ok());
        assert_eq!(net.overview(member).pbft.stable, Height(40));
    }
    // The own high-water mark, those of three others, two CHECKPOINTs, one stable checkpoint, and
    // the height up to which rows were collected.
    assert_eq!(net.overview(0).journal_rows, 8);
    net.power_loss(0);
    net.open(0);
    assert_eq!(net.overview(0).pbft.stable, Height(40), "it is known at once after a restart");
}

/// R7: more than L above the stable checkpoint, no block is proposed or accepted.
#[test]
fn without_a_stable_checkpoint_the_chain_stops_at_the_watermark() {
    let mut net = net();
    net.lose(|_, _, parcel| is_checkpoint(parcel));
    for nonce in 0..30 {
        assert_eq!(net.submit(0, &net.transaction(nonce)), Ok(Submission::Pending));
    }
    net.pass(Duration::from_secs(8));
    for member in 0..4 {
        assert_eq!(net.height(member), LOG_WINDOW, "member {member}");
        assert_eq!(stable(&net, member), [0; 0]);
    }
    net.lose_nothing();
    net.pass(Duration::from_secs(20));
    for member in 0..4 {
        assert_eq!(
            net.ids(member).len(),
            30,
            "member {member}: CHECKPOINTs were resent, and the chain continued"
        );
    }
}

/// R23: a member with room in its window signs as soon as others that may have none.
#[test]
fn a_checkpoint_is_signed_when_its_block_is_final_however_wide_the_window() {
    let mut net = Net::with(4, |parameters| {
        parameters.consensus.checkpoint_interval = INTERVAL;
        parameters.consensus.log_window = 8 * INTERVAL;
    });
    let start = net.now;
    net.commit_each(0..INTERVAL);
    net.deliver_all();
    assert!(net.now < start + Duration::from_secs(1), "the ledger was not due to be synced anyway");
    for member in 0..4 {
        assert_eq!(stable(&net, member), [INTERVAL], "member {member}");
    }
}

/// R23: blocks come faster than the sync of the ledger once a second. Before the window is full,
/// the ledger is synced early.
#[test]
fn a_fast_chain_does_not_wait_for_the_sync_of_the_ledger() {
    let mut net = net();
    let start = net.now;
    let transactions: Vec<_> = (0..100).map(|nonce| net.transaction(nonce)).collect();
    for transaction in &transactions {
        net.submit(0, transaction).unwrap();
        net.deliver_all();
    }
    assert_eq!(net.now, start);
    net.pass(Duration::from_millis(500));
    assert_eq!(net.height(3), 100);
    assert!(net.overview(0).pbft.stable >= Height(88));
}

/// R13, R23: the ledger is durable up to the checkpoint, and power fails before the CHECKPOINT is
/// in the journal.
#[test]
fn a_crash_between_the_durable_ledger_and_the_checkpoint_costs_nothing() {
    let mut net = net();
    net.power_loss(2);
    net.commit_each(0..INTERVAL - 1);
    net.pass(Duration::from_millis(1500));
    net.submit(0, &net.transaction(99)).unwrap();
    net.deliver_all();
    assert_eq!(net.height(3), INTERVAL);
    net.now += Duration::from_millis(1100);
    net.log.clear();
    net.nodes[3].journal.cut_power_after(0);
    assert!(matches!(net.try_handle(3, []), Err(Fatal::Storage(_))));
    assert!(!net.log.iter().any(|(from, ..)| *from == id(3)), "no message left");
    net.power_loss(3);
    let ledger = Ledger::open_on(net.nodes[3].ledger.attach(), net.genesis.header()).unwrap();
    assert_eq!(ledger.head().height, Height(INTERVAL), "the ledger has it");
    drop(ledger);
    net.open(3);
    net.pass(Duration::from_secs(3));
    for member in [0, 1, 3] {
        assert_eq!(stable(&net, member), [INTERVAL], "member {member}: all three CHECKPOINTs were needed");
    }
}

/// The same for every other boundary on the way from the block to the stable checkpoint.
#[test]
fn a_crash_at_any_moment_around_a_checkpoint_loses_and_contradicts_nothing() {
    for messages_left in [false, true] {
        for calls in 0..30 {
            let mut net = net();
            net.power_loss(2);
            net.commit_each(0..INTERVAL - 2);
            net.crash = Some(Crash { member: 3, calls, messages_left });
            for nonce in 100..102 {
                net.submit(0, &net.transaction(nonce)).unwrap();
                net.pass(Duration::from_millis(200));
            }
            net.pass(Duration::from_secs(6));
            for member in [0, 1, 3] {
                let stands = net.overview(member);
                assert_eq!(stands.pbft.stable, Height(INTERVAL), "member {member} after {calls} calls");
                assert_eq!(stands.pbft.signing, SigningStatus::Voting);
                assert_eq!(stands.pbft_counters.contradictions, 0);
            }
        }
    }
}

/// Two members only, since most of the time goes into signatures.
#[test]
fn over_ten_thousand_blocks_only_the_chain_grows() {
    let mut net = Net::with(2, |parameters| parameters.block.max_transactions = 1);
    let mut table = String::from("height  rows  bytes  in flight  slots  remembered ids\n");
    let mut most = [0; 3];
    let mut nonce = 0;
    for thousand in 1..=10 {
        for _ in 0..125 {
            // Eight blocks at the same time, as under load.
            let valid_until = net.wall().plus_ms(1000);
            let batch: Vec<_> =
                (nonce..nonce + 8).map(|nonce| net.transaction_until(nonce, valid_until)).collect();
            nonce += 8;
            for member in [1, 0] {
                net.handle(member, [Event::Gossiped(batch.clone())]);
            }
            net.log.clear();
            net.pass(Duration::from_millis(160));
        }
        let stands = net.overview(1);
        let height = net.height(1);
        assert!(height >= 1000 * thousand, "{height}");
        most = [
            most[0].max(stands.journal_rows),
            most[1].max(stands.journal_bytes),
            most[2].max(stands.in_flight as u64),
        ];
        table += &format!(
            "{height:6} {:5} {:6} {:10} {:6} {:15}\n",
            stands.journal_rows,
            stands.journal_bytes,
            stands.in_flight,
            stands.pbft.slots.len(),
            stands.remembered_ids
        );
    }
    println!("{table}");
    let [rows, bytes, in_flight] = most;
    // The blocks of a second with four rows each, and the rows that stay.
    assert!(rows <= 4 * 2 * 50 + 7 && bytes < 1 << 20 && in_flight <= 16, "{table}");
}
