//! Blocks that break one rule about the content of blocks.

use std::collections::{BTreeMap, VecDeque};

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::{
    Ballot, BlockHash, Commit, Header, Payload, PublicKey, ReplicaId, Timestamp, Transaction, TransactionId,
    VerifiedTransaction, merkle_root,
};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};
use crate::clients::orders::{KEYS, client_key};

/// Upper limit of transactions and blocks that are kept.
const KEPT: usize = 2000;

/// How a block breaks a rule.
#[derive(Debug, Clone, Copy)]
enum Breach {
    /// An id that a committed block or one in flight already contains.
    Repeat,
    /// A transaction that has expired.
    Expired,
    /// A transaction whose lifetime is longer than the genesis allows.
    LongLived,
    /// A transaction that is larger than the genesis allows.
    Form,
    /// A transaction that its sender may not send. Where anyone may send data, only if an operation of
    /// a client is known.
    Forbidden,
    /// More transactions than the genesis allows.
    Many,
    /// No transactions, directly after its parent.
    Empty,
    /// A time before its parent's.
    Time,
    /// A wrong parent.
    Parent,
    /// A wrong proposer.
    Proposer,
    /// Another committee for the next block.
    NextCommittee,
}

/// Breaches that do not depend on clients' transactions.
const BREACHES: [Breach; 9] = [
    Breach::Repeat,
    Breach::Repeat,
    Breach::Expired,
    Breach::Many,
    Breach::Empty,
    Breach::Time,
    Breach::Parent,
    Breach::Proposer,
    Breach::NextCommittee,
];

/// Replaces about half of its own proposals with blocks that break a rule, and serves their bodies.
/// Its later proposals are children of the replacements, so that a member that accepts one
/// continues.
#[derive(Debug)]
pub(crate) struct Misfill {
    /// The keys of clients.
    clients: Vec<PublicKey>,
    /// Transactions of clients, valid or not.
    known: BTreeMap<TransactionId, Transaction>,
    /// Ids of proposals that it sent or received.
    proposed: VecDeque<TransactionId>,
    /// The replacement of each of its own blocks.
    replaced: BTreeMap<BlockHash, (Header, Vec<TransactionId>)>,
    /// The ids in the replacements.
    bodies: BTreeMap<BlockHash, Vec<TransactionId>>,
}

impl Misfill {
    /// Starts with an empty state.
    pub(crate) fn new() -> Self {
        Misfill {
            clients: (1..=KEYS).map(|number| client_key(number).public()).collect(),
            known: BTreeMap::new(),
            proposed: VecDeque::new(),
            replaced: BTreeMap::new(),
            bodies: BTreeMap::new(),
        }
    }

    fn note(&mut self, ids: &[TransactionId]) {
        self.proposed.extend(ids);
        while self.proposed.len() > KEPT {
            self.proposed.pop_front();
        }
    }

    /// A known transaction with this property that is not among the ids.
    fn find(
        &self,
        collusion: &mut Collusion,
        ids: &[TransactionId],
        wanted: impl Fn(&Transaction) -> bool,
    ) -> Option<TransactionId> {
        let fits =
            |(id, transaction): &(&TransactionId, &Transaction)| wanted(transaction) && !ids.contains(id);
        let found: Vec<TransactionId> = self.known.iter().filter(fits).map(|(id, _)| *id).collect();
        (!found.is_empty()).then(|| *collusion.random.choose(&found))
    }

    fn breach(
        &self,
        collusion: &mut Collusion,
        breach: Breach,
        header: &mut Header,
        ids: &mut Vec<TransactionId>,
    ) {
        let time = header.timestamp;
        let added = match breach {
            Breach::Repeat => {
                let known =
                    self.proposed.iter().filter(|id| self.known.contains_key(id) && !ids.contains(id));
                let known: Vec<_> = known.copied().collect();
                (!known.is_empty()).then(|| *collusion.random.choose(&known))
            }
            Breach::Expired => self.find(collusion, ids, |transaction| transaction.valid_until < time),
            Breach::LongLived => {
                let latest = time.plus_ms(collusion.lifetime_ms);
                let form = |transaction: &Transaction| matches!(transaction.payload, Payload::Data(_));
                self.find(collusion, ids, |transaction| transaction.valid_until > latest && form(transaction))
            }
            Breach::Form => self.find(collusion, ids, |transaction| {
                transaction.encoded_len() >= 4096 && transaction.valid_until >= time
            }),
            Breach::Forbidden => self.forbidden(collusion, time, ids),
            Breach::Many => {
                let dozen = self.dozen(collusion, time, ids);
                ids.extend(dozen);
                None
            }
            Breach::Empty => {
                ids.clear();
                None
            }
            Breach::Time => {
                header.timestamp = time.minus_ms(300);
                None
            }
            Breach::Parent => {
                header.parent = collusion.no_block();
                None
            }
            Breach::Proposer => {
                header.proposer = collusion.some_other(header.proposer).unwrap_or(header.proposer);
                None
            }
            Breach::NextCommittee => {
                header.next_committee = collusion.no_block().0;
                None
            }
        };
        ids.extend(added);
    }

