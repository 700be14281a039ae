#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::time::Duration;

use quorate_genesis::TestNetwork;
use quorate_governance::{Change, ExecutedBlock, GovernanceTransaction, Operation, Outcome};
use quorate_ledger::{BlockHash, Domain, Height, Payload, Timestamp, View, tagged_hash};
use quorate_store::Head;

use super::*;
use crate::runtime::ready::ready_height;

/// W and K: a change takes effect 3 heights later, and a READY counts for 8.
const W: u64 = 2;
const K: u64 = 4;
/// Milliseconds between the moments of these tests: T.
const T: u64 = 2_000;

/// A chain that a candidate follows.
struct Chain {
    network: TestNetwork,
    state: State,
    hashes: BTreeMap<Height, BlockHash>,
    nonce: u64,
}

impl Chain {
    fn new() -> Self {
        Chain::of(4)
    }

    fn of(members: usize) -> Self {
        let network = TestNetwork::seeded(members, 1).with_parameters(|parameters| {
            let consensus = &mut parameters.consensus;
            (consensus.window, consensus.checkpoint_interval, consensus.log_window) = (W, K, 2 * K);
        });
        let network = network.unwrap();
        let state = network.genesis().governance_state();
        let hashes = BTreeMap::from([(Height(0), state.head().block)]);
        Chain { network, state, hashes, nonce: 0 }
    }

    /// Executes a block, and expects that it executes all of these transactions.
    fn block(&mut self, transactions: &[Transaction]) {
        let height = self.state.height().next();
        let hash = BlockHash(tagged_hash(Domain::Header, &[&height.0.to_le_bytes()]));
        let transactions: Vec<GovernanceTransaction<'_>> = transactions
            .iter()
            .map(|transaction| {
                let (Payload::Governance(payload) | Payload::Data(payload)) = &transaction.payload;
                GovernanceTransaction { id: transaction.id(), sender: transaction.sender, payload }
            })
            .collect();
        let block = ExecutedBlock { height, hash, transactions: &transactions };
        let outcomes = self.state.apply(&block, &self.hashes).unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Executed), "{outcomes:?}");
        self.hashes.insert(height, hash);
    }

    fn run(&mut self, blocks: u64) {
        (0..blocks).for_each(|_| self.block(&[]));
    }

    /// Executes an operation of a member.
    fn operate(&mut self, member: u16, operation: &Operation) -> ProposalId {
        self.nonce += 1;
        let payload = Payload::Governance(operation.to_bytes());
        let key = self.network.governance_key(ReplicaId(member));
        let transaction = Transaction::sign(&self.state.chain(), key, self.nonce, Timestamp(1), payload);
        self.block(std::slice::from_ref(&transaction));
        transaction.id()
    }

    fn propose(&mut self, key: &SecretKey) -> ProposalId {
        let add = Change::AddMember {
            name: "bank-e".parse().unwrap(),
            consensus_key: key.public(),
            governance_key: key.public(),
        };
        self.operate(0, &Operation::Propose { changes: vec![add] })
    }

    /// What a node with all blocks knows that hears from these validators.
    fn overview(&self, contacts: &[u16]) -> ObserverOverview {
        let head = self.state.head();
        ObserverOverview {
            head: Head { height: head.height, hash: head.block, timestamp: Timestamp(0) },
            committed: head.height,
            durable: head.height,
            credible: head.height,
            stable: Height(0),
            view: View(0),
            active: true,
            heads: BTreeMap::new(),
            contacts: contacts.iter().copied().map(ReplicaId).collect(),
            catching_up: false,
            fetched: 0,
        }
    }

    /// Lets the candidate act `milliseconds` after its start, in contact with two validators.
    fn step(&self, candidate: &mut Candidate, milliseconds: u64) -> Option<(ReplicaId, Transaction)> {
        candidate.update(at(milliseconds), &self.state, &self.overview(&[1, 3]))
    }

    fn candidate(&self, key: &SecretKey) -> Candidate {
        Candidate::new(key.clone(), &self.state, &self.overview(&[]))
    }
}

fn at(milliseconds: u64) -> Now {
    Now {
        moment: Moment(Duration::from_millis(milliseconds)),
        wall: Timestamp(1_700_000_000_000 + milliseconds),
    }
}

