//! Opens an engine on its two files and restores what it signed (R13b).

use std::collections::BTreeSet;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Block, BlockHash, Header, Height, SecretKey, Verified, VerifiedTransaction};
use quorate_mempool::Mempool;
use quorate_pbft::{ChainEnd, Input, Now, Phase, Replica, Restored, Schedule, Signer};
use quorate_store::{Journal, Ledger, LedgerReader, StoreError};

use crate::config::EngineConfig;
use crate::driver::Driver;
use crate::engine::{Counters, Engine};
use crate::fetching::Fetching;
use crate::fetching::catchup::Pace;
use crate::pool::Pool;
use crate::pool::outbound::Outbound;
use crate::pool::recent::RecentIds;
use crate::proposing::censorship::CensorshipWatch;
use crate::proposing::flight::Flight;
use crate::storage::Storage;
use crate::storage::records::{self, Remembered};

/// Why an engine cannot start on these files.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key belongs to no member of the committee.
    #[error("the key {0} is not a validator of this genesis")]
    NotAMember(quorate_ledger::PublicKey),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal contains records that this node cannot have written. The node must not vote.
    #[error(
        "the journal cannot be understood: {0}; check the disk; the validator votes again only with this journal intact, and an older copy must never take its place"
    )]
    Journal(String),
}

impl Engine {
    /// Opens an engine on a ledger and a journal. `root` is the genesis header.
    ///
    /// Final blocks that the journal has, and the ledger lost in a power cut, are appended again.
    /// So no answer to a client is lost. Opening reads the blocks in flight and those of one
    /// transaction lifetime, not the whole chain.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: EngineConfig,
        root: &Header,
        key: &SecretKey,
        mut ledger: Ledger,
        journal: Journal,
        now: Now,
    ) -> Result<Engine, OpenError> {
        let committee = &config.pbft.context.committee;
        let me = committee.index_of(&key.public()).ok_or(OpenError::NotAMember(key.public()))?;
        let remembered =
            records::read(journal.rows()?, config.pbft.context.root).map_err(OpenError::Journal)?;
        let appended = append_final(&mut ledger, &remembered)?;
        if appended {
            ledger.make_durable()?;
        }
        let reader = ledger.reader();
        let tip = match reader.head()?.height {
            Height(0) => root.clone(),
            height => reader.header(height)?.ok_or_else(|| {
                OpenError::Journal(format!("the ledger has no header at its own head {height}"))
            })?,
        };
        let mut recent = RecentIds::new(config.pbft.limits.transaction.max_lifetime_ms);
        let lifetime_ms = config.pbft.limits.transaction.max_lifetime_ms;
        let remembered_ms = if is(Mutant::HalfTheIds) { lifetime_ms / 2 } else { lifetime_ms };
        for block in reader.ids_since(tip.timestamp.minus_ms(remembered_ms))? {
            recent.push(block.timestamp, block.ids.into());
        }
        let signer = Signer::new(&config.pbft.context, key.clone(), me);
        let end = chain_end(&reader, tip, config.pbft.checkpoint_interval, remembered.collected)?;
        let Restored { replica, accepted } =
            Replica::restore(config.pbft.clone(), signer, end, Schedule::FIXED, remembered.records)
                .map_err(|error| OpenError::Journal(error.to_string()))?;
        let pool = Pool::new(
            Mempool::new(config.mempool),
            recent,
            Outbound::new(config.batch_delay, config.pbft.request_timeout),
        );
        let mut engine = Engine {
            me,
            driver: Driver::new(replica, Input::Durable(ledger.durable_head())),
            storage: Storage::new(ledger, journal, remembered.collected, config.pbft.checkpoint_interval),
            pool,
            flight: Flight::default(),
            fetching: Fetching::new(Pace::of_member(&config.pbft)),
            censorship: CensorshipWatch::default(),
            evidence: remembered.evidence,
            proposed: None,
            expected: None,
            counters: Counters::default(),
            config,
        };
        let current = engine.proposed_in_view(now);
        for skeleton in accepted {
            let block = remembered.blocks.get(&skeleton.hash()).expect("read together with its skeleton");
            engine.take_back(now, block, current.contains(&skeleton.hash()));
        }
        Ok(engine)
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
            let admitted =
                self.pool.mempool.admit(present, VerifiedTransaction::from_own_storage(transaction));
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

/// The end of the ledger, with what the replica needs of it.
fn chain_end(
    reader: &LedgerReader,
    tip: Header,
    interval: u64,
    forgotten_through: Height,
) -> Result<ChainEnd, OpenError> {
    let certificate = reader.certificate(tip.height)?.map(Verified::from_own_storage);
    let checkpoint = match tip.height.0 - tip.height.0 % interval {
        0 => None,
        height => reader.header(Height(height))?,
    };
    Ok(ChainEnd { tip, certificate, checkpoint, forgotten_through })
}

/// Appends the final blocks that the journal has above the ledger's head. Returns `true` if there
/// were any.
fn append_final(ledger: &mut Ledger, remembered: &Remembered) -> Result<bool, StoreError> {
    let mut appended = false;
    for (height, certificate) in &remembered.finalised {
        let head = ledger.head();
        if *height <= head.height {
            continue;
        }
        let mut path: Vec<Block> = Vec::new();
        let mut wanted = certificate.ballot().block;
        while wanted != head.hash {
            match remembered.blocks.get(&wanted) {
                Some(block) if block.height() > head.height => {
                    wanted = block.header().parent;
                    path.push(block.clone());
                }
                // The blocks below were fetched, so the journal does not contain them (R13c). Fetch
                // them again.
                _ => break,
            }
        }
        if wanted == head.hash && !path.is_empty() {
            path.reverse();
            ledger.append(&path, certificate)?;
            appended = true;
        }
    }
    Ok(appended)
}
