//! The encoding of a state. A node that joins receives it from a peer, so decoding trusts nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    DecodeError, Epoch, Height, MAX_DESCENDANTS, MAX_SIGNATURES, PublicKey, bounded, decode, encode,
};

use super::State;
use super::entry::{Head, Proposal, Scheduled};
use super::table::Table;
use crate::config::{Client, Config, Member, Members, Registry};
use crate::limits::{
    KEY_HISTORY_EPOCHS, MAX_CANDIDATES, MAX_OPEN_PROPOSALS, MAX_RETIRED_KEYS, MAX_SCHEDULED, MAX_STATE_BYTES,
};
use crate::operations::{Change, Name, ProposalId};
use crate::parameters::{MAX_CLIENTS, Settings};
use crate::tree::Tree;

/// Version of the encoding.
pub(super) const VERSION: u16 = 1;

/// A signature of each member.
pub(super) const MEMBERS: u32 = MAX_SIGNATURES;

/// The largest W.
const MAX_WINDOW: u64 = MAX_DESCENDANTS as u64 / 2;

/// The content of a state, in the order of its encoding. Lists are in ascending order of their keys.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Encoded {
    pub(super) version: u16,
    pub(super) head: Head,
    pub(super) settings: Settings,
    #[borsh(deserialize_with = "bounded::<MEMBERS, _, _>")]
    pub(super) members: Vec<Member>,
    #[borsh(deserialize_with = "bounded::<MAX_CANDIDATES, _, _>")]
    pub(super) candidates: Vec<PublicKey>,
    #[borsh(deserialize_with = "bounded::<MAX_OPEN_PROPOSALS, _, _>")]
    pub(super) proposals: Vec<(ProposalId, Proposal)>,
    #[borsh(deserialize_with = "bounded::<MAX_SCHEDULED, _, _>")]
    pub(super) scheduled: Vec<(u64, Scheduled)>,
    #[borsh(deserialize_with = "bounded::<MAX_CANDIDATES, _, _>")]
    pub(super) ready: Vec<(PublicKey, Height)>,
    #[borsh(deserialize_with = "bounded::<MAX_RETIRED_KEYS, _, _>")]
    pub(super) retired: Vec<(PublicKey, Epoch)>,
    #[borsh(deserialize_with = "bounded::<MEMBERS, _, _>")]
    pub(super) renewals: Vec<(Name, Height)>,
    #[borsh(deserialize_with = "bounded::<MAX_CLIENTS, _, _>")]
    pub(super) clients: Vec<Client>,
}

fn pairs<K: Ord + Clone, V: Clone>(table: &Table<K, V>) -> Vec<(K, V)> {
    table.rows().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl State {
    /// The canonical encoding: equal states have equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let config = self.in_force();
        let mut clients: Vec<Client> = config.clients().into_iter().cloned().collect();
        clients.sort_by_key(|client| client.key);
        encode(&Encoded {
            version: VERSION,
            head: self.head,
            settings: config.settings,
            members: config.members().to_vec(),
            candidates: config.candidates().iter().copied().collect(),
            proposals: pairs(&self.proposals),
            scheduled: pairs(&self.scheduled),
            ready: pairs(&self.ready),
            retired: pairs(&self.retired),
            renewals: pairs(&self.renewals),
            clients,
        })
    }

    /// Reads a state. Compare its [`State::root`] with one that a quorum has signed: this function
    /// checks that the state is possible, not that it is that of the chain.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical encoding of a state within all limits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refused = |reason: &str| DecodeError { what: "State", reason: reason.to_owned() };
        if bytes.len() > MAX_STATE_BYTES {
            return Err(refused("it is larger than any state"));
        }
        let state = rebuild(decode(bytes)?).map_err(refused)?;
        // Any other order of a list, or a repeated key, is not canonical.
        if state.to_bytes() == bytes { Ok(state) } else { Err(refused("it is not in its canonical order")) }
    }
}

pub(super) type Checked<T = ()> = Result<T, &'static str>;

