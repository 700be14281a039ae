//! What the held transactions use of the pool: together, by group and by sender.

use std::collections::BTreeMap;

use quorate_ledger::{PublicKey, Refusal};

use crate::admission::{Group, MempoolLimits, Share};

/// The number and bytes of held transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Number of transactions.
    pub(crate) transactions: u64,
    /// Bytes of their encodings.
    pub(crate) bytes: u64,
}

impl Usage {
    /// The usage with one more transaction.
    fn plus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions + 1, bytes: self.bytes + u64::from(bytes) }
    }

    /// The usage without one of its transactions.
    fn minus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions - 1, bytes: self.bytes - u64::from(bytes) }
    }
}

/// The usage of one sender.
#[derive(Debug, Clone, Copy, Default)]
struct SenderUsage {
    /// Of the limits that all senders share.
    common: Usage,
    /// Of its reserved places.
    reserved: Usage,
}

/// The usage of a pool. Transactions in flight count. Each operation costs one search in the map of
/// the senders, and one in that of the groups if the transaction has a group.
#[derive(Debug, Default)]
pub(crate) struct PoolUsage {
    common: Usage,
    reserved: Usage,
    senders: BTreeMap<PublicKey, SenderUsage>,
    /// Only groups that hold a transaction.
    groups: BTreeMap<Group, Usage>,
}

impl PoolUsage {
    /// Adds a transaction of `bytes` encoded bytes. After an error, the usage is unchanged.
    ///
    /// # Errors
    /// [`Refusal::SenderQuota`], [`Refusal::MemberShare`] and [`Refusal::PoolFull`].
    pub(crate) fn add(
        &mut self,
        limits: &MempoolLimits,
        sender: PublicKey,
        share: Share,
        bytes: u32,
    ) -> Result<(), Refusal> {
        let mut of_sender = self.senders.get(&sender).copied().unwrap_or_default();
        if let Share::Reserved { max_transactions } = share {
            of_sender.reserved = of_sender.reserved.plus(bytes);
            check_reserved(of_sender.reserved, max_transactions)?;
            self.reserved = self.reserved.plus(bytes);
        } else {
            of_sender.common = of_sender.common.plus(bytes);
            limits.check_sender(of_sender.common)?;
            let common = self.common.plus(bytes);
            if let Share::Group { group, groups } = share {
                let of_group = self.groups.get(&group).copied().unwrap_or_default().plus(bytes);
                limits.check_group(of_group, groups)?;
                limits.check_total(common)?;
                self.groups.insert(group, of_group);
            } else {
                limits.check_total(common)?;
            }
            self.common = common;
        }
        self.senders.insert(sender, of_sender);
        Ok(())
    }

    /// Removes a transaction that was added with these arguments.
    pub(crate) fn remove(&mut self, sender: PublicKey, share: Share, bytes: u32) {
        let of_sender = self.senders.get_mut(&sender).expect("the sender of a held transaction is counted");
        if let Share::Reserved { .. } = share {
            of_sender.reserved = of_sender.reserved.minus(bytes);
            self.reserved = self.reserved.minus(bytes);
        } else {
            of_sender.common = of_sender.common.minus(bytes);
            self.common = self.common.minus(bytes);
        }
        if of_sender.common.transactions == 0 && of_sender.reserved.transactions == 0 {
            self.senders.remove(&sender);
        }
        if let Share::Group { group, .. } = share {
            let of_group = self.groups.get_mut(&group).expect("the group of a held transaction is counted");
            *of_group = of_group.minus(bytes);
            if of_group.transactions == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// The usage of all transactions, including those in reserved places.
    pub(crate) fn total(&self) -> Usage {
        let (common, reserved) = (self.common, self.reserved);
        Usage {
            transactions: common.transactions + reserved.transactions,
            bytes: common.bytes + reserved.bytes,
        }
    }

    /// The number of transactions in reserved places.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.transactions
    }

    /// The number of senders with a transaction.
    pub(crate) fn senders(&self) -> u64 {
        self.senders.len() as u64
    }
}

/// Checks the usage of one sender against its reserved places. The caller limits the bytes of each
/// transaction.
fn check_reserved(Usage { transactions, bytes }: Usage, max_transactions: u64) -> Result<(), Refusal> {
    if transactions <= max_transactions {
        return Ok(());
    }
    Err(Refusal::SenderQuota { transactions, bytes })
}
