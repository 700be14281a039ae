//! Blocks that break one rule about what may be in a block.

use std::collections::{BTreeMap, VecDeque};

use quorate_engine::{Answer, Ask};
use quorate_ledger::{
    Ballot, BlockHash, Commit, Header, Payload, ReplicaId, Transaction, TransactionId, VerifiedTransaction,
    merkle_root,
};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Transactions and blocks that are remembered.
const KEPT: usize = 2000;

/// How a block breaks a rule.
#[derive(Debug, Clone, Copy)]
enum Breach {
    /// An id that a committed block or one in flight contains.
    Repeat,
    /// A transaction that has expired.
    Expired,
    /// A transaction that is valid for longer than the genesis allows.
    LongLived,
    /// A transaction that no block may contain.
    Form,
    /// More transactions than the genesis allows.
    Many,
    /// Nothing, right after its parent.
    Empty,
    /// A time before its parent's.
    Time,
    /// Another parent.
    Parent,
    /// Another proposer.
    Proposer,
}

/// Those that are drawn whatever clients sent.
const BREACHES: [Breach; 8] = [
    Breach::Repeat,
    Breach::Repeat,
    Breach::Expired,
    Breach::Many,
    Breach::Empty,
    Breach::Time,
    Breach::Parent,
    Breach::Proposer,
];

/// Replaces about half of its own proposals by ones that break a rule, and has the bodies to go with them. Its later
/// proposals stand on the replacements, so that a member that accepts one goes on.
#[derive(Debug)]
pub(super) struct Misfill {
    /// What clients sent, good or bad.
    known: BTreeMap<TransactionId, Transaction>,
    /// Ids of proposals that it made or heard of.
    proposed: VecDeque<TransactionId>,
    /// The replacement of each of its own blocks.
    replaced: BTreeMap<BlockHash, (Header, Vec<TransactionId>)>,
    /// What is in the replacements.
    bodies: BTreeMap<BlockHash, Vec<TransactionId>>,
}

impl Misfill {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Misfill {
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

    /// A known transaction of which this is true and which is not among the ids.
    fn find(
        &self,
        brain: &mut Brain,
        ids: &[TransactionId],
        wanted: impl Fn(&Transaction) -> bool,
    ) -> Option<TransactionId> {
        let fits =
            |(id, transaction): &(&TransactionId, &Transaction)| wanted(transaction) && !ids.contains(id);
        let found: Vec<TransactionId> = self.known.iter().filter(fits).map(|(id, _)| *id).collect();
        (!found.is_empty()).then(|| *brain.random.choose(&found))
    }

    fn breach(&self, brain: &mut Brain, breach: Breach, header: &mut Header, ids: &mut Vec<TransactionId>) {
        let time = header.timestamp;
        let added = match breach {
            Breach::Repeat => {
                let known =
                    self.proposed.iter().filter(|id| self.known.contains_key(id) && !ids.contains(id));
                let known: Vec<_> = known.copied().collect();
                (!known.is_empty()).then(|| *brain.random.choose(&known))
            }
            Breach::Expired => self.find(brain, ids, |transaction| transaction.valid_until < time),
            Breach::LongLived => {
                let latest = time.plus_ms(brain.lifetime_ms);
                let form = |transaction: &Transaction| matches!(transaction.payload, Payload::Data(_));
                self.find(brain, ids, |transaction| transaction.valid_until > latest && form(transaction))
            }
            Breach::Form => {
                let reserved =
                    |transaction: &Transaction| matches!(transaction.payload, Payload::Governance(_));
                self.find(brain, ids, |transaction| reserved(transaction) && transaction.valid_until >= time)
            }
            Breach::Many => {
                let fresh = self.known.iter().filter(|(id, transaction)| {
                    let lives = transaction.valid_until >= time.plus_ms(1)
                        && transaction.valid_until <= time.plus_ms(brain.lifetime_ms)
                        && matches!(transaction.payload, Payload::Data(_))
                        && transaction.encoded_len() < 4096;
                    lives && !ids.contains(id) && !self.proposed.contains(id)
                });
                ids.extend(fresh.map(|(id, _)| *id).take(12).collect::<Vec<_>>());
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
                header.parent = brain.no_block();
                None
            }
            Breach::Proposer => {
                header.proposer = brain.some_other(header.proposer).unwrap_or(header.proposer);
                None
            }
        };
        ids.extend(added);
    }

