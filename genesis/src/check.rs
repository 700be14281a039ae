//! Checks a genesis. Finds every error, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{MAX_MEMBERS, MAX_RANGE_BYTES};

use crate::draft::GenesisDraft;
use crate::error::{Bound, GenesisError};
use crate::parameters::Parameters;
use crate::{MAX_GENESIS_TIME_MS, MAX_NETWORK_NAME, MAX_VALIDATOR_NAME};

/// Longest piece of the file that an error quotes, in characters.
const MAX_QUOTED: usize = 80;

/// The errors of a draft. `unreadable` is the number of validators in the file that could not be
/// parsed; they are not in the draft, and their errors are reported already.
pub(crate) fn errors(draft: &GenesisDraft, unreadable: usize) -> Vec<GenesisError> {
    let mut errors = Vec::new();
    if !is_name(&draft.name, MAX_NETWORK_NAME) {
        errors.push(GenesisError::Name {
            field: "name",
            name: shortened(&draft.name),
            limit: MAX_NETWORK_NAME,
        });
    }
    if draft.genesis_time.0 > MAX_GENESIS_TIME_MS {
        errors.push(GenesisError::Range {
            field: "genesis_time_ms".to_owned(),
            value: draft.genesis_time.0,
            min: 0,
            max: MAX_GENESIS_TIME_MS,
        });
    }
    check_validators(draft, unreadable, &mut errors);
    check_parameters(&draft.parameters, &mut errors);
    errors
}

/// The beginning of a text from the file, to quote in an error.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn is_name(text: &str, limit: usize) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=limit).contains(&text.len()) && text.bytes().all(allowed)
}

fn check_validators(draft: &GenesisDraft, unreadable: usize, errors: &mut Vec<GenesisError>) {
    let validators = &draft.validators;
    let size = validators.len() + unreadable;
    if !(1..=MAX_MEMBERS).contains(&size) {
        errors.push(GenesisError::Size(size));
    }
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for validator in validators {
        if !is_name(&validator.name, MAX_VALIDATOR_NAME) {
            errors.push(GenesisError::Name {
                field: "a validator's name",
                name: shortened(&validator.name),
                limit: MAX_VALIDATOR_NAME,
            });
        }
        let uses = names.entry(&validator.name).or_default();
        *uses += 1;
        if *uses == 2 {
            errors.push(GenesisError::SameName(shortened(&validator.name)));
        }
        match keys.insert(validator.public_key, validator) {
            Some(first) => errors.push(GenesisError::SameKey {
                first: shortened(&first.name),
                second: shortened(&validator.name),
                key: validator.public_key,
            }),
            None if validator.public_key.parse().is_err() => errors
                .push(GenesisError::NoPoint { name: shortened(&validator.name), key: validator.public_key }),
            None => {}
        }
    }
}

fn check_parameters(parameters: &Parameters, errors: &mut Vec<GenesisError>) {
    // Skip the relations of a number that is out of range: they would only repeat that error.
    let mut refused = BTreeSet::new();
    let mut parameters = *parameters;
    for section in parameters.sections() {
        for parameter in section.parameters {
            if !parameter.range.contains(parameter.value) {
                let field = format!("{}.{}", section.name, parameter.name);
                refused.insert(field.clone());
                errors.push(GenesisError::Range {
                    field,
                    value: *parameter.value,
                    min: *parameter.range.start(),
                    max: *parameter.range.end(),
                });
            }
        }
    }
    let broken = rules(&parameters).into_iter().filter(|rule| !rule.is_met() && !rule.involves(&refused));
    errors.extend(broken.map(Rule::into_error));
}

/// A relation that must hold between parameters.
struct Rule {
    field: &'static str,
    value: u64,
    bound: Bound,
    limit: u64,
    meaning: &'static str,
    others: &'static [&'static str],
    reason: &'static str,
}

impl Rule {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost => self.value <= self.limit,
            Bound::AtLeast => self.value >= self.limit,
        }
    }

    fn involves(&self, fields: &BTreeSet<String>) -> bool {
        fields.contains(self.field) || self.others.iter().any(|other| fields.contains(*other))
    }

    fn into_error(self) -> GenesisError {
        GenesisError::Rule {
            field: self.field,
            value: self.value,
            bound: self.bound,
            limit: self.limit,
            meaning: self.meaning,
            others: self.others,
            reason: self.reason,
        }
    }
}

/// All relations. Limits saturate, because the parameters are not range-checked here.
fn rules(parameters: &Parameters) -> Vec<Rule> {
    let mut rules = block_rules(parameters);
    rules.extend(timeout_rules(parameters));
    rules.extend(delay_rules(parameters));
    rules.extend(log_rules(parameters));
    rules.extend(mempool_rules(parameters));
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

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
