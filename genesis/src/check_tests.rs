#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use quorate_governance::{Bound, Settings, Submit, rules};
use quorate_ledger::{PublicKey, ReplicaId, Timestamp};

use super::*;
use crate::{TestNetwork, Validator};

fn draft() -> GenesisDraft {
    TestNetwork::seeded(4, 1).genesis().to_draft()
}

fn refused(change: impl FnOnce(&mut GenesisDraft)) -> Vec<GenesisError> {
    let mut draft = draft();
    change(&mut draft);
    draft.check().map_or_else(|errors| errors.errors().to_vec(), |_| Vec::new())
}

fn changed(settings: &mut Settings, section: usize, index: usize, value: u64) {
    *settings.sections()[section].parameters[index].value = value;
}

#[test]
fn the_defaults_are_accepted() {
    assert_eq!(refused(|_| {}), []);
}

#[test]
fn both_submit_modes_are_accepted() {
    for submit in Submit::ALL {
        assert_eq!(refused(|draft| draft.settings.parameters.clients.submit = submit), []);
    }
}

#[test]
fn every_number_has_a_least_and_a_largest_value() {
    for section in 0..4 {
        for index in 0..draft().settings.sections()[section].parameters.len() {
            let (name, range) = {
                let mut settings = draft().settings;
                let section = &settings.sections()[section];
                let parameter = &section.parameters[index];
                (format!("{}.{}", section.name, parameter.name), parameter.range.clone())
            };
            let error = |value| {
                let (min, max) = (*range.start(), *range.end());
                vec![GenesisError::from(ParameterError::Range { field: name.clone(), value, min, max })]
            };
            let refusal = |value| refused(|draft| changed(&mut draft.settings, section, index, value));
            let above = range.end() + 1;
            assert_eq!(refusal(above), error(above), "and nothing that follows from it");
            assert_eq!(refusal(u64::MAX), error(u64::MAX));
            if let Some(below) = range.start().checked_sub(1) {
                assert_eq!(refusal(below), error(below));
            }
            for edge in [*range.start(), *range.end()] {
                let errors = refusal(edge);
                let own = errors
                    .iter()
                    .find(|error| matches!(error, GenesisError::Parameter(ParameterError::Range { .. })));
                assert_eq!(own, None, "{name} may be {edge}");
            }
        }
    }
}

/// Sets two numbers: the one under test and the ones that make its limit.
type Change = fn(&mut Settings, u64);

