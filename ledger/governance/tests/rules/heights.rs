//! When changes take effect, and which configurations a state knows.

use quorate_governance::{
    ApplyError, ExecutedBlock, GovernanceTransaction, Operation, ParameterName, Reason,
};
use quorate_ledger::{BlockHash, Epoch, Height};

use crate::network::{EXECUTED, Network, W, add, add_client, failed, gov, key, set, settings, vote};

/// M77: no configuration changes that a primary may have used already.
#[test]
fn a_change_takes_effect_after_the_window_and_never_earlier() {
    let mut network = Network::of(4);
    network.run(5);
    let horizon = network.state.horizon();
    assert_eq!(horizon, Height(5 + W + 1));
    assert!(network.state.config(horizon).unwrap().client(&key(400)).is_none());
    assert_eq!(network.one(gov(0), add_client(400)), EXECUTED);
    assert!(network.state.config(horizon).unwrap().client(&key(400)).is_none(), "known since block 5");
    assert!(network.state.config(Height(7)).unwrap().client(&key(400)).is_none());
    let next = network.state.config(horizon.next()).unwrap();
    assert!(next.client(&key(400)).is_some(), "block 6 takes effect at 6 + W + 1");
    assert_eq!(next.epoch(), Epoch(0), "clients start no epoch");
}

#[test]
fn heights_outside_of_the_known_range_have_no_configuration() {
    let mut network = Network::of(4);
    network.run(5);
    for unknown in [0, 5, 9, 10, u64::MAX] {
        assert!(network.state.config(Height(unknown)).is_none(), "{unknown}");
    }
    for known in 6..=8 {
        assert!(network.state.config(Height(known)).is_some(), "{known}");
    }
}

#[test]
fn effective_heights_never_decrease_when_the_window_shrinks() {
    let mut settings = settings();
    settings.parameters.consensus.window = 4;
    let mut network = Network::with(4, settings);
    assert_eq!(network.decide(vec![set(ParameterName::Window, 1)]), EXECUTED);
    let decided = network.height();
    let starts = decided + 5;
    assert_eq!(network.state.next_epoch_start(), Some(Height(starts)));
    let mut known = Vec::new();
    let mut last = Height(0);
    for _ in 0..8 {
        // Each block adds a client: its effective height is beyond all that was known before.
        let number = 500 + u16::try_from(network.height()).unwrap();
        assert_eq!(network.one(gov(0), add_client(number)), EXECUTED);
        let from = network.state.head().effective;
        assert!(from >= last && known.iter().all(|horizon| *horizon < from), "{from}");
        known.push(network.state.horizon());
        last = from;
    }
    assert_eq!(network.state.next_config().parameters().consensus.window, 1);
    network.run(10);
    assert_eq!(network.state.horizon(), Height(network.height() + 2), "W + 1 again");
}

#[test]
fn changes_of_parameters_start_an_epoch_unless_governance_alone_uses_them() {
    for (parameter, value, epochs) in [
        (ParameterName::Window, 3, 1),
        (ParameterName::LogWindow, 9, 1),
        (ParameterName::BatchDelay, 3, 1),
        (ParameterName::BlockMaxTransactions, 3, 1),
        (ParameterName::PoolMaxTransactionsPerSender, 3, 1),
        (ParameterName::MaxClients, 3, 0),
        (ParameterName::ProposalLifetime, 3, 0),
    ] {
        let mut network = Network::of(4);
        assert_eq!(network.decide(vec![set(parameter, value)]), EXECUTED);
        network.settle();
        assert_eq!(network.epoch(), Epoch(epochs), "{parameter}");
        let mut settings = *network.state.next_config().settings();
        assert_eq!(*parameter.of(&mut settings), value);
    }
}

#[test]
fn several_parameters_of_one_proposal_start_one_epoch() {
    let mut network = Network::of(4);
    let changes = vec![set(ParameterName::BatchDelay, 3), set(ParameterName::BlockMaxTransactions, 30)];
    assert_eq!(network.decide(changes), EXECUTED);
    let other = vec![set(ParameterName::PoolMaxBytes, 1 << 28)];
    let (id, outcome) = network.try_propose(1, other);
    assert_eq!(outcome, EXECUTED, "it may be proposed while another change is scheduled");
    network.settle();
    assert_eq!(network.epoch(), Epoch(1));
    for index in [0, 2] {
        assert_eq!(network.approve(index, id), EXECUTED);
    }
    network.settle();
    assert_eq!(network.epoch(), Epoch(2));
    assert_eq!(network.state.next_config().parameters().mempool.max_bytes, 1 << 28);
}

