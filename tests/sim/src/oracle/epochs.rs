//! Epochs: every rule remembers statements, views, requests and waits of one epoch only, and uses the
//! parameters of this epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_engine::{EngineConfig, WireLimits};
use quorate_governance::{Config, Name};
use quorate_ledger::{Epoch, Header, Height, ReplicaId, SignatureMemo};
use quorate_pbft::EpochContext;

use crate::occasions::knobs::Knobs;
use crate::oracle::accepted::Accepted;
use crate::oracle::asked::Asked;
use crate::oracle::checkpoints::Checkpoints;
use crate::oracle::locks::Locks;
use crate::oracle::received::Heard;
use crate::oracle::votes::Votes;
use crate::oracle::waits::Waits;
use crate::oracle::{Check, require};

const ONE_EPOCH: &str = "no member signs for an epoch before its newest one";
const BOUNDS: &str = "statements of an epoch are about its heights";
const ONWARD: &str = "epochs only increase";

/// What the rules remember of one epoch.
#[derive(Debug)]
pub struct EpochRules {
    /// The parameters of the run, as they are in force in this epoch.
    pub knobs: Knobs,
    /// The configuration of all engines of the epoch.
    pub config: EngineConfig,
    /// The limits of its messages.
    pub limits: WireLimits,
    /// The members by their index in the committee. All other fields name a member by its index.
    seats: Vec<ReplicaId>,
    /// The last height, once its block is final.
    pub last: Option<Height>,
    /// Statements.
    pub votes: Votes,
    /// Headers, and what members may vote for.
    pub accepted: Accepted,
    /// What members received.
    pub heard: Heard,
    /// Open requests.
    pub asked: Asked,
    /// Waiting transactions.
    pub waits: Waits,
    /// Blocks that may be final, and beginnings of views.
    pub locks: Locks,
    /// CHECKPOINTs.
    pub checkpoints: Checkpoints,
}

impl EpochRules {
    fn new(knobs: &Knobs, network: &Config, root: &Header, memo: Option<&Arc<SignatureMemo>>) -> Self {
        let knobs = knobs.in_epoch(network);
        let config = EngineConfig::of_epoch(network, root).remembering(memo.cloned());
        EpochRules {
            limits: WireLimits::of(&network.block_limits(), knobs.window, network.committee().size()),
            seats: network.members().iter().map(|member| identity_of(&member.name)).collect(),
            last: None,
            votes: Votes::on(root.height),
            accepted: Accepted::default(),
            heard: Heard::new(&knobs),
            asked: Asked::new(&knobs),
            waits: Waits::new(&knobs),
            locks: Locks::new(knobs.quorum(), config.pbft.context.root),
            checkpoints: Checkpoints::on(root.height),
            config,
            knobs,
        }
    }

    /// What its messages are checked against.
    pub fn context(&self) -> &EpochContext {
        &self.config.pbft.context
    }

    /// The index of a member in the committee; `None` if it is no member in this epoch.
    pub fn seat(&self, member: ReplicaId) -> Option<ReplicaId> {
        let seat = self.seats.iter().position(|known| *known == member)?;
        Some(ReplicaId(u16::try_from(seat).expect("a committee is small")))
    }

    /// The member with this index.
    pub fn member(&self, seat: ReplicaId) -> Option<ReplicaId> {
        self.seats.get(seat.index()).copied()
    }

    /// The members, in the order of the committee.
    pub fn members(&self) -> &[ReplicaId] {
        &self.seats
    }

    /// The height below its first one.
    pub fn root(&self) -> Height {
        self.context().root.height
    }

    /// Whether a height belongs to the epoch, as far as it is known.
    pub fn contains(&self, height: Height) -> bool {
        height > self.root() && self.last.is_none_or(|last| height <= last)
    }

    /// A statement or certificate of the epoch is about this height.
    ///
    /// # Errors
    /// The height belongs to another epoch.
    pub fn is_about(&self, height: Height, what: impl Fn() -> String) -> Check {
        require(self.contains(height), BOUNDS, || {
            let (epoch, root) = (self.context().epoch(), self.root());
            format!("{} at height {height} in epoch {epoch}, from {root} to {:?}", what(), self.last)
        })
    }

