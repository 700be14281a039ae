//! Retransmission of lost messages (R14).

pub(crate) mod retransmit;

use std::collections::BTreeMap;

use quorate_ledger::{Height, ReplicaId};

use self::retransmit::Answered;
use crate::time::Moment;

/// What this replica knows of its connections to the other members.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// When this replica last sent STATUS to all.
    pub(crate) status_sent: Option<Moment>,
    /// When each member's STATUS was last answered.
    pub(crate) answered: BTreeMap<ReplicaId, Answered>,
    /// When the last message of each member arrived.
    pub(crate) last_heard: BTreeMap<ReplicaId, Moment>,
    /// The last committed height of each connected member, as its last STATUS says.
    pub(crate) heads: BTreeMap<ReplicaId, Height>,
}
