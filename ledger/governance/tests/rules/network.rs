//! A chain of blocks with governance transactions, and the keys of everyone.

use std::cell::Cell;
use std::collections::BTreeMap;

use quorate_governance::{
    Change, ExecutedBlock, GovernanceTransaction, InitialState, Member, Name, Operation, Outcome,
    ParameterName, Possession, ProposalId, Reason, Settings, State,
};
use quorate_ledger::{
    BlockHash, ChainId, Domain, Epoch, Height, PublicKey, SecretKey, TransactionId, tagged_hash,
};

pub(crate) const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
pub(crate) const EXECUTED: Outcome = Outcome::Executed;

/// W and K of most tests: a change takes effect 3 heights later, and a READY counts for 8.
pub(crate) const W: u64 = 2;
pub(crate) const K: u64 = 4;

pub(crate) fn failed(reason: Reason) -> Outcome {
    Outcome::Failed(reason)
}

pub(crate) fn secret(number: u16) -> SecretKey {
    let mut bytes = [1; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_bytes(&bytes).unwrap()
}

pub(crate) fn key(number: u16) -> PublicKey {
    secret(number).public()
}

/// The consensus key of member `index`.
pub(crate) fn vote(index: u16) -> PublicKey {
    key(100 + index)
}

/// The governance key of member `index`.
pub(crate) fn gov(index: u16) -> PublicKey {
    key(200 + index)
}

pub(crate) fn name(index: u16) -> Name {
    format!("m{index}").parse().unwrap()
}

pub(crate) fn member(index: u16) -> Member {
    Member { name: name(index), consensus_key: vote(index), governance_key: gov(index) }
}

pub(crate) fn add(index: u16) -> Change {
    let Member { name, consensus_key, governance_key } = member(index);
    Change::AddMember { name, consensus_key, governance_key }
}

pub(crate) fn remove(index: u16) -> Change {
    Change::RemoveMember { name: name(index) }
}

pub(crate) fn set(parameter: ParameterName, value: u64) -> Change {
    Change::SetParameter { parameter, value }
}

pub(crate) fn add_client(number: u16) -> Operation {
    Operation::AddClient { name: "app".parse().unwrap(), key: key(number) }
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    let consensus = &mut settings.parameters.consensus;
    (consensus.window, consensus.checkpoint_interval, consensus.log_window) = (W, K, 2 * K);
    settings
}

/// The state after each block, as every node computes it.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) state: State,
    pub(crate) hashes: BTreeMap<Height, BlockHash>,
    next_id: Cell<u64>,
}

impl Network {
    pub(crate) fn of(members: u16) -> Self {
        Network::with(members, settings())
    }

    pub(crate) fn with(members: u16, settings: Settings) -> Self {
        let members = (0..members).map(member).collect();
        let block = BlockHash::from_bytes([0; 32]);
        let clients = Vec::new();
        let initial = InitialState { chain: CHAIN, block, members, settings, clients };
        let state = State::initial(initial).unwrap();
        Network { state, hashes: BTreeMap::from([(Height(0), block)]), next_id: Cell::new(0) }
    }

    pub(crate) fn height(&self) -> u64 {
        self.state.height().0
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.next_config().epoch()
    }

    pub(crate) fn new_id(&self) -> TransactionId {
        self.next_id.set(self.next_id.get() + 1);
        TransactionId(tagged_hash(Domain::TransactionId, &[&self.next_id.get().to_le_bytes()]))
    }

    /// Executes a block with these transactions.
    pub(crate) fn execute(&mut self, transactions: &[(TransactionId, PublicKey, Vec<u8>)]) -> Vec<Outcome> {
        let height = self.state.height().next();
        let hash = BlockHash(tagged_hash(Domain::Header, &[&height.0.to_le_bytes()]));
        let transactions: Vec<_> = transactions
            .iter()
            .map(|(id, sender, payload)| GovernanceTransaction { id: *id, sender: *sender, payload })
            .collect();
        let block = ExecutedBlock { height, hash, transactions: &transactions };
        let outcomes = self.state.apply(&block, &self.hashes).unwrap();
        self.hashes.insert(height, hash);
        outcomes
    }

    /// Executes a block with these operations.
    pub(crate) fn block(&mut self, operations: &[(PublicKey, Operation)]) -> Vec<Outcome> {
        let transactions: Vec<_> = operations
            .iter()
            .map(|(sender, operation)| (self.new_id(), *sender, operation.to_bytes()))
            .collect();
        self.execute(&transactions)
    }

    /// Executes a block with one operation.
    pub(crate) fn one(&mut self, sender: PublicKey, operation: Operation) -> Outcome {
        self.block(&[(sender, operation)])[0]
    }

    /// Executes empty blocks.
    pub(crate) fn run(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.block(&[]);
        }
    }

    /// Executes empty blocks until scheduled changes have taken effect.
    pub(crate) fn settle(&mut self) {
        while !self.state.scheduled().is_empty() {
            self.run(1);
        }
    }

    /// Proposes as a member.
    pub(crate) fn try_propose(&mut self, index: u16, changes: Vec<Change>) -> (ProposalId, Outcome) {
        let id = self.new_id();
        let operation = Operation::Propose { changes };
        (id, self.execute(&[(id, gov(index), operation.to_bytes())])[0])
    }

    pub(crate) fn propose(&mut self, index: u16, changes: Vec<Change>) -> ProposalId {
        let (id, outcome) = self.try_propose(index, changes);
        assert_eq!(outcome, EXECUTED);
        id
    }

    pub(crate) fn approve(&mut self, index: u16, id: ProposalId) -> Outcome {
        self.one(gov(index), Operation::Approve(id))
    }

    /// Sends READY of a candidate for the last block.
    pub(crate) fn ready(&mut self, candidate: PublicKey) -> Outcome {
        let (height, block) = self.hashes.last_key_value().map(|(height, hash)| (*height, *hash)).unwrap();
        self.one(candidate, Operation::Ready { height, block })
    }

    /// Proposes as member 0, makes the candidates ready and approves as members 1, 2 and so on until
    /// the proposal is decided. Returns the last outcome.
    pub(crate) fn decide(&mut self, changes: Vec<Change>) -> Outcome {
        let candidates: Vec<PublicKey> = changes.iter().filter_map(Change::candidate).collect();
        let (id, outcome) = self.try_propose(0, changes);
        if outcome != EXECUTED || !self.state.proposals().contains_key(&id) {
            return outcome;
        }
        if !candidates.is_empty() {
            self.run(W);
        }
        for candidate in candidates {
            assert_eq!(self.ready(candidate), EXECUTED);
        }
        let quorum = self.state.next_config().committee().quorum();
        let mut outcome = EXECUTED;
        for index in if quorum == 1 { 0..1 } else { 1..u16::try_from(quorum).unwrap() } {
            outcome = self.approve(index, id);
        }
        outcome
    }

    pub(crate) fn rotation(&self, governance_key: PublicKey, new: &SecretKey) -> Operation {
        let possession = Possession::sign(&CHAIN, governance_key, new, self.epoch());
        Operation::Rotate { consensus_key: new.public(), possession }
    }

    pub(crate) fn member_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.state.next_config().members().iter().map(|member| member.name.to_string()).collect();
        names.sort();
        names
    }
}
