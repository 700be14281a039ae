//! Hundreds of connections and thousands of useless messages, and their effect on other clients.

use std::cell::Cell;
use std::time::Duration;

use quorate_e2e::{Network, Random, seed, wait_until};

use crate::ALL;
use crate::probe::{Latencies, Probe};
use crate::storm::{Size, Storm};

/// The allowed increase of the median latency.
const TIMES: u32 = 3;

/// The allowed memory of a validator meanwhile, in bytes.
const MOST_MEMORY: u64 = 128 << 20;

/// The size of the attack and the duration of the measurement.
struct Plan {
    size: Size,
    undisturbed: Duration,
    disturbed: Duration,
}

/// The results.
struct Measured {
    undisturbed: Latencies,
    disturbed: Latencies,
    /// Minimum number of open connections.
    open: usize,
    messages_per_second: usize,
    /// Maximum memory of each validator in bytes.
    most_memory: [u64; 4],
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

fn load_of_the_machine() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// Orders at a steady rate, first undisturbed, then during the attack. Every transaction must be
/// committed, and the validators must work afterwards.
fn measure(plan: &Plan) -> Measured {
    let mut random = Random::seeded(seed());
    let mut network = Network::running(4);
    let probe = Probe::of(&network);
    println!("load of the machine at first: {}", load_of_the_machine());
    // Warm up, so that one-time costs are not measured.
    probe.measure(Duration::from_secs(1), || ());
    let undisturbed = probe.measure(plan.undisturbed, || ());
    println!("undisturbed: {undisturbed}");

    let memory = |network: &Network| ALL.map(|node| network.memory(node));
    let before = memory(&network);
    let storm = Storm::start(&network.rpc_addresses(ALL), plan.size, &mut random);
    let seen = storm.seen();
    wait_until("all connections are open", || seen.open() >= plan.size.connections * 9 / 10);
    let (sent, fewest) = (seen.sent(), Cell::new(usize::MAX));
    let disturbed = probe.measure(plan.disturbed, || fewest.set(fewest.get().min(seen.open())));
    let milliseconds = usize::try_from(plan.disturbed.as_millis()).unwrap();
    let messages_per_second = (seen.sent() - sent) * 1000 / milliseconds;
    let during = memory(&network);
    println!("during the attack: {disturbed}");
    println!(
        "{} connections, {} open at least; {messages_per_second} messages per second; answers by status: {:?}",
        plan.size.connections,
        fewest.get(),
        seen.answers(),
    );
    drop(storm);

    for node in ALL {
        assert!(network.is_running(node));
        network.wait_until_ready(node);
        network.order_one(node);
        let log = network.log(node);
        assert!(!log.contains("panicked"), "{log}");
    }
    let after = memory(&network);
    // The system's counters lag behind a little, so use the largest value.
    let most = ALL.map(|node| during[node].most.max(after[node].most));
    for node in ALL {
        let [before, during, most, after] =
            [before[node].now, during[node].now, most[node], after[node].now].map(mebibytes);
        println!(
            "validator {node} holds {before} MiB before, {during} at the end, {most} at most, {after} after"
        );
    }
    println!("load of the machine at last: {}", load_of_the_machine());
    Measured { undisturbed, disturbed, open: fewest.get(), messages_per_second, most_memory: most }
}

#[test]
fn useless_messages_on_many_connections_do_not_block_other_clients() {
    let measured = measure(&Plan {
        size: Size { connections: 64, messages_per_second: 200 },
        undisturbed: Duration::from_secs(1),
        disturbed: Duration::from_secs(3),
    });
    assert!(measured.most_memory.iter().all(|most| *most <= MOST_MEMORY), "{:?}", measured.most_memory);
}

/// Run `cargo test --release -p quorate-e2e --test load -- --ignored --nocapture garbage` on a
/// quiet machine.
#[test]
#[ignore = "a measurement of a minute, without allowance for other tests"]
fn garbage_delays_the_median_by_no_more_than_three_times() {
    let size = Size { connections: 500, messages_per_second: 2000 };
    let (undisturbed, disturbed) = (Duration::from_secs(20), Duration::from_secs(30));
    let measured = measure(&Plan { size, undisturbed, disturbed });
    assert!(measured.open >= size.connections * 9 / 10, "only {} connections", measured.open);
    let sent = measured.messages_per_second;
    assert!(sent >= size.messages_per_second * 9 / 10, "only {sent} messages per second");
    assert!(measured.most_memory.iter().all(|most| *most <= MOST_MEMORY), "{:?}", measured.most_memory);
    let [undisturbed, disturbed] =
        [&measured.undisturbed, &measured.disturbed].map(|times| times.percentile(50));
    assert!(disturbed <= TIMES * undisturbed, "{disturbed:?} is more than {TIMES} times {undisturbed:?}");
}
