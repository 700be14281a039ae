//! Transactions of clients, valid and invalid, and their reported results.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_engine::Submission;
use quorate_genesis::Genesis;
use quorate_governance::{Config, Submit};
use quorate_ledger::{
    ChainId, Height, Payload, PublicKey, Refusal, ReplicaId, SecretKey, SignatureCache, Timestamp,
    Transaction, TransactionId,
};

use crate::occasions::knobs::Knobs;
use crate::random::Random;

/// What is wrong with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Good,
    /// Nothing, but its remaining lifetime is hardly long enough.
    Hurried,
    /// It lives longer than the genesis allows.
    LongLived,
    /// It is larger than the genesis allows.
    Large,
    /// It is no operation, and its sender is no member.
    Governance,
    /// Nothing: an operation of a member, which may fail.
    Operation,
    /// It is no operation, although its sender is a member.
    Malformed,
    /// It is an operation, but its sender is no member.
    Stranger,
    /// The signature belongs to another transaction.
    BadSignature,
    /// It is signed for another chain.
    OtherChain,
}

impl Kind {
    /// Whether it may be in a block, if its sender has the right to it.
    pub fn is_orderable(self) -> bool {
        matches!(self, Kind::Good | Kind::Hurried | Kind::Operation)
    }

    /// Whether members refuse it for ever.
    pub fn is_refused(self) -> bool {
        matches!(self, Kind::Large | Kind::Governance | Kind::Malformed | Kind::Stranger)
    }
}

/// The result of a transaction that a member reported to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is in the chain.
    Committed,
    /// It can never be in the chain: a later block is committed.
    Expired,
    /// It was never accepted.
    Refused,
}

/// One transaction and its history.
#[derive(Debug)]
pub struct Order {
    /// The bytes of every submission.
    pub bytes: Vec<u8>,
    /// Its id.
    pub id: TransactionId,
    /// The client's key.
    pub sender: PublicKey,
    /// What is wrong with it.
    pub kind: Kind,
    /// The end of its validity.
    pub valid_until: Timestamp,
    /// The reported result.
    pub end: Option<End>,
    /// A member reported that the configuration does not permit it.
    pub rejected: bool,
    /// How often it was sent.
    pub attempts: u64,
}

impl Order {
    /// Whether a block that this configuration judges may contain it.
    pub fn is_permitted(&self, config: &Config) -> bool {
        if self.kind == Kind::Operation {
            let candidates = config.candidates();
            return config.members().iter().any(|member| member.governance_key == self.sender)
                || candidates.contains(&self.sender);
        }
        config.submit_mode() == Submit::Open
            || config.clients().iter().any(|client| client.key == self.sender && !client.revoked)
    }
}

/// All clients together. They share some keys.
#[derive(Debug)]
pub struct Orders {
    random: Random,
    keys: Vec<SecretKey>,
    /// Where the clients' transactions are added as verified, if all members share a memo.
    signatures: Option<Rc<SignatureCache>>,
    start: Timestamp,
    lifetime_ms: u64,
    chain: ChainId,
    nonce: u64,
    /// In the order of their creation.
    pub all: Vec<Order>,
    numbers: BTreeMap<TransactionId, usize>,
}

/// What a new order is.
#[derive(Debug, Clone, Copy)]
struct Place {
    kind: Kind,
    chain: ChainId,
    valid_until: Timestamp,
}

/// Number of keys that clients share.
pub const KEYS: u8 = 3;
const LARGE: usize = 5000;

/// The key of clients with this number, which is from 1 to [`KEYS`]; other numbers are keys of no client.
pub fn client_key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("a small number is a key")
}

