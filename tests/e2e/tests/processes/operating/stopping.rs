//! Stop signals.

use std::time::Duration;

use quorate_api::{TransactionStatus, Wait};
use quorate_e2e::{Http, Load, Network, Signer, wait_until};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// The documented time of a stop.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_validator_stops_within_seconds_in_any_state_and_starts_again() {
    let mut network = Network::running(4);
    network.order_one(0);

    // Idle, with clients that are connected and send nothing.
    let idle: Vec<Http> = ALL
        .iter()
        .map(|index| {
            let mut http = Http::new(network.rpc(*index).address());
            assert_eq!(http.get("/livez").unwrap().status, 200);
            http
        })
        .collect();
    let took = network.stop(2);
    assert!(took < SOON, "an idle validator took {took:?}");
    drop(idle);
    network.start(2);
    network.wait_until_ready(2);

    // Under load, with clients that wait for commits.
    let load = Load::start(network.genesis(), &network.rpc_addresses(ALL));
    wait_until("the load has begun", || load.committed() > 100);
    let took = network.stop(1);
    assert!(took < SOON, "a busy validator took {took:?}");
    network.start(1);
    let before = load.committed();
    wait_until("commits continue", || load.committed() > before + 100);
    load.finish();
    network.equal_chains(&ALL);
}

#[test]
fn a_waiting_client_receives_the_current_status_when_its_node_stops() {
    let mut network = Network::running(4);
    network.stop(2);
    network.stop(3);
    let signed = Signer::new(network.genesis(), 1, 64).sign();
    let rpc = network.rpc(0);
    let hex = signed.hex.clone();
    let waiting = std::thread::spawn(move || rpc.submit(&hex, Wait::Committed, 60_000));
    let other = network.rpc(0);
    wait_until("the transaction is in the pool", || {
        other.transaction(&signed.id) == TransactionStatus::Pending
    });
    let took = network.stop(0);
    assert!(took < SOON, "it took {took:?} with a client that waits");
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!((answer.id, answer.receipt), (signed.id, None));
    assert!(!answer.status.is_final(), "{:?}", answer.status);
}

/// A terminal and a supervisor can both forward a stop request, within microseconds.
#[test]
fn two_stop_signals_at_once_are_one() {
    let mut network = Network::testnet(4);
    let socket = network.validators()[0].home.join("admin.sock");
    for _ in 0..10 {
        network.start(0);
        assert!(socket.exists());
        let (took, status) = network.take(0).interrupt_and_terminate();
        assert_eq!(status.code(), Some(0), "{}", network.log(0));
        assert!(took < SOON, "it took {took:?}");
        assert!(!socket.exists());
    }
    assert!(!network.log(0).contains("panicked"), "{}", network.log(0));
}

#[test]
fn a_validator_stops_cleanly_when_its_terminal_is_closed() {
    let mut network = Network::testnet(4);
    network.start(0);
    let (took, status) = network.take(0).hang_up();
    assert_eq!(status.code(), Some(0));
    assert!(took < SOON, "it took {took:?}");
    assert!(network.log(0).contains("SIGHUP"), "{}", network.log(0));
}
