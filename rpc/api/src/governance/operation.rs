//! Operations in JSON and in words.

use std::fmt;

use quorate_governance::{Operation, Quota};
use quorate_ledger::{BlockHash, PublicKey, TransactionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::{Bytes, Hex};
use crate::governance::change::DescribedChange;

/// What the data transactions of a member or client may use of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Quota")]
pub struct QuotaJson {
    /// Most transactions.
    pub transactions: u64,
    /// Most bytes of encoded transactions.
    pub bytes: u64,
}

impl From<Quota> for QuotaJson {
    fn from(quota: Quota) -> Self {
        QuotaJson { transactions: quota.transactions, bytes: quota.bytes }
    }
}

/// The content of a governance transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Operation")]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum OperationJson {
    /// Proposes changes and approves them.
    Propose {
        /// The changes.
        changes: Vec<DescribedChange>,
    },
    /// Approves a proposal.
    Approve {
        /// The proposal.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<32>")]
        proposal: TransactionId,
    },
    /// Takes back an approval.
    Withdraw {
        /// The proposal.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<32>")]
        proposal: TransactionId,
    },
    /// A candidate states that it has the chain up to a block.
    Ready {
        /// Height of the block.
        height: u64,
        /// Its hash.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<32>")]
        block: BlockHash,
    },
    /// Replaces the consensus key of the sender's member.
    Rotate {
        /// The new key.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        consensus_key: PublicKey,
    },
    /// Starts a new epoch with the same keys.
    Renew,
    /// Adds a client of the sender's member.
    AddClient {
        /// The name of the client.
        name: String,
        /// Its key.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        key: PublicKey,
    },
    /// Removes a client of the sender's member.
    RemoveClient {
        /// Its key.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        key: PublicKey,
    },
    /// Limits a client of the sender's member.
    SetClientQuota {
        /// Its key.
        #[serde(with = "hex::text")]
        #[schemars(with = "Hex<33>")]
        key: PublicKey,
        /// The limit; null if only the quota of the member limits it.
        quota: Option<QuotaJson>,
    },
    /// The payload is no operation, so it fails.
    Malformed {
        /// The payload.
        #[serde(with = "hex")]
        #[schemars(with = "Bytes")]
        data: Vec<u8>,
    },
}

impl OperationJson {
    /// The operation in the payload of a governance transaction.
    pub fn of_payload(payload: &[u8]) -> Self {
        match Operation::decode(payload) {
            Ok(operation) => OperationJson::from(&operation),
            Err(_) => OperationJson::Malformed { data: payload.to_vec() },
        }
    }
}

impl From<&Operation> for OperationJson {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Propose { changes } => {
                OperationJson::Propose { changes: changes.iter().map(DescribedChange::from).collect() }
            }
            Operation::Approve(proposal) => OperationJson::Approve { proposal: *proposal },
            Operation::Withdraw(proposal) => OperationJson::Withdraw { proposal: *proposal },
            Operation::Ready { height, block } => OperationJson::Ready { height: height.0, block: *block },
            Operation::Rotate { consensus_key, .. } => {
                OperationJson::Rotate { consensus_key: *consensus_key }
            }
            Operation::Renew => OperationJson::Renew,
            Operation::AddClient { name, key } => {
                OperationJson::AddClient { name: name.to_string(), key: *key }
            }
            Operation::RemoveClient { key } => OperationJson::RemoveClient { key: *key },
            Operation::SetClientQuota { key, quota } => {
                OperationJson::SetClientQuota { key: *key, quota: quota.map(QuotaJson::from) }
            }
        }
    }
}

/// The operation in words.
impl fmt::Display for OperationJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperationJson::Propose { changes } => {
                let texts: Vec<&str> = changes.iter().map(|change| change.text.as_str()).collect();
                write!(f, "propose to {}", texts.join("; "))
            }
            OperationJson::Approve { proposal } => write!(f, "approve proposal {proposal}"),
            OperationJson::Withdraw { proposal } => write!(f, "withdraw the approval of proposal {proposal}"),
            OperationJson::Ready { height, .. } => {
                write!(f, "READY: the candidate has the chain up to block {height}")
            }
            OperationJson::Rotate { consensus_key } => {
                write!(f, "rotate to the consensus key {consensus_key}")
            }
            OperationJson::Renew => f.write_str("renew: start a new epoch with the same keys"),
            OperationJson::AddClient { name, key } => write!(f, "add client {name} with the key {key}"),
            OperationJson::RemoveClient { key } => write!(f, "remove client {key}"),
            OperationJson::SetClientQuota { key, quota: Some(quota) } => {
                let QuotaJson { transactions, bytes } = quota;
                write!(f, "limit client {key} to {transactions} transactions and {bytes} bytes in a block")
            }
            OperationJson::SetClientQuota { key, quota: None } => {
                write!(f, "limit client {key} only by the quota of its member")
            }
            OperationJson::Malformed { data } => {
                write!(f, "no operation: {} bytes that do not decode", data.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_governance::{Change, Submit};

    use super::*;

    #[test]
    fn words_name_what_an_operation_does() {
        let changes = vec![Change::SetSubmitMode { mode: Submit::Open }];
        let propose = OperationJson::of_payload(&Operation::Propose { changes }.to_bytes());
        assert!(propose.to_string().starts_with("propose to accept transactions of every key"), "{propose}");
        assert!(OperationJson::of_payload(&[0xff]).to_string().contains("1 bytes that do not decode"));
    }
}
