//! The relations that must hold between parameters.

use std::collections::BTreeSet;
use std::fmt;

use quorate_ledger::MAX_RANGE_BYTES;

use super::{GovernanceParameters, Parameters, Settings};

/// Whether a number must be at most or at least a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The limit or less.
    AtMost,
    /// The limit or more.
    AtLeast,
}

impl Bound {
    /// How to correct a field that is beyond a limit that follows from other fields.
    pub fn remedy(self, field: &str, others: &[&str]) -> String {
        let others = others.join(" or ");
        match self {
            Bound::AtMost => format!("lower {field} or raise {others}"),
            Bound::AtLeast => format!("raise {field} or lower {others}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        })
    }
}

/// Why parameters are invalid. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A number outside its own range.
    #[error("{field} is {value}: choose {min} to {max}")]
    Range {
        /// Path of the field.
        field: String,
        /// Its value.
        value: u64,
        /// Least possible value.
        min: u64,
        /// Largest possible value.
        max: u64,
    },
    /// A number that contradicts another parameter.
    #[error("{0}")]
    Rule(Rule),
}

/// A relation that must hold between parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Path of the field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// Whether the value must be at most or at least the limit.
    pub bound: Bound,
    /// The limit, computed from other fields.
    pub limit: u64,
    /// How the limit is computed, in words.
    pub meaning: &'static str,
    /// The fields from which it is computed.
    pub others: &'static [&'static str],
    /// The consequence of breaking the rule.
    pub reason: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { field, value, bound, limit, meaning, others, reason } = self;
        let remedy = bound.remedy(field, others);
        write!(f, "{field} is {value}, it must be {bound} {limit} ({meaning}): {reason}; {remedy}")
    }
}

impl Rule {
    /// Whether the value satisfies the rule.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost => self.value <= self.limit,
            Bound::AtLeast => self.value >= self.limit,
        }
    }

    pub(super) fn involves(&self, fields: &BTreeSet<String>) -> bool {
        fields.contains(self.field) || self.others.iter().any(|other| fields.contains(*other))
    }
}

impl Settings {
    /// Every error of these settings: first the numbers out of their ranges, then the broken rules.
    pub fn errors(&self) -> Vec<ParameterError> {
        let mut errors = Vec::new();
        // Skip the rules about a number that is out of range: they would only repeat that error.
        let mut refused = BTreeSet::new();
        let mut settings = *self;
        for section in settings.sections() {
            for parameter in &section.parameters {
                if let Some(error) = parameter.range_error(section.name) {
                    refused.insert(format!("{}.{}", section.name, parameter.name));
                    errors.push(error);
                }
            }
        }
        let broken = rules(&settings).into_iter().filter(|rule| !rule.is_met() && !rule.involves(&refused));
        errors.extend(broken.map(ParameterError::Rule));
        errors
    }
}

/// All rules with the values of these settings. Limits saturate, because the numbers need not be in
/// their ranges.
pub fn rules(settings: &Settings) -> Vec<Rule> {
    let parameters = &settings.parameters;
    let mut rules = block_rules(parameters);
    rules.extend(timeout_rules(parameters));
    rules.extend(delay_rules(parameters));
    rules.extend(log_rules(parameters));
    rules.extend(mempool_rules(parameters));
    rules.push(quota_rule(parameters, &settings.governance));
    rules
}

fn block_rules(parameters: &Parameters) -> Vec<Rule> {
    let block = &parameters.block;
    let open_blocks = parameters.consensus.window.saturating_mul(2).saturating_add(1);
    vec![
        Rule {
            field: "block.max_transaction_bytes",
            value: block.max_transaction_bytes,
            bound: Bound::AtMost,
            limit: block.max_body_bytes,
            meaning: "block.max_body_bytes",
            others: &["block.max_body_bytes"],
            reason: "a larger transaction would be admitted but fit into no block",
        },
        Rule {
            field: "block.max_body_bytes",
            value: block.max_body_bytes,
            bound: Bound::AtMost,
            limit: MAX_RANGE_BYTES / open_blocks,
            meaning: "57,671,680 divided by twice consensus.window and one",
            others: &["consensus.window"],
            reason: "a validator that is behind must receive all blocks that one certificate finalises in one answer",
        },
    ]
}

fn timeout_rules(parameters: &Parameters) -> Vec<Rule> {
    let (block, consensus) = (&parameters.block, &parameters.consensus);
    vec![
        Rule {
            field: "consensus.timeout_cap_ms",
            value: consensus.timeout_cap_ms,
            bound: Bound::AtMost,
            limit: block.max_transaction_lifetime_ms / 4,
            meaning: "a quarter of block.max_transaction_lifetime_ms",
            others: &["block.max_transaction_lifetime_ms"],
            reason: "transactions would expire before a dead primary is replaced",
        },
        Rule {
            field: "consensus.request_timeout_ms",
            value: consensus.request_timeout_ms,
            bound: Bound::AtMost,
            limit: consensus.timeout_cap_ms,
            meaning: "consensus.timeout_cap_ms",
            others: &["consensus.timeout_cap_ms"],
            reason: "the cap holds for the first timeout as well",
        },
        Rule {
            field: "consensus.new_view_timeout_ms",
            value: consensus.new_view_timeout_ms,
            bound: Bound::AtMost,
            limit: consensus.timeout_cap_ms,
            meaning: "consensus.timeout_cap_ms",
            others: &["consensus.timeout_cap_ms"],
            reason: "the cap holds for the first timeout as well",
        },
        Rule {
            field: "consensus.status_interval_ms",
            value: consensus.status_interval_ms,
            bound: Bound::AtMost,
            limit: consensus.request_timeout_ms,
            meaning: "consensus.request_timeout_ms",
            others: &["consensus.request_timeout_ms"],
            reason: "a correct primary would be replaced before a lost vote is resent",
        },
        Rule {
            field: "consensus.status_interval_ms",
            value: consensus.status_interval_ms,
            bound: Bound::AtMost,
            limit: consensus.new_view_timeout_ms,
            meaning: "consensus.new_view_timeout_ms",
            others: &["consensus.new_view_timeout_ms"],
            reason: "a correct new primary would be replaced before a lost view change is resent",
        },
    ]
}

