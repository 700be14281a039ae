//! The metrics that are read at each scrape. `node/METRICS.md` is made from this table and the
//! others.

mod governance;
mod node;
mod ordering;
mod peers;
mod storage;

use quorate_rpc::MetricSpec;

use super::facts::Facts;
use super::read::{Reading, Samples};

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Reading {
    Reading { spec: MetricSpec::gauge(name, labels, help), read }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Reading {
    Reading { spec: MetricSpec::counter(name, labels, help), read }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floating-point numbers")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

const VALIDATOR: &[&str] = &["validator"];

/// All of them, in the order of the document.
pub(crate) fn readings() -> impl Iterator<Item = &'static Reading> {
    [node::NODE, governance::GOVERNANCE, ordering::ORDERING, storage::STORAGE, peers::PEERS]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use quorate_network::NetworkCounters;
    use quorate_rpc::RPC_METRICS;

    use super::*;
    use crate::runtime::metrics::measured::MEASURED;

    const DOCUMENT: &str = include_str!("../../../../METRICS.md");

    fn all() -> impl Iterator<Item = MetricSpec> {
        let read = readings().map(|reading| reading.spec);
        read.chain(MEASURED.iter().copied()).chain(RPC_METRICS.iter().copied())
    }

    /// The text of `node/METRICS.md`, made from the tables.
    fn document() -> String {
        let mut text = String::from(
            "\
# Metrics of a node

`GET /metrics` at the RPC address returns these metrics in the Prometheus text format, and the usual `process_` metrics.
All counters start at 0 with the process, and again when its role changes because the committee does. Names do not change
within a version. The values of labels are members of the committee, methods and fixed words, so the number of series is
bounded. `docker/monitoring` has a dashboard and alert rules.

An observer reports the view as validators report it. It has no samples about voting, the journal and the history of
its mempool, which is always empty.

A test compares this page with the code.

| metric | kind | labels | meaning |
|---|---|---|---|
",
        );
        for MetricSpec { name, kind, labels, help } in all() {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{name}` | {} | {} | {help} |", kind.name(), labels.join(", "))
                .expect("writing to a string does not fail");
        }
        text += "\n## Events of the network\n\n| event | meaning |\n|---|---|\n";
        for (event, meaning) in NetworkCounters::MEANINGS {
            writeln!(text, "| `{event}` | {meaning} |").expect("writing to a string does not fail");
        }
        text
    }

    #[test]
    fn the_document_agrees_with_the_code() {
        let expected = document();
        assert!(DOCUMENT == expected, "put this into node/METRICS.md:\n{expected}");
    }

    /// The conventions that promtool also checks: counters end in `_total`, other metrics do not,
    /// and names are unique.
    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for spec in all() {
            assert!(names.insert(spec.name), "{} is there twice", spec.name);
            assert!(spec.name.starts_with("quorate_"), "{}", spec.name);
            let counts = spec.kind == quorate_rpc::MetricKind::Counter;
            assert_eq!(spec.name.ends_with("_total"), counts, "{}", spec.name);
            assert!(spec.help.ends_with('.') && !spec.help.contains('|'), "{}", spec.name);
        }
    }
}
