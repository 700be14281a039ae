#![allow(clippy::unwrap_used)]

use quorate_governance::Reason;
use quorate_ledger::{BlockHash, ChainId, Epoch, Hash, Height};

use super::*;
use crate::TestNetwork;

fn client(number: u8, member: &str) -> Client {
    let key = quorate_ledger::SecretKey::from_bytes(&[number; 32]).unwrap().public();
    let name = format!("till-{number}").parse().unwrap();
    Client { key, name, member: member.parse().unwrap(), quota: None, revoked: false }
}

/// Clients of every form.
fn clients() -> Vec<Client> {
    let quota = Some(Quota { transactions: 3, bytes: u64::MAX });
    let (mut plain, mut limited, mut revoked, mut both) = (
        client(1, "validator-0"),
        client(2, "validator-1"),
        client(3, "validator-1"),
        client(4, "validator-3"),
    );
    plain.name = "x".repeat(32).parse().unwrap();
    (limited.quota, revoked.revoked) = (quota, true);
    (both.quota, both.revoked) = (quota, true);
    vec![plain, limited, revoked, both]
}

/// A genesis that takes over these clients.
fn genesis_with(clients: &[Client]) -> Genesis {
    let (count, root) = Predecessor::commit_to(clients);
    let mut draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    draft.predecessor = Some(Predecessor {
        chain_id: ChainId::from_bytes([1; 32]),
        height: Height(7),
        block: BlockHash::from_bytes([2; 32]),
        epoch: Epoch(0),
        state_root: Hash::from_bytes([3; 32]),
        clients: count,
        clients_root: root,
    });
    draft.check().unwrap()
}

#[test]
fn clients_survive_their_file_and_have_one_form() {
    let mut clients = clients();
    let genesis = genesis_with(&clients);
    let text = clients_to_text(&genesis, &clients);
    let mut read = parse_clients(&text).unwrap();
    assert!(read.is_sorted_by_key(|client| client.key));
    clients.reverse();
    assert_eq!(clients_to_text(&genesis, &clients), text);
    clients.sort_by_key(|client| client.key);
    assert_eq!(read, clients);
    assert!(text.len() <= max_clients_file_bytes(4), "{} bytes", text.len());
    assert!(text.lines().all(|line| line.len() < MAX_LINE_BYTES && line.len() <= 200), "{text}");

    let state = genesis.initial_state(read.clone()).unwrap();
    assert_eq!((state.chain(), state.next_config().client_count()), (genesis.chain_id(), 4));
    read.reverse();
    assert_eq!(genesis.initial_state(read).unwrap(), state, "the order has no meaning");
}

#[test]
fn lines_that_are_no_client_are_named() {
    let good = clients_to_text(&genesis_with(&clients()[..1]), &clients()[..1]);
    let client = good.lines().last().unwrap();
    assert_eq!(parse_clients("").unwrap(), []);
    assert_eq!(parse_clients(&format!("\n# x\n{client}\r\n")).unwrap(), clients()[..1]);
    let wrong = [
        "x",
        &client.replacen("0x", "", 1),
        &client.replace("validator-0", "Validator-0"),
        &client.replace(" validator-0", ""),
        &client.replace(' ', "  "),
        &format!(" {client}"),
        &format!("{client} "),
        &format!("{client} Revoked"),
        &format!("{client} revoked revoked"),
        &format!("{client} revoked quota=1/2"),
        &format!("{client} quota=1"),
        &format!("{client} quota=1/"),
        &format!("{client} quota=1/-2"),
        &format!("{client} quota=1/18446744073709551616"),
        &format!("{client} {}", "x".repeat(1000)),
    ];
    for line in wrong {
        let text = format!("# a comment\n{client}\n{line}\n");
        let Err(ClientsError::Line { line: 3, text }) = parse_clients(&text) else { panic!("{line}") };
        assert!(text.chars().count() <= 83, "{text}");
    }
}

#[test]
fn other_clients_than_those_of_the_genesis_are_refused() {
    let clients = clients();
    let genesis = genesis_with(&clients);
    let refused = |clients: Vec<Client>| genesis.initial_state(clients).unwrap_err();
    assert_eq!(refused(clients[1..].to_vec()), ClientsError::Count { expected: 4, found: 3 });
    assert_eq!(refused(Vec::new()), ClientsError::Count { expected: 4, found: 0 });
    let changes: [fn(&mut Client); 4] = [
        |client| client.revoked = false,
        |client| client.quota = None,
        |client| client.name = "other".parse().unwrap(),
        |client| client.member = "validator-0".parse().unwrap(),
    ];
    for change in changes {
        let mut other = clients.clone();
        change(&mut other[3]);
        assert_eq!(refused(other), ClientsError::Root);
    }
    let mut twice = clients.clone();
    twice[3] = twice[0].clone();
    assert_eq!(refused(twice), ClientsError::Root);
    let none = TestNetwork::seeded(4, 1).genesis().initial_state(clients[..1].to_vec());
    assert_eq!(none.unwrap_err(), ClientsError::Count { expected: 0, found: 1 });
}

/// An operator removed a validator from the genesis by hand.
#[test]
fn clients_without_their_member_are_refused() {
    let stranger = vec![client(1, "bank-x")];
    let error = genesis_with(&stranger).initial_state(stranger).unwrap_err();
    assert!(
        matches!(
            &error,
            ClientsError::State(InitialStateError::Client { reason: Reason::UnknownMember, .. })
        ),
        "{error}"
    );
}

#[test]
fn a_limit_for_the_file_is_no_overflow() {
    assert_eq!(max_clients_file_bytes(u64::MAX), usize::MAX);
    assert!(max_clients_file_bytes(1_000_000) < 300 << 20);
}