fn key() -> SecretKey {
    TestNetwork::seeded(1, 9).keys()[0].clone()
}

/// A chain with a proposal of the key, at the first height at which its READY counts.
fn proposed() -> (Chain, Candidate, ProposalId) {
    let mut chain = Chain::new();
    let id = chain.propose(&key());
    chain.run(W);
    let candidate = chain.candidate(&key());
    (chain, candidate, id)
}

#[test]
fn it_says_what_it_lacks_and_sends_nothing_before_its_ready_counts() {
    let mut chain = Chain::new();
    let mut candidate = chain.candidate(&key());
    let told = |candidate: &Candidate| {
        let told = candidate.candidacy().unwrap();
        (told.state, format!("{}: {}", told.text, told.action.as_deref().unwrap_or_default()))
    };
    let (state, text) = told(&candidate);
    assert_eq!(state, CandidacyState::NoContact);
    assert!(text.contains("0 validators, and needs 2") && text.contains("p2p.bootstrap"), "{text}");

    assert_eq!(chain.step(&mut candidate, 0), None);
    let (state, text) = told(&candidate);
    assert_eq!(state, CandidacyState::NotProposed);
    assert!(text.contains(&format!("quorate validator add {} --name", key().public())), "{text}");

    let behind = ObserverOverview { catching_up: true, credible: Height(70), ..chain.overview(&[0, 1]) };
    assert_eq!(candidate.update(at(0), &chain.state, &behind), None);
    assert_eq!(
        told(&candidate),
        (CandidacyState::Behind, "70 blocks behind the validators: the node fetches them: ".to_owned())
    );

    let id = chain.propose(&key());
    assert_eq!(chain.step(&mut candidate, 0), None, "W + 1 heights later, a block may contain READY");
    assert_eq!(
        (told(&candidate).0, candidate.candidacy().unwrap().proposal),
        (CandidacyState::Proposed, Some(id))
    );
    assert_eq!(candidate.deadline(), None);
}

#[test]
fn it_sends_the_same_ready_to_one_validator_after_the_other() {
    let (mut chain, mut candidate, _) = proposed();
    let (first, ready) = chain.step(&mut candidate, 0).unwrap();
    let head = chain.state.head();
    let expected = Operation::Ready { height: head.height, block: head.block };
    assert_eq!(ready.payload, Payload::Governance(expected.to_bytes()));
    assert!(ready.clone().verify(&chain.state.chain()).is_ok());
    assert_eq!(candidate.candidacy().unwrap().state, CandidacyState::SendingReady);

    assert_eq!(chain.step(&mut candidate, T - 1), None, "the validator has a request timeout");
    assert_eq!(candidate.deadline(), Some(at(T).moment));
    let (second, again) = chain.step(&mut candidate, T).unwrap();
    assert_eq!((first, second, &again), (ReplicaId(1), ReplicaId(3), &ready));
    chain.run(K - 1);
    assert_eq!(chain.step(&mut candidate, 2 * T).unwrap().1, ready, "for K heights");
    chain.run(1);
    assert_ne!(chain.step(&mut candidate, 2 * T).unwrap().1, ready, "then it names the newest block");
}

#[test]
fn a_ready_that_expired_is_replaced() {
    let (chain, mut candidate, _) = proposed();
    let (_, ready) = chain.step(&mut candidate, 0).unwrap();
    let lifetime = ready.valid_until.0 - at(0).wall.0;
    assert_eq!(chain.step(&mut candidate, lifetime).unwrap().1, ready);
    let (_, next) = chain.step(&mut candidate, lifetime + 1).unwrap();
    assert!(next.valid_until > ready.valid_until && next.payload == ready.payload);
}

