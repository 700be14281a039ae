#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use quorate_governance::{
    Change, ExecutedBlock, GovernanceTransaction, Operation, Outcome, ParameterName, Possession, Quota,
    Submit, clients_root,
};
use quorate_ledger::{BlockHash, Body, ReplicaId, SecretKey, Timestamp, TransactionId};

use super::*;
use crate::{ClientsError, GenesisError, TestNetwork, clients_to_text, parse_clients};

const EXECUTED: Outcome = Outcome::Executed;

/// A network that has executed some blocks.
struct Old {
    network: TestNetwork,
    state: State,
    last: Header,
    hashes: BTreeMap<Height, BlockHash>,
}

impl Old {
    fn of(members: usize) -> Self {
        let network = TestNetwork::seeded(members, 1);
        let network = network.with_parameters(|parameters| parameters.consensus.window = 2).unwrap();
        let (state, last) = (network.genesis().governance_state(), network.genesis().header().clone());
        let hashes = BTreeMap::from([(Height(0), last.hash())]);
        Old { network, state, last, hashes }
    }

    /// As [`Old::of`], in epoch 1 at block 4: member 1 has a new consensus key.
    fn in_epoch_1(members: usize) -> Self {
        let mut old = Old::of(members);
        let chain = old.network.genesis().chain_id();
        let possession = Possession::sign(&chain, old.governance_key(1), &fresh(1), Epoch(0));
        let rotate = Operation::Rotate { consensus_key: fresh(1).public(), possession };
        assert_eq!(old.block(&[(1, rotate)]), [EXECUTED]);
        old.run(3);
        assert_eq!((old.last.epoch, old.state.retired().len()), (Epoch(1), 1));
        old
    }

    fn governance_key(&self, member: u16) -> PublicKey {
        self.network.governance_key(ReplicaId(member)).public()
    }

    fn consensus_key(&self, member: usize) -> PublicKey {
        self.network.keys()[member].public()
    }

    /// Executes a block with operations, each of a member.
    fn block(&mut self, operations: &[(u16, Operation)]) -> Vec<Outcome> {
        let time = Timestamp(1_800_000_000_000);
        let mut header = Header::after(&self.last, &Body::of(&[]), time, ReplicaId(0));
        header.next_committee = self.state.config(header.height.next()).unwrap().committee().hash();
        let payloads: Vec<_> = operations.iter().map(|(_, operation)| operation.to_bytes()).collect();
        let transactions: Vec<_> = (0..)
            .zip(operations.iter().zip(&payloads))
            .map(|(place, ((member, _), payload))| GovernanceTransaction {
                id: TransactionId::from_bytes([u8::try_from(header.height.0).unwrap() + place; 32]),
                sender: self.governance_key(*member),
                payload,
            })
            .collect();
        let block = ExecutedBlock { height: header.height, hash: header.hash(), transactions: &transactions };
        let outcomes = self.state.apply(&block, &self.hashes).unwrap();
        self.hashes.insert(header.height, header.hash());
        self.last = header;
        outcomes
    }

    fn run(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.block(&[]);
        }
    }

    fn continued(&self, how: &Continuation) -> Result<Continued, ContinuationError> {
        how.of(self.network.genesis(), &self.last, &self.state)
    }

    fn refused(&self, how: &Continuation) -> ContinuationError {
        self.continued(how).unwrap_err()
    }
}

