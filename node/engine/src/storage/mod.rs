//! The ledger and the journal, and the order in which they are written before messages leave (R13).

pub(crate) mod execution;
pub(crate) mod open;
pub(crate) mod opening;
pub(crate) mod records;

use std::time::Duration;

use quorate_governance::Affected;
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Block, CommitCertificate, Hash, Height, PublicKey, ReplicaId, Verified};
use quorate_pbft::{Config, Message, Moment, Record, Steps, To};
use quorate_store::{Head, Journal, Ledger, LedgerReader, StoreError};

use crate::fatal::Fatal;
use crate::fetching::range::{Group, append};
use crate::proposing::flight::Flight;
use crate::storage::execution::Execution;

/// While the ledger grows, it is made durable at least this often.
pub(crate) const DURABLE_INTERVAL: Duration = Duration::from_secs(1);

/// Both files of a validator, and what the next group writes to them.
#[derive(Debug)]
pub(crate) struct Storage {
    ledger: Ledger,
    journal: Journal,
    /// The governance state after the last final block.
    execution: Execution,
    /// The journal belongs to a later epoch than the ledger, which is an old copy. The records of the
    /// replica are then not written: it signs nothing, and the journal must stay as it is (R24d).
    silent: bool,
    /// Blocks that became final in this group, with their certificates.
    decided: Vec<(Vec<Block>, Verified<CommitCertificate>)>,
    /// When the ledger must be made durable at the latest; `None` while it is durable.
    durable_due: Option<Moment>,
    /// The next group can delete journal rows up to this height.
    collectable: Option<Height>,
    /// Rows were deleted up to this height. It never decreases, even if the ledger is an old copy
    /// (R24d).
    collected: Height,
    /// K: the number of heights between checkpoints.
    checkpoint_interval: u64,
    /// The key that signs the statements of this epoch.
    validator: PublicKey,
    /// Groups written since the start, each with one sync.
    groups: u64,
}

impl Storage {
    /// Takes both opened files. Journal rows up to `collected` were deleted before. A `silent` storage
    /// writes no records.
    pub(crate) fn new(
        ledger: Ledger,
        journal: Journal,
        collected: Height,
        config: &Config,
        me: ReplicaId,
        silent: bool,
    ) -> Self {
        let validator = config.context.committee.member(me).expect("the index of this member");
        Storage {
            collectable: Some(ledger.durable_head()),
            execution: Execution::new(ledger.governance().clone()),
            ledger,
            journal,
            silent,
            decided: Vec::new(),
            durable_due: None,
            collected,
            checkpoint_interval: config.checkpoint_interval,
            validator: *validator,
            groups: 0,
        }
    }

    /// A reader of the chain, for any thread.
    pub(crate) fn reader(&self) -> LedgerReader {
        self.ledger.reader()
    }

    pub(crate) fn head(&self) -> Head {
        self.ledger.head()
    }

