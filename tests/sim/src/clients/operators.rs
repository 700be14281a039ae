//! Operators of members: they submit governance operations, valid and invalid ones.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_governance::{
    Change, Config, Member, Name, Operation, ParameterName, Possession, Proposal, ProposalId, State, Submit,
};
use quorate_ledger::{Epoch, Height, PublicKey, ReplicaId, SecretKey, TransactionId};

use crate::clients::orders::{Attempt, KEYS, Kind, client_key};
use crate::occasions::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::epochs::identity_of;
use crate::random::Random;
use crate::world::{Occurrence, World};

/// Changes of parameters in one proposal.
const CHANGES: usize = 3;

/// The first byte of keys that operators make. Clients have lower ones.
const NEW_KEYS: u8 = 64;

/// The operators of all members. Their choices are random; what they may do, they read from the chain.
#[derive(Debug)]
pub struct Operators {
    /// The source of their choices, separate so that runs without operations stay the same.
    pub random: Random,
    /// Machines that may become members, and were not proposed yet.
    pub candidates: Vec<ReplicaId>,
    /// All keys of members and candidates.
    secrets: BTreeMap<PublicKey, SecretKey>,
    /// The keys of candidates.
    candidate_keys: Vec<PublicKey>,
    /// Number of keys that operators made.
    made: u8,
    /// The fewest members: with fewer, the faulty ones may be too many.
    fewest: usize,
    /// The order of the last proposal that adds or removes a member. There is one at a time.
    proposed: Option<usize>,
    /// Whether members are added and removed, and their keys replaced.
    replaces: bool,
    /// Whether members restrict who may submit.
    registry: bool,
}

/// What an operator wants to do.
struct Wish {
    /// The key that signs.
    key: SecretKey,
    kind: Kind,
    payload: Vec<u8>,
    /// A key that a member gets.
    rotated: Option<(ReplicaId, SecretKey)>,
    /// Whether it would add or remove a member.
    replaces: bool,
}

impl Wish {
    fn of(key: &SecretKey, operation: &Operation) -> Self {
        Wish::raw(key, Kind::Operation, operation.to_bytes())
    }

    fn raw(key: &SecretKey, kind: Kind, payload: Vec<u8>) -> Self {
        Wish { key: key.clone(), kind, payload, rotated: None, replaces: false }
    }
}

impl Operators {
    /// The operators of the members with these governance keys.
    pub fn new(keys: Vec<SecretKey>, knobs: &Knobs, random: &Random) -> Self {
        let mut aside = random.clone();
        aside.number();
        aside.number();
        Operators {
            random: aside.split(),
            candidates: Vec::new(),
            fewest: keys.len(),
            secrets: keys.into_iter().map(|key| (key.public(), key)).collect(),
            candidate_keys: Vec::new(),
            made: 0,
            proposed: None,
            replaces: knobs.candidates > 0,
            registry: knobs.registry,
        }
    }

    /// A new key, for a candidate or a rotation.
    pub fn new_key(&mut self) -> SecretKey {
        let mut bytes = [7; 32];
        (bytes[0], bytes[1]) = (NEW_KEYS, self.made);
        self.made += 1;
        let key = SecretKey::from_bytes(&bytes).expect("the number is below the order of the curve");
        self.secrets.insert(key.public(), key.clone());
        key
    }

    /// The secret key of a member.
    pub fn secret(&self, key: &PublicKey) -> SecretKey {
        self.secrets[key].clone()
    }

    /// An operation after the last block of this chain. `wanted` are members that need a new epoch.
    fn wish(&mut self, chain: &Chain, wanted: &[ReplicaId], may_replace: bool, knobs: &Knobs) -> Wish {
        let state = chain.state();
        let members = state.next_config().members();
        let member = self.random.choose(members).clone();
        let key = self.secret(&member.governance_key);
        let doubtful = members.iter().find(|member| wanted.contains(&identity_of(&member.name)));
        if let Some(doubtful) = doubtful.filter(|_| self.random.permille(600)) {
            return Wish::of(&self.secret(&doubtful.governance_key), &Operation::Renew);
        }
        if self.registry && self.random.permille(300) {
            return Wish::of(&key, &self.registry_change());
        }
        if self.replaces && self.random.permille(450) {
            return self.replacement(chain, &member, may_replace);
        }
        let open: Vec<_> = state.proposals().iter().map(|(id, open)| (*id, open.clone())).collect();
        match self.random.between(0, 99) {
            0..=19 => Wish::of(&key, &Operation::Renew),
            20..=64 if !open.is_empty() => self.approval(state, &open),
            20..=79 => Wish::of(&key, &self.proposal(state, knobs)),
            80..=82 if !open.is_empty() => {
                let (id, _) = self.random.choose(&open);
                Wish::of(&key, &Operation::Withdraw(*id))
            }
            80..=91 => Wish::of(&key, &self.client_change(state)),
            92..=94 => Wish::of(&key, &Operation::Approve(self.unknown())),
            95..=97 => Wish::raw(&key, Kind::Malformed, vec![200; 7]),
            _ => {
                let key = SecretKey::from_bytes(&[1; 32]).expect("a small number is a key");
                Wish::raw(&key, Kind::Stranger, Operation::Renew.to_bytes())
            }
        }
    }

