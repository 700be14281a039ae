//! The configuration after a decided change, with all checks that depend on nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_ledger::{Epoch, Height, PublicKey};

use super::members::quorums_share_a_correct_member;
use super::{Client, Config, Effect, Member, Members};
use crate::limits::CLIENT_SHARES;
use crate::operations::{Change, Name, Quota};
use crate::outcome::Reason;
use crate::parameters::{ParameterError, ParameterName};

impl Config {
    /// The configuration after an effect that begins at height `from`.
    ///
    /// # Errors
    /// The [`Reason`] why the effect is invalid in this configuration.
    pub(crate) fn with(&self, effect: &Effect, from: Height) -> Result<Config, Reason> {
        let mut next = self.clone();
        match effect {
            Effect::Decision { changes, .. } => {
                next = self.with_changes(changes)?;
                // Last, so that the order of changes has no meaning: one may revoke such a client.
                for change in changes {
                    if let Change::RemoveMember { name } = change {
                        next.clients.remove_member(name);
                    }
                }
            }
            Effect::Rotation { member, consensus_key } => next.rotate(member, *consensus_key)?,
            Effect::Renewal { member } => {
                self.member(member).ok_or(Reason::UnknownMember)?;
            }
            Effect::AddClient { member, name, key } => next.add_client(member, name, *key)?,
            Effect::RemoveClient { member, key } => {
                self.own_client(member, key)?;
                next.clients.remove(key);
            }
            Effect::SetClientQuota { member, key, quota } => next.set_quota(member, key, *quota)?,
            Effect::SetCandidates { keys } => next.candidates = Arc::new(keys.iter().copied().collect()),
        }
        if effect.starts_epoch() {
            next.members = Arc::new(next.members.in_epoch(Epoch(self.epoch().0.saturating_add(1))));
            next.epoch_start = from;
        }
        Ok(next)
    }

    /// Checks the changes of a proposal. The result is the configuration with them, but in the same
    /// epoch and still with the clients of removed members: to remove these costs a visit of all
    /// clients, which a single member must not cause.
    ///
    /// # Errors
    /// The [`Reason`] why the changes are invalid in this configuration.
    pub(crate) fn with_changes(&self, changes: &[Change]) -> Result<Config, Reason> {
        check_subjects(changes)?;
        let mut next = self.clone();
        let mut members = self.members.list().to_vec();
        for change in changes {
            match change {
                Change::RevokeClient { key } => next.revoke(key)?,
                Change::SetParameter { parameter, value } => next.set(*parameter, *value)?,
                Change::SetSubmitMode { mode } => {
                    let submit = &mut next.settings.parameters.clients.submit;
                    if std::mem::replace(submit, *mode) == *mode {
                        return Err(Reason::NoChange);
                    }
                }
                of_member => self.change_member(of_member, &mut members)?,
            }
        }
        next.check_settings()?;
        let changed = changes.iter().filter(|change| change.member().is_some()).count();
        if changed > 0 {
            next.members = Arc::new(self.checked_members(members, changed)?);
        }
        Ok(next)
    }

    /// Applies one change of a member to a list of members.
    fn change_member(&self, change: &Change, members: &mut Vec<Member>) -> Result<(), Reason> {
        let place = |name: &Name| members.iter().position(|member| member.name == *name);
        match change {
            Change::AddMember { name, consensus_key, governance_key } => {
                if place(name).is_some() {
                    return Err(Reason::NameTaken);
                }
                self.check_unused(&[*consensus_key, *governance_key])?;
                members.push(Member {
                    name: name.clone(),
                    consensus_key: *consensus_key,
                    governance_key: *governance_key,
                });
            }
            Change::RemoveMember { name } => {
                members.remove(place(name).ok_or(Reason::UnknownMember)?);
            }
            Change::ReplaceKeys { name, consensus_key, governance_key } => {
                let place = place(name).ok_or(Reason::UnknownMember)?;
                if consensus_key.is_none() && governance_key.is_none() {
                    return Err(Reason::NoChange);
                }
                for key in consensus_key.iter().chain(governance_key) {
                    self.check_unused(&[*key])?;
                }
                let member = &mut members[place];
                member.consensus_key = consensus_key.unwrap_or(member.consensus_key);
                member.governance_key = governance_key.unwrap_or(member.governance_key);
            }
            Change::RevokeClient { .. } | Change::SetParameter { .. } | Change::SetSubmitMode { .. } => {}
        }
        Ok(())
    }