    /// Breaks a rule: one that needs a rare transaction, if there is one to be had, or any other.
    fn break_some_rule(&self, brain: &mut Brain, header: &mut Header, ids: &mut Vec<TransactionId>) {
        let before = ids.len();
        if brain.random.permille(500) {
            let rare = *brain.random.choose(&[Breach::LongLived, Breach::Form]);
            self.breach(brain, rare, header, ids);
        }
        if ids.len() == before {
            let any = *brain.random.choose(&BREACHES);
            self.breach(brain, any, header, ids);
        }
    }

    /// The replacement of a proposal; the same one for all members.
    fn replacement(&mut self, brain: &mut Brain, proposal: &Proposal) -> (Header, Vec<TransactionId>) {
        let origin = proposal.header.hash();
        if let Some(known) = self.replaced.get(&origin) {
            return known.clone();
        }
        let (mut header, mut ids) = (proposal.header.clone(), proposal.ids.clone());
        if let Some((parent, _)) = self.replaced.get(&header.parent) {
            header.parent = parent.hash();
        }
        if brain.random.permille(500) {
            self.break_some_rule(brain, &mut header, &mut ids);
        }
        let bytes: Option<u64> = ids.iter().map(|id| self.known.get(id).map(|held| held.encoded_len())).sum();
        if let Some(bytes) = bytes.and_then(|bytes| u32::try_from(bytes).ok()) {
            header.transactions_root = merkle_root(&ids);
            header.transaction_count = u32::try_from(ids.len()).expect("a block is small");
            header.body_bytes = bytes;
        } else {
            ids.clone_from(&proposal.ids); // a transaction that it never saw
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
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let message = match &said.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me && proposal.header.proposer == me => {
                let (header, ids) = self.replacement(brain, proposal);
                let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
                Message::PrePrepare(Proposal { vote: brain.pen.sign(me, PrePrepare(ballot)), header, ids })
            }
            Message::Commit(vote) if vote.signer == me => match self.replaced.get(&vote.body.0.block) {
                Some((header, _)) => {
                    let ballot = Ballot { block: header.hash(), ..vote.body.0 };
                    Message::Commit(brain.pen.sign(me, Commit(ballot)))
                }
                None => said.message.clone(),
            },
            other => other.clone(),
        };
        out.push(Utterance { message, ..said });
    }

    fn hear(
        &mut self,
        _brain: &mut Brain,
        _me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        _out: &mut Vec<Utterance>,
    ) {
        if let Message::PrePrepare(proposal) = message {
            self.note(&proposal.ids);
        }
    }

    fn answer(&mut self, _brain: &mut Brain, _to: ReplicaId, ask: &Ask, answer: Answer) -> Answer {
        let (Ask::Transactions { block, .. } | Ask::Ids { block }) = ask else { return answer };
        let Some(ids) = self.bodies.get(block) else { return answer };
        let Ask::Transactions { indices, .. } = ask else { return Answer::Ids(ids.clone()) };
        let wanted = indices.iter().filter_map(|index| ids.get(*index as usize));
        Answer::Transactions(wanted.filter_map(|id| self.known.get(id).cloned()).collect())
    }

    /// Its engine hears of most transactions only: the rest is there to overfill a block.
    fn takes(&mut self, brain: &mut Brain, transaction: &VerifiedTransaction) -> bool {
        if self.known.len() < KEPT {
            self.known.insert(transaction.id(), transaction.transaction().clone());
        }
        brain.random.permille(700)
    }
}
