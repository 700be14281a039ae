use quorate_engine::Observation;

/// Everything that an observer's thread can process.
#[derive(Debug)]
pub(crate) enum ObserverWork {
    /// What the network shows. An observer accepts no transactions and serves no members.
    Observation(Observation),
    /// Make the ledger durable, and end.
    Stop,
}
