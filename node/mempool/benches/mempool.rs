//! Benchmarks of a pool of 50,000 transactions: admission, selection of a block, removal.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quorate_ledger::{
    ChainId, Payload, PublicKey, SecretKey, Timestamp, Transaction, TransactionId, TransactionLimits,
    VerifiedTransaction,
};
use quorate_mempool::{Mempool, MempoolLimits, Selection, Share};

const COUNT: u32 = 50_000;
const SENDERS: u32 = 1000;
const BLOCK: u32 = 1000;
const NOW: Timestamp = Timestamp(1000);

const LIMITS: MempoolLimits = MempoolLimits {
    max_transactions: COUNT as u64,
    max_bytes: 64 << 20,
    max_transactions_per_sender: 5000,
    max_bytes_per_sender: 8 << 20,
};

const SELECTION: Selection = Selection {
    max_transactions: BLOCK,
    max_body_bytes: 1 << 20,
    transaction: TransactionLimits { max_bytes: 256 << 10, max_lifetime_ms: 120_000 },
};

/// Without valid signatures, because the pool does not verify them.
fn transactions() -> Vec<VerifiedTransaction> {
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    let chain = ChainId::from_bytes([7; 32]);
    let model = Transaction::sign(&chain, &key, 0, Timestamp(0), Payload::Data(vec![0; 256]));
    let sender = |number: u32| {
        let mut bytes = [2; 33];
        bytes[29..].copy_from_slice(&(number % SENDERS).to_be_bytes());
        PublicKey::from_bytes(bytes).unwrap()
    };
    (0..COUNT)
        .map(|number| {
            VerifiedTransaction::from_own_storage(Transaction {
                sender: sender(number),
                nonce: number.into(),
                valid_until: Timestamp(60_000 + u64::from(number % 50_000)),
                ..model.clone()
            })
        })
        .collect()
}

fn full(transactions: &[VerifiedTransaction]) -> Mempool {
    let mut pool = Mempool::new(LIMITS);
    for transaction in transactions {
        pool.admit(NOW, Share::Common, transaction.clone()).unwrap();
    }
    pool
}

fn mempool(criterion: &mut Criterion) {
    let all = transactions();
    let ids: Vec<TransactionId> = all.iter().map(VerifiedTransaction::id).collect();
    let mut group = criterion.benchmark_group("mempool of 50,000");
    group.sample_size(10);

    group.throughput(Throughput::Elements(COUNT.into()));
    group.bench_function("admit all", |bencher| bencher.iter(|| full(black_box(&all))));
    group.bench_function("remove all, a block at a time", |bencher| {
        let remove = |mut pool: Mempool| {
            for block in ids.chunks(BLOCK as usize) {
                pool.remove(block);
            }
            pool
        };
        bencher.iter_batched(|| full(&all), remove, BatchSize::LargeInput);
    });
    group.bench_function("expire all", |bencher| {
        bencher.iter_batched(
            || full(&all),
            |mut pool| pool.expire(Timestamp(u64::MAX)),
            BatchSize::LargeInput,
        );
    });

    group.throughput(Throughput::Elements(BLOCK.into()));
    let mut pool = full(&all);
    group.bench_function("select a block", |bencher| {
        bencher.iter(|| pool.select(NOW, black_box(&SELECTION)));
    });
    pool.mark_in_flight(&ids[..40_000]);
    group.bench_function("select a block, 40,000 in flight", |bencher| {
        bencher.iter(|| pool.select(NOW, black_box(&SELECTION)));
    });
    let block = &ids[45_000..46_000];
    group.bench_function("mark and release a block", |bencher| {
        bencher.iter(|| {
            pool.mark_in_flight(black_box(block));
            pool.release(black_box(block));
        });
    });
    group.finish();
}

criterion_group!(benches, mempool);
criterion_main!(benches);