    /// A member's process has ended, or is in another epoch.
    fn forget(&mut self, member: ReplicaId) {
        if let Some(seat) = self.seat(member) {
            self.heard.forget(seat);
            self.accepted.forget(seat);
            self.asked.forget(seat);
        }
    }
}

/// The rules of all epochs of a run.
#[derive(Debug)]
pub struct Epochs {
    /// By the number of the epoch.
    all: Vec<EpochRules>,
    /// The newest epoch in which each member has written to its journal.
    begun: BTreeMap<ReplicaId, Epoch>,
    /// The memo of signatures, if all members share one.
    memo: Option<Arc<SignatureMemo>>,
}

impl Epochs {
    /// The first epoch, on the header of the genesis.
    pub fn new(knobs: &Knobs, network: &Config, genesis: &Header) -> Self {
        Epochs {
            all: vec![EpochRules::new(knobs, network, genesis, None)],
            begun: BTreeMap::new(),
            memo: None,
        }
    }

    /// The memo of signatures, if all members share one.
    pub fn memo(&self) -> Option<&Arc<SignatureMemo>> {
        self.memo.as_ref()
    }

    /// From now on, all members share this memo.
    pub fn share(&mut self, memo: &Arc<SignatureMemo>) {
        self.memo = Some(Arc::clone(memo));
        for rules in &mut self.all {
            rules.config = rules.config.clone().remembering(self.memo.clone());
        }
    }

    /// Number of epochs that have begun.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The newest epoch.
    pub fn newest(&self) -> Epoch {
        Epoch(self.all.len() as u64 - 1)
    }

    /// The rules of an epoch that has begun.
    pub fn of(&self, epoch: Epoch) -> &EpochRules {
        &self.all[place(epoch)]
    }

    /// The same, to remember something.
    pub fn of_mut(&mut self, epoch: Epoch) -> &mut EpochRules {
        &mut self.all[place(epoch)]
    }

    /// An epoch begins above the block with this header, with this configuration.
    pub fn begin(&mut self, knobs: &Knobs, network: &Config, root: &Header) {
        if let Some(before) = self.all.last_mut() {
            before.last = Some(root.height);
        }
        self.all.push(EpochRules::new(knobs, network, root, self.memo.as_ref()));
    }

    /// A correct member has handled something in this epoch.
    ///
    /// # Errors
    /// It signs new statements, and was in a later epoch before.
    pub fn acts(&mut self, member: ReplicaId, epoch: Epoch, signs: bool) -> Check {
        let begun = self.begun.entry(member).or_insert(epoch);
        require(!signs || *begun <= epoch, ONE_EPOCH, || {
            format!("member {member} signs in epoch {epoch}, but it was in epoch {begun}")
        })?;
        *begun = epoch.max(*begun);
        Ok(())
    }

    /// The newest epoch in which a member has written to its journal.
    pub fn begun_by(&self, member: ReplicaId) -> Epoch {
        self.begun.get(&member).copied().unwrap_or_default()
    }

    /// Whether a member has written to its journal in this epoch, or in a later one.
    pub fn has_begun(&self, member: ReplicaId, epoch: Epoch) -> bool {
        self.begun.get(&member).is_some_and(|begun| *begun >= epoch)
    }

    /// A correct member starts in this epoch. `old` is true if its ledger was restored to an old state.
    ///
    /// # Errors
    /// It was in a later epoch before.
    pub fn reopened(&self, member: ReplicaId, epoch: Epoch, old: bool) -> Check {
        let begun = self.begun_by(member);
        require(old || epoch >= begun, ONWARD, || {
            format!("member {member} was in epoch {begun} and starts again in epoch {epoch}")
        })
    }

    /// A member's process has ended.
    pub fn forget(&mut self, member: ReplicaId) {
        self.all.iter_mut().for_each(|rules| rules.forget(member));
    }
}

/// The member with this name, which ends in its number: a member keeps its name when its index changes.
pub fn identity_of(name: &Name) -> ReplicaId {
    let number = name.as_str().rsplit('-').next().and_then(|digits| digits.parse().ok());
    ReplicaId(number.expect("the names of a run end in numbers"))
}

fn place(epoch: Epoch) -> usize {
    usize::try_from(epoch.0).expect("a run has few epochs")
}
