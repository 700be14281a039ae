//! Making the engine of an epoch from the files (R13b, R26e).

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Block, BlockHash, Epoch, Height, ReplicaId, SecretKey, SignatureMemo, Verified, VerifiedTransaction,
};
use quorate_mempool::Mempool;
use quorate_pbft::{ChainEnd, Continuation, Input, Now, Phase, Record, Replica, Restored, Signer};
use quorate_store::{Journal, Ledger, LedgerReader, StoreError};

use crate::config::EngineConfig;
use crate::driver::Driver;
use crate::engine::{Counters, Engine};
use crate::fetching::Fetching;
use crate::fetching::catchup::Pace;
use crate::pool::Pool;
use crate::pool::outbound::Outbound;
use crate::pool::recent::RecentIds;
use crate::pool::share;
use crate::proposing::censorship::CensorshipWatch;
use crate::proposing::flight::Flight;
use crate::storage::Storage;
use crate::storage::execution::Execution;
use crate::storage::open::OpenError;
use crate::storage::records::Remembered;

/// The epoch of the ledger's next block, before an engine of it exists.
pub(crate) struct Opening {
    pub(crate) config: EngineConfig,
}

impl Opening {
    /// The epoch of this ledger's next block.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn of(ledger: &Ledger, memo: Option<Arc<SignatureMemo>>) -> Result<Self, StoreError> {
        let network = ledger.governance().next_config();
        let below = network.epoch_start().previous().unwrap_or_default();
        let root = ledger.reader().present_header(below)?;
        let config = EngineConfig::of_epoch(network, &root).remembering(memo);
        Ok(Opening { config })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.config.pbft.context.epoch()
    }

    /// An empty pool, with the ids that no block may contain again.
    pub(crate) fn pool(&self, reader: &LedgerReader) -> Result<Pool, StoreError> {
        let pbft = &self.config.pbft;
        let lifetime_ms = pbft.limits.transaction.max_lifetime_ms;
        let mut recent = RecentIds::new(lifetime_ms);
        let remembered_ms = if is(Mutant::HalfTheIds) { lifetime_ms / 2 } else { lifetime_ms };
        let since = reader.head()?.timestamp.minus_ms(remembered_ms);
        for block in reader.ids_since(since)? {
            recent.push(block.timestamp, block.ids.into());
        }
        let outbound = Outbound::new(self.config.batch_delay, pbft.request_timeout);
        Ok(Pool::new(Mempool::new(self.config.mempool), recent, outbound))
    }

    /// The signer of this epoch with the key that is a member's. `None` if none of these keys is.
    pub(crate) fn signer(&self, keys: &[SecretKey]) -> Option<Signer> {
        let context = &self.config.pbft.context;
        keys.iter().find_map(|key| {
            let me = context.committee.index_of(&key.public())?;
            Some(Signer::new(context, key.clone(), me))
        })
    }

    /// Restores the engine of a journal of this epoch.
    pub(crate) fn restore(
        self,
        signer: Signer,
        ledger: Ledger,
        journal: Journal,
        pool: Pool,
        remembered: Remembered,
        now: Now,
    ) -> Result<Engine, OpenError> {
        let me = signer.replica();
        let end = self.chain_end(&ledger.reader(), remembered.collected)?;
        let schedule = Execution::new(ledger.governance().clone()).schedule();
        let Restored { replica, accepted } =
            Replica::restore(self.config.pbft.clone(), signer, end, schedule, remembered.records)
                .map_err(|error| OpenError::Journal(error.to_string()))?;
        let storage = Storage::new(ledger, journal, remembered.collected, &self.config.pbft, me, false);
        let mut engine = Engine::with(self.config, me, replica, storage, pool);
        engine.evidence = remembered.evidence;
        let current = engine.proposed_in_view(now);
        for skeleton in accepted {
            let block = remembered.blocks.get(&skeleton.hash()).expect("read together with its skeleton");
            engine.take_back(now, block, current.contains(&skeleton.hash()));
        }
        Ok(engine)
    }

    /// Begins this epoch, without any record of it.
    pub(crate) fn begin(
        self,
        signer: Signer,
        ledger: Ledger,
        journal: Journal,
        pool: Pool,
        previous: Continuation,
    ) -> Result<Engine, OpenError> {
        let me = signer.replica();
        let reader = ledger.reader();
        let collected = ledger.durable_head();
        let schedule = Execution::new(ledger.governance().clone()).schedule();
        let end = self.chain_end(&reader, collected)?;
        let replica = Replica::begin(self.config.pbft.clone(), signer, end, previous, schedule);
        let storage = Storage::new(ledger, journal, collected, &self.config.pbft, me, false);
        Ok(Engine::with(self.config, me, replica, storage, pool))
    }

    /// Follows the chain through an epoch before that of the journal. Nothing is signed and nothing
    /// is written to the journal.
    pub(crate) fn follow(
        self,
        signer: Signer,
        ledger: Ledger,
        journal: Journal,
        pool: Pool,
    ) -> Result<Engine, OpenError> {
        let me = signer.replica();
        // R24d: no ledger of this epoch reaches this height.
        let end = self.chain_end(&ledger.reader(), Height(u64::MAX))?;
        let schedule = Execution::new(ledger.governance().clone()).schedule();
        let records = [Record::EpochStart(self.epoch())];
        let Restored { replica, .. } =
            Replica::restore(self.config.pbft.clone(), signer, end, schedule, records)
                .map_err(|error| OpenError::Journal(error.to_string()))?;
        let storage = Storage::new(ledger, journal, Height(0), &self.config.pbft, me, true);
        Ok(Engine::with(self.config, me, replica, storage, pool))
    }

    /// The end of the ledger, with what the replica needs of it.
    fn chain_end(&self, reader: &LedgerReader, forgotten_through: Height) -> Result<ChainEnd, StoreError> {
        let head = reader.head()?.height;
        let tip = reader.present_header(head)?;
        let certificate = reader.certificate(head)?.map(Verified::from_own_storage);
        let checkpoint = match head.0 - head.0 % self.config.pbft.checkpoint_interval {
            0 => None,
            height => reader.header(Height(height))?.zip(reader.state_root(Height(height))?),
        };
        Ok(ChainEnd { tip, certificate, checkpoint, forgotten_through })
    }
}