fn delay_rules(parameters: &Parameters) -> Vec<Rule> {
    let (block, consensus) = (&parameters.block, &parameters.consensus);
    vec![
        Rule {
            field: "consensus.batch_delay_ms",
            value: consensus.batch_delay_ms,
            bound: Bound::AtMost,
            limit: consensus.request_timeout_ms / 4,
            meaning: "a quarter of consensus.request_timeout_ms",
            others: &["consensus.request_timeout_ms"],
            reason: "a primary that waits for more transactions would be replaced while it waits",
        },
        Rule {
            field: "consensus.clock_tolerance_ms",
            value: consensus.clock_tolerance_ms,
            bound: Bound::AtMost,
            limit: block.max_transaction_lifetime_ms / 4,
            meaning: "a quarter of block.max_transaction_lifetime_ms",
            others: &["block.max_transaction_lifetime_ms"],
            reason: "block times may be ahead of clocks by this much, so transactions would expire too early",
        },
    ]
}

fn log_rules(parameters: &Parameters) -> Vec<Rule> {
    let consensus = &parameters.consensus;
    vec![
        Rule {
            field: "consensus.checkpoint_interval",
            value: consensus.checkpoint_interval,
            bound: Bound::AtLeast,
            limit: consensus.window,
            meaning: "consensus.window",
            others: &["consensus.window"],
            reason: "more checkpoints would be in progress at once than a validator keeps of each sender",
        },
        Rule {
            field: "consensus.log_window",
            value: consensus.log_window,
            bound: Bound::AtLeast,
            limit: consensus.checkpoint_interval.saturating_mul(2),
            meaning: "twice consensus.checkpoint_interval",
            others: &["consensus.checkpoint_interval"],
            reason: "ordering would stop at every checkpoint until it is stable",
        },
    ]
}

fn mempool_rules(parameters: &Parameters) -> Vec<Rule> {
    let (block, mempool) = (&parameters.block, &parameters.mempool);
    let window = parameters.consensus.window;
    vec![
        Rule {
            field: "mempool.max_transactions",
            value: mempool.max_transactions,
            bound: Bound::AtLeast,
            limit: window.saturating_mul(block.max_transactions),
            meaning: "consensus.window times block.max_transactions",
            others: &["consensus.window", "block.max_transactions"],
            reason: "transactions stay in the pool until their block is committed, so it must hold a full pipeline",
        },
        Rule {
            field: "mempool.max_bytes",
            value: mempool.max_bytes,
            bound: Bound::AtLeast,
            limit: window.saturating_mul(block.max_body_bytes),
            meaning: "consensus.window times block.max_body_bytes",
            others: &["consensus.window", "block.max_body_bytes"],
            reason: "transactions stay in the pool until their block is committed, so it must hold a full pipeline",
        },
        Rule {
            field: "mempool.max_transactions_per_sender",
            value: mempool.max_transactions_per_sender,
            bound: Bound::AtMost,
            limit: mempool.max_transactions,
            meaning: "mempool.max_transactions",
            others: &["mempool.max_transactions"],
            reason: "a quota above the size of the whole pool limits no sender",
        },
        Rule {
            field: "mempool.max_bytes_per_sender",
            value: mempool.max_bytes_per_sender,
            bound: Bound::AtMost,
            limit: mempool.max_bytes,
            meaning: "mempool.max_bytes",
            others: &["mempool.max_bytes"],
            reason: "a quota above the size of the whole pool limits no sender",
        },
        Rule {
            field: "mempool.max_bytes_per_sender",
            value: mempool.max_bytes_per_sender,
            bound: Bound::AtLeast,
            limit: block.max_transaction_bytes,
            meaning: "block.max_transaction_bytes",
            others: &["block.max_transaction_bytes"],
            reason: "the largest allowed transaction could never be admitted",
        },
    ]
}

fn quota_rule(parameters: &Parameters, governance: &GovernanceParameters) -> Rule {
    Rule {
        field: "governance.max_bytes_per_member",
        value: governance.max_bytes_per_member,
        bound: Bound::AtLeast,
        limit: parameters.block.max_transaction_bytes,
        meaning: "block.max_transaction_bytes",
        others: &["block.max_transaction_bytes"],
        reason: "no block could contain the largest allowed transaction",
    }
}
