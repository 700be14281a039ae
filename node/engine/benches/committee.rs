//! The cost of ordering for the engines of one committee of four, from admission to the ledger. All
//! four run in one thread, on disks in memory. Signatures of transactions are not verified here.
//! Those of votes are, which costs little with full blocks.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quorate_engine::{Effects, Engine, EngineConfig, Event};
use quorate_genesis::{Genesis, TestNetwork};
use quorate_ledger::{Payload, PublicKey, ReplicaId, SecretKey, Transaction, VerifiedTransaction};
use quorate_pbft::{Checked, EpochContext, Message, Moment, Now, To};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

const MEMBERS: usize = 4;
const TRANSACTIONS: u32 = 10_000;
const SENDERS: u32 = 100;
/// Transactions of one gossip message.
const BATCH: usize = 200;

struct Committee {
    genesis: Genesis,
    context: EpochContext,
    engines: Vec<Engine>,
    now: Now,
    queue: VecDeque<(usize, Event)>,
    committed: u32,
}

fn id(index: usize) -> ReplicaId {
    ReplicaId(u16::try_from(index).unwrap())
}

impl Committee {
    fn new() -> Self {
        let (genesis, keys) = TestNetwork::seeded(MEMBERS, 1).into_parts();
        let now = Now { moment: Moment(Duration::from_secs(10)), wall: genesis.time().plus_ms(10_000) };
        let config = EngineConfig::of(&genesis);
        let engines = keys
            .iter()
            .map(|key| {
                let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: key.public() };
                let ledger = Ledger::create_on(
                    ForgetfulDisk::new().attach(),
                    genesis.header(),
                    &genesis.governance_state(),
                )
                .unwrap();
                let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
                let opened = Engine::open(std::slice::from_ref(key), ledger, journal, None, now).unwrap();
                opened.into_member().unwrap()
            })
            .collect();
        let context = config.pbft.context;
        Committee { genesis, context, engines, now, queue: VecDeque::new(), committed: 0 }
    }

    fn handle(&mut self, index: usize, events: Vec<Event>) {
        let effects = self.engines[index].handle(self.now, events).unwrap();
        let Effects { messages, committed, .. } = effects;
        if index == 0 {
            self.committed += committed.iter().map(|block| block.body().count()).sum::<u32>();
        }
        for (to, message) in messages {
            let checked = self.check(index, message);
            for other in (0..MEMBERS).filter(|other| *other != index) {
                if to == To::All || to == To::One(id(other)) {
                    let event = Event::Consensus { from: id(index), message: checked.clone() };
                    self.queue.push_back((other, event));
                }
            }
        }
    }

    /// Checks a message once for its three receivers.
    fn check(&self, from: usize, message: Message) -> Checked {
        message.check(id(from), &self.context).unwrap()
    }

    /// Each member handles all its waiting messages with one group of records, as under load.
    fn order(&mut self, transactions: &[VerifiedTransaction]) {
        for batch in transactions.chunks(BATCH) {
            for index in 0..MEMBERS {
                self.queue.push_back((index, Event::Gossiped(batch.to_vec())));
            }
        }
        while self.committed < TRANSACTIONS {
            self.now.moment = self.now.moment.after(Duration::from_millis(1));
            self.now.wall = self.now.wall.plus_ms(1);
            for index in 0..MEMBERS {
                let (own, others) = std::mem::take(&mut self.queue)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|(to, _)| *to == index);
                self.queue = others;
                self.handle(index, own.into_iter().map(|(_, event)| event).collect());
            }
        }
    }
}

/// Transactions without valid signatures: an engine relies on the check of its caller.
fn transactions(genesis: &Genesis) -> Vec<VerifiedTransaction> {
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    let valid_until = genesis.time().plus_ms(100_000);
    let payload = Payload::Data(vec![0; 256]);
    let model = Transaction::sign(&genesis.chain_id(), &key, 0, valid_until, payload);
    let sender = |number: u32| {
        let mut bytes = [2; 33];
        bytes[29..].copy_from_slice(&(number % SENDERS).to_be_bytes());
        PublicKey::from_bytes(bytes).unwrap()
    };
    (0..TRANSACTIONS)
        .map(|number| Transaction { sender: sender(number), nonce: u64::from(number), ..model.clone() })
        .map(VerifiedTransaction::from_own_storage)
        .collect()
}

fn committee_of_four(criterion: &mut Criterion) {
    let transactions = transactions(&Committee::new().genesis);
    let mut group = criterion.benchmark_group("committee of four");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(TRANSACTIONS)));
    group.bench_function("10,000 transactions of 256 bytes", |bencher| {
        bencher.iter_batched(
            Committee::new,
            |mut committee| {
                committee.order(&transactions);
                committee
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, committee_of_four);
criterion_main!(benches);
