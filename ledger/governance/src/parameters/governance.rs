//! The parameters of governance itself, and all settings of a network together.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{MAX_BODY_BYTES, MAX_TRANSACTIONS};

use super::table::{Section, parameter};
use super::{BlockParameters, Bound, ParameterError, Parameters, Rule, parameter_errors};

/// The largest limit on the number of clients. With it, the registry takes some 300 MB.
pub(crate) const MAX_CLIENTS: u32 = 1_000_000;

/// The longest lifetime of a proposal: with a block a second, four months.
const MAX_PROPOSAL_LIFETIME: u64 = 10_000_000;

/// Limits of governance. Format version 1 of the genesis does not contain them.
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
    /// A hundred thousand clients and heights, and for each member a quarter of these blocks, but at
    /// least one transaction of the largest size. They are valid with all checked parameters.
    pub fn for_blocks(block: &BlockParameters) -> Self {
        GovernanceParameters {
            max_clients: 100_000,
            proposal_lifetime: 100_000,
            max_transactions_per_member: (block.max_transactions / DEFAULT_PART).max(1),
            max_bytes_per_member: (block.max_body_bytes / DEFAULT_PART).max(block.max_transaction_bytes),
        }
    }

    /// The section of these parameters, with their ranges.
    pub fn section(&mut self) -> Section<'_> {
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
                256..=MAX_BODY_BYTES.into(),
                "Most bytes of these transactions.",
            ),
        ];
        Section { name: "governance", parameters }
    }
}

/// All settings that judge a block besides the committee and the clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settings {
    /// The parameters of the genesis.
    pub parameters: Parameters,
    /// The parameters of governance.
    pub governance: GovernanceParameters,
}

impl Settings {
    /// Every error of these settings: ranges and rules.
    pub fn errors(&self) -> Vec<ParameterError> {
        let mut errors = parameter_errors(&self.parameters);
        let mut governance = self.governance;
        let section = governance.section();
        errors.extend(section.parameters.iter().filter_map(|number| number.range_error(section.name)));
        let quota = Rule {
            field: "governance.max_bytes_per_member",
            value: self.governance.max_bytes_per_member,
            bound: Bound::AtLeast,
            limit: self.parameters.block.max_transaction_bytes,
            meaning: "block.max_transaction_bytes",
            others: &["block.max_transaction_bytes"],
            reason: "no block could contain the largest allowed transaction",
        };
        errors.extend((!quota.is_met()).then_some(ParameterError::Rule(quota)));
        errors
    }
}
