//! The replicated governance state.

mod block;
mod codec;
mod decide;
mod entries;
mod entry;
mod execute;
mod initial;
mod preview;
mod root;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_ledger::{ChainId, Epoch, Height, PublicKey};

pub use block::{Ancestors, ApplyError, ExecutedBlock, GovernanceTransaction};
pub use entry::{EntryKey, Head, Proposal, Scheduled};
pub use initial::{InitialState, InitialStateError};
pub use preview::{Obstacle, Preview, PreviewWarning};

use crate::config::Config;
use crate::operations::{Name, ProposalId};
use crate::tree::Tree;
use entries::StoredEntry;
use table::Table;

/// The governance state after a block. It is a function of the chain up to this block.
///
/// It determines the configurations of the next heights: see [`State::config`]. Clones share the
/// registry and the tree, so they cost little even with a large registry.
#[derive(Debug, Clone)]
pub struct State {
    head: Head,
    /// The configuration in force at the next height, and after it the configurations that scheduled
    /// changes make of it, each with its first height, in ascending order.
    configs: VecDeque<(Height, Arc<Config>)>,
    proposals: Table<ProposalId, Proposal>,
    scheduled: Table<u64, Scheduled>,
    ready: Table<PublicKey, Height>,
    retired: Table<PublicKey, Epoch>,
    renewals: Table<Name, Height>,
    /// All entries except clients, whose tree is in the registry.
    entries: Tree<Arc<StoredEntry>>,
}

/// Two states are equal if they have the same entries.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for State {}

impl State {
    /// The last executed block, and the counters.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.head.chain
    }

    /// Height of the last executed block.
    pub fn height(&self) -> Height {
        self.head.height
    }

    /// The configuration that judges the block at a height.
    ///
    /// `None` up to the executed height, and beyond [`State::horizon`]. Any state that knows the
    /// configuration of a height knows the same one, because a change that a later block decides
    /// takes effect beyond the horizon.
    pub fn config(&self, height: Height) -> Option<&Config> {
        if height <= self.head.height || height > self.horizon() {
            return None;
        }
        let (_, config) = self.configs.iter().rev().find(|(from, _)| *from <= height)?;
        Some(config)
    }

    /// The last height whose configuration is known: at least W + 1 above the executed height, where
    /// W is the window at the next height.
    pub fn horizon(&self) -> Height {
        let next = self.effective_after(self.head.height.next(), self.in_force().window());
        next.previous().unwrap_or(next)
    }

    /// The configuration of the next height.
    pub fn next_config(&self) -> &Config {
        self.in_force()
    }

    /// The configuration after all scheduled changes, which later changes build on.
    pub fn latest_config(&self) -> &Config {
        let (_, config) = self.configs.back().expect("there is always a configuration in force");
        config
    }

    /// The configurations that are known, each with the first height that it judges. The first one
    /// is that of the next height.
    pub fn configs(&self) -> impl Iterator<Item = (Height, &Config)> {
        let next = self.head.height.next();
        self.configs.iter().map(move |(from, config)| ((*from).max(next), config.as_ref()))
    }

    /// The first height of the next epoch, if an epoch change is scheduled.
    pub fn next_epoch_start(&self) -> Option<Height> {
        let mut scheduled = self.scheduled.rows().values();
        scheduled.find(|change| change.effect.starts_epoch()).map(|change| change.effective_from)
    }

    /// The open proposals.
    pub fn proposals(&self) -> &BTreeMap<ProposalId, Proposal> {
        self.proposals.rows()
    }

    /// The scheduled changes by number, in the order in which they take effect.
    pub fn scheduled(&self) -> &BTreeMap<u64, Scheduled> {
        self.scheduled.rows()
    }

    /// The candidates that sent READY, with the height that each named.
    pub fn ready(&self) -> &BTreeMap<PublicKey, Height> {
        self.ready.rows()
    }

    /// Keys that left the committee, with the first epoch without each.
    pub fn retired(&self) -> &BTreeMap<PublicKey, Epoch> {
        self.retired.rows()
    }

    /// The last rotation or renewal of each member that had one.
    pub fn renewals(&self) -> &BTreeMap<Name, Height> {
        self.renewals.rows()
    }

    fn in_force(&self) -> &Arc<Config> {
        let (_, config) = self.configs.front().expect("there is always a configuration in force");
        config
    }
}