    /// A member approves an open proposal that it has not approved, if there is one.
    fn approval(&mut self, state: &State, open: &[(ProposalId, Proposal)]) -> Wish {
        let (id, proposal) = self.random.choose(open);
        let members = state.next_config().members();
        let others: Vec<&Member> =
            members.iter().filter(|member| !proposal.approvals.contains(&member.governance_key)).collect();
        let member = if others.is_empty() { &members[0] } else { *self.random.choose(&others) };
        Wish::of(&self.secret(&member.governance_key), &Operation::Approve(*id))
    }

    /// Something that adds or removes a member, or replaces its keys.
    fn replacement(&mut self, chain: &Chain, member: &Member, may_replace: bool) -> Wish {
        let state = chain.state();
        let waiting: Vec<PublicKey> = state.next_config().candidates().iter().copied().collect();
        if !waiting.is_empty() && self.random.permille(500) {
            return self.ready(chain, &waiting);
        }
        let open: Vec<_> = state.proposals().iter().map(|(id, open)| (*id, open.clone())).collect();
        if !open.is_empty() && self.random.permille(600) {
            return self.approval(state, &open);
        }
        let key = self.secret(&member.governance_key);
        let config = state.latest_config();
        if may_replace && let Some(change) = self.membership(config) {
            let operation = Operation::Propose { changes: vec![change] };
            return Wish { replaces: true, ..Wish::of(&key, &operation) };
        }
        self.rotation(state, member)
    }

    /// A candidate is added, or a member is removed that is not needed.
    fn membership(&mut self, config: &Config) -> Option<Change> {
        let members = config.members();
        if members.len() > self.fewest && self.random.permille(500) {
            let name = self.random.choose(members).name.clone();
            return Some(Change::RemoveMember { name });
        }
        let candidate = self.candidates.pop()?;
        let key = *self.candidate_keys.get(self.candidates.len())?;
        let name: Name = format!("candidate-{candidate}").parse().expect("a name");
        Some(Change::AddMember { name, consensus_key: key, governance_key: key })
    }

    /// A machine that may become a member, with this key.
    pub fn add_candidate(&mut self, machine: ReplicaId, key: PublicKey) {
        self.candidates.push(machine);
        self.candidate_keys.push(key);
    }

    /// A candidate says that it has the chain up to a block, which is not always true.
    fn ready(&mut self, chain: &Chain, waiting: &[PublicKey]) -> Wish {
        let key = self.secrets[self.random.choose(waiting)].clone();
        let tip = chain.height();
        let mut height = tip;
        let mut block = chain.at(tip).expect("the tip is there").hash;
        match self.random.between(0, 9) {
            0 => height = tip.plus(self.random.between(1, 5)),
            1 => block = chain.at(below(tip, 1)).map_or(block, |link| link.hash),
            2 => {
                height = below(tip, self.random.between(1, 40));
                block = chain.at(height).map_or(block, |link| link.hash);
            }
            _ => {}
        }
        Wish::of(&key, &Operation::Ready { height, block })
    }

    /// A member replaces its consensus key. Sometimes the proof of possession is for another epoch.
    fn rotation(&mut self, state: &State, member: &Member) -> Wish {
        let new = self.new_key();
        let epoch = state.next_config().epoch();
        let signed_for = if self.random.permille(100) { Epoch(epoch.0 + 1) } else { epoch };
        let possession = Possession::sign(&state.chain(), member.governance_key, &new, signed_for);
        let operation = Operation::Rotate { consensus_key: new.public(), possession };
        let wish = Wish::of(&self.secret(&member.governance_key), &operation);
        Wish { rotated: Some((identity_of(&member.name), new)), ..wish }
    }

    /// A proposal of parameters: most are valid in this state.
    fn proposal(&mut self, state: &State, knobs: &Knobs) -> Operation {
        let mut settings = *state.latest_config().settings();
        let window = *self.random.choose(&[1, 2, 4, 8]);
        let interval = self.random.between(window, 2 * window);
        let mut wanted = match self.random.between(0, 5) {
            0..=2 => vec![
                (ParameterName::Window, window),
                (ParameterName::CheckpointInterval, interval),
                (ParameterName::LogWindow, interval * self.random.between(2, 4)),
            ],
            3 => vec![(ParameterName::CheckpointInterval, interval)],
            4 => vec![(ParameterName::ProposalLifetime, self.random.between(20, 1000))],
            _ => self.parameters(knobs),
        };
        // A parameter that would not change makes a proposal invalid. Some are proposed nevertheless.
        if !self.random.permille(50) {
            wanted.retain(|(name, value)| *name.of(&mut settings) != *value);
        }
        if wanted.is_empty() {
            wanted.push((ParameterName::MaxTransactionsPerMember, self.random.between(1, 1000)));
        }
        let change = |(parameter, value)| Change::SetParameter { parameter, value };
        Operation::Propose { changes: wanted.into_iter().map(change).collect() }
    }

