//! The parameters of governance itself, and all settings of a network together.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{MAX_BODY_BYTES, MAX_TRANSACTIONS};

use super::table::{MIN_TRANSACTION_BYTES, Section, parameter};
use super::{BlockParameters, Parameters};

/// The largest limit on the number of clients. With it, the registry takes some 300 MB.
pub const MAX_CLIENTS: u32 = 1_000_000;

/// The longest lifetime of a proposal: with a block a second, four months.
const MAX_PROPOSAL_LIFETIME: u64 = 10_000_000;

/// Limits of governance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GovernanceParameters {
    /// Most clients in the registry. Each member may add the 31st part, rounded down: as many as
    /// every member can have in the largest committee.
    pub max_clients: u64,
    /// Heights after which an open proposal expires.
    pub proposal_lifetime: u64,
    /// In the submit mode `registry`: most data transactions of one member's clients in a block.
    pub max_transactions_per_member: u64,
    /// In the submit mode `registry`: most bytes of these transactions.
    pub max_bytes_per_member: u64,
}

/// Each member's part of a block, if the network does not choose another one: a quarter.
const DEFAULT_PART: u64 = 4;

impl Default for GovernanceParameters {
    /// The parameters for blocks of the default size.
    fn default() -> Self {
        GovernanceParameters::for_blocks(&BlockParameters::default())
    }
}

impl GovernanceParameters {
    /// A hundred thousand clients and heights, and for each member a quarter of these blocks, but
    /// at least one transaction of the largest size. They are valid with all checked parameters,
    /// and in their ranges with any others.
    pub fn for_blocks(block: &BlockParameters) -> Self {
        let transactions = block.max_transactions / DEFAULT_PART;
        let bytes = (block.max_body_bytes / DEFAULT_PART).max(block.max_transaction_bytes);
        GovernanceParameters {
            max_clients: 100_000,
            proposal_lifetime: 100_000,
            max_transactions_per_member: transactions.clamp(1, MAX_TRANSACTIONS.into()),
            max_bytes_per_member: bytes.clamp(MIN_TRANSACTION_BYTES, MAX_BODY_BYTES.into()),
        }
    }

    pub(super) fn section(&mut self) -> Section<'_> {
        let parameters = vec![
            parameter(
                "max_clients",
                &mut self.max_clients,
                0..=MAX_CLIENTS.into(),
                "Most clients in the registry; each member may add the 31st part.",
            ),
            parameter(
                "proposal_lifetime",
                &mut self.proposal_lifetime,
                1..=MAX_PROPOSAL_LIFETIME,
                "Heights after which a proposal expires that too few members have approved.",
            ),
            parameter(
                "max_transactions_per_member",
                &mut self.max_transactions_per_member,
                1..=MAX_TRANSACTIONS.into(),
                "With the submit mode registry: most transactions of one member's clients in a block.",
            ),
            parameter(
                "max_bytes_per_member",
                &mut self.max_bytes_per_member,
                MIN_TRANSACTION_BYTES..=MAX_BODY_BYTES.into(),
                "Most bytes of these transactions.",
            ),
        ];
        Section { name: "governance", parameters }
    }
}

/// All settings that judge a block besides the committee and the clients. Their encoding is part of
/// the content that the chain id is computed from, and an entry of the governance state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settings {
    /// The parameters of the genesis.
    pub parameters: Parameters,
    /// The parameters of governance.
    pub governance: GovernanceParameters,
}

impl Settings {
    /// All numeric parameters, in the order of the genesis file.
    pub fn sections(&mut self) -> [Section<'_>; 4] {
        let [block, consensus, mempool] = self.parameters.sections();
        [block, consensus, mempool, self.governance.section()]
    }
}
