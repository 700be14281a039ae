//! Checks a genesis. Finds every error, not only the first.

use std::collections::BTreeMap;

use quorate_governance::ParameterError;
use quorate_ledger::{MAX_MEMBERS, PublicKey};

use crate::draft::{GenesisDraft, Validator};
use crate::error::GenesisError;
use crate::predecessor::Predecessor;
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
        let (value, max) = (draft.genesis_time.0, MAX_GENESIS_TIME_MS);
        let error = ParameterError::Range { field: "genesis_time_ms".to_owned(), value, min: 0, max };
        errors.push(error.into());
    }
    check_validators(draft, unreadable, &mut errors);
    errors.extend(draft.settings.errors().into_iter().map(GenesisError::from));
    errors.extend(draft.predecessor.iter().flat_map(Predecessor::errors));
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
    }
    check_keys(validators, errors);
}

/// No two validators may share a key, of either kind. The two keys of one validator may be equal.
fn check_keys(validators: &[Validator], errors: &mut Vec<GenesisError>) {
    let mut owners: BTreeMap<PublicKey, (usize, &Validator)> = BTreeMap::new();
    for (place, validator) in validators.iter().enumerate() {
        for (field, key) in
            [("public_key", validator.public_key), ("governance_key", validator.governance_key)]
        {
            match owners.get(&key) {
                Some((owner, _)) if *owner == place => {}
                Some((_, first)) => errors.push(GenesisError::SameKey {
                    first: shortened(&first.name),
                    second: shortened(&validator.name),
                    key,
                }),
                None => {
                    if key.parse().is_err() {
                        let name = shortened(&validator.name);
                        errors.push(GenesisError::NoPoint { name, field, key });
                    }
                    owners.insert(key, (place, validator));
                }
            }
            if !validator.has_own_governance_key() {
                break;
            }
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