/// A secret key that no member of a seeded network has.
fn fresh(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

fn unchanged() -> Continuation {
    Continuation::default()
}

fn without(names: &[&str]) -> Continuation {
    let without = names.iter().map(|name| (*name).to_owned()).collect();
    Continuation { without, ..Continuation::default() }
}

fn named(name: &str, key: PublicKey) -> Vec<(String, PublicKey)> {
    vec![(name.to_owned(), key)]
}

fn keys_of(genesis: &Genesis, name: &str) -> (PublicKey, PublicKey) {
    let validator = genesis.validators().iter().find(|validator| validator.name == name).unwrap();
    (validator.public_key, validator.governance_key)
}

#[test]
fn a_network_takes_over_what_is_in_force_and_names_the_block() {
    let mut old = Old::in_epoch_1(4);
    let set = |parameter, value| Change::SetParameter { parameter, value };
    let expire = set(ParameterName::ProposalLifetime, 77);
    assert_eq!(old.block(&[(0, Operation::Propose { changes: vec![expire] })]), [EXECUTED]);
    let proposal = *old.state.proposals().keys().next().unwrap();
    let approve = Operation::Approve(proposal);
    assert_eq!(old.block(&[(1, approve.clone()), (2, approve)]), [EXECUTED; 2]);
    old.run(3);
    let Continued { genesis, clients } = old.continued(&unchanged()).unwrap();

    let expected = Predecessor {
        chain_id: old.network.genesis().chain_id(),
        height: Height(9),
        block: old.last.hash(),
        epoch: Epoch(1),
        state_root: old.state.root(),
        clients: 0,
        clients_root: clients_root(Vec::new()),
    };
    assert_eq!((genesis.predecessor(), clients), (Some(&expected), Vec::new()));
    assert_ne!(genesis.chain_id(), old.network.genesis().chain_id());
    assert_eq!((genesis.name(), genesis.time()), ("seeded-1", old.last.timestamp));
    assert_eq!((genesis.header().height, genesis.header().epoch), (Height(0), Epoch(0)));
    assert_eq!(genesis.settings(), old.state.next_config().settings());
    assert_eq!(genesis.settings().governance.proposal_lifetime, 77);
    let state = genesis.initial_state(Vec::new()).unwrap();
    assert_eq!(state.next_config().members(), old.state.next_config().members());
    assert_eq!(keys_of(&genesis, "validator-1").0, fresh(1).public());
    assert_eq!(Genesis::parse(&genesis.to_toml()).unwrap(), genesis);
}

/// They are only printed for the operators: the new network knows nothing of them.
#[test]
fn open_proposals_scheduled_changes_and_the_history_of_keys_are_not_taken_over() {
    let mut old = Old::in_epoch_1(4);
    let remove = Change::RevokeClient { key: fresh(9).public() };
    let client = Operation::AddClient { name: "till".parse().unwrap(), key: fresh(9).public() };
    old.block(&[(0, client), (1, Operation::Propose { changes: vec![remove] }), (2, Operation::Renew)]);
    assert_eq!((old.state.proposals().len(), old.state.scheduled().len()), (1, 2));
    let Continued { genesis, clients } = old.continued(&unchanged()).unwrap();
    let state = genesis.initial_state(clients).unwrap();
    assert!(state.proposals().is_empty() && state.scheduled().is_empty());
    assert!(state.retired().is_empty() && state.renewals().is_empty());
    assert_eq!(state.next_config().client_count(), 0, "the client is not in force yet");
}

#[test]
fn clients_are_taken_over_with_owner_quota_and_revocation() {
    let mut old = Old::of(5);
    let (first, second, third) = (fresh(11).public(), fresh(12).public(), fresh(13).public());
    let add = |name: &str, key| Operation::AddClient { name: name.parse().unwrap(), key };
    let quota = Some(Quota { transactions: 3, bytes: 300 });
    let registry = Change::SetSubmitMode { mode: Submit::Registry };
    let changes = vec![registry, Change::RevokeClient { key: second }];
    assert_eq!(old.block(&[(0, add("till-1", first)), (0, add("till-2", second))]), [EXECUTED; 2]);
    old.run(3);
    let limit = Operation::SetClientQuota { key: first, quota };
    let operations = [(4, add("app", third)), (0, limit), (0, Operation::Propose { changes })];
    assert_eq!(old.block(&operations), [EXECUTED; 3]);
    let approve = Operation::Approve(*old.state.proposals().keys().next().unwrap());
    let approvals = [(1, approve.clone()), (2, approve.clone()), (3, approve)];
    assert_eq!(old.block(&approvals), [EXECUTED; 3]);
    old.run(3);

    let Continued { genesis, clients } = old.continued(&unchanged()).unwrap();
    assert_eq!((genesis.inherited_clients(), clients.len()), (3, 3));
    let text = clients_to_text(&genesis, &clients);
    let read = parse_clients(&text).unwrap();
    assert_eq!(read, clients);
    let state = genesis.initial_state(read).unwrap();
    let config = state.next_config();
    assert_eq!(config.submit_mode(), Submit::Registry);
    for client in old.state.next_config().clients() {
        assert_eq!(config.client(&client.key), Some(client));
    }
    assert_eq!(config.client(&first).unwrap().quota, quota);
    assert!(config.client(&second).unwrap().revoked);

    // The clients of a member go with it.
    let Continued { genesis, clients } = old.continued(&without(&["validator-4"])).unwrap();
    assert_eq!(genesis.validators().len(), 4);
    assert_eq!(clients.iter().map(|client| client.key).collect::<Vec<_>>().len(), 2);
    assert!(clients.iter().all(|client| client.key != third));
    assert!(genesis.initial_state(clients).is_ok());
    assert!(matches!(genesis.initial_state(Vec::new()), Err(ClientsError::Count { expected: 2, found: 0 })));
}

#[test]
fn the_same_chain_and_changes_give_the_same_bytes_in_any_order_of_options() {
    let old = Old::in_epoch_1(5);
    let keys = [named("validator-0", fresh(2).public()), named("validator-2", fresh(3).public())];
    let how = |keys: Vec<Vec<(String, PublicKey)>>, gone: [&str; 1]| Continuation {
        consensus_keys: keys.concat(),
        name: Some("again".to_owned()),
        ..without(&gone)
    };
    let first = old.continued(&how(keys.to_vec(), ["validator-4"])).unwrap();
    let reversed = keys.iter().rev().cloned().collect();
    let second = Old::in_epoch_1(5).continued(&how(reversed, ["validator-4"])).unwrap();
    assert_eq!(first.genesis.to_toml(), second.genesis.to_toml());
    assert_eq!(first.genesis.chain_id(), second.genesis.chain_id());
    let other = old.continued(&unchanged()).unwrap();
    assert_ne!(other.genesis.chain_id(), first.genesis.chain_id());
    // One block more is another network.
    let mut longer = Old::in_epoch_1(5);
    longer.run(1);
    let longer = longer.continued(&unchanged()).unwrap();
    assert_ne!(longer.genesis.chain_id(), other.genesis.chain_id());
}

#[test]
fn keys_are_replaced_and_members_added() {
    let old = Old::in_epoch_1(4);
    let how = Continuation {
        consensus_keys: named("validator-0", fresh(2).public()),
        governance_keys: [named("validator-2", fresh(3).public()), named("bank-e", fresh(5).public())]
            .concat(),
        added: named("bank-e", fresh(4).public()),
        ..without(&["validator-3"])
    };
    let genesis = old.continued(&how).unwrap().genesis;
    assert_eq!(genesis.validators().len(), 4);
    assert_eq!(keys_of(&genesis, "validator-0"), (fresh(2).public(), old.governance_key(0)));
    assert_eq!(keys_of(&genesis, "validator-2"), (old.consensus_key(2), fresh(3).public()));
    assert_eq!(keys_of(&genesis, "bank-e"), (fresh(4).public(), fresh(5).public()));
    assert!(genesis.validators().iter().all(|validator| validator.name != "validator-3"));
}

/// As with a rotation: the stolen key must not stay the governance key.
#[test]
fn a_new_key_of_a_member_with_a_single_key_is_both_its_keys() {
    let mut draft = TestNetwork::seeded(4, 1).genesis().to_draft();
    draft.validators[0].governance_key = draft.validators[0].public_key;
    let genesis = draft.check().unwrap();
    let (mut state, block) = (genesis.governance_state(), Body::of(&[]));
    let last = Header::after(genesis.header(), &block, Timestamp(0), ReplicaId(0));
    let executed = ExecutedBlock { height: last.height, hash: last.hash(), transactions: &[] };
    state.apply(&executed, &BTreeMap::new()).unwrap();
    let key = fresh(2).public();
    let how = Continuation { consensus_keys: named("validator-0", key), ..unchanged() };
    let continued = how.of(&genesis, &last, &state).unwrap().genesis;
    assert_eq!(keys_of(&continued, "validator-0"), (key, key));
    let other = fresh(3).public();
    let how = Continuation { governance_keys: named("validator-0", other), ..how };
    let continued = how.of(&genesis, &last, &state).unwrap().genesis;
    assert_eq!(keys_of(&continued, "validator-0"), (key, other));
}

#[test]
fn a_chain_without_a_block_or_a_state_of_another_block_is_refused() {
    let old = Old::of(4);
    assert_eq!(old.refused(&unchanged()), ContinuationError::NoBlock);
    let (before, mut later) = (Old::in_epoch_1(4), Old::in_epoch_1(4));
    later.run(1);
    let mixed = unchanged().of(old.network.genesis(), &later.last, &before.state);
    let expected = ContinuationError::OtherBlock { state: Height(4), block: Height(5) };
    assert_eq!(mixed.unwrap_err(), expected);
}

#[test]
fn names_that_do_not_fit_the_members_are_refused() {
    let old = Old::in_epoch_1(5);
    let key = || fresh(2).public();
    let twice = [named("validator-0", key()), named("validator-0", fresh(3).public())].concat();
    let cases = [
        (
            without(&["bank-x"]),
            "--without names \"bank-x\", but the network has no such member: its members are ",
        ),
        (without(&["validator-0", "validator-0"]), "--without is given twice for \"validator-0\""),
        (
            Continuation { consensus_keys: named("bank-x", key()), ..unchanged() },
            "--key names \"bank-x\", but the network has no such member",
        ),
        (
            Continuation {
                consensus_keys: named("bank-x", key()),
                added: named("bank-x", fresh(3).public()),
                ..unchanged()
            },
            "--key names \"bank-x\", but the network has no such member",
        ),
        (
            Continuation { governance_keys: named("bank-x", key()), ..unchanged() },
            "--governance-key names \"bank-x\"",
        ),
        (Continuation { consensus_keys: twice.clone(), ..unchanged() }, "--key is given twice"),
        (Continuation { governance_keys: twice, ..unchanged() }, "--governance-key is given twice"),
        (
            Continuation { added: [named("x", key()), named("x", key())].concat(), ..unchanged() },
            "--validator is given twice for \"x\"",
        ),
        (
            Continuation { consensus_keys: named("validator-4", key()), ..without(&["validator-4"]) },
            "--key names \"validator-4\", which --without removes",
        ),
        (
            Continuation { governance_keys: named("validator-4", key()), ..without(&["validator-4"]) },
            "--governance-key names \"validator-4\", which --without removes",
        ),
        (
            Continuation { added: named("validator-4", key()), ..without(&["validator-4"]) },
            "--validator adds \"validator-4\", but the network has a member of this name",
        ),
    ];
    for (how, expected) in cases {
        let error = old.refused(&how).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn keys_that_the_old_network_knows_are_refused() {
    let old = Old::in_epoch_1(5);
    let retired = old.consensus_key(1);
    let (of_2, of_4) = (old.consensus_key(2), old.governance_key(4));
    for (key, expected) in [
        (of_2, "which \"validator-2\" has in the network that is continued"),
        (of_4, "which \"validator-4\" has in the network that is continued"),
        (retired, "which left the committee in epoch 1"),
    ] {
        let gone = || without(&["validator-4"]);
        for how in [
            Continuation { consensus_keys: named("validator-0", key), ..gone() },
            Continuation { governance_keys: named("validator-0", key), ..gone() },
            Continuation { added: named("bank-e", key), ..gone() },
        ] {
            let error = old.refused(&how).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn fewer_than_four_members_need_a_flag_unless_the_network_began_so() {
    let old = Old::in_epoch_1(4);
    let how = without(&["validator-3"]);
    assert_eq!(old.refused(&how), ContinuationError::TooSmall { members: 3 });
    let how = Continuation { allow_small: true, ..how };
    assert_eq!(old.continued(&how).unwrap().genesis.committee().size(), 3);
    let all = without(&["validator-0", "validator-1", "validator-2", "validator-3"]);
    let none = Continuation { allow_small: true, ..all };
    let ContinuationError::Invalid(errors) = old.refused(&none) else { panic!("a network has a member") };
    assert_eq!(errors.errors(), [GenesisError::Size(0)]);
    assert!(Old::in_epoch_1(3).continued(&unchanged()).is_ok());
}

#[test]
fn what_is_no_genesis_is_refused_with_all_its_errors() {
    let old = Old::in_epoch_1(4);
    let key = fresh(2).public();
    let keys = [named("validator-0", key), named("validator-2", key)].concat();
    let how = Continuation { name: Some("No Name".to_owned()), consensus_keys: keys, ..unchanged() };
    let ContinuationError::Invalid(errors) = old.refused(&how) else { panic!("two errors") };
    assert_eq!(errors.errors().len(), 2, "{errors}");
}

/// The new network may lose its quorum, too.
#[test]
fn a_continued_network_can_be_continued() {
    let old = Old::in_epoch_1(4);
    let first = old.continued(&unchanged()).unwrap().genesis;
    let mut again = Old::of(4);
    (again.state, again.last) = (first.governance_state(), first.header().clone());
    again.hashes = BTreeMap::from([(Height(0), first.header().hash())]);
    again.run(1);
    let second = unchanged().of(&first, &again.last, &again.state).unwrap().genesis;
    assert_eq!(second.predecessor().unwrap().chain_id, first.chain_id());
    assert!(second.time() > first.time());
}
