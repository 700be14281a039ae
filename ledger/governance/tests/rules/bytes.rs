//! Operations, states and proofs as bytes.

use quorate_governance::{
    Change, EntryKey, EntryProof, Name, Operation, ParameterName, ProofError, State, limits,
};
use quorate_ledger::{Hash, TRANSACTION_OVERHEAD_BYTES, decode, encode};

use crate::network::{
    EXECUTED, Network, add, add_client, gov, key, member, name, remove, secret, set, settings, vote,
};

/// A state with rows of every kind.
fn busy() -> Network {
    let mut network = Network::of(5);
    assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
    for number in 400..420 {
        assert_eq!(network.one(gov(number % 4), add_client(number)), EXECUTED);
    }
    network.settle();
    let id = network.propose(0, vec![add(5), set(ParameterName::BatchDelay, 3)]);
    assert_eq!(network.approve(1, id), EXECUTED);
    network.run(2);
    assert_eq!(network.ready(vote(5)), EXECUTED);
    network.propose(2, vec![add(6)]);
    let rotation = network.rotation(gov(2), &secret(300));
    let outcomes = network.block(&[
        (gov(2), rotation),
        (gov(3), Operation::RemoveClient { key: key(403) }),
        (gov(3), add_client(430)),
    ]);
    assert_eq!(outcomes, [EXECUTED; 3]);
    let state = &network.state;
    assert!(!state.proposals().is_empty() && state.scheduled().len() >= 3 && !state.ready().is_empty());
    assert!(!state.retired().is_empty() && !state.renewals().is_empty());
    network
}

#[test]
fn a_state_is_read_from_its_own_bytes_and_continues_like_the_original() {
    let mut network = busy();
    let bytes = network.state.to_bytes();
    let read = State::from_bytes(&bytes).unwrap();
    assert_eq!((read.root(), read.to_bytes()), (network.state.root(), bytes));
    assert_eq!(read.horizon(), network.state.horizon());
    let mut copy = network.clone();
    copy.state = read;
    for _ in 0..20 {
        network.run(1);
        copy.run(1);
        assert_eq!(copy.state.root(), network.state.root());
    }
    assert_eq!(copy.state.to_bytes(), network.state.to_bytes());
}

