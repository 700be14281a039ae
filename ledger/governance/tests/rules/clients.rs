//! Clients of members, the submit mode, and quotas of a block.

use quorate_governance::{
    Affected, BlockUse, Change, Client, InitialState, InitialStateError, Kind, Operation, ParameterName,
    Permit, Quota, Reason, State, Submit, clients_root, limits,
};
use quorate_ledger::{BlockHash, NotPermitted, Payload, PublicKey};

use crate::network::{
    CHAIN, EXECUTED, Network, add, add_client, failed, gov, key, member, name, remove, set, settings, vote,
};

const REGISTRY: Change = Change::SetSubmitMode { mode: Submit::Registry };

/// A network in the mode `registry`: members 0 and 1 have the clients 400 and 401 each, and 500.
fn registry() -> Network {
    let mut settings = settings();
    settings.governance.max_transactions_per_member = 3;
    let mut network = Network::with(5, settings);
    let outcomes =
        network.block(&[(gov(0), add_client(400)), (gov(0), add_client(401)), (gov(1), add_client(500))]);
    assert_eq!(outcomes, [EXECUTED; 3]);
    assert_eq!(network.decide(vec![REGISTRY]), EXECUTED);
    network.settle();
    network
}

fn quota(transactions: u64, bytes: u64) -> Option<Quota> {
    Some(Quota { transactions, bytes })
}

#[test]
fn in_the_open_mode_every_key_may_send_data_but_not_operations() {
    let network = Network::of(4);
    let config = network.state.next_config();
    assert_eq!(config.submit_mode(), Submit::Open);
    assert_eq!(config.permits(&key(999), Kind::Data), Ok(Permit::Anyone));
    assert_eq!(config.permits(&key(999), Kind::Governance), Err(NotPermitted::SenderUnknown));
    let member = config.member(&name(0)).unwrap();
    assert_eq!(config.permits(&gov(0), Kind::Governance), Ok(Permit::Member(member)));
    assert_eq!(config.permits(&vote(0), Kind::Governance), Err(NotPermitted::SenderUnknown));
    assert_eq!(Kind::of(&Payload::Data(Vec::new())), Kind::Data);
    assert_eq!(Kind::of(&Payload::Governance(Vec::new())), Kind::Governance);
}

#[test]
fn in_the_mode_registry_only_clients_may_send_data() {
    let mut network = registry();
    let config = network.state.next_config();
    assert!(matches!(config.permits(&key(400), Kind::Data), Ok(Permit::Client(_))));
    for stranger in [key(999), gov(0), vote(0)] {
        assert_eq!(config.permits(&stranger, Kind::Data), Err(NotPermitted::SenderUnknown));
    }
    assert_eq!(network.decide(vec![Change::RevokeClient { key: key(400) }]), EXECUTED);
    network.settle();
    assert_eq!(network.one(gov(0), Operation::RemoveClient { key: key(401) }), EXECUTED);
    assert_eq!(network.one(gov(1), add_client(400)), failed(Reason::ClientRevoked));
    network.settle();
    let config = network.state.next_config();
    assert_eq!(config.permits(&key(400), Kind::Data), Err(NotPermitted::SenderRevoked));
    assert_eq!(config.permits(&key(401), Kind::Data), Err(NotPermitted::SenderUnknown));
    assert_eq!((config.clients_of(&name(0)), config.client_count()), (1, 2), "a revoked client counts");
}

#[test]
fn a_candidate_may_send_one_operation_in_a_block_and_a_member_32() {
    let mut network = registry();
    network.propose(0, vec![add(5)]);
    network.settle();
    let config = network.state.next_config();
    assert_eq!(config.permits(&vote(5), Kind::Governance), Ok(Permit::Candidate));
    let mut used = BlockUse::new(config);
    assert_eq!(used.add(&vote(5), Kind::Governance, 200), Ok(()));
    assert_eq!(used.add(&vote(5), Kind::Governance, 200), Err(NotPermitted::Quota));
    for _ in 0..limits::MAX_OPERATIONS_PER_BLOCK {
        assert_eq!(used.add(&gov(1), Kind::Governance, 118 + 4096), Ok(()));
    }
    assert_eq!(used.add(&gov(1), Kind::Governance, 200), Err(NotPermitted::Quota));
    assert_eq!(used.add(&gov(2), Kind::Governance, 118 + 4097), Err(NotPermitted::AboveQuota));
    assert_eq!(used.add(&gov(2), Kind::Governance, 200), Ok(()), "members have quotas of their own");
}