    /// A timely transaction that its sender may not send: an operation of a client, or data, which is
    /// forbidden if its sender is not registered.
    fn forbidden(
        &self,
        collusion: &mut Collusion,
        time: Timestamp,
        ids: &[TransactionId],
    ) -> Option<TransactionId> {
        let (operation, latest) = (collusion.random.permille(500), time.plus_ms(collusion.lifetime_ms));
        let fresh = self.known.iter().find(|(id, transaction)| {
            let wanted = match transaction.payload {
                Payload::Governance(_) => operation && self.clients.contains(&transaction.sender),
                Payload::Data(_) => !operation && !self.proposed.contains(id),
            };
            let lives = transaction.valid_until > time && transaction.valid_until <= latest;
            wanted && lives && transaction.encoded_len() < 4096 && !ids.contains(id)
        });
        fresh.map(|(id, _)| *id)
    }

    /// A dozen valid transactions that are in no proposal yet.
    fn dozen(&self, collusion: &Collusion, time: Timestamp, ids: &[TransactionId]) -> Vec<TransactionId> {
        let fresh = self.known.iter().filter(|(id, transaction)| {
            let lives = transaction.valid_until >= time.plus_ms(1)
                && transaction.valid_until <= time.plus_ms(collusion.lifetime_ms)
                && matches!(transaction.payload, Payload::Data(_))
                && transaction.encoded_len() < 4096;
            lives && !ids.contains(id) && !self.proposed.contains(id)
        });
        fresh.map(|(id, _)| *id).take(12).collect()
    }

    /// Breaks a rule: preferably one that needs a rare transaction, if such a transaction is known.
    fn break_some_rule(&self, collusion: &mut Collusion, header: &mut Header, ids: &mut Vec<TransactionId>) {
        let before = ids.len();
        if collusion.random.permille(500) {
            let rare = *collusion.random.choose(&[Breach::LongLived, Breach::Form, Breach::Forbidden]);
            self.breach(collusion, rare, header, ids);
        }
        if ids.len() == before {
            let any = *collusion.random.choose(&BREACHES);
            self.breach(collusion, any, header, ids);
        }
    }

    /// The replacement of a proposal; the same one for all members.
    fn replacement(
        &mut self,
        collusion: &mut Collusion,
        proposal: &Proposal,
    ) -> (Header, Vec<TransactionId>) {
        let origin = proposal.header.hash();
        if let Some(known) = self.replaced.get(&origin) {
            return known.clone();
        }
        let (mut header, mut ids) = (proposal.header.clone(), proposal.ids.clone());
        if let Some((parent, _)) = self.replaced.get(&header.parent) {
            header.parent = parent.hash();
        }
        if collusion.random.permille(500) {
            self.break_some_rule(collusion, &mut header, &mut ids);
        }
        let bytes: Option<u64> = ids.iter().map(|id| self.known.get(id).map(|held| held.encoded_len())).sum();
        if let Some(bytes) = bytes.and_then(|bytes| u32::try_from(bytes).ok()) {
            header.transactions_root = merkle_root(&ids);
            header.transaction_count = u32::try_from(ids.len()).expect("a block is small");
            header.body_bytes = bytes;
        } else {
            ids.clone_from(&proposal.ids); // a transaction that it never received
        }
        self.note(&ids);
        self.bodies.insert(header.hash(), ids.clone());
        self.replaced.insert(origin, (header.clone(), ids.clone()));
        if self.replaced.len() > KEPT {
            self.replaced.pop_first();
        }
        (header, ids)
    }
}

impl Strategy for Misfill {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let message = match &outgoing.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me && proposal.header.proposer == me => {
                let (header, ids) = self.replacement(collusion, proposal);
                let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
                Message::PrePrepare(Proposal {
                    vote: collusion.keys.sign(me, PrePrepare(ballot)),
                    header,
                    ids,
                })
            }
            Message::Commit(vote) if vote.signer == me => match self.replaced.get(&vote.body.0.block) {
                Some((header, _)) => {
                    let ballot = Ballot { block: header.hash(), ..vote.body.0 };
                    Message::Commit(collusion.keys.sign(me, Commit(ballot)))
                }
                None => outgoing.message.clone(),
            },
            other => other.clone(),
        };
        out.push(Outgoing { message, ..outgoing });
    }

    fn on_receive(
        &mut self,
        _collusion: &mut Collusion,
        _me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        _out: &mut Vec<Outgoing>,
    ) {
        if let Message::PrePrepare(proposal) = message {
            self.note(&proposal.ids);
        }
    }

    fn answer(
        &mut self,
        _collusion: &mut Collusion,
        _to: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        let (FetchRequest::Transactions { block, .. } | FetchRequest::Ids { block }) = ask else {
            return answer;
        };
        let Some(ids) = self.bodies.get(block) else { return answer };
        let FetchRequest::Transactions { indices, .. } = ask else { return FetchResponse::Ids(ids.clone()) };
        let wanted = indices.iter().filter_map(|index| ids.get(*index as usize));
        FetchResponse::Transactions(wanted.filter_map(|id| self.known.get(id).cloned()).collect())
    }

    /// Its engine receives only most transactions: the rest is used to overfill a block.
    fn accepts_transaction(&mut self, collusion: &mut Collusion, transaction: &VerifiedTransaction) -> bool {
        if self.known.len() < KEPT {
            self.known.insert(transaction.id(), transaction.transaction().clone());
        }
        collusion.random.permille(700)
    }
}
