//! Proofs that a replica is faulty (R22).

pub(crate) mod accuse;
pub(crate) mod hiding;
pub(crate) mod proof;
pub(crate) mod superseded;

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::ReplicaId;

use self::superseded::Superseded;
use crate::messages::statement::Subject;

/// The faults that are proven, and the proposals that may still prove one.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// For each faulty member the statements about which it is proven.
    pub(crate) accused: BTreeMap<ReplicaId, BTreeSet<Subject>>,
    pub(crate) superseded: Superseded,
}