impl Orders {
    /// Clients of this network. Correct clocks show `start` at the start of the run.
    pub fn new(genesis: &Genesis, knobs: &Knobs, start: Timestamp, random: Random) -> Self {
        Orders {
            random,
            keys: (1..=KEYS).map(client_key).collect(),
            signatures: None,
            start,
            lifetime_ms: knobs.lifetime_ms,
            chain: genesis.chain_id(),
            nonce: 0,
            all: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Adds the transactions that clients sign to this cache, so that no member verifies them.
    pub fn share(&mut self, signatures: &Rc<SignatureCache>) {
        self.signatures = Some(Rc::clone(signatures));
    }

    fn kind(&mut self) -> Kind {
        match self.random.between(0, 99) {
            0..=69 => Kind::Good,
            70..=84 => Kind::Hurried,
            85..=88 => Kind::LongLived,
            89..=91 => Kind::Large,
            92..=93 => Kind::Governance,
            94..=96 => Kind::BadSignature,
            _ => Kind::OtherChain,
        }
    }

    /// The time of correct clocks, in milliseconds since the Unix epoch.
    pub fn present(&self, now: Duration) -> u64 {
        self.start.0 + u64::try_from(now.as_millis()).expect("a run lasts minutes")
    }

    /// Creates a new transaction; returns its number.
    pub fn place(&mut self, now: Duration) -> usize {
        let kind = self.kind();
        let present = self.present(now);
        let lifetime_ms = match kind {
            Kind::Hurried => self.random.between(0, 400),
            Kind::LongLived => self.lifetime_ms + self.random.between(60_000, 90_000),
            _ => self.random.between(self.lifetime_ms / 2, self.lifetime_ms),
        };
        let valid_until = Timestamp(present + lifetime_ms);
        let length = if kind == Kind::Large { LARGE } else { self.random.index(300) };
        let data = vec![u8::try_from(self.random.between(0, 255)).expect("a byte"); length];
        let payload = if kind == Kind::Governance { Payload::Governance(data) } else { Payload::Data(data) };
        let chain = if kind == Kind::OtherChain { ChainId::from_bytes([9; 32]) } else { self.chain };
        let key = self.random.choose(&self.keys).clone();
        self.nonce += 1;
        let place = Place { kind, chain, valid_until };
        self.sign(&key, place, payload)
    }

    /// Creates an operation, which is valid for as long as possible; returns its number.
    pub fn place_operation(&mut self, now: Duration, key: &SecretKey, kind: Kind, payload: Vec<u8>) -> usize {
        let valid_until = Timestamp(self.present(now) + self.lifetime_ms * 3 / 4);
        self.nonce += 1;
        let place = Place { kind, chain: self.chain, valid_until };
        self.sign(key, place, Payload::Governance(payload))
    }

    fn sign(&mut self, key: &SecretKey, place: Place, payload: Payload) -> usize {
        let Place { kind, chain, valid_until } = place;
        let mut transaction = match &self.signatures {
            Some(signatures) if chain == self.chain => signatures.sign(key, self.nonce, valid_until, payload),
            _ => Transaction::sign(&chain, key, self.nonce, valid_until, payload),
        };
        if kind == Kind::BadSignature {
            transaction.nonce += 1_000_000;
        }
        let (bytes, id) = (transaction.to_bytes(), transaction.id());
        self.numbers.insert(id, self.all.len());
        let sender = transaction.sender;
        self.all.push(Order {
            bytes,
            id,
            sender,
            kind,
            valid_until,
            end: None,
            rejected: false,
            attempts: 0,
        });
        self.all.len() - 1
    }

    /// The order of a transaction.
    pub fn of(&self, id: &TransactionId) -> Option<&Order> {
        self.numbers.get(id).map(|number| &self.all[*number])
    }

    /// The order of a transaction, to record its result.
    pub fn of_mut(&mut self, id: &TransactionId) -> Option<&mut Order> {
        let number = *self.numbers.get(id)?;
        self.all.get_mut(number)
    }

    /// Numbers of the orders without a result.
    pub fn open(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|number| self.all[*number].end.is_none()).collect()
    }
}

/// The meaning of a response for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It is pending; the member will report the result.
    Waits,
    /// It is in the chain.
    Placed(Height, u32),
    /// Not accepted now; the same bytes may be accepted later or by another member.
    Later(&'static str),
    /// Permanently refused.
    Never(&'static str),
}

/// Interprets a response. The text is the situation for the coverage.
pub fn read(answer: &Result<Submission, Refusal>) -> Answered {
    match answer {
        Ok(Submission::Pending) => Answered::Waits,
        Ok(Submission::Committed { height, index }) => Answered::Placed(*height, *index),
        Err(Refusal::Invalid(_)) => Answered::Never("a transaction refused: form"),
        Err(Refusal::Operation(_)) => Answered::Never("a transaction refused: no operation"),
        Err(Refusal::NotPermitted(_)) => Answered::Never("a transaction refused: sender"),
        Err(Refusal::LedgerDamaged) => Answered::Never("a transaction refused: ledger damaged"),
        Err(Refusal::Expired { .. }) => Answered::Later("a transaction refused: expired"),
        Err(Refusal::LifetimeTooLong { .. }) => Answered::Later("a transaction refused: lifetime too long"),
        Err(Refusal::PoolFull { .. }) => Answered::Later("a transaction refused: pool full"),
        Err(Refusal::MemberShare { .. }) => Answered::Later("a transaction refused: member's share"),
        Err(Refusal::SenderQuota { .. }) => Answered::Later("a transaction refused: sender's quota"),
        Err(Refusal::LedgerUnreadable) => unreachable!("no disk of the simulator damages what it holds"),
        Err(Refusal::Observer | Refusal::Stopping) => unreachable!("an engine gives no such reason"),
    }
}

/// A submission to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The order.
    pub number: usize,
    /// The receiver.
    pub to: ReplicaId,
}
