//! The end of an epoch, and the begin of the next one (R26).

use quorate_governance::{Config as NetworkConfig, State};
use quorate_ledger::{Epoch, ReplicaId, SecretKey};
use quorate_pbft::Now;
use quorate_store::Ledger;

use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::event::{Effects, Notice};
use crate::fatal::Fatal;
use crate::storage::opening::Opening;

/// What a node is in an epoch.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, when an epoch begins")]
pub enum EpochRole {
    /// A member, with this engine.
    Member(Engine),
    /// No member. It may follow the chain with this ledger.
    Follower(Ledger),
}

impl EpochRole {
    /// The engine of a member.
    pub fn into_member(self) -> Option<Engine> {
        match self {
            EpochRole::Member(engine) => Some(engine),
            EpochRole::Follower(_) => None,
        }
    }
}

impl Engine {
    /// The epoch that this engine lives for.
    pub fn epoch(&self) -> Epoch {
        self.config.pbft.context.epoch()
    }

    /// The configuration of this engine, the same in the whole epoch.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The index of this node in the committee.
    pub fn replica(&self) -> ReplicaId {
        self.me
    }

    /// The governance state after the last final block.
    pub fn governance(&self) -> &State {
        self.storage.execution().state()
    }

    /// The configuration that judges the next height. Clones share its content.
    pub fn network(&self) -> &NetworkConfig {
        self.governance().next_config()
    }

    /// Whether the last block of the epoch is final and durable here (R26d). The owner then calls
    /// [`Engine::next_epoch`]. Until that, the engine answers other members, and signs nothing.
    pub fn epoch_is_over(&self) -> bool {
        let replica = self.driver.replica();
        replica.epoch_is_over() && self.storage.durable_head() == replica.tip().height
    }

    /// Ends this engine and begins the next epoch, if one of these keys is that of a member in it. The
    /// pool stays. Nothing of views, votes, timers or evidence does. The owner then reports the
    /// connected members again, by their new indices.
    ///
    /// The effects contain no messages. They contain blocks only if the ledger was an old copy, and the
    /// journal of the next epoch had these blocks. The first record of the new engine deletes all others.
    ///
    /// # Errors
    /// [`Fatal`].
    ///
    /// # Panics
    /// If the epoch is not over.
    pub fn next_epoch(mut self, keys: &[SecretKey], now: Now) -> Result<(EpochRole, Effects), Fatal> {
        assert!(self.epoch_is_over(), "R26d: the epoch is over when its last block is durable");
        let mut effects = Effects::default();
        self.end_view(now, &mut effects);
        let continuation = self.driver.replica().continuation();
        let counters = self.counters();
        let Engine { config, driver, storage, mut pool, .. } = self;
        let silent = storage.is_silent();
        let (ledger, journal) = storage.into_files();
        let opening = Opening::of(&ledger, config.pbft.context.memo)?;
        let Some(signer) = opening.signer(keys) else {
            return Ok((EpochRole::Follower(ledger), effects));
        };
        pool.begin_epoch(now.moment, &opening.config);
        let mut engine = if silent {
            // R24d: the journal has records of this epoch or of a later one.
            let memo = opening.config.pbft.context.memo;
            let (role, appended) = Engine::open_with(keys, ledger, journal, memo, Some(pool), now)?;
            effects.committed.extend(appended);
            match role {
                EpochRole::Member(engine) => engine,
                EpochRole::Follower(_) => return Ok((role, effects)),
            }
        } else {
            opening.begin(signer, ledger, journal, pool, continuation)?
        };
        let start = engine.config.pbft.context.root.height.next();
        engine.reject_unpermitted(None, &mut effects);
        engine.counters = counters;
        engine.driver.count_from(driver.counters());
        effects.notices.push(Notice::EnteredEpoch { epoch: engine.epoch(), start });
        Ok((EpochRole::Member(engine), effects))
    }
}
