//! Converts facts to samples.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use quorate_rpc::{MetricKind, MetricSpec};

use super::facts::Facts;
use super::table::readings;

/// A metric that is read on request.
pub(crate) struct Reading {
    pub(crate) spec: MetricSpec,
    pub(crate) read: fn(&Facts, &mut Samples),
}

/// The samples of one metric.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(Vec<String>, f64)>);

impl Samples {
    /// The only sample of a metric without labels.
    pub(crate) fn is(&mut self, value: f64) {
        self.0.push((Vec::new(), value));
    }

    /// The same for a whole number. Above 2^53 the sample is the nearest number that it can
    /// represent.
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point numbers")]
    pub(crate) fn counts(&mut self, value: u64) {
        self.is(value as f64);
    }

    /// The same, if this node has such a number.
    pub(crate) fn counts_if(&mut self, value: Option<u64>) {
        value.into_iter().for_each(|value| self.counts(value));
    }

    /// A sample of a metric with one label.
    pub(crate) fn of(&mut self, label: &str, value: f64) {
        self.0.push((vec![label.to_owned()], value));
    }

    /// The same for a whole number.
    #[expect(clippy::cast_precision_loss, reason = "samples are floating-point numbers")]
    pub(crate) fn counts_of(&mut self, label: &str, value: u64) {
        self.of(label, value as f64);
    }

    /// 1 for true, 0 for false.
    pub(crate) fn says(&mut self, label: &str, yes: bool) {
        self.of(label, f64::from(u8::from(yes)));
    }

    /// A sample of a metric with several labels.
    pub(crate) fn with(&mut self, labels: Vec<String>, value: f64) {
        self.0.push((labels, value));
    }
}

/// Collects all [`readings`] of a node.
pub(crate) struct ReadWhenAsked {
    facts: Box<dyn Fn() -> Facts + Send + Sync>,
    descs: Vec<Desc>,
}

impl ReadWhenAsked {
    pub(crate) fn new(facts: Box<dyn Fn() -> Facts + Send + Sync>) -> Self {
        let desc = |reading: &Reading| {
            let MetricSpec { name, labels, help, .. } = reading.spec;
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
                .expect("a metric that is written down correctly")
        };
        ReadWhenAsked { facts, descs: readings().map(desc).collect() }
    }
}

impl Collector for ReadWhenAsked {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let facts = (self.facts)();
        readings().map(|reading| family(reading, &facts)).collect()
    }
}

pub(super) fn family(reading: &Reading, facts: &Facts) -> MetricFamily {
    let mut samples = Samples::default();
    (reading.read)(facts, &mut samples);
    let MetricSpec { name, kind, labels, help } = reading.spec;
    let metric = |(values, value): (Vec<String>, f64)| {
        assert_eq!(values.len(), labels.len(), "{name} has a value for each label");
        let pair = |(label, value): (&&str, String)| {
            let mut pair = LabelPair::default();
            pair.set_name((*label).to_owned());
            pair.set_value(value);
            pair
        };
        let mut metric = Metric::from_label(labels.iter().zip(values).map(pair).collect());
        if kind == MetricKind::Counter {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    };
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    let counts = kind == MetricKind::Counter;
    family.set_field_type(if counts { MetricType::COUNTER } else { MetricType::GAUGE });
    family.set_metric(samples.0.into_iter().map(metric).collect());
    family
}
