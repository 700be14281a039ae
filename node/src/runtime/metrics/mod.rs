//! Metrics of a node for Prometheus.
//!
//! Most of them are read on request from the same state that `consensus_explain` uses (`read`).
//! Values without such a state, such as durations, are recorded when they occur (`measured`). The
//! server counts its own requests (`quorate_rpc::RPC_METRICS`).

mod facts;
mod measured;
mod read;
mod table;

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;

pub(crate) use facts::{Facts, ValidatorFacts};
pub(crate) use measured::{Measured, Stopwatch};
use read::ReadWhenAsked;

/// A registry with all metrics of one node. `facts` is called for each scrape.
///
/// # Panics
/// If two metrics have the same name; the tables are tested.
pub(crate) fn registry(facts: impl Fn() -> Facts + Send + Sync + 'static, measured: &Measured) -> Registry {
    let registry = Registry::new();
    measured.register(&registry);
    let read = ReadWhenAsked::new(Box::new(facts));
    registry.register(Box::new(read)).expect("every metric has a name of its own");
    registry.register(Box::new(ProcessCollector::for_self())).expect("every metric has a name of its own");
    registry
}
