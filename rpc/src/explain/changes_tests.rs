#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use quorate_genesis::TestNetwork;
use quorate_governance::{ExecutedBlock, GovernanceTransaction, Operation};
use quorate_ledger::{
    BlockHash, Domain, Height, Payload, PublicKey, ReplicaId, SecretKey, Timestamp, Transaction, tagged_hash,
};

use super::*;

/// The governance state of a network of four, after some operations.
struct Chain {
    network: TestNetwork,
    state: State,
    hashes: BTreeMap<Height, BlockHash>,
    nonce: u64,
}

impl Chain {
    fn new() -> Self {
        let network = TestNetwork::seeded(4, 1);
        let state = network.genesis().governance_state();
        let hashes = BTreeMap::from([(Height(0), state.head().block)]);
        Chain { network, state, hashes, nonce: 0 }
    }

    fn block(&mut self, transactions: &[(SecretKey, Operation)]) -> Vec<ProposalId> {
        let height = self.state.height().next();
        let hash = BlockHash(tagged_hash(Domain::Header, &[&height.0.to_le_bytes()]));
        let chain = self.state.chain();
        let signed: Vec<(Transaction, Vec<u8>)> = transactions
            .iter()
            .map(|(key, operation)| {
                self.nonce += 1;
                let payload = Payload::Governance(operation.to_bytes());
                let signed = Transaction::sign(&chain, key, self.nonce, Timestamp(1), payload);
                (signed, operation.to_bytes())
            })
            .collect();
        let operations: Vec<GovernanceTransaction<'_>> = signed
            .iter()
            .map(|(transaction, payload)| GovernanceTransaction {
                id: transaction.id(),
                sender: transaction.sender,
                payload,
            })
            .collect();
        let block = ExecutedBlock { height, hash, transactions: &operations };
        let outcomes = self.state.apply(&block, &self.hashes).unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == quorate_governance::Outcome::Executed));
        self.hashes.insert(height, hash);
        signed.iter().map(|(transaction, _)| transaction.id()).collect()
    }

    fn governance(&self, member: u16) -> SecretKey {
        self.network.governance_key(ReplicaId(member)).clone()
    }

    fn operate(&mut self, member: u16, operation: Operation) -> ProposalId {
        let key = self.governance(member);
        self.block(&[(key, operation)])[0]
    }

    fn window(&self) -> u64 {
        self.state.next_config().parameters().consensus.window
    }
}

fn candidate() -> SecretKey {
    TestNetwork::seeded(1, 9).keys()[0].clone()
}

fn add(key: PublicKey) -> Operation {
    let name = "bank-e".parse().unwrap();
    Operation::Propose { changes: vec![Change::AddMember { name, consensus_key: key, governance_key: key }] }
}

#[test]
fn nothing_waits_in_a_new_network() {
    assert_eq!(pending_changes(&Chain::new().state), []);
}

#[test]
fn an_open_proposal_names_who_approved_it_and_who_has_not() {
    let mut chain = Chain::new();
    let id = chain.operate(0, add(candidate().public()));
    let [first] = pending_changes(&chain.state).try_into().unwrap();
    let names: Vec<String> =
        chain.state.next_config().members().iter().map(|member| member.name.to_string()).collect();
    assert_eq!((first.stage, first.proposal, first.starts_epoch), (PendingStage::Proposed, Some(id), true));
    assert_eq!((&first.approvals[..], &first.not_approved[..]), (&names[..1], &names[1..]));
    assert_eq!((first.approvals_missing, &first.not_ready[..]), (2, &["bank-e".to_owned()][..]));
    for piece in [
        &format!("{} approved it. 2 more approvals decide it", names[0]),
        &format!("{}, {} and {} have not approved it", names[1], names[2], names[3]),
        "before the node of bank-e is ready",
    ] {
        assert!(first.text.contains(piece), "{piece:?} is not in {:?}", first.text);
    }
    let action = first.action.unwrap();
    assert!(
        action.contains("Start the node of bank-e") && action.contains(&format!("approve {id}")),
        "{action}"
    );

    // READY, and one approval.
    (0..chain.window()).for_each(|_| drop(chain.block(&[])));
    let (height, block) = (chain.state.height(), chain.state.head().block);
    chain.block(&[(candidate(), Operation::Ready { height, block })]);
    chain.operate(1, Operation::Approve(id));
    let [ready] = pending_changes(&chain.state).try_into().unwrap();
    assert!(ready.not_ready.is_empty() && ready.approvals_missing == 1, "{ready:?}");
    assert!(
        ready.text.contains("1 more approval decides it") && !ready.text.contains("ready"),
        "{}",
        ready.text
    );
    assert!(ready.action.unwrap().starts_with("Members that agree: "));
}

#[test]
fn a_decided_change_says_when_it_takes_effect_and_how_many_blocks_are_missing() {
    let mut chain = Chain::new();
    chain.operate(2, Operation::Renew);
    let window = chain.window();
    let [renewal] = pending_changes(&chain.state).try_into().unwrap();
    assert_eq!((renewal.stage, renewal.starts_epoch), (PendingStage::Scheduled, true));
    assert_eq!((renewal.effective_from, renewal.blocks_missing), (Some(window + 2), Some(window)));
    let expected =
        format!("takes effect at height {}, where a new epoch begins. {window} blocks must", window + 2);
    assert!(renewal.text.contains(&expected), "{}", renewal.text);
    (1..window).for_each(|_| drop(chain.block(&[])));
    let [last] = pending_changes(&chain.state).try_into().unwrap();
    assert!(last.blocks_missing == Some(1) && last.text.contains("1 block must follow first"), "{last:?}");
    chain.block(&[]);
    assert_eq!(pending_changes(&chain.state), [], "it has taken effect");
}

#[test]
fn changes_of_clients_are_one_entry_for_each_height() {
    let mut chain = Chain::new();
    let client = |seed| Operation::AddClient {
        name: "till".parse().unwrap(),
        key: TestNetwork::seeded(1, seed).keys()[0].public(),
    };
    let (first, second) = (chain.governance(0), chain.governance(1));
    chain.block(&[(first.clone(), client(20)), (second, client(21))]);
    chain.block(&[(first, client(22))]);
    let texts: Vec<String> = pending_changes(&chain.state).into_iter().map(|change| change.text).collect();
    assert_eq!(texts.len(), 2);
    assert!(
        texts[0].contains("2 changes of clients") && texts[1].contains("1 change of a client"),
        "{texts:?}"
    );
}
