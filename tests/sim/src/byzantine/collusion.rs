//! Shared state of all Byzantine members of a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use quorate_engine::EngineConfig;
use quorate_genesis::Genesis;
use quorate_ledger::{
    BlockHash, ChainId, Committee, Epoch, Hash, Height, ReplicaId, SecretKey, Signable, Signature,
    SignatureMemo, Signed, View, signing_hash,
};
use quorate_pbft::{
    EpochRoot, Message, NewView, NewViewMessage, PrePrepare, Proposal, Selection, ViewChange,
    ViewChangeMessage, ViewChangePayload,
};

use crate::byzantine::proposals::block_versions::BlockVersions;
use crate::random::Random;

/// Upper limit of messages that are kept for later.
const REMEMBERED: usize = 128;

/// Number of views, the highest ones, whose VIEW-CHANGEs are kept.
const VIEWS: usize = 6;

/// Upper limit of VIEW-CHANGEs of one member for one view: a Byzantine member may sign several.
const ACCOUNTS: usize = 3;

/// Received messages, keys and plans of all Byzantine members.
#[derive(Debug)]
pub struct Collusion {
    /// The source of random choices.
    pub random: Random,
    /// Signs with their keys.
    pub keys: SigningKeys,
    /// A key that the member with this index, or with this index in an earlier epoch, had before.
    pub old_keys: BTreeMap<ReplicaId, SecretKey>,
    /// The committee.
    pub committee: Committee,
    /// K.
    pub interval: u64,
    /// T without back-off.
    pub timeout: Duration,
    /// The longest lifetime of a transaction, in milliseconds.
    pub lifetime_ms: u64,
    /// How far ahead of a clock a block's time may be, in milliseconds.
    pub tolerance_ms: u64,
    /// Number of clients' keys, one of which may be censored.
    pub clients: usize,
    /// The highest view of one of them.
    pub view: View,
    /// The highest committed block that one of them knows.
    pub tip: (Height, BlockHash),
    /// Which members receive which version of a block, for behaviours that propose several.
    pub split: BlockVersions,
    departures: BTreeMap<View, BTreeMap<ReplicaId, Vec<ViewChangeMessage>>>,
    remembered: VecDeque<(ReplicaId, Message)>,
    /// Messages of the epoch before, to replay them.
    before: VecDeque<(ReplicaId, Message)>,
}

/// The keys of all Byzantine members.
#[derive(Debug)]
pub struct SigningKeys {
    /// The chain.
    pub chain: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The block below the epoch.
    pub root: EpochRoot,
    keys: BTreeMap<ReplicaId, SecretKey>,
    /// The memo that all members share, if they share one.
    memo: Option<Arc<SignatureMemo>>,
    /// The signatures of this epoch. Strategies sign the same statement for several receivers.
    made: RefCell<BTreeMap<(ReplicaId, Hash), Signature>>,
}

impl SigningKeys {
    /// Signs anything as one of them.
    ///
    /// # Panics
    /// If the member is not Byzantine: other keys are not available.
    pub fn sign<S: Signable>(&self, who: ReplicaId, body: S) -> Signed<S> {
        let key = &self.keys[&who];
        let statement = (who, signing_hash(&self.chain, &body));
        if let Some(signature) = self.made.borrow().get(&statement) {
            return Signed { body, signer: who, signature: *signature };
        }
        let signed = match &self.memo {
            Some(memo) => memo.sign(&self.chain, key, who, body).into_inner(),
            None => Signed::sign(&self.chain, key, who, body).into_inner(),
        };
        self.made.borrow_mut().insert(statement, signed.signature);
        signed
    }

    /// Adds their signatures to this memo, so that all members that share it know them as valid.
    pub fn share(&mut self, memo: &Arc<SignatureMemo>) {
        self.memo = Some(Arc::clone(memo));
    }

