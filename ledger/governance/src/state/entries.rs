//! The state as single entries, for a file that stores each of them in a row.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{DecodeError, Epoch, Height, PublicKey, decode, encode};

use super::State;
use super::codec::{Checked, Encoded, MEMBERS, VERSION, rebuild, require};
use super::entry::{EntryKey, Head, Proposal, Scheduled};
use crate::config::{Client, Member};
use crate::limits::{MAX_CANDIDATES, MAX_OPEN_PROPOSALS, MAX_RETIRED_KEYS, MAX_SCHEDULED};
use crate::operations::{Name, ProposalId};
use crate::parameters::{MAX_CLIENTS, Settings};

/// The bytes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredEntry {
    /// The encoding of its [`EntryKey`].
    pub(super) key: Vec<u8>,
    /// The encoding of its value.
    pub(super) value: Vec<u8>,
}

fn key_of(client: &Client) -> Vec<u8> {
    encode(&EntryKey::Client(client.key))
}

impl State {
    /// All entries: the encodings of the [`EntryKey`] and of the value, in ascending order of the
    /// encoded keys. [`State::from_entries`] makes an equal state of them.
    pub fn entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let clients = self.in_force().clients();
        let clients = clients.into_iter().map(|client| (key_of(client), encode(client)));
        let others = self.entries.values().into_iter().map(|entry| (entry.key.clone(), entry.value.clone()));
        clients.chain(others).collect()
    }

    /// The entries that were written or removed since an earlier state of the same chain: the encoded
    /// key of each, with its encoded value, or `None` if it was removed.
    ///
    /// Costs time in proportion to the changes. A block without operations changes one entry, the
    /// [`Head`].
    pub fn changes_since(&self, before: &State) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut changes = BTreeMap::new();
        for (old, new) in self.entries.differences(&before.entries) {
            if let Some(key) = old.or(new).map(|entry| entry.key.clone()) {
                changes.insert(key, new.map(|entry| entry.value.clone()));
            }
        }
        let clients = self.in_force().clients.tree();
        for (old, new) in clients.differences(before.in_force().clients.tree()) {
            if let Some(key) = old.or(new).map(|client| key_of(client)) {
                changes.insert(key, new.map(|client| encode(client.as_ref())));
            }
        }
        changes
    }

    /// Makes the state with exactly these entries, given in any order as encoded keys and values.
    /// Costs time in proportion to their number.
    ///
    /// Like [`State::from_bytes`], this function checks that the state is possible, not that it is
    /// that of the chain.
    ///
    /// # Errors
    /// [`DecodeError`] if the entries are not all entries of one state, each once, in their canonical
    /// encoding and within all limits.
    pub fn from_entries<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, DecodeError> {
        let refused = |reason: &str| DecodeError { what: "State", reason: reason.to_owned() };
        let mut collected = Collected::default();
        for (key, value) in entries {
            let key: EntryKey = canonical(key.as_ref())?;
            collected.add(key, value.as_ref())?;
        }
        collected.into_encoded().and_then(rebuild).map_err(refused)
    }
}

/// Decodes a value whose encoding is exactly these bytes.
fn canonical<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Result<T, DecodeError> {
    let value: T = decode(bytes)?;
    // A set in another order decodes, too.
    if encode(&value) == bytes {
        return Ok(value);
    }
    Err(DecodeError { what: "State", reason: "an entry is not in its canonical encoding".to_owned() })
}

/// Entries, collected by kind.
#[derive(Default)]
struct Collected {
    head: Option<Head>,
    settings: Option<Settings>,
    members: BTreeMap<Name, Member>,
    candidates: BTreeSet<PublicKey>,
    proposals: BTreeMap<ProposalId, Proposal>,
    scheduled: BTreeMap<u64, Scheduled>,
    ready: BTreeMap<PublicKey, Height>,
    retired: BTreeMap<PublicKey, Epoch>,
    renewals: BTreeMap<Name, Height>,
    clients: BTreeMap<PublicKey, Client>,
}

impl Collected {
    fn add(&mut self, key: EntryKey, value: &[u8]) -> Result<(), DecodeError> {
        let checked = match key {
            EntryKey::Head => once(&mut self.head, canonical(value)?),
            EntryKey::Settings => once(&mut self.settings, canonical(value)?),
            EntryKey::Member(name) => {
                let member: Member = canonical(value)?;
                let named = require(member.name == name, "a member has another name than its entry");
                named.and_then(|()| insert(&mut self.members, name, member, MEMBERS))
            }
            EntryKey::Candidate(key) => {
                let () = canonical(value)?;
                let few = self.candidates.len() < MAX_CANDIDATES as usize;
                require(few && self.candidates.insert(key), "it repeats a candidate, or has too many")
            }
            EntryKey::Proposal(id) => insert(&mut self.proposals, id, canonical(value)?, MAX_OPEN_PROPOSALS),
            EntryKey::Scheduled(number) => {
                insert(&mut self.scheduled, number, canonical(value)?, MAX_SCHEDULED)
            }
            EntryKey::Ready(key) => insert(&mut self.ready, key, canonical(value)?, MAX_CANDIDATES),
            EntryKey::Retired(key) => insert(&mut self.retired, key, canonical(value)?, MAX_RETIRED_KEYS),
            EntryKey::Renewal(name) => insert(&mut self.renewals, name, canonical(value)?, MEMBERS),
            EntryKey::Client(key) => {
                let client: Client = canonical(value)?;
                let named = require(client.key == key, "a client has another key than its entry");
                named.and_then(|()| insert(&mut self.clients, key, client, MAX_CLIENTS))
            }
        };
        checked.map_err(|reason| DecodeError { what: "State", reason: reason.to_owned() })
    }

    fn into_encoded(self) -> Checked<Encoded> {
        Ok(Encoded {
            version: VERSION,
            head: self.head.ok_or("the entry of its head is missing")?,
            settings: self.settings.ok_or("the entry of its settings is missing")?,
            members: self.members.into_values().collect(),
            candidates: self.candidates.into_iter().collect(),
            proposals: self.proposals.into_iter().collect(),
            scheduled: self.scheduled.into_iter().collect(),
            ready: self.ready.into_iter().collect(),
            retired: self.retired.into_iter().collect(),
            renewals: self.renewals.into_iter().collect(),
            clients: self.clients.into_values().collect(),
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Checked {
    require(place.replace(value).is_none(), "it repeats an entry")
}

fn insert<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, value: V, most: u32) -> Checked {
    let few = u32::try_from(rows.len()).is_ok_and(|count| count < most);
    require(few && rows.insert(key, value).is_none(), "it repeats an entry, or has too many of a kind")
}