#[test]
fn the_clients_of_a_member_share_its_part_of_a_block() {
    let network = registry();
    let config = network.state.next_config();
    let bytes = config.member_quota().bytes;
    let mut used = BlockUse::new(config);
    assert_eq!(used.add(&key(400), Kind::Data, bytes - 10), Ok(()));
    assert_eq!(used.add(&key(401), Kind::Data, 11), Err(NotPermitted::Quota), "one byte too many");
    assert_eq!(used.add(&key(401), Kind::Data, 9), Ok(()));
    assert_eq!(used.add(&key(400), Kind::Data, 1), Ok(()), "the third and last transaction");
    assert_eq!(used.add(&key(400), Kind::Data, 0), Err(NotPermitted::Quota));
    assert_eq!(used.add(&key(500), Kind::Data, bytes), Ok(()), "another member's part is untouched");
    assert_eq!(used.add(&key(500), Kind::Data, bytes + 1), Err(NotPermitted::AboveQuota));
    assert_eq!(used.add(&gov(0), Kind::Governance, 200), Ok(()), "operations have a part of their own");
}

#[test]
fn a_client_may_have_a_lower_limit_of_its_own() {
    let mut network = registry();
    let limit = |quota| Operation::SetClientQuota { key: key(400), quota };
    assert_eq!(network.one(gov(0), limit(quota(1, 500))), EXECUTED);
    network.settle();
    let mut used = BlockUse::new(network.state.next_config());
    assert_eq!(used.add(&key(400), Kind::Data, 501), Err(NotPermitted::AboveQuota));
    assert_eq!(used.add(&key(400), Kind::Data, 500), Ok(()));
    assert_eq!(used.add(&key(400), Kind::Data, 1), Err(NotPermitted::Quota));
    assert_eq!(used.add(&key(401), Kind::Data, 501), Ok(()));
    assert_eq!(network.one(gov(0), limit(quota(0, 0))), EXECUTED, "suspended");
    network.settle();
    let mut used = BlockUse::new(network.state.next_config());
    assert_eq!(used.add(&key(400), Kind::Data, 0), Err(NotPermitted::AboveQuota));
    assert_eq!(network.one(gov(0), limit(None)), EXECUTED);
    network.settle();
    let mut used = BlockUse::new(network.state.next_config());
    assert_eq!(used.add(&key(400), Kind::Data, 501), Ok(()));
}

#[test]
fn clients_go_with_their_member() {
    let mut network = registry();
    assert_eq!(network.one(gov(4), add_client(600)), EXECUTED);
    assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
    assert_eq!(network.one(gov(4), add_client(601)), failed(Reason::MemberLeaves));
    assert_eq!(network.one(gov(0), add_client(600)), EXECUTED, "free again in the next epoch");
    network.settle();
    let config = network.state.next_config();
    assert_eq!(config.client(&key(600)).unwrap().member, name(0));
    assert_eq!(config.clients_of(&name(4)), 0);
}

#[test]
fn one_proposal_may_revoke_a_client_and_remove_its_member_in_any_order() {
    let mut network = registry();
    assert_eq!(network.one(gov(4), add_client(600)), EXECUTED);
    let revoke = Change::RevokeClient { key: key(600) };
    for changes in [vec![revoke.clone(), remove(4)], vec![remove(4), revoke]] {
        assert_eq!(network.clone().decide(changes), EXECUTED);
    }
}

#[test]
fn a_lower_limit_removes_no_client_but_stops_new_ones() {
    let mut network = registry();
    assert_eq!(network.decide(vec![set(ParameterName::MaxClients, 31)]), EXECUTED);
    assert_eq!(network.one(gov(0), add_client(402)), failed(Reason::ClientLimit), "2 of 1");
    assert_eq!(network.one(gov(2), add_client(402)), EXECUTED, "0 of 1");
    network.settle();
    assert_eq!(network.state.next_config().client_count(), 4);
}

#[test]
fn a_full_schedule_of_one_member_does_not_hinder_another() {
    let mut network = Network::of(4);
    let limit = limits::MAX_SCHEDULED_PER_MEMBER as usize;
    let many: Vec<(PublicKey, Operation)> =
        (0..=limit).map(|at| (gov(0), add_client(400 + u16::try_from(at).unwrap()))).collect();
    let outcomes = network.block(&many);
    assert!(outcomes[..limit].iter().all(|outcome| *outcome == EXECUTED));
    assert_eq!(outcomes[limit], failed(Reason::ScheduleFull));
    assert_eq!(network.one(gov(1), add_client(900)), EXECUTED);
    assert_eq!(network.one(gov(1), Operation::Renew), EXECUTED);
    network.settle();
    assert_eq!(network.one(gov(0), add_client(901)), EXECUTED);
}