pub(super) fn require(holds: bool, otherwise: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Makes the state with this content, if all its parts are possible together.
pub(super) fn rebuild(encoded: Encoded) -> Checked<State> {
    require(encoded.version == VERSION, "it has another version")?;
    let head = encoded.head;
    let members = Members::new(head.epoch, encoded.members, head.allows_small)
        .map_err(|_| "its members form no committee")?;
    require(encoded.settings.errors().is_empty(), "a parameter is invalid")?;
    let config = Config {
        epoch_start: head.epoch_start,
        allows_small: head.allows_small,
        members: Arc::new(members),
        settings: encoded.settings,
        candidates: Arc::new(encoded.candidates.into_iter().collect()),
        clients: Registry::of(encoded.clients),
    };
    let known = config.clients.members().all(|member| config.member(member).is_some());
    require(known, "a client belongs to no member")?;
    let mut state = State {
        head,
        configs: VecDeque::from([(head.height.next(), Arc::new(config))]),
        proposals: table(encoded.proposals),
        scheduled: Table::new(BTreeMap::new()),
        ready: table(encoded.ready),
        retired: table(encoded.retired),
        renewals: table(encoded.renewals),
        entries: Tree::default(),
    };
    state.check_head()?;
    state.replay(encoded.scheduled)?;
    state.check_proposals()?;
    state.check_keys()?;
    state.write_all();
    Ok(state)
}

fn table<K: Ord + Clone, V>(rows: Vec<(K, V)>) -> Table<K, V> {
    Table::new(rows.into_iter().collect())
}

impl State {
    fn check_head(&self) -> Checked {
        let Head { height, epoch, epoch_start, effective, .. } = self.head;
        let next = height.next();
        require(next > height, "its height is too large")?;
        require(
            epoch_start <= next && (epoch == Epoch(0)) == (epoch_start == Height(0)),
            "its epoch is impossible",
        )?;
        let possible = next.next()..=next.plus(MAX_WINDOW);
        require(possible.contains(&effective), "its effective height is impossible")
    }

    /// Schedules the changes again, which checks each of them in its configuration.
    fn replay(&mut self, scheduled: Vec<(u64, Scheduled)>) -> Checked {
        let (effective, next_number) = (self.head.effective, self.head.next_number);
        let mut last = self.head.height.next();
        for (number, Scheduled { effective_from, effect }) in scheduled {
            require(effective_from > self.head.height.next(), "a scheduled change is due")?;
            require((last..=effective).contains(&effective_from), "a scheduled change is out of order")?;
            require(number < next_number, "a scheduled change has an unused number")?;
            let overlaps = effect.starts_epoch() && self.check_one_at_a_time().is_err();
            require(!overlaps, "two epoch changes are scheduled")?;
            (self.head.effective, self.head.next_number) = (effective_from, number);
            self.schedule(effect).map_err(|_| "a scheduled change is impossible")?;
            last = effective_from;
        }
        (self.head.effective, self.head.next_number) = (effective, next_number);
        Ok(())
    }

    fn check_proposals(&self) -> Checked {
        let config = self.in_force();
        for proposal in self.proposals.rows().values() {
            require(!proposal.changes.is_empty(), "a proposal has no change")?;
            let height = self.head.height;
            require(proposal.height <= height && proposal.expires >= height, "a proposal is not open")?;
            let known = proposal.approvals.iter().all(|key| config.member_of(key).is_some());
            require(known && !proposal.approvals.is_empty(), "a proposal has no valid approvals")?;
        }
        let changes = self.proposals.rows().values().flat_map(|proposal| &proposal.changes);
        let candidates: BTreeSet<PublicKey> = changes.filter_map(Change::candidate).collect();
        require(
            candidates == *self.latest_config().candidates(),
            "its candidates are not those of its proposals",
        )
    }

    fn check_keys(&self) -> Checked {
        let Head { height, epoch, .. } = self.head;
        let candidates = self.latest_config().candidates();
        for (key, named) in self.ready.rows() {
            require(candidates.contains(key) && *named < height, "a READY is impossible")?;
        }
        let used = self.in_force().members.keys();
        for (key, since) in self.retired.rows() {
            let remembered = since.0.saturating_add(KEY_HISTORY_EPOCHS.into()) > epoch.0 && *since <= epoch;
            require(!used.contains(key) && remembered, "a retired key is impossible")?;
        }
        for (name, renewed) in self.renewals.rows() {
            let known = self.in_force().member(name).is_some();
            require(known && *renewed <= height, "a renewal is impossible")?;
        }
        Ok(())
    }
}