    /// Whether this member is one of them.
    pub fn knows(&self, who: ReplicaId) -> bool {
        self.keys.contains_key(&who)
    }
}

impl Collusion {
    /// The shared state of the Byzantine members with these keys.
    pub fn new(genesis: &Genesis, keys: BTreeMap<ReplicaId, SecretKey>, mut random: Random) -> Self {
        let committee = genesis.committee().clone();
        let split = BlockVersions::split(&mut random, committee.size());
        Collusion {
            keys: SigningKeys {
                chain: genesis.chain_id(),
                epoch: genesis.header().epoch,
                root: EpochRoot::of(genesis.header()),
                keys,
                memo: None,
                made: RefCell::default(),
            },
            old_keys: BTreeMap::new(),
            committee,
            interval: genesis.consensus().checkpoint_interval,
            timeout: Duration::from_millis(genesis.consensus().request_timeout_ms),
            lifetime_ms: genesis.block_limits().transaction.max_lifetime_ms,
            tolerance_ms: genesis.consensus().clock_tolerance_ms,
            clients: 3,
            view: View(0),
            tip: (Height(0), genesis.header().hash()),
            split,
            departures: BTreeMap::new(),
            remembered: VecDeque::new(),
            before: VecDeque::new(),
            random,
        }
    }

    /// All members but this one.
    pub fn others(&self, me: ReplicaId) -> Vec<ReplicaId> {
        self.committee.replicas().filter(|other| *other != me).collect()
    }

    /// A random member other than this one; `None` if it is alone.
    pub fn some_other(&mut self, me: ReplicaId) -> Option<ReplicaId> {
        let others = self.others(me);
        (!others.is_empty()).then(|| *self.random.choose(&others))
    }

