//! Who may send a transaction in a block, and how many.

use std::collections::BTreeMap;

use quorate_ledger::{NotPermitted, Payload, PublicKey, TRANSACTION_OVERHEAD_BYTES};

use super::{Client, Config, Member};
use crate::limits::{MAX_OPERATION_BYTES, MAX_OPERATIONS_PER_BLOCK};
use crate::operations::{Name, Quota};
use crate::parameters::Submit;

/// The kind of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data of a client.
    Data,
    /// An operation on the network.
    Governance,
}

impl Kind {
    /// The kind of this payload.
    pub fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Data(_) => Kind::Data,
            Payload::Governance(_) => Kind::Governance,
        }
    }
}

/// As what a sender may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit<'c> {
    /// Any key: the submit mode is `open`.
    Anyone,
    /// A registered client.
    Client(&'c Client),
    /// A member, with its governance key.
    Member(&'c Member),
    /// A candidate, with its future consensus key.
    Candidate,
}

impl Config {
    /// Whether a block may contain a transaction of this kind from this sender. Costs one hash at
    /// most.
    ///
    /// # Errors
    /// [`NotPermitted::SenderUnknown`] and [`NotPermitted::SenderRevoked`].
    pub fn permits(&self, sender: &PublicKey, kind: Kind) -> Result<Permit<'_>, NotPermitted> {
        match (kind, self.submit_mode()) {
            (Kind::Governance, _) => {
                let candidate = self.candidates().contains(sender).then_some(Permit::Candidate);
                let member = self.member_of(sender).map(Permit::Member);
                member.or(candidate).ok_or(NotPermitted::SenderUnknown)
            }
            (Kind::Data, Submit::Open) => Ok(Permit::Anyone),
            (Kind::Data, Submit::Registry) => match self.client(sender) {
                None => Err(NotPermitted::SenderUnknown),
                Some(client) if client.revoked => Err(NotPermitted::SenderRevoked),
                Some(client) => Ok(Permit::Client(client)),
            },
        }
    }
}

impl Config {
    /// Like [`Config::permits`], for a transaction of `bytes` encoded bytes that is alone in its block.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub fn permits_alone(
        &self,
        sender: &PublicKey,
        kind: Kind,
        bytes: u64,
    ) -> Result<Permit<'_>, NotPermitted> {
        let permit = self.permits(sender, kind)?;
        BlockUse::new(self).add_permitted(sender, permit, bytes)?;
        Ok(permit)
    }
}

const UNUSED: Quota = Quota { transactions: 0, bytes: 0 };

/// Counts what the transactions of one block use of the quotas. Primaries fill a block with it, and
/// backups check one.
///
/// Data of clients counts for their member, and for the client if it has a limit of its own.
/// Operations have a quota apart from data, so that the clients of a member cannot use up what its
/// governance needs: [`MAX_OPERATIONS_PER_BLOCK`] for a member and one for a candidate.
#[derive(Debug)]
pub struct BlockUse<'c> {
    config: &'c Config,
    members: BTreeMap<&'c Name, Quota>,
    clients: BTreeMap<PublicKey, Quota>,
    operations: BTreeMap<PublicKey, u64>,
}

impl<'c> BlockUse<'c> {
    /// An empty block that this configuration judges.
    pub fn new(config: &'c Config) -> Self {
        BlockUse { config, members: BTreeMap::new(), clients: BTreeMap::new(), operations: BTreeMap::new() }
    }

    /// Adds a transaction of `bytes` encoded bytes. After an error, the use is unchanged.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub fn add(&mut self, sender: &PublicKey, kind: Kind, bytes: u64) -> Result<(), NotPermitted> {
        self.add_permitted(sender, self.config.permits(sender, kind)?, bytes)
    }

    fn add_permitted(
        &mut self,
        sender: &PublicKey,
        permit: Permit<'c>,
        bytes: u64,
    ) -> Result<(), NotPermitted> {
        match permit {
            Permit::Anyone => Ok(()),
            Permit::Client(client) => self.add_data(client, bytes),
            Permit::Member(_) => self.add_operation(sender, MAX_OPERATIONS_PER_BLOCK, bytes),
            Permit::Candidate => self.add_operation(sender, 1, bytes),
        }
    }

    fn add_data(&mut self, client: &'c Client, bytes: u64) -> Result<(), NotPermitted> {
        let member_used = self.members.get(&client.member).copied().unwrap_or(UNUSED);
        let member = within(member_used, bytes, self.config.member_quota())?;
        if let Some(quota) = client.quota {
            let used = self.clients.get(&client.key).copied().unwrap_or(UNUSED);
            self.clients.insert(client.key, within(used, bytes, quota)?);
        }
        self.members.insert(&client.member, member);
        Ok(())
    }

    fn add_operation(&mut self, sender: &PublicKey, most: u64, bytes: u64) -> Result<(), NotPermitted> {
        // A longer operation is malformed. Members must not fill blocks with such payloads.
        if bytes > u64::from(TRANSACTION_OVERHEAD_BYTES + MAX_OPERATION_BYTES) {
            return Err(NotPermitted::AboveQuota);
        }
        let used = self.operations.entry(*sender).or_default();
        if *used >= most {
            return Err(NotPermitted::Quota);
        }
        *used += 1;
        Ok(())
    }
}

/// The use with one more transaction.
fn within(used: Quota, bytes: u64, limit: Quota) -> Result<Quota, NotPermitted> {
    if bytes > limit.bytes || limit.transactions == 0 {
        return Err(NotPermitted::AboveQuota);
    }
    let next =
        Quota { transactions: used.transactions.saturating_add(1), bytes: used.bytes.saturating_add(bytes) };
    let fits = next.transactions <= limit.transactions && next.bytes <= limit.bytes;
    if fits { Ok(next) } else { Err(NotPermitted::Quota) }
}