/// The state before block 1 of four members, with these clients.
fn beginning_with(clients: Vec<Client>) -> Result<State, InitialStateError> {
    let (block, members) = (BlockHash::from_bytes([0; 32]), (0..4).map(member).collect());
    State::initial(InitialState { chain: CHAIN, block, members, settings: settings(), clients })
}

/// A network that continues another one begins with its clients.
#[test]
fn a_network_can_begin_with_clients() {
    let mut old = registry();
    assert_eq!(old.decide(vec![Change::RevokeClient { key: key(400) }]), EXECUTED);
    let limit = Operation::SetClientQuota { key: key(401), quota: quota(2, 300) };
    assert_eq!(old.one(gov(0), limit), EXECUTED);
    old.settle();
    let mut clients: Vec<Client> = old.state.next_config().clients().into_iter().cloned().collect();
    let state = beginning_with(clients.clone()).unwrap();
    let config = state.next_config();
    assert_eq!((config.client_count(), config.clients_of(&name(0))), (3, 2));
    for client in &clients {
        assert_eq!(config.client(&client.key), Some(client), "owner, quota and revocation stay");
    }
    assert_eq!(State::from_bytes(&state.to_bytes()).unwrap(), state);
    assert_eq!(State::from_entries(state.entries()).unwrap(), state);

    let root = clients_root(clients.clone());
    clients.reverse();
    assert_eq!(clients_root(clients.clone()), root, "their order has no meaning");
    assert_eq!(beginning_with(clients.clone()).unwrap(), state);
    clients[0].quota = quota(1, 300);
    assert_ne!(clients_root(clients), root);
}

#[test]
fn a_network_does_not_begin_with_impossible_clients() {
    let client = |number, owner| Client {
        key: key(number),
        name: "app".parse().unwrap(),
        member: name(owner),
        quota: None,
        revoked: false,
    };
    assert!(beginning_with(vec![client(400, 0), client(401, 0)]).is_ok());
    for (clients, reason) in [
        (vec![client(400, 0), client(401, 4)], Reason::UnknownMember),
        (vec![client(400, 0), client(401, 1), client(401, 2)], Reason::ClientExists),
    ] {
        let refused = InitialStateError::Client { key: key(401), reason };
        assert_eq!(beginning_with(clients).unwrap_err(), refused);
    }
}

/// A change of one member's clients, which it may make in every block, affects none but them. Candidates
/// that are none any more are affected, new ones are not.
#[test]
fn a_change_affects_the_senders_that_it_may_forbid() {
    let mut network = registry();
    let mut affected = |sender, operation, decides| {
        let outcome = match decides {
            None => network.one(sender, operation),
            Some(change) => network.decide(vec![change]),
        };
        assert_eq!(outcome, EXECUTED);
        let config = network.state.next_config();
        let effects = network.state.scheduled().values().map(|change| &change.effect);
        let all = effects.map(|effect| config.affected_by(effect)).fold(Affected::Nothing, Affected::and);
        network.settle();
        all
    };
    let only = |key: PublicKey| Affected::Senders([key].into());
    assert_eq!(affected(gov(0), add_client(402), None), Affected::Nothing);
    let limit = Operation::SetClientQuota { key: key(400), quota: quota(1, 1000) };
    assert_eq!(affected(gov(0), limit, None), only(key(400)));
    assert_eq!(affected(gov(0), Operation::RemoveClient { key: key(402) }, None), only(key(402)));
    let candidate = Operation::Propose { changes: vec![add(7)] };
    assert_eq!(affected(gov(2), candidate, None), Affected::Nothing);
    let unused = || Operation::Renew;
    let revocation = Change::RevokeClient { key: key(401) };
    assert_eq!(affected(gov(0), unused(), Some(revocation)), only(key(401)));
    for change in [
        Change::SetSubmitMode { mode: Submit::Open },
        set(ParameterName::MaxTransactionsPerMember, 2),
        remove(4),
    ] {
        assert_eq!(affected(gov(0), unused(), Some(change)), Affected::Everything);
    }
    assert_eq!(affected(gov(1), Operation::Renew, None), Affected::Everything);
}

#[test]
fn a_candidate_that_is_none_any_more_is_affected() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![add(7)]);
    network.settle();
    assert_eq!(network.one(gov(0), Operation::Withdraw(id)), EXECUTED);
    let config = network.state.next_config();
    let effects: Vec<_> = network.state.scheduled().values().map(|change| &change.effect).collect();
    let all: Vec<_> = effects.iter().map(|effect| config.affected_by(effect)).collect();
    assert_eq!(all, [Affected::Senders([vote(7)].into())]);
}
