//! Admission to a pool: its outcome and its limits.

use quorate_ledger::Refusal;

use crate::usage::Usage;

/// Limits on the content of a pool, apart from reserved places ([`Share::Reserved`]). Transactions in
/// flight count: they stay in the pool until they are committed.
///
/// Besides the encoded transactions, a pool needs less than 1 KiB of memory for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Most transactions.
    pub max_transactions: u64,
    /// Most bytes of encoded transactions.
    pub max_bytes: u64,
    /// Most transactions of one sender.
    pub max_transactions_per_sender: u64,
    /// Most bytes of one sender's encoded transactions.
    pub max_bytes_per_sender: u64,
}

/// A group of senders that share one part of the pool. The owner chooses the bytes; equal bytes are
/// the same group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub [u8; Group::BYTES]);

impl Group {
    /// Bytes that identify a group.
    pub const BYTES: usize = 32;
}

/// The part of the pool in which a transaction takes a place. A held transaction keeps it until it
/// leaves the pool, even if the owner would admit it with another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The limits of the pool and of the sender hold, and no others.
    Common,
    /// These limits hold, and in addition the group's share of the limits of the pool. So no group can
    /// fill the pool. A group may always hold one transaction, even if the share is smaller than it.
    Group {
        /// The group of the sender.
        group: Group,
        /// The share is the limits of the pool divided by this number, rounded down.
        groups: u64,
    },
    /// Reserved for the sender: neither the limits of the pool nor those of the sender hold. Such
    /// transactions take no places of others, and others take none of these.
    ///
    /// The owner limits which senders have such places and the bytes of each transaction, and with
    /// them the memory.
    Reserved {
        /// Most transactions of the sender in its reserved places.
        max_transactions: u64,
    },
}

/// The outcome for a transaction that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was added to the pool.
    New,
    /// It was in the pool already. Nothing changed.
    Known,
}

impl MempoolLimits {
    /// Checks the usage of one sender against its quota.
    pub(crate) fn check_sender(&self, Usage { transactions, bytes }: Usage) -> Result<(), Refusal> {
        if transactions <= self.max_transactions_per_sender && bytes <= self.max_bytes_per_sender {
            return Ok(());
        }
        Err(Refusal::SenderQuota { transactions, bytes })
    }

    /// Checks the usage of one of `groups` groups against its share of the pool.
    pub(crate) fn check_group(
        &self,
        Usage { transactions, bytes }: Usage,
        groups: u64,
    ) -> Result<(), Refusal> {
        let groups = groups.max(1);
        let fits = transactions <= self.max_transactions / groups && bytes <= self.max_bytes / groups;
        // Otherwise a group with a tiny share could never submit anything.
        if fits || transactions == 1 {
            return Ok(());
        }
        Err(Refusal::MemberShare { transactions, bytes })
    }

    /// Checks the total usage against the limits of the pool.
    pub(crate) fn check_total(&self, Usage { transactions, bytes }: Usage) -> Result<(), Refusal> {
        if transactions <= self.max_transactions && bytes <= self.max_bytes {
            return Ok(());
        }
        Err(Refusal::PoolFull { transactions, bytes })
    }
}