/// Field, side, limit, and how to bring the field to a value with all other rules met.
type Contradiction = (&'static str, Bound, u64, Change);

fn contradictions() -> Vec<Contradiction> {
    [contradictions_of_times(), contradictions_of_sizes()].concat()
}

fn contradictions_of_times() -> Vec<Contradiction> {
    use Bound::AtMost;
    vec![
        ("consensus.timeout_cap_ms", AtMost, 10_000, |settings, value| {
            settings.parameters.block.max_transaction_lifetime_ms = 40_003;
            settings.parameters.consensus.timeout_cap_ms = value;
        }),
        ("consensus.request_timeout_ms", AtMost, 7000, |settings, value| {
            settings.parameters.consensus.timeout_cap_ms = 7000;
            settings.parameters.consensus.request_timeout_ms = value;
        }),
        ("consensus.new_view_timeout_ms", AtMost, 7000, |settings, value| {
            settings.parameters.consensus.timeout_cap_ms = 7000;
            settings.parameters.consensus.new_view_timeout_ms = value;
        }),
        ("consensus.status_interval_ms", AtMost, 1500, |settings, value| {
            settings.parameters.consensus.request_timeout_ms = 1500;
            settings.parameters.consensus.status_interval_ms = value;
        }),
        ("consensus.status_interval_ms", AtMost, 1600, |settings, value| {
            settings.parameters.consensus.new_view_timeout_ms = 1600;
            settings.parameters.consensus.status_interval_ms = value;
        }),
        ("consensus.batch_delay_ms", AtMost, 500, |settings, value| {
            settings.parameters.consensus.batch_delay_ms = value;
        }),
        ("consensus.clock_tolerance_ms", AtMost, 2500, |settings, value| {
            settings.parameters.block.max_transaction_lifetime_ms = 10_000;
            settings.parameters.consensus.timeout_cap_ms = 2500;
            settings.parameters.consensus.clock_tolerance_ms = value;
        }),
    ]
}

fn contradictions_of_sizes() -> Vec<Contradiction> {
    use Bound::{AtLeast, AtMost};
    vec![
        ("block.max_transaction_bytes", AtMost, 5000, |settings, value| {
            settings.parameters.block.max_body_bytes = 5000;
            settings.parameters.block.max_transaction_bytes = value;
        }),
        ("block.max_body_bytes", AtMost, 3_392_451, |settings, value| {
            settings.parameters.block.max_body_bytes = value;
        }),
        ("consensus.checkpoint_interval", AtLeast, 8, |settings, value| {
            settings.parameters.consensus.checkpoint_interval = value;
        }),
        ("consensus.log_window", AtLeast, 256, |settings, value| {
            settings.parameters.consensus.log_window = value;
        }),
        ("mempool.max_transactions", AtLeast, 8000, |settings, value| {
            settings.parameters.mempool.max_transactions = value;
        }),
        ("mempool.max_bytes", AtLeast, 8 << 20, |settings, value| {
            settings.parameters.mempool.max_bytes = value;
            settings.parameters.mempool.max_bytes_per_sender = 1 << 20;
        }),
        ("mempool.max_transactions_per_sender", AtMost, 50_000, |settings, value| {
            settings.parameters.mempool.max_transactions_per_sender = value;
        }),
        ("mempool.max_bytes_per_sender", AtMost, 64 << 20, |settings, value| {
            settings.parameters.mempool.max_bytes_per_sender = value;
        }),
        ("mempool.max_bytes_per_sender", AtLeast, 256 << 10, |settings, value| {
            settings.parameters.mempool.max_bytes_per_sender = value;
        }),
        ("governance.max_bytes_per_member", AtLeast, 256 << 10, |settings, value| {
            settings.governance.max_bytes_per_member = value;
        }),
    ]
}

#[test]
fn every_contradiction_is_refused_just_beyond_its_limit() {
    for (name, side, edge, change) in contradictions() {
        assert_eq!(refused(|draft| change(&mut draft.settings, edge)), [], "{name} may be {edge}");
        let beyond = match side {
            Bound::AtMost => edge + 1,
            Bound::AtLeast => edge - 1,
        };
        let errors = refused(|draft| change(&mut draft.settings, beyond));
        let [error] = errors.as_slice() else {
            panic!("{name} = {beyond} breaks one rule, not {errors:?}");
        };
        let GenesisError::Parameter(ParameterError::Rule(rule)) = error else {
            panic!("{error} is not a broken rule");
        };
        assert_eq!((rule.field, rule.value, rule.bound, rule.limit), (name, beyond, side, edge));
        let text = error.to_string();
        for word in rule.others.iter().chain([&rule.field]) {
            assert!(text.contains(word), "{text:?} names {word}");
        }
    }
}

#[test]
fn every_rule_is_in_the_table() {
    let mut tested: Vec<_> =
        contradictions().iter().map(|(field, side, ..)| (*field, side.to_string())).collect();
    let mut all: Vec<_> =
        rules(&Settings::default()).iter().map(|rule| (rule.field, rule.bound.to_string())).collect();
    tested.sort();
    all.sort();
    assert_eq!(tested, all);
}

#[test]
fn rules_name_fields_that_exist() {
    let mut settings = Settings::default();
    let fields: BTreeSet<String> = settings
        .sections()
        .iter()
        .flat_map(|section| {
            let names = section.parameters.iter().map(|parameter| parameter.name);
            names.map(|name| format!("{}.{name}", section.name))
        })
        .collect();
    for rule in rules(&Settings::default()) {
        for field in rule.others.iter().chain([&rule.field]) {
            assert!(fields.contains(*field), "{field}");
        }
    }
}

#[test]
fn limits_of_extreme_numbers_do_not_overflow() {
    let errors = refused(|draft| {
        for section in 0..4 {
            for index in 0..draft.settings.sections()[section].parameters.len() {
                changed(&mut draft.settings, section, index, u64::MAX);
            }
        }
    });
    assert_eq!(errors.len(), 22, "each number is reported once and no relation is");
}

#[test]
fn names_of_the_network() {
    for good in ["a", "main-net-2", &"x".repeat(MAX_NETWORK_NAME)] {
        assert_eq!(refused(|draft| draft.name = good.to_owned()), []);
    }
    for bad in ["", "Main", "main net", "néon", "a\nb", &"x".repeat(MAX_NETWORK_NAME + 1)] {
        let error = GenesisError::Name { field: "name", name: bad.to_owned(), limit: MAX_NETWORK_NAME };
        assert_eq!(refused(|draft| draft.name = bad.to_owned()), [error]);
    }
}

#[test]
fn a_genesis_time_after_the_year_2200_is_refused() {
    let time = |time| refused(|draft| draft.genesis_time = Timestamp(time));
    assert_eq!(time(MAX_GENESIS_TIME_MS), []);
    assert_eq!(
        time(MAX_GENESIS_TIME_MS + 1),
        [GenesisError::from(ParameterError::Range {
            field: "genesis_time_ms".to_owned(),
            value: MAX_GENESIS_TIME_MS + 1,
            min: 0,
            max: MAX_GENESIS_TIME_MS,
        })]
    );
}

#[test]
fn committees_of_no_or_too_many_members() {
    let of = |members| {
        let mut validators = TestNetwork::seeded(MAX_MEMBERS, 1).genesis().validators().to_vec();
        validators.push(Validator::new("one-more", TestNetwork::seeded(1, 2).key(ReplicaId(0)).public()));
        validators.truncate(members);
        refused(|draft| draft.validators = validators)
    };
    assert_eq!(of(0), [GenesisError::Size(0)]);
    assert_eq!(of(1), []);
    assert_eq!(of(MAX_MEMBERS), []);
    assert_eq!(of(MAX_MEMBERS + 1), [GenesisError::Size(MAX_MEMBERS + 1)]);
}

#[test]
fn validators_need_unique_and_valid_names() {
    let named = |name: &str| refused(|draft| draft.validators[2].name = name.to_owned());
    assert_eq!(named(&"v".repeat(MAX_VALIDATOR_NAME)), []);
    for bad in ["", "Eve", &"v".repeat(MAX_VALIDATOR_NAME + 1)] {
        let error = GenesisError::Name {
            field: "a validator's name",
            name: bad.to_owned(),
            limit: MAX_VALIDATOR_NAME,
        };
        assert_eq!(named(bad), [error]);
    }
    assert_eq!(named("validator-0"), [GenesisError::SameName("validator-0".to_owned())]);
    let all = refused(|draft| {
        for validator in &mut draft.validators {
            validator.name = "same".to_owned();
        }
    });
    assert_eq!(all, [GenesisError::SameName("same".to_owned())], "reported once");
}

#[test]
fn validators_need_unique_and_valid_keys() {
    let key = draft().validators[0].public_key;
    let same = refused(|draft| draft.validators[3].public_key = key);
    assert_eq!(
        same,
        [GenesisError::SameKey { first: "validator-0".to_owned(), second: "validator-3".to_owned(), key }]
    );
    // No point of the curve has x = 5, because 5³ + 7 is not a square.
    let mut bytes = [0; 33];
    (bytes[0], bytes[32]) = (2, 5);
    let nowhere = PublicKey::from_bytes(bytes).unwrap();
    let no_point =
        |field| vec![GenesisError::NoPoint { name: "validator-1".to_owned(), field, key: nowhere }];
    assert_eq!(refused(|draft| draft.validators[1].public_key = nowhere), no_point("public_key"));
    assert_eq!(refused(|draft| draft.validators[1].governance_key = nowhere), no_point("governance_key"));
    let both = |draft: &mut GenesisDraft| draft.validators[1] = Validator::new("validator-1", nowhere);
    assert_eq!(refused(both), no_point("public_key"), "reported once");
}

#[test]
fn a_governance_key_belongs_to_one_validator() {
    let Validator { public_key, governance_key, .. } = draft().validators[0].clone();
    for key in [public_key, governance_key] {
        let errors = refused(|draft| draft.validators[3].governance_key = key);
        let (first, second) = ("validator-0".to_owned(), "validator-3".to_owned());
        assert_eq!(errors, [GenesisError::SameKey { first, second, key }]);
        assert!(errors[0].to_string().contains("each needs its own"), "{}", errors[0]);
    }
    let swapped = refused(|draft| {
        let [first, second] = &mut draft.validators[..2] else { panic!("four validators") };
        std::mem::swap(&mut first.governance_key, &mut second.public_key);
    });
    assert_eq!(swapped, [], "the keys of two validators are only compared with each other");
    assert_eq!(refused(|draft| draft.validators[2].governance_key = draft.validators[2].public_key), []);
}

#[test]
fn all_errors_are_reported_together_one_a_line() {
    let mut draft = draft();
    draft.name = "line\nbreak".repeat(20);
    draft.validators[1].name = "line\nbreak".to_owned();
    draft.validators[2].public_key = draft.validators[3].public_key;
    draft.settings.parameters.block.max_body_bytes = 300;
    draft.settings.parameters.consensus.window = 33;
    draft.settings.parameters.consensus.log_window = 255;
    let errors = draft.check().unwrap_err();
    assert_eq!(errors.errors().len(), 6, "{errors}");
    let text = errors.to_string();
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.lines().all(|line| line.len() < 400), "{text}");
}