    /// Parameters that change no bound of the run.
    fn parameters(&mut self, knobs: &Knobs) -> Vec<(ParameterName, u64)> {
        let request = self.random.between(knobs.request_timeout_ms, knobs.timeout_cap_ms);
        let status = self.random.between(60, knobs.status_interval_ms);
        let all = [
            (ParameterName::BlockMaxTransactions, self.random.between(1, knobs.block_transactions)),
            (ParameterName::RequestTimeout, request),
            (ParameterName::StatusInterval, status),
            (ParameterName::BatchDelay, self.random.between(0, knobs.batch_delay_ms)),
        ];
        // Nodes apply only what starts an epoch, or what is a matter of governance alone.
        let mut chosen: Vec<_> = all.into_iter().filter(|(name, _)| name.starts_epoch()).collect();
        while chosen.len() > CHANGES {
            let index = self.random.index(chosen.len());
            chosen.swap_remove(index);
        }
        chosen
    }

    /// A member adds, removes or limits a client.
    fn client_change(&mut self, state: &State) -> Operation {
        let clients = state.latest_config().clients();
        if !clients.is_empty() && self.random.permille(400) {
            let key = self.random.choose(&clients).key;
            return Operation::RemoveClient { key };
        }
        let number = u8::try_from(self.random.between(10, 40)).expect("a byte");
        let key = SecretKey::from_bytes(&[number; 32]).expect("a small number is a key").public();
        let name = format!("client-{number}").parse().expect("a name");
        Operation::AddClient { name, key }
    }

    /// Something about who may submit, and how much. Only one client is ever revoked, since that is
    /// final.
    fn registry_change(&mut self) -> Operation {
        let number = u8::try_from(self.random.between(1, u64::from(KEYS))).expect("a byte");
        let key = client_key(number).public();
        let change = match self.random.between(0, 9) {
            0..=4 => {
                let name = format!("client-{number}").parse().expect("a name");
                return Operation::AddClient { name, key };
            }
            5 => return Operation::RemoveClient { key },
            6 => Change::RevokeClient { key: client_key(KEYS).public() },
            7 => Change::SetParameter {
                parameter: ParameterName::MaxTransactionsPerMember,
                value: self.random.between(2, 8),
            },
            _ => Change::SetSubmitMode {
                mode: if self.random.permille(700) { Submit::Registry } else { Submit::Open },
            },
        };
        Operation::Propose { changes: vec![change] }
    }

    /// The id of no proposal.
    fn unknown(&mut self) -> ProposalId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.random.number().to_be_bytes());
        TransactionId::from_bytes(bytes)
    }
}

fn below(height: Height, count: u64) -> Height {
    Height(height.0.saturating_sub(count))
}

impl World {
    /// Plans the first operation.
    pub(crate) fn begin_governance(&mut self) {
        if self.knobs.governance_gap_ms > 0 {
            self.agenda.after(Duration::from_millis(100), Occurrence::Govern);
        }
    }

    /// An operator submits an operation to two members, and later another one does.
    pub(crate) fn govern(&mut self) {
        let gap = self.operators.random.millis(0, self.knobs.governance_gap_ms);
        if self.agenda.now() + gap < self.knobs.chaos {
            self.agenda.after(gap, Occurrence::Govern);
        }
        let doubtful = |member: &&crate::members::Member| member.tainted.is_some() && !member.is_correct();
        let wanted: Vec<ReplicaId> =
            self.members.iter().filter(doubtful).map(|member| member.identity).collect();
        let may_replace = self.may_replace();
        let wish = self.operators.wish(&self.chain, &wanted, may_replace, &self.knobs);
        if let Some((identity, key)) = wish.rotated {
            for member in self.members.iter_mut().filter(|member| member.identity == identity) {
                member.keys.push(key.clone());
            }
        }
        let number = self.submit_operation(&wish.key, wish.kind, wish.payload);
        if wish.replaces {
            self.operators.proposed = Some(number);
        }
    }

    /// Whether nothing is left of the last proposal that adds or removes a member.
    pub(crate) fn may_replace(&self) -> bool {
        let Some(number) = self.operators.proposed else { return true };
        let order = &self.orders.all[number];
        let state = self.chain.state();
        let open = state.proposals().contains_key(&order.id) || state.next_epoch_start().is_some();
        order.end.is_some() && !open
    }

    /// A member's operator submits an operation to two members. Returns the number of the order.
    fn submit_operation(&mut self, key: &SecretKey, kind: Kind, payload: Vec<u8>) -> usize {
        let number = self.orders.place_operation(self.agenda.now(), key, kind, payload);
        for _ in 0..2 {
            let to = self.operators.random.choose(&self.members).replica;
            let delay = self.operators.random.millis(0, 50);
            self.agenda.after(delay, Occurrence::Attempt(Attempt { number, to }));
        }
        number
    }
}
