//! The metrics of this server, and the specification of a metric.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use quorate_api::ErrorKind;

/// The specification of a metric, for `/metrics` and for the documentation.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// Its name, with the unit; a counter ends in `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its meaning, in a sentence.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only increases, and starts at 0 with the process.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl MetricKind {
    /// Its name in the Prometheus text format.
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

impl MetricSpec {
    const fn new(
        name: &'static str,
        kind: MetricKind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        MetricSpec { name, kind, labels, help }
    }

    /// The specification of a counter.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Counter, labels, help)
    }

    /// The specification of a gauge.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Gauge, labels, help)
    }

    /// The specification of a histogram.
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Histogram, labels, help)
    }

    /// Name and help text for the Prometheus library.
    pub fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    /// A histogram of this name with these buckets, in the unit of the name.
    ///
    /// # Panics
    /// If the name or a label is invalid, or the buckets do not ascend. Tests cover all
    /// specifications.
    pub fn histogram_vec(&self, buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::from(self.opts()).buckets(buckets.to_vec());
        HistogramVec::new(opts, self.labels).expect("the specification of the histogram is valid")
    }

    /// A counter of this name.
    ///
    /// # Panics
    /// As [`MetricSpec::histogram_vec`].
    pub fn counter_vec(&self) -> IntCounterVec {
        IntCounterVec::new(self.opts(), self.labels).expect("the specification of the counter is valid")
    }

    fn one_counter(&self) -> IntCounter {
        IntCounter::with_opts(self.opts()).expect("the specification of the counter is valid")
    }

    fn one_gauge(&self) -> IntGauge {
        IntGauge::with_opts(self.opts()).expect("the specification of the gauge is valid")
    }
}

const REQUEST_SECONDS: MetricSpec = MetricSpec::histogram(
    "quorate_rpc_request_seconds",
    &["method"],
    "Time from a request's admission to its response, waits included: tx_submit can wait for a commit.",
);
const ERRORS: MetricSpec = MetricSpec::counter(
    "quorate_rpc_errors_total",
    &["method", "kind"],
    "Requests that got an error, by data.kind. The label method is unknown for a name that is not a method.",
);
const REQUESTS_RUNNING: MetricSpec =
    MetricSpec::gauge("quorate_rpc_requests_running", &[], "Methods that are running or waiting.");
const RESPONSES: MetricSpec = MetricSpec::counter(
    "quorate_rpc_http_responses_total",
    &["code"],
    "HTTP responses by status code, except those of /livez, /readyz and /metrics. 429 and 503 are refusals because of a client's \
     rate, lack of capacity, or a node that is not ready.",
);
const CONNECTIONS: MetricSpec =
    MetricSpec::gauge("quorate_rpc_connections", &[], "Open connections of clients.");
const CONNECTIONS_REFUSED: MetricSpec = MetricSpec::counter(
    "quorate_rpc_connections_refused_total",
    &[],
    "Connections refused because rpc.max_connections was reached.",
);
const STREAMS: MetricSpec =
    MetricSpec::gauge("quorate_rpc_streams", &[], "Open WebSockets and event streams.");

/// The metrics of this crate.
pub const RPC_METRICS: &[MetricSpec] =
    &[REQUEST_SECONDS, ERRORS, REQUESTS_RUNNING, RESPONSES, CONNECTIONS, CONNECTIONS_REFUSED, STREAMS];

/// Buckets from a cached result to a wait for a commit during a view change.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of one server. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    request_seconds: HistogramVec,
    errors: IntCounterVec,
    running: IntGauge,
    responses: IntCounterVec,
    connections: IntGauge,
    refused: IntCounter,
    streams: IntGauge,
}

/// Increments a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct Inside(IntGauge);

impl Inside {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Inside(gauge.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        Meter {
            request_seconds: REQUEST_SECONDS.histogram_vec(SECONDS),
            errors: ERRORS.counter_vec(),
            running: REQUESTS_RUNNING.one_gauge(),
            responses: RESPONSES.counter_vec(),
            connections: CONNECTIONS.one_gauge(),
            refused: CONNECTIONS_REFUSED.one_counter(),
            streams: STREAMS.one_gauge(),
        }
    }

    /// Registers the metrics in a registry.
    ///
    /// # Panics
    /// If the registry has metrics of these names already: a registry is for one server.
    pub(crate) fn register(&self, registry: &Registry) {
        let collectors: [Box<dyn Collector>; 7] = [
            Box::new(self.request_seconds.clone()),
            Box::new(self.errors.clone()),
            Box::new(self.running.clone()),
            Box::new(self.responses.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.streams.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect("a registry is for one server");
        }
    }

    pub(crate) fn answered(&self, method: &str, after: Duration, error: Option<ErrorKind>) {
        self.request_seconds.with_label_values(&[method]).observe(after.as_secs_f64());
        if let Some(kind) = error {
            self.errors.with_label_values(&[method, kind.name()]).inc();
        }
    }

    pub(crate) fn responded(&self, code: u16) {
        self.responses.with_label_values(&[code.to_string().as_str()]).inc();
    }

    pub(crate) fn connection_refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn running(&self) -> Inside {
        Inside::of(&self.running)
    }

    pub(crate) fn connection(&self) -> Inside {
        Inside::of(&self.connections)
    }

    pub(crate) fn stream(&self) -> Inside {
        Inside::of(&self.streams)
    }
}
