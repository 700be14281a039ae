//! The cost of a journal record, a block and a lookup on this disk: `cargo bench -p quorate-store`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quorate_governance::{InitialState, Member, Settings, State};
use quorate_ledger::{
    Ballot, Block, Body, ChainId, CommitCertificate, Committee, Epoch, Hash, Header, Height, Payload,
    PublicKey, ReplicaId, SecretKey, SignatureSet, Signers, Timestamp, Transaction, VerifiedTransaction,
    View,
};
use quorate_store::{Journal, JournalIdentity, Ledger, Row, RowKey};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// Transactions of a block, and bytes of each payload.
const TRANSACTIONS: u64 = 1000;
const PAYLOAD_BYTES: usize = 256;

fn genesis() -> Header {
    let mut keys: Vec<PublicKey> = (1..=4).map(key_of).collect();
    keys.sort();
    let committee = Committee::new(Epoch(0), keys).unwrap();
    Header::genesis(CHAIN, committee.hash(), Timestamp(0))
}

fn key_of(seed: u8) -> PublicKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap().public()
}

fn initial() -> State {
    let member = |seed: u8| Member {
        name: format!("m{seed}").parse().unwrap(),
        consensus_key: key_of(seed),
        governance_key: key_of(seed),
    };
    let (members, settings) = ((1..=4).map(member).collect(), Settings::default());
    let (block, clients) = (genesis().hash(), Vec::new());
    State::initial(InitialState { chain: CHAIN, block, members, settings, clients }).unwrap()
}

/// A full block on `parent` and a certificate of the usual size. The store verifies no signature,
/// so one signature is used for all.
fn block_on(parent: &Header, key: &SecretKey, template: &Transaction) -> (Block, CommitCertificate) {
    block_of(parent, key, template, TRANSACTIONS)
}

fn block_of(
    parent: &Header,
    key: &SecretKey,
    template: &Transaction,
    count: u64,
) -> (Block, CommitCertificate) {
    let transactions: Vec<VerifiedTransaction> = (0..count)
        .map(|number| {
            let mut transaction = template.clone();
            transaction.nonce = parent.height.0 * count + number;
            VerifiedTransaction::from_own_storage(transaction)
        })
        .collect();
    let body = Body::of(&transactions);
    let header = Header::after(parent, &body, Timestamp(0), ReplicaId(0));
    let ballot = Ballot { epoch: Epoch(0), view: View(0), height: header.height, block: header.hash() };
    let signatures = vec![key.sign(&Hash::ZERO); 3];
    let votes = SignatureSet::claimed(Signers::of((0..3).map(ReplicaId)), signatures);
    (Block::new(header, body).unwrap(), CommitCertificate::claimed(ballot, votes))
}

fn journal(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let identity =
        JournalIdentity { chain_id: CHAIN, validator: SecretKey::from_bytes(&[1; 32]).unwrap().public() };
    let mut journal = Journal::create(home.path().join("journal"), &identity).unwrap();
    let body = vec![7; 64 << 10];
    let mut height = 0;
    // An accepted block with its body, and two small records: what a step of the pipeline writes.
    criterion.bench_function("journal: 64 KiB and two small rows, synced", |bencher| {
        bencher.iter(|| {
            height += 1;
            let key = |kind| RowKey { height: Height(height), kind, detail: [0; 32] };
            let rows = [(1, body.as_slice()), (2, &body[..200]), (3, &body[..300])]
                .map(|(kind, value)| Row { key: key(kind), value: value.into() });
            let collect = (height % 64 == 0).then(|| Height(height - 64));
            journal.write(&rows, collect).unwrap();
        });
    });
}

fn ledger(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    let payload = Payload::Data(vec![7; PAYLOAD_BYTES]);
    let template = Transaction::sign(&CHAIN, &key, 0, Timestamp(u64::MAX), payload);
    let mut ledger = Ledger::create(home.path().join("ledger"), &genesis(), &initial()).unwrap();
    let mut parent = genesis();
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(TRANSACTIONS));
    group.bench_function("append 1000 transactions of 256 bytes", |bencher| {
        bencher.iter_batched(
            || {
                let made = block_on(&parent, &key, &template);
                parent = made.0.header().clone();
                made
            },
            |(block, certificate)| {
                ledger.append(&[block], &certificate).unwrap();
                // About once a second under load.
                if ledger.head().height.0.is_multiple_of(8) {
                    ledger.make_durable().unwrap();
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    println!("the ledger grew to {} blocks", ledger.head().height);
}

/// Lookups in a block of the maximum size: 10,000 transactions, 3.7 MB.
fn reads(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    let template =
        Transaction::sign(&CHAIN, &key, 0, Timestamp(u64::MAX), Payload::Data(vec![7; PAYLOAD_BYTES]));
    let (block, certificate) = block_of(&genesis(), &key, &template, 10_000);
    let last = block.body().ids()[9_999];
    let mut ledger = Ledger::create(home.path().join("ledger"), &genesis(), &initial()).unwrap();
    ledger.append(&[block], &certificate).unwrap();
    let reader = ledger.reader();
    let mut group = criterion.benchmark_group("reads of a block of 10,000 transactions");
    group.bench_function("the whole block", |bencher| bencher.iter(|| reader.block(Height(1)).unwrap()));
    group.bench_function("the last transaction by its place", |bencher| {
        bencher.iter(|| reader.transactions(Height(1), &[9_999], usize::MAX).unwrap());
    });
    group.bench_function("the last transaction by its id", |bencher| {
        bencher.iter(|| reader.transaction(&last).unwrap());
    });
    group.bench_function("all ids", |bencher| bencher.iter(|| reader.ids(Height(1)).unwrap()));
    group.bench_function("a receipt", |bencher| bencher.iter(|| reader.receipt(&last).unwrap()));
    group.finish();
}

criterion_group!(benches, journal, ledger, reads);
criterion_main!(benches);
