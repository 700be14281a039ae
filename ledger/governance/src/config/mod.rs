//! The configuration: what judges a block.

mod affected;
mod apply;
mod effect;
mod members;
mod permits;
mod registry;

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_ledger::{BlockLimits, Committee, Epoch, Height, PublicKey, Timestamp};

pub use affected::Affected;
pub use effect::Effect;
pub(crate) use members::{FAULT_TOLERANT, Members};
pub use members::{Member, QuorumArithmetic};
pub use permits::{BlockUse, Kind, Permit};
pub(crate) use registry::Registry;
pub use registry::{Client, clients_root};

use crate::operations::Name;
use crate::parameters::{Parameters, Settings, Submit};

/// The configuration that judges the block at a height: committee, clients and parameters. Clones
/// share their content.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) epoch_start: Height,
    /// Whether the network began with fewer than four members, and may have so few again.
    pub(crate) allows_small: bool,
    pub(crate) members: Arc<Members>,
    pub(crate) settings: Settings,
    pub(crate) candidates: Arc<BTreeSet<PublicKey>>,
    pub(crate) clients: Registry,
}

impl Config {
    /// The epoch of the block.
    pub fn epoch(&self) -> Epoch {
        self.committee().epoch()
    }

    /// The first height of the epoch; 0 in epoch 0.
    pub fn epoch_start(&self) -> Height {
        self.epoch_start
    }

    /// The members that vote.
    pub fn committee(&self) -> &Committee {
        self.members.committee()
    }

    /// The members with names and both keys, in committee order.
    pub fn members(&self) -> &[Member] {
        self.members.list()
    }

    /// The member with this name.
    pub fn member(&self, name: &Name) -> Option<&Member> {
        self.members().iter().find(|member| member.name == *name)
    }

    /// The member with this governance key.
    pub fn member_of(&self, governance_key: &PublicKey) -> Option<&Member> {
        self.members().iter().find(|member| member.governance_key == *governance_key)
    }

    /// The parameters that a genesis has, too.
    pub fn parameters(&self) -> &Parameters {
        &self.settings.parameters
    }

    /// All parameters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Limits that are part of the validity of blocks.
    pub fn block_limits(&self) -> BlockLimits {
        self.settings.parameters.block.limits()
    }

    /// The earliest clock time at which a block after a block of time `newest` can be ordered.
    /// Block times strictly increase, and no validator votes for a block whose time is ahead of its
    /// clock by more than the tolerance (R6).
    pub fn next_block_possible_at(&self, newest: Timestamp) -> Timestamp {
        newest.plus_ms(1).minus_ms(self.settings.parameters.consensus.clock_tolerance_ms)
    }

    /// Whose transactions the block may contain.
    pub fn submit_mode(&self) -> Submit {
        self.settings.parameters.clients.submit
    }

    /// The keys that may send READY: those that an open proposal would make consensus keys.
    pub fn candidates(&self) -> &BTreeSet<PublicKey> {
        &self.candidates
    }

    /// The client with this key, revoked or not. Costs one hash.
    pub fn client(&self, key: &PublicKey) -> Option<&Client> {
        self.clients.get(key)
    }

    /// All clients, in no useful order. Costs time and memory in proportion to their number.
    pub fn clients(&self) -> Vec<&Client> {
        self.clients.all()
    }

    /// Number of clients, including revoked ones.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Number of clients of one member, including revoked ones.
    pub fn clients_of(&self, member: &Name) -> u64 {
        self.clients.count_of(member)
    }

    /// W: blocks above the last committed one that a primary proposes.
    pub(crate) fn window(&self) -> u64 {
        self.settings.parameters.consensus.window
    }

    /// `count` checkpoint intervals, in heights.
    pub(crate) fn intervals(&self, count: u64) -> u64 {
        self.settings.parameters.consensus.checkpoint_interval.saturating_mul(count)
    }
}