    /// The hash of a block that does not exist.
    pub fn no_block(&mut self) -> BlockHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.random.number().to_be_bytes());
        BlockHash::from_bytes(bytes)
    }

    /// Records a message that one of them received or sent.
    pub fn note(&mut self, from: ReplicaId, message: &Message) {
        match message {
            Message::ViewChange(change) => {
                let of_view = self.departures.entry(change.vote.body.view).or_default();
                let accounts = of_view.entry(change.vote.signer).or_default();
                if accounts.len() < ACCOUNTS && !accounts.contains(change) {
                    accounts.push(change.clone());
                }
                if self.departures.len() > VIEWS {
                    self.departures.pop_first();
                }
            }
            Message::Status(_) | Message::Seen(_) | Message::Evidence(_) => return,
            _ => {}
        }
        self.remembered.push_back((from, message.clone()));
        if self.remembered.len() > REMEMBERED {
            self.remembered.pop_front();
        }
    }

    /// One of them is in the next epoch, with this configuration and these keys. They keep old messages only to send
    /// them again.
    pub fn begin_epoch(&mut self, config: &EngineConfig, keys: BTreeMap<ReplicaId, SecretKey>) {
        let pbft = &config.pbft;
        (self.keys.epoch, self.keys.root) = (pbft.context.epoch(), pbft.context.root);
        self.keys.keys = keys;
        self.keys.made.take(); // members may have other keys now
        self.committee = pbft.context.committee.clone();
        self.interval = pbft.checkpoint_interval;
        self.timeout = pbft.request_timeout;
        self.tolerance_ms = u64::try_from(pbft.clock_tolerance.as_millis()).expect("seconds");
        self.view = View(0);
        self.departures.clear();
        self.before = std::mem::take(&mut self.remembered);
    }

    /// A random earlier message, with its sender. After an epoch change it may be of the epoch before.
    pub fn recall(&mut self) -> Option<(ReplicaId, Message)> {
        if !self.before.is_empty() && self.random.permille(400) {
            let index = self.random.index(self.before.len());
            return self.before.get(index).cloned();
        }
        if self.remembered.is_empty() {
            return None;
        }
        let index = self.random.index(self.remembered.len());
        self.remembered.get(index).cloned()
    }

    /// All recorded messages.
    pub fn memory(&self) -> impl Iterator<Item = &(ReplicaId, Message)> {
        self.remembered.iter()
    }

    /// A VIEW-CHANGE of one of them with any view-change payload.
    pub fn depart(&self, me: ReplicaId, view: View, payload: ViewChangePayload) -> ViewChangeMessage {
        let body = ViewChange { epoch: self.keys.epoch, view, content: payload.hash() };
        ViewChangeMessage { vote: self.keys.sign(me, body), payload }
    }

    /// The true view-change payload of a member, as far as it has sent it.
    pub fn payload_of(&self, who: ReplicaId) -> ViewChangePayload {
        let accounts = self.departures.values().rev().find_map(|of_view| of_view.get(&who)?.first());
        accounts.map(|change| change.payload.clone()).unwrap_or_default()
    }

    /// The latest VIEW-CHANGE of each member that they have, for any view.
    pub fn latest_departures(&self) -> Vec<ViewChangeMessage> {
        let mut latest = BTreeMap::new();
        for of_view in self.departures.values() {
            for (who, accounts) in of_view {
                if let Some(change) = accounts.first() {
                    latest.insert(*who, change.clone());
                }
            }
        }
        latest.into_values().collect()
    }

    /// A valid NEW-VIEW of one of them from a random quorum; `None` if there is none. Byzantine
    /// members may be part of it with a payload that omits everything.
    pub fn open(&mut self, me: ReplicaId, view: View) -> Option<NewViewMessage> {
        let mut chosen: BTreeMap<ReplicaId, ViewChangeMessage> = BTreeMap::new();
        let of_view = self.departures.get(&view)?;
        let mut pool: Vec<(ReplicaId, ViewChangeMessage)> = Vec::new();
        for (who, accounts) in of_view {
            let account = self.random.index(accounts.len());
            pool.push((*who, accounts[account].clone()));
        }
        for who in self.committee.replicas().filter(|who| self.keys.knows(*who)) {
            if self.random.permille(500) {
                pool.retain(|(known, _)| *known != who);
                pool.push((who, self.depart(who, view, ViewChangePayload::default())));
            }
        }
        let quorum = self.committee.quorum();
        while chosen.len() < quorum && !pool.is_empty() {
            let index = self.random.index(pool.len());
            let (who, change) = pool.swap_remove(index);
            chosen.insert(who, change);
        }
        if chosen.len() < quorum {
            return None;
        }
        let view_changes: Vec<ViewChangeMessage> = chosen.into_values().collect();
        let selection =
            Selection::of(self.keys.root, &view_changes.iter().map(|change| &change.payload)).ok()?;
        let pre_prepares: Vec<_> = selection
            .chain
            .iter()
            .map(|header| {
                let ballot = quorate_ledger::Ballot {
                    epoch: self.keys.epoch,
                    view,
                    height: header.height,
                    block: header.hash(),
                };
                self.keys.sign(me, PrePrepare(ballot))
            })
            .collect();
        Some(self.sign_new_view(me, view, view_changes, pre_prepares))
    }

    /// A NEW-VIEW of these parts, even if they are inconsistent.
    pub fn sign_new_view(
        &self,
        me: ReplicaId,
        view: View,
        view_changes: Vec<ViewChangeMessage>,
        pre_prepares: Vec<Signed<PrePrepare>>,
    ) -> NewViewMessage {
        let content = NewViewMessage::content(&view_changes, &pre_prepares);
        let vote = self.keys.sign(me, NewView { epoch: self.keys.epoch, view, content });
        NewViewMessage { vote, view_changes, pre_prepares }
    }

    /// The last proposal of any member in the view.
    pub fn last_proposal(&self) -> Option<&Proposal> {
        self.remembered.iter().rev().find_map(|(_, message)| match message {
            Message::PrePrepare(proposal) => Some(proposal),
            _ => None,
        })
    }
}