#[test]
fn no_shortened_extended_or_changed_bytes_are_the_same_state() {
    let network = busy();
    let bytes = network.state.to_bytes();
    for length in (0..bytes.len()).step_by(17) {
        assert!(State::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(State::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(other) = State::from_bytes(&changed) {
            assert_ne!(other.root(), network.state.root(), "byte {at} is covered by the root");
        }
    }
}

#[test]
fn lists_out_of_order_and_repeated_rows_are_refused() {
    let network = busy();
    let bytes = network.state.to_bytes();
    let client = encode(network.state.next_config().client(&key(400)).unwrap());
    let at = bytes.windows(client.len()).position(|window| window == client).unwrap();
    let count = network.state.next_config().client_count();
    let list = bytes.len() - count * client.len();
    let others: Vec<&[u8]> = bytes[list..].chunks(client.len()).rev().collect();
    let reversed = [&bytes[..list], &others.concat()].concat();
    let error = State::from_bytes(&reversed).unwrap_err();
    assert!(error.reason.contains("order"), "{error}");
    let mut repeated = bytes.clone();
    let other = if at == list { list + client.len() } else { list };
    repeated.copy_within(at..at + client.len(), other);
    assert!(State::from_bytes(&repeated).is_err());
}

#[test]
fn entries_and_their_absence_are_proven() {
    let network = busy();
    let (state, root) = (&network.state, network.state.root());
    let config = state.next_config();
    let (id, proposal) = state.proposals().first_key_value().unwrap();
    let (number, scheduled) = state.scheduled().first_key_value().unwrap();
    let present: Vec<(EntryKey, Vec<u8>)> = vec![
        (EntryKey::Head, encode(state.head())),
        (EntryKey::Settings, encode(config.settings())),
        (EntryKey::Member(name(1)), encode(&member(1))),
        (EntryKey::Candidate(vote(5)), Vec::new()),
        (EntryKey::Proposal(*id), encode(proposal)),
        (EntryKey::Scheduled(*number), encode(scheduled)),
        (EntryKey::Ready(vote(5)), encode(&state.ready()[&vote(5)])),
        (EntryKey::Retired(vote(4)), encode(&state.retired()[&vote(4)])),
        (EntryKey::Renewal(name(2)), encode(&state.renewals()[&name(2)])),
        (EntryKey::Client(key(400)), encode(config.client(&key(400)).unwrap())),
    ];
    for (key, value) in &present {
        let proof: EntryProof = decode(&encode(&state.prove(key))).unwrap();
        assert_eq!(proof.verify(&root, key, Some(value)), Ok(()), "{key:?}");
        let other = [&value[..], &[0]].concat();
        assert_eq!(proof.verify(&root, key, Some(&other)), Err(ProofError::Root), "{key:?}");
        assert!(proof.verify(&root, key, None).is_err(), "{key:?} is not absent");
        assert!(proof.verify(&Hash::ZERO, key, Some(value)).is_err());
    }
    let absent = [
        EntryKey::Member(name(4)),
        EntryKey::Candidate(vote(7)),
        EntryKey::Client(key(999)),
        EntryKey::Client(gov(0)),
        EntryKey::Scheduled(u64::MAX),
        EntryKey::Ready(vote(1)),
    ];
    for key in &absent {
        let proof = state.prove(key);
        assert_eq!(proof.verify(&root, key, None), Ok(()), "{key:?}");
        assert!(proof.verify(&root, key, Some(&[])).is_err(), "{key:?}");
        for (other, value) in &present {
            assert!(proof.verify(&root, other, None).is_err(), "{key:?} for {other:?}");
            assert!(proof.verify(&root, other, Some(value)).is_err(), "{key:?} for {other:?}");
        }
    }
}

#[test]
fn an_empty_registry_has_proofs_of_absence() {
    let network = Network::of(4);
    let key = EntryKey::Client(key(400));
    let proof = network.state.prove(&key);
    assert_eq!(proof.verify(&network.state.root(), &key, None), Ok(()));
}

#[test]
fn operations_decode_only_from_their_canonical_bytes() {
    let propose = Operation::Propose { changes: vec![add(5), remove(2)] };
    let bytes = propose.to_bytes();
    assert_eq!(Operation::decode(&bytes).unwrap(), propose);
    for length in 0..bytes.len() {
        assert!(Operation::decode(&bytes[..length]).is_err());
    }
    assert!(Operation::decode(&[&bytes[..], &[0]].concat()).is_err());
    let too_many = Operation::Propose { changes: vec![remove(2); 17] };
    assert!(Operation::decode(&too_many.to_bytes()).unwrap_err().reason.contains("at most 16"));
    assert!(Operation::decode(&Operation::Propose { changes: Vec::new() }.to_bytes()).is_err());
    assert!(Operation::decode(&vec![0; 4097]).unwrap_err().reason.contains("at most 4096"));
    assert!(Operation::decode(&[9]).is_err(), "an unknown operation");
}

#[test]
fn the_largest_operation_is_below_its_limit_and_single_changes_fit_the_smallest_transaction() {
    let longest: Name = "x".repeat(limits::MAX_NAME as usize).parse().unwrap();
    let largest = Change::ReplaceKeys {
        name: longest.clone(),
        consensus_key: Some(key(1)),
        governance_key: Some(key(2)),
    };
    let full = Operation::Propose { changes: vec![largest.clone(); 16] };
    assert!(full.to_bytes().len() < 2000);
    assert!(Operation::decode(&full.to_bytes()).is_ok());
    // The smallest limit that a genesis or governance may set must not end governance.
    let network = Network::of(4);
    for operation in [
        Operation::Propose { changes: vec![largest] },
        network.rotation(gov(1), &secret(300)),
        Operation::AddClient { name: longest, key: key(1) },
    ] {
        assert!(operation.to_bytes().len() + TRANSACTION_OVERHEAD_BYTES as usize <= 256, "{operation:?}");
    }
}

/// The registry of a large network: roots stay cheap, since a proof is short.
#[test]
fn a_large_registry_has_short_proofs_and_is_read_from_its_bytes() {
    let mut settings = settings();
    settings.governance.max_clients = 1_000_000;
    let mut network = Network::with(31, settings);
    for round in 0..10_u16 {
        let batch = (0..4).flat_map(|index| (0..100).map(move |at| (index, at)));
        let operations: Vec<_> = batch
            .map(|(index, at)| (gov(index), add_client(1000 + round * 400 + index * 100 + at)))
            .collect();
        assert!(network.block(&operations).iter().all(|outcome| *outcome == EXECUTED));
        network.settle();
    }
    let state = &network.state;
    assert_eq!(state.next_config().client_count(), 4000);
    let proof = encode(&state.prove(&EntryKey::Client(key(1234))));
    assert!(proof.len() < 32 * 32, "{} bytes", proof.len());
    let read = State::from_bytes(&state.to_bytes()).unwrap();
    assert_eq!(read.root(), state.root(), "the incremental root is the root from scratch");
    assert_eq!(network.decide(vec![remove(3)]), EXECUTED);
    network.settle();
    assert_eq!(network.state.next_config().client_count(), 3000);
    let read = State::from_bytes(&network.state.to_bytes()).unwrap();
    assert_eq!(read.root(), network.state.root());
}
