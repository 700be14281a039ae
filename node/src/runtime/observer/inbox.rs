use quorate_engine::Observation;
use quorate_ledger::Epoch;
use quorate_network::PeerKey;

/// Everything that an observer's thread can process.
#[derive(Debug)]
pub(crate) enum ObserverWork {
    /// What the network shows. An observer accepts no transactions and serves no members. Its member
    /// indices are those of this epoch, and the thread drops it in any other epoch.
    Observation { epoch: Epoch, observation: Observation },
    /// The channel to another node was closed.
    PeerDown(PeerKey),
    /// Make the ledger durable, and end.
    Stop,
}