    /// The highest block that is durable in the ledger, without the journal.
    pub(crate) fn durable_head(&self) -> Height {
        self.ledger.durable_head()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Groups written since the start.
    pub(crate) fn groups(&self) -> u64 {
        self.groups
    }

    /// What the final blocks decide about the next ones.
    pub(crate) fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The state roots at checkpoint heights that the replica was not told yet.
    pub(crate) fn take_roots(&mut self) -> Vec<(Height, Hash)> {
        self.execution.take_roots()
    }

    /// Executes blocks that became final. They go to the ledger with this group. Returns whose
    /// transactions the new configuration may forbid.
    ///
    /// # Errors
    /// [`Fatal::NotExecuted`].
    pub(crate) fn decide(
        &mut self,
        blocks: Vec<Block>,
        certificate: Verified<CommitCertificate>,
    ) -> Result<Affected, Fatal> {
        let affected = self.execute(&blocks)?;
        self.decided.push((blocks, certificate));
        Ok(affected)
    }

    fn execute(&mut self, blocks: &[Block]) -> Result<Affected, Fatal> {
        let reader = self.ledger.reader();
        let mut affected = Affected::Nothing;
        for block in blocks {
            affected = affected.and(self.execution.execute(block, self.checkpoint_interval, &reader)?);
        }
        Ok(affected)
    }

    pub(crate) fn has_decided(&self) -> bool {
        !self.decided.is_empty()
    }

    /// Appends and executes fetched blocks. Returns whose transactions the new configuration may
    /// forbid, or why the ledger refused the blocks.
    ///
    /// # Errors
    /// See [`append`].
    pub(crate) fn append(&mut self, group: &Group) -> Result<Result<Affected, StoreError>, Fatal> {
        if let Err(refused) = append(&mut self.ledger, group)? {
            return Ok(Err(refused));
        }
        let affected = self.execute(&group.0)?;
        self.execution.written();
        Ok(Ok(affected))
    }

    /// Whether to make the ledger durable now: it has grown and was not synced for an interval, or
    /// a checkpoint waits for it.
    pub(crate) fn is_durable_due(&mut self, now: Moment, urgent: bool) -> bool {
        if self.head().height == self.durable_head() {
            self.durable_due = None;
            return false;
        }
        urgent || now >= *self.durable_due.get_or_insert(now.after(DURABLE_INTERVAL))
    }

    /// When to call [`Storage::is_durable_due`] next.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.durable_due
    }

    /// Syncs the ledger. After that the journal may delete the records of its blocks. Returns the
    /// durable height.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn make_durable(&mut self) -> Result<Height, StoreError> {
        let durable = self.ledger.make_durable()?;
        self.collectable = Some(durable);
        self.durable_due = None;
        Ok(durable)
    }

    /// Writes the records of these steps with one sync, then returns their messages (R13). Only
    /// after that do final blocks go to the ledger, each group in one transaction with its
    /// certificate. Readers on other threads see them at once, and a certificate contains votes
    /// that must be durable first.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn write_group(
        &mut self,
        steps: Steps,
        flight: &Flight,
    ) -> Result<Vec<(To, Message)>, StoreError> {
        let (journal, collectable, collected) =
            (&mut self.journal, &mut self.collectable, &mut self.collected);
        // Up to this height the ledger is durable, and the replica signs nothing any more (R13c).
        // Records about these heights are not needed.
        let durable = self.ledger.durable_head();
        let lasts = |record: &&Record| record.height().is_none_or(|height| height > durable);
        let interval = self.checkpoint_interval;
        let (mut wrote, silent, validator) = (false, self.silent, self.validator);
        let forgetful = is(Mutant::SpeakBeforeSync) && self.groups % 2 == 1;
        let messages = steps.persist(|rows| {
            if silent {
                return Ok(());
            }
            let mut changes = records::changes(rows.iter().filter(lasts), flight, interval);
            let collectable = collectable.take();
            if let Some(through) = collectable {
                *collected = through.max(*collected);
                changes.collected(*collected);
            }
            let (gone, starts_epoch) = (std::mem::take(&mut changes.gone), changes.starts_epoch);
            let rows = changes.into_rows();
            wrote = !rows.is_empty();
            if forgetful && wrote {
                return Ok(());
            }
            if starts_epoch {
                return journal.start_over(validator, &rows);
            }
            journal.replace(&Vec::from_iter(gone), &rows, collectable)
        })?;
        self.groups += u64::from(wrote);
        for (blocks, certificate) in self.decided.drain(..) {
            self.ledger.append(&blocks, &certificate)?;
        }
        self.execution.written();
        Ok(messages)
    }

    /// Makes the ledger durable, so that the next start is quick, and returns it.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn close(mut self) -> Result<Ledger, StoreError> {
        let durable = self.ledger.make_durable()?;
        if !self.silent {
            let mut changes = records::Changes::default();
            changes.collected(durable.max(self.collected));
            self.journal.write(&changes.into_rows(), Some(durable))?;
        }
        Ok(self.ledger)
    }
}

impl Storage {
    /// Whether the journal belongs to a later epoch than the ledger (R24d).
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Both files, for the next epoch.
    pub(crate) fn into_files(self) -> (Ledger, Journal) {
        (self.ledger, self.journal)
    }
}
