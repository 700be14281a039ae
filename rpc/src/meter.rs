//! What the server counts about itself, and what a metric is.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use quorate_api::ErrorKind;

/// What a metric means, for `/metrics` and for the documentation alike.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// Its name, with the unit and, if it only rises, `_total` at the end.
    pub name: &'static str,
    /// How it is read.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises, and starts at 0 with the process.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

impl MetricKind {
    /// The word of the Prometheus text format.
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

    /// A number that only rises.
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Counter, labels, help)
    }

    /// A number that rises and falls.
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Gauge, labels, help)
    }

    /// A distribution.
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        MetricSpec::new(name, MetricKind::Histogram, labels, help)
    }

    /// Name and meaning, as the library wants them.
    pub fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    /// A histogram of this name with these buckets, in seconds or whatever the name says.
    ///
    /// # Panics
    /// If the name or a label is not one, or buckets do not ascend: the tables are written by hand and tested.
    pub fn histogram_vec(&self, buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::from(self.opts()).buckets(buckets.to_vec());
        HistogramVec::new(opts, self.labels).expect("a histogram that is written down correctly")
    }

    /// Rising numbers of this name.
    ///
    /// # Panics
    /// As [`MetricSpec::histogram_vec`].
    pub fn counter_vec(&self) -> IntCounterVec {
        IntCounterVec::new(self.opts(), self.labels).expect("a counter that is written down correctly")
    }

    fn one_counter(&self) -> IntCounter {
        IntCounter::with_opts(self.opts()).expect("a counter that is written down correctly")
    }

    fn one_gauge(&self) -> IntGauge {
        IntGauge::with_opts(self.opts()).expect("a gauge that is written down correctly")
    }
}

const REQUEST_SECONDS: MetricSpec = MetricSpec::histogram(
    "quorate_rpc_request_seconds",
    &["method"],
    "Time from a request's admission to its answer, with what it waits for: tx_submit waits for a commit if asked to.",
);
const ERRORS: MetricSpec = MetricSpec::counter(
    "quorate_rpc_errors_total",
    &["method", "kind"],
    "Requests answered with an error, by data.kind; of names that are no methods the method is unknown.",
);
const REQUESTS_RUNNING: MetricSpec =
    MetricSpec::gauge("quorate_rpc_requests_running", &[], "Methods that run or wait now.");
const RESPONSES: MetricSpec = MetricSpec::counter(
    "quorate_rpc_http_responses_total",
    &["code"],
    "HTTP responses by status code, those of /livez, /readyz and /metrics not counted; 429 and 503 are refusals for a client's \
     rate, for lack of room, or because the node is not ready.",
);
const CONNECTIONS: MetricSpec =
    MetricSpec::gauge("quorate_rpc_connections", &[], "Open connections of clients.");
const CONNECTIONS_REFUSED: MetricSpec = MetricSpec::counter(
    "quorate_rpc_connections_refused_total",
    &[],
    "Connections refused because rpc.max_connections were open.",
);
const STREAMS: MetricSpec =
    MetricSpec::gauge("quorate_rpc_streams", &[], "WebSockets and event streams that are open.");

/// What this crate counts.
pub const RPC_METRICS: &[MetricSpec] =
    &[REQUEST_SECONDS, ERRORS, REQUESTS_RUNNING, RESPONSES, CONNECTIONS, CONNECTIONS_REFUSED, STREAMS];

/// From a cached answer to a wait for a commit in a view change.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The counts of one server. Clones count together.
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

/// Counts one more until it is dropped.
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

    /// Shows the counts in a registry.
    ///
    /// # Panics
    /// If it has metrics of these names: a registry is for one server.
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