    /// New keys must differ from all keys in force, also from those that the same change removes: a
    /// key has one owner in two consecutive epochs.
    fn check_unused(&self, keys: &[PublicKey]) -> Result<(), Reason> {
        let used = self.members.keys();
        if keys.iter().any(|key| used.contains(key)) { Err(Reason::KeyInUse) } else { Ok(()) }
    }

    /// The new members, if few enough of the old ones change: at most f, or one if f is 0. Without
    /// that exception, a committee below four could never change.
    fn checked_members(&self, members: Vec<Member>, changed: usize) -> Result<Members, Reason> {
        let members = Members::new(self.epoch(), members, self.allows_small)?;
        let few = changed <= self.committee().faults().max(1);
        if few && quorums_share_a_correct_member(&self.members, &members) {
            Ok(members)
        } else {
            Err(Reason::TooManyMembersChange)
        }
    }

    fn set(&mut self, parameter: ParameterName, value: u64) -> Result<(), Reason> {
        let current = std::mem::replace(parameter.of(&mut self.settings), value);
        if current == value { Err(Reason::NoChange) } else { Ok(()) }
    }

    fn check_settings(&self) -> Result<(), Reason> {
        match self.settings.errors().first() {
            None => Ok(()),
            Some(ParameterError::Range { .. }) => Err(Reason::ParameterRange),
            Some(ParameterError::Rule(_)) => Err(Reason::ParameterRule),
        }
    }

    fn rotate(&mut self, name: &Name, key: PublicKey) -> Result<(), Reason> {
        self.check_unused(&[key])?;
        let mut members = self.members.list().to_vec();
        let member = members.iter_mut().find(|member| member.name == *name).ok_or(Reason::UnknownMember)?;
        if member.governance_key == member.consensus_key {
            member.governance_key = key;
        }
        member.consensus_key = key;
        self.members = Arc::new(self.checked_members(members, 1)?);
        Ok(())
    }

    fn add_client(&mut self, member: &Name, name: &Name, key: PublicKey) -> Result<(), Reason> {
        self.member(member).ok_or(Reason::MemberLeaves)?;
        match self.clients.get(&key) {
            Some(client) if client.revoked => return Err(Reason::ClientRevoked),
            Some(_) => return Err(Reason::ClientExists),
            None => {}
        }
        if self.clients.count_of(member) >= self.settings.governance.max_clients / CLIENT_SHARES {
            return Err(Reason::ClientLimit);
        }
        key.parse().map_err(|_| Reason::BadKey)?;
        let (name, member) = (name.clone(), member.clone());
        self.clients.put(Client { key, name, member, quota: None, revoked: false });
        Ok(())
    }

    fn set_quota(&mut self, member: &Name, key: &PublicKey, quota: Option<Quota>) -> Result<(), Reason> {
        let client = Client { quota, ..self.own_client(member, key)?.clone() };
        let most = self.member_quota();
        if quota.is_some_and(|quota| quota.transactions > most.transactions || quota.bytes > most.bytes) {
            return Err(Reason::QuotaAboveMember);
        }
        self.clients.put(client);
        Ok(())
    }

    fn revoke(&mut self, key: &PublicKey) -> Result<(), Reason> {
        let client = self.clients.get(key).ok_or(Reason::UnknownClient)?;
        if client.revoked {
            return Err(Reason::ClientRevoked);
        }
        self.clients.put(Client { revoked: true, ..client.clone() });
        Ok(())
    }

    /// A client that this member may change.
    fn own_client(&self, member: &Name, key: &PublicKey) -> Result<&Client, Reason> {
        let client = self.clients.get(key).ok_or(Reason::UnknownClient)?;
        if client.member != *member {
            return Err(Reason::NotYourClient);
        }
        if client.revoked { Err(Reason::ClientRevoked) } else { Ok(client) }
    }

    /// The quota of each member for its clients.
    pub fn member_quota(&self) -> Quota {
        let limits = &self.settings.governance;
        Quota { transactions: limits.max_transactions_per_member, bytes: limits.max_bytes_per_member }
    }
}

/// Each change must concern another member, client or parameter: the order of changes then has no
/// meaning, and a name never passes to another member within one proposal.
fn check_subjects(changes: &[Change]) -> Result<(), Reason> {
    let (mut members, mut clients, mut parameters) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut modes = 0;
    for change in changes {
        let first = match change {
            Change::RevokeClient { key } => clients.insert(key),
            Change::SetParameter { parameter, .. } => parameters.insert(parameter),
            Change::SetSubmitMode { .. } => {
                modes += 1;
                modes == 1
            }
            of_member => members.insert(of_member.member()),
        };
        if !first {
            return Err(Reason::ConflictingChanges);
        }
    }
    Ok(())
}
