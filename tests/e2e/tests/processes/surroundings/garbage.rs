//! Invalid bytes on every port.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use quorate_api::ErrorKind;
use quorate_e2e::{Http, Network, Response, send_raw};
use serde_json::{Value, json};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Connections to each port that send nothing.
const SILENT: usize = 50;

/// Pseudo-random bytes, the same in every run.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

fn nonsense() -> Vec<Vec<u8>> {
    let mut negotiated = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
    negotiated.extend(noise(5_000));
    vec![
        noise(1),
        noise(70_000),
        vec![0; 1 << 20],
        vec![0xff; 1 << 16],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x13/multistream/1.0.0\n".to_vec(),
        negotiated,
    ]
}

fn silent_connections(address: SocketAddr) -> Vec<TcpStream> {
    (0..SILENT).map(|_| TcpStream::connect(address).unwrap()).collect()
}

fn assert_works(network: &mut Network) {
    let height = network.common_height(&ALL);
    for node in ALL {
        network.order_one(node);
        assert!(network.is_running(node));
        network.wait_until_connected(node, 3);
    }
    assert!(network.common_height(&ALL) > height);
}

#[test]
fn nonsense_on_the_peer_to_peer_ports_does_no_harm() {
    let mut network = Network::running(4);
    let ports: Vec<SocketAddr> =
        network.validators().iter().map(|validator| validator.p2p_address()).collect();
    let silent: Vec<TcpStream> = ports.iter().flat_map(|port| silent_connections(*port)).collect();
    std::thread::scope(|scope| {
        for port in &ports {
            scope.spawn(move || {
                for bytes in nonsense() {
                    send_raw(*port, &bytes).unwrap();
                }
            });
        }
    });
    // The silent connections are still open.
    assert_works(&mut network);
    drop(silent);
    let log = network.log(0);
    assert!(!log.contains("panicked"), "{log}");
}

fn expect_error(response: &Response, status: u16, kind: ErrorKind) {
    assert_eq!(response.status, status, "{}", response.text());
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["error"]["data"]["kind"], json!(kind), "{body}");
    assert_eq!(body["error"]["code"], json!(kind.code()));
    assert_eq!(body["error"]["data"]["retryable"], json!(kind.is_retryable()));
}

#[test]
fn nonsense_on_the_rpc_ports_is_refused_in_words_and_does_no_harm() {
    let mut network = Network::running(4);
    let address = network.rpc(0).address();
    let silent = silent_connections(address);
    for bytes in nonsense() {
        let answer = send_raw(address, &bytes).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer}");
    }

    let mut http = Http::new(address);
    let mut post = |body: &[u8]| http.post(body).unwrap();
    for broken in [&b""[..], b"{", b"\xff\xfe", b"nonsense", &noise(1000), "[".repeat(100_000).as_bytes()] {
        let response = post(broken);
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["error"]["data"]["kind"], json!("parse_error"), "{body}");
    }
    for (odd, kind) in [
        (json!({}), ErrorKind::InvalidRequest),
        (json!([]), ErrorKind::InvalidRequest),
        (json!("chain_head"), ErrorKind::InvalidRequest),
        (json!({ "jsonrpc": "1.0", "id": 1, "method": "chain_head" }), ErrorKind::InvalidRequest),
        (json!({ "jsonrpc": "2.0", "id": 1, "method": "no_such_method" }), ErrorKind::MethodNotFound),
        (
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_status", "params": [7] }),
            ErrorKind::InvalidParams,
        ),
        (
            json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_head", "params": [7] }),
            ErrorKind::InvalidParams,
        ),
        (
            json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_blocks", "params": [0, 101] }),
            ErrorKind::InvalidParams,
        ),
    ] {
        expect_error(&post(odd.to_string().as_bytes()), 200, kind);
    }

    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_head" });
    let batch = Value::Array(vec![call.clone(); 101]).to_string();
    expect_error(&post(batch.as_bytes()), 200, ErrorKind::BatchTooLarge);
    let oversized = vec![b' '; (4 << 20) + 1];
    expect_error(&Http::new(address).post(&oversized).unwrap(), 413, ErrorKind::RequestTooLarge);
    let plain = [("content-type", "text/plain")];
    let response = Http::new(address).request("POST", "/", &plain, call.to_string().as_bytes()).unwrap();
    expect_error(&response, 415, ErrorKind::InvalidRequest);
    assert_eq!(Http::new(address).request("DELETE", "/", &[], &[]).unwrap().status, 405);
    assert_eq!(Http::new(address).get("/etc/passwd").unwrap().status, 404);

    assert_works(&mut network);
    drop(silent);
    let log = network.log(0);
    assert!(!log.contains("panicked"), "{log}");
}

/// Large but valid requests, answered with an error or a result.
fn expensive_requests() -> Vec<String> {
    let smileys = format!("\"{}\"", "😀".repeat(900_000));
    let digits = "1".repeat(3_600_000);
    let hex = format!("\"0x{}\"", "ab".repeat(1_700_000));
    let call = |method: &str, params: String| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    };
    vec![
        call("chain_block", format!("[{smileys}]")),
        call("chain_block", format!("[{digits}]")),
        call("tx_submit", format!("[{smileys}]")),
        call("tx_submit", format!("[{hex}]")),
        call("tx_submit", format!("[\"0x\",{smileys}]")),
        call("chain_blocks", format!("{{{smileys}:1}}")),
        format!("[{}0]", "0,".repeat(1_800_000)),
    ]
}

/// Requests of clients do not slow down consensus, because it has threads of its own.
#[test]
fn no_request_takes_time_from_the_threads_that_carry_consensus() {
    const MOST: Duration = Duration::from_millis(20);
    let network = Network::running(4);
    let mut http = Http::new(network.validators()[0].rpc_address());
    let mut requests = 0;
    let before: HashMap<String, Duration> = network.thread_times(0).into_iter().collect();
    let begun = Instant::now();
    for request in expensive_requests() {
        let response = http.post(request.as_bytes()).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.body.len() < 2048, "{}", response.body.len());
        requests += 1;
    }
    let took = begun.elapsed();
    let used = |name: &str, now: Duration| now.saturating_sub(before.get(name).copied().unwrap_or_default());
    let threads = network.thread_times(0);
    let of = |serving: bool| {
        threads
            .iter()
            .filter(move |(name, _)| name.starts_with("rpc ") == serving)
            .map(|(name, now)| used(name, *now))
    };
    let served: Duration = of(true).sum();
    assert!(served > MOST, "the threads of clients did the work: {threads:?}");
    for time in of(false) {
        // An idle network uses some time, too.
        assert!(time < MOST * requests + took / 20, "{time:?} of {took:?}: {threads:?}");
    }
    network.order_one(1);
    assert_eq!(network.rpc(1).consensus().view, 0, "no validator left the view");
}
