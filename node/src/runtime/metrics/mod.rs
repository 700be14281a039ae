//! What a node tells Prometheus about itself.
//!
//! Most of it is read when it is asked for, from what the node says of itself anyway: the same facts that
//! `consensus_explain` speaks of (`read`). What has no state to read, such as how long something took, is counted as it
//! happens (`measured`). The server counts its own requests (`quorate_rpc::RPC_METRICS`).

mod facts;
mod measured;
mod read;
mod table;

use std::sync::Arc;

use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;

use super::service::Service;
pub(crate) use measured::{Measured, Stopwatch};
use read::ReadWhenAsked;

/// A registry that shows everything about one node.
///
/// # Panics
/// If two metrics have the same name; the tables are tested.
pub(crate) fn registry(service: &Arc<Service>, measured: &Measured) -> Registry {
    let registry = Registry::new();
    measured.register(&registry);
    let read = ReadWhenAsked::new(Arc::clone(service));
    registry.register(Box::new(read)).expect("every metric has a name of its own");
    registry.register(Box::new(ProcessCollector::for_self())).expect("every metric has a name of its own");
    registry
}