/// M80: a second epoch change waits until the first one took effect.
#[test]
fn epoch_changes_are_scheduled_one_at_a_time() {
    let mut network = Network::of(4);
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    while network.state.next_epoch_start().is_some() {
        assert_eq!(network.one(gov(2), Operation::Renew), failed(Reason::OneAtATime));
        assert_eq!(network.state.scheduled().len(), usize::from(network.state.next_epoch_start().is_some()));
    }
    assert_eq!(network.epoch(), Epoch(1));
    assert_eq!(network.one(gov(2), Operation::Renew), EXECUTED, "the first block of the new epoch");
}

#[test]
fn an_approval_that_would_decide_a_second_epoch_change_can_be_repeated() {
    let mut network = Network::of(5);
    let id = network.propose(0, vec![crate::network::remove(4)]);
    for index in 1..3 {
        assert_eq!(network.approve(index, id), EXECUTED);
    }
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    assert_eq!(network.approve(3, id), failed(Reason::OneAtATime));
    network.settle();
    assert_eq!(network.approve(3, id), EXECUTED);
}

#[test]
fn several_changes_of_parameters_and_clients_are_scheduled_together() {
    let mut network = Network::of(4);
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    assert_eq!(network.decide(vec![set(ParameterName::MaxClients, 300)]), EXECUTED);
    assert_eq!(network.one(gov(2), add_client(400)), EXECUTED);
    assert_eq!(network.decide(vec![set(ParameterName::MaxClients, 400)]), EXECUTED);
    assert_eq!(network.state.latest_config().settings().governance.max_clients, 400);
    network.settle();
    assert_eq!(network.state.next_config().settings().governance.max_clients, 400);
}

#[test]
fn at_most_64_decisions_are_scheduled() {
    // One member is a quorum, so each proposal is decided at once.
    let mut network = Network::of(1);
    let operations: Vec<_> = (0..65)
        .map(|at| (gov(0), Operation::Propose { changes: vec![set(ParameterName::MaxClients, 11 + at)] }))
        .collect();
    let outcomes = network.block(&operations);
    assert!(outcomes[..64].iter().all(|outcome| *outcome == EXECUTED));
    assert_eq!(outcomes[64], failed(Reason::ScheduleFull));
    network.settle();
    assert_eq!(network.state.next_config().settings().governance.max_clients, 11 + 63);
}

#[test]
fn a_change_is_judged_after_everything_that_is_scheduled() {
    let mut network = Network::of(4);
    assert_eq!(network.decide(vec![set(ParameterName::TimeoutCap, 3000)]), EXECUTED);
    let (_, outcome) = network.try_propose(0, vec![set(ParameterName::RequestTimeout, 3001)]);
    assert_eq!(outcome, failed(Reason::ParameterRule), "3,001 is valid only with the cap in force");
    assert_eq!(network.state.next_config().parameters().consensus.timeout_cap_ms, 30_000);
}

#[test]
fn blocks_are_executed_one_after_the_other() {
    let mut network = Network::of(4);
    network.run(3);
    let root = network.state.root();
    for height in [0, 3, 5, u64::MAX] {
        let block =
            ExecutedBlock { height: Height(height), hash: BlockHash::from_bytes([1; 32]), transactions: &[] };
        let error = network.state.apply(&block, &network.hashes).unwrap_err();
        assert_eq!(error, ApplyError::Height { executed: Height(3), got: Height(height) });
    }
    assert_eq!(network.state.root(), root);
}

/// A node that lacks a header must not compute another outcome than the others.
#[test]
fn a_missing_ancestor_stops_the_block_and_changes_nothing() {
    let mut network = Network::of(4);
    network.propose(0, vec![add(4)]);
    network.run(W);
    let ready = Operation::Ready { height: Height(2), block: network.hashes[&Height(2)] }.to_bytes();
    let transactions = [GovernanceTransaction { id: network.new_id(), sender: vote(4), payload: &ready }];
    let height = network.state.height().next();
    let block = ExecutedBlock { height, hash: BlockHash::from_bytes([1; 32]), transactions: &transactions };
    let root = network.state.root();
    network.hashes.remove(&Height(2));
    assert_eq!(network.state.apply(&block, &network.hashes), Err(ApplyError::Ancestor(Height(2))));
    assert_eq!(network.state.root(), root);
    // Only candidates can make a node look for a header.
    let transactions = [GovernanceTransaction { sender: gov(0), ..transactions[0] }];
    let block = ExecutedBlock { transactions: &transactions, ..block };
    assert_eq!(network.state.apply(&block, &network.hashes), Ok(vec![failed(Reason::NotACandidate)]));
}