#[test]
fn one_ready_in_k_heights_counts_until_the_members_have_decided() {
    let (mut chain, mut candidate, id) = proposed();
    let mut sent = Vec::new();
    for milliseconds in 0..5 * K {
        match chain.step(&mut candidate, milliseconds) {
            Some((_, ready)) => {
                sent.push(chain.state.height().0);
                chain.block(&[ready]);
            }
            None => chain.run(1),
        }
        assert!(ready_height(&key().public(), &chain.state).is_some(), "one always counts");
    }
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] == K) && sent.len() >= 4, "{sent:?}");

    // No block follows: nothing becomes too old, and nothing is sent.
    if let Some((_, ready)) = chain.step(&mut candidate, 100) {
        chain.block(&[ready]);
    }
    for hour in 1..100 {
        assert_eq!(chain.step(&mut candidate, hour * 3_600_000), None);
    }
    let told = candidate.candidacy().unwrap();
    let ready = told.ready_height.unwrap();
    assert_eq!((told.state, told.ready_until), (CandidacyState::Ready, Some(ready + 2 * K)));
    assert!(told.text.contains("2 more approvals"), "{}", told.text);
    assert!(told.action.as_ref().is_some_and(|action| action.contains(&format!("governance approve {id}"))));

    for member in [1, 2] {
        chain.operate(member, &Operation::Approve(id));
    }
    let decided = chain.state.height().0;
    assert_eq!(chain.step(&mut candidate, 100 * 3_600_000), None);
    let told = candidate.candidacy().unwrap();
    assert_eq!((told.state, told.proposal), (CandidacyState::Decided, None));
    assert_eq!(told.member_from, Some(decided + W + 1));
}

#[test]
fn it_stops_when_its_proposal_ends() {
    let (mut chain, mut candidate, id) = proposed();
    assert!(chain.step(&mut candidate, 0).is_some());
    chain.operate(0, &Operation::Withdraw(id));
    assert_eq!(chain.step(&mut candidate, 10 * T), None);
    assert_eq!(candidate.candidacy().unwrap().state, CandidacyState::NotProposed);
    assert_eq!(candidate.deadline(), None);
}

#[test]
fn a_retired_key_needs_another_key() {
    let mut chain = Chain::of(5);
    let leaver = chain.network.keys()[3].clone();
    let name = chain.state.next_config().members()[3].name.clone();
    let id =
        chain.operate(0, &Operation::Propose { changes: vec![Change::RemoveMember { name: name.clone() }] });
    for member in [1, 2, 3] {
        chain.operate(member, &Operation::Approve(id));
    }
    chain.run(W);
    assert!(chain.state.next_config().member(&name).is_none(), "it has left");
    let mut candidate = chain.candidate(&leaver);
    assert_eq!(candidate.update(at(0), &chain.state, &chain.overview(&[0, 1])), None);
    let told = candidate.candidacy().unwrap();
    assert_eq!(told.state, CandidacyState::KeyRetired);
    assert!(told.action.as_ref().is_some_and(|action| action.contains("quorate key new")));
}

/// A member that was isolated follows for a while. It lacks nothing to become a member.
#[test]
fn a_member_that_follows_is_no_candidate() {
    let chain = Chain::new();
    let mut member = chain.candidate(&chain.network.keys()[1].clone());
    assert_eq!(chain.step(&mut member, 0), None);
    assert_eq!(member.candidacy(), None);
}

/// A validator sends READY for its next key while a proposal replaces its consensus key by that one. It
/// uses the same sender, without a choice of validators.
#[test]
fn the_next_key_of_a_member_gets_a_ready() {
    let mut chain = Chain::new();
    let name = chain.state.next_config().members()[1].name.clone();
    let mut sender = ReadySender::new(key());
    assert!(sender.update(at(0), &chain.state, Timestamp(0)).is_none(), "no proposal has the key");
    let change = Change::ReplaceKeys { name, consensus_key: Some(key().public()), governance_key: None };
    let id = chain.operate(0, &Operation::Propose { changes: vec![change] });
    chain.run(W);
    let ready = sender.update(at(0), &chain.state, Timestamp(0)).unwrap();
    assert!(sender.update(at(T - 1), &chain.state, Timestamp(0)).is_none());
    let again = sender.update(at(T), &chain.state, Timestamp(0)).unwrap();
    assert_eq!((again.id(), sender.deadline()), (ready.id(), Some(at(2 * T).moment)));
    chain.block(&[ready.transaction().clone()]);
    assert!(sender.update(at(2 * T), &chain.state, Timestamp(0)).is_none(), "it counts");
    for member in [1, 2] {
        chain.operate(member, &Operation::Approve(id));
    }
    chain.run(W);
    assert!(chain.state.next_config().committee().index_of(&key().public()).is_some(), "it is decided");
    assert_eq!(sender.deadline(), None);
}
