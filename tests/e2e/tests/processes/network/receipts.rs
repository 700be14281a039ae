//! What `quorate verify` accepts.

use std::fs;
use std::path::Path;

use quorate_api::Wait;
use quorate_e2e::{Invocation, Network, Signer};
use quorate_genesis::TestNetwork;

/// Distance between two digits of a long value that are tested, in addition to its first and last
/// digit.
const STEP: usize = 61;

fn verify(receipt: &str, genesis: &Path) -> Option<i32> {
    let genesis = genesis.to_str().unwrap();
    Invocation::new(["verify", "-", "--genesis", genesis]).input(receipt).run().code
}

/// The positions of the digits of hex strings and numbers in a JSON text, one list for each value.
fn digits(json: &str) -> Vec<Vec<usize>> {
    let bytes = json.as_bytes();
    let (mut found, mut place) = (Vec::new(), 0);
    while place < bytes.len() {
        let start = place;
        if bytes[place] == b'"' {
            place += 1 + json[place + 1..].find('"').unwrap() + 1;
            if json[start + 1..].starts_with("0x") {
                found.push((start + 3..place - 1).collect());
            }
        } else if bytes[place].is_ascii_digit() {
            while bytes[place].is_ascii_digit() {
                place += 1;
            }
            found.push((start..place).collect());
        } else {
            place += 1;
        }
    }
    found
}

/// Another digit of the same kind.
fn other(digit: u8, hex: bool) -> u8 {
    match digit {
        b'9' if hex => b'a',
        b'9' => b'0',
        b'f' => b'0',
        digit => digit + 1,
    }
}

#[test]
fn digits_are_found_only_in_hex_strings_and_numbers() {
    let json = r#"{"a1":"0xab","b":[12,3],"c":"x5"}"#;
    let found: Vec<String> = digits(json)
        .iter()
        .map(|places| places.iter().map(|place| json.as_bytes()[*place] as char).collect())
        .collect();
    assert_eq!(found, ["ab", "12", "3"]);
}

#[test]
fn a_receipt_verifies_offline_and_a_changed_one_does_not() {
    let mut network = Network::running(4);
    let signed = Signer::new(network.genesis(), 7, 100).sign_many(7);
    let rpc = network.rpc(2);
    for signed in &signed {
        rpc.submit(&signed.hex, Wait::Accepted, 10_000).unwrap();
    }
    let through = network.rpc(1);
    let answer = through.submit(&signed[3].hex, Wait::Committed, 30_000).unwrap();
    let receipt = serde_json::to_string(&answer.receipt.unwrap()).unwrap();
    let genesis = network.genesis_file().to_owned();
    for index in 0..4 {
        network.stop(index);
    }
    assert_eq!(verify(&receipt, &genesis), Some(0), "{receipt}");

    let mut tried = 0;
    for number in digits(&receipt) {
        let last = number.len() - 1;
        let hex = number.len() > 1 && receipt[..number[0]].ends_with("0x");
        for (at, place) in number.iter().enumerate().filter(|(at, _)| at % STEP == 0 || *at == last) {
            let mut changed = receipt.clone().into_bytes();
            changed[*place] = other(changed[*place], hex);
            let changed = String::from_utf8(changed).unwrap();
            assert_ne!(verify(&changed, &genesis), Some(0), "digit {at} of {changed}");
            tried += 1;
        }
    }
    assert!(tried > 40, "a receipt has more than {tried} digits");

    let stranger = network.directory().join("stranger.toml");
    fs::write(&stranger, TestNetwork::seeded(4, 1).genesis().to_toml()).unwrap();
    assert_eq!(verify(&receipt, &stranger), Some(3), "another network's genesis");
    for nonsense in
        ["", "{}", "[]", "null", &receipt[..receipt.len() - 1], &receipt.replace("\"index\"", "\"Index\"")]
    {
        assert_ne!(verify(nonsense, &genesis), Some(0), "{nonsense}");
    }
}