impl Engine {
    /// An engine of this replica, with nothing in flight.
    fn with(config: EngineConfig, me: ReplicaId, replica: Replica, storage: Storage, pool: Pool) -> Engine {
        Engine {
            me,
            driver: Driver::new(replica, Input::Durable(storage.durable_head())),
            storage,
            pool,
            flight: Flight::default(),
            fetching: Fetching::new(Pace::of_member(&config.pbft)),
            censorship: CensorshipWatch::default(),
            evidence: Vec::new(),
            proposed: None,
            expected: None,
            counters: Counters::default(),
            config,
        }
    }

    /// Restores an accepted block. Its transactions return to the pool too: they are needed if
    /// another block becomes final in its place.
    fn take_back(&mut self, now: Now, block: &Block, current: bool) {
        for transaction in block.body().transactions() {
            // Blocks of another view may have committed these transactions since.
            if self.pool.recent.contains(&transaction.id()) {
                continue;
            }
            let (id, present) = (transaction.id(), self.present(now));
            let transaction = VerifiedTransaction::from_own_storage(transaction);
            let share = share::of_returned(self.storage.execution(), &transaction);
            let admitted = self.pool.mempool.admit(present, share, transaction);
            // A pool that is smaller than before may refuse some; the block still contains them.
            // Resend those that the pool admits: this replica may be the only one that holds them.
            if admitted.is_ok() {
                self.pool.outbound.adopt(now.moment, id);
            }
        }
        if current {
            self.hold(block.clone());
        } else {
            self.flight.insert(block.clone(), false);
        }
    }

    /// The blocks that were accepted in the current view.
    fn proposed_in_view(&self, now: Now) -> BTreeSet<BlockHash> {
        let stands = self.driver.replica().overview(now);
        let accepted = stands.slots.iter().filter(|slot| {
            stands.active
                && slot.view == stands.view
                && matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
        });
        accepted.filter_map(|slot| slot.block).collect()
    }
}
