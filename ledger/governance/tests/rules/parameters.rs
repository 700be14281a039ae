//! The parameters that governance may change, and those that it may not.

use std::collections::BTreeSet;

use quorate_governance::{BlockParameters, GovernanceParameters, ParameterName, Settings};

/// The paths of all numbers: of a genesis, and of governance.
fn paths() -> BTreeSet<String> {
    let mut settings = Settings::default();
    let paths = settings.sections();
    let paths = paths.iter().flat_map(|section| {
        section.parameters.iter().map(|parameter| format!("{}.{}", section.name, parameter.name))
    });
    paths.collect()
}

#[test]
fn every_parameter_but_the_lifetime_of_transactions_may_change() {
    let mut rest = paths();
    for name in ParameterName::ALL {
        assert!(rest.remove(name.path()), "{name}");
        assert_eq!(name.path().parse(), Ok(*name));
    }
    assert_eq!(rest.into_iter().collect::<Vec<_>>(), ["block.max_transaction_lifetime_ms"]);
    let error = "block.max_transaction_lifetime_ms".parse::<ParameterName>().unwrap_err();
    assert!(error.to_string().contains("max_transaction_lifetime_ms"));
}

/// A replica and an engine have one constant configuration for an epoch.
#[test]
fn only_the_parameters_of_governance_change_within_an_epoch() {
    for name in ParameterName::ALL {
        assert_eq!(name.starts_epoch(), !name.path().starts_with("governance."), "{name}");
    }
}

/// The name and the field that it changes are the same number.
#[test]
fn a_name_changes_the_number_with_its_path() {
    for name in ParameterName::ALL {
        let mut settings = Settings::default();
        *name.of(&mut settings) = 123_456_789;
        let changed: Vec<String> = settings
            .sections()
            .iter()
            .flat_map(|section| section.parameters.iter().map(move |parameter| (section.name, parameter)))
            .filter(|(_, parameter)| *parameter.value == 123_456_789)
            .map(|(section, parameter)| format!("{section}.{}", parameter.name))
            .collect();
        assert_eq!(changed, [name.path()]);
    }
}

#[test]
fn the_numbers_of_governance_have_ranges_of_their_own() {
    let mut settings = Settings::default();
    let [.., governance] = settings.sections();
    assert_eq!(governance.name, "governance");
    let ranges: Vec<(u64, u64)> =
        governance.parameters.iter().map(|number| number.range.clone().into_inner()).collect();
    for (at, (least, most)) in ranges.into_iter().enumerate() {
        let errors = |value: u64| {
            let mut settings = Settings::default();
            let [.., mut governance] = settings.sections();
            *governance.parameters[at].value = value;
            settings.errors().iter().filter(|error| error.to_string().contains("choose")).count()
        };
        assert_eq!((errors(least), errors(most), errors(most + 1)), (0, 0, 1));
        assert!(least == 0 || errors(least - 1) == 1);
    }
}

#[test]
fn the_parameters_for_blocks_are_valid_for_the_smallest_and_the_largest_blocks() {
    for (max_transactions, max_body_bytes, max_transaction_bytes) in
        [(1, 256, 256), (3, 1000, 999), (1000, 1 << 20, 256 << 10), (10_000, 3 << 20, 1 << 20)]
    {
        let mut settings = Settings::default();
        let block = BlockParameters {
            max_transactions,
            max_body_bytes,
            max_transaction_bytes,
            ..settings.parameters.block
        };
        settings.parameters.block = block;
        settings.governance = GovernanceParameters::for_blocks(&block);
        let governance: Vec<_> =
            settings.errors().into_iter().filter(|error| error.to_string().contains("governance")).collect();
        assert_eq!(governance, []);
    }
}
