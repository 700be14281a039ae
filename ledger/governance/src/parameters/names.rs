//! The parameters that governance may change, by name.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use super::Settings;

/// Declares the names with their tags, paths and fields in one place.
macro_rules! names {
    ($($name:ident = $tag:literal, $path:literal, $($field:ident).+;)*) => {
        /// A parameter that governance may change. The tag is its byte in operations.
        ///
        /// Governance cannot change `block.max_transaction_lifetime_ms`. A node remembers the ids of
        /// committed transactions for this time. With a shorter one, nodes would forget ids of
        /// transactions that are still valid, and a block could repeat them. Name and time of the
        /// genesis identify the network, so they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum ParameterName {
            $(#[doc = concat!("`", $path, "`")] $name = $tag,)*
        }

        impl ParameterName {
            /// All of them, in the order of their tags.
            pub const ALL: &[ParameterName] = &[$(ParameterName::$name,)*];

            /// Section and name, as in the genesis file.
            pub const fn path(self) -> &'static str {
                match self {
                    $(ParameterName::$name => $path,)*
                }
            }

            /// Its value in these settings.
            pub fn of(self, settings: &mut Settings) -> &mut u64 {
                match self {
                    $(ParameterName::$name => &mut settings.$($field).+,)*
                }
            }
        }
    };
}

names! {
    BlockMaxTransactions = 0, "block.max_transactions", parameters.block.max_transactions;
    BlockMaxBodyBytes = 1, "block.max_body_bytes", parameters.block.max_body_bytes;
    BlockMaxTransactionBytes = 2, "block.max_transaction_bytes", parameters.block.max_transaction_bytes;
    BlockEmptyGap = 3, "block.empty_block_gap_ms", parameters.block.empty_block_gap_ms;
    Window = 4, "consensus.window", parameters.consensus.window;
    CheckpointInterval = 5, "consensus.checkpoint_interval", parameters.consensus.checkpoint_interval;
    LogWindow = 6, "consensus.log_window", parameters.consensus.log_window;
    RequestTimeout = 7, "consensus.request_timeout_ms", parameters.consensus.request_timeout_ms;
    NewViewTimeout = 8, "consensus.new_view_timeout_ms", parameters.consensus.new_view_timeout_ms;
    TimeoutCap = 9, "consensus.timeout_cap_ms", parameters.consensus.timeout_cap_ms;
    StatusInterval = 10, "consensus.status_interval_ms", parameters.consensus.status_interval_ms;
    ClockTolerance = 11, "consensus.clock_tolerance_ms", parameters.consensus.clock_tolerance_ms;
    BatchDelay = 12, "consensus.batch_delay_ms", parameters.consensus.batch_delay_ms;
    PoolMaxTransactions = 13, "mempool.max_transactions", parameters.mempool.max_transactions;
    PoolMaxBytes = 14, "mempool.max_bytes", parameters.mempool.max_bytes;
    PoolMaxTransactionsPerSender = 15, "mempool.max_transactions_per_sender", parameters.mempool.max_transactions_per_sender;
    PoolMaxBytesPerSender = 16, "mempool.max_bytes_per_sender", parameters.mempool.max_bytes_per_sender;
    MaxClients = 17, "governance.max_clients", governance.max_clients;
    ProposalLifetime = 18, "governance.proposal_lifetime", governance.proposal_lifetime;
    MaxTransactionsPerMember = 19, "governance.max_transactions_per_member", governance.max_transactions_per_member;
    MaxBytesPerMember = 20, "governance.max_bytes_per_member", governance.max_bytes_per_member;
}

impl ParameterName {
    /// Whether a change starts a new epoch: that of every parameter but those of governance itself.
    /// A replica and an engine live for one epoch and have one constant configuration: they use the
    /// limits of blocks, the parameters of consensus and the limits of the mempool.
    pub const fn starts_epoch(self) -> bool {
        !matches!(
            self,
            ParameterName::MaxClients
                | ParameterName::ProposalLifetime
                | ParameterName::MaxTransactionsPerMember
                | ParameterName::MaxBytesPerMember
        )
    }
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// No parameter has this path, or governance cannot change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("governance cannot change {0:?}: use section.name of a parameter that `ParameterName` lists")]
pub struct UnknownParameter(pub String);

impl FromStr for ParameterName {
    type Err = UnknownParameter;
    fn from_str(text: &str) -> Result<Self, UnknownParameter> {
        let found = ParameterName::ALL.iter().find(|name| name.path() == text);
        found.copied().ok_or_else(|| UnknownParameter(text.to_owned()))
    }
}
