//! The ledger and the journal, and what may be said after which of them was written (R13).

pub(crate) mod open;
pub(crate) mod records;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Block, CommitCertificate, Height, Verified};
use quorate_pbft::{Message, Moment, Record, Steps, To};
use quorate_store::{Head, Journal, Ledger, LedgerReader, StoreError};

use crate::engine::{DURABLE_INTERVAL, Fatal};
use crate::fetching::range::{Group, append};
use crate::proposing::flight::Flight;

/// Both files of a validator, and what is to be written to them with the next group.
#[derive(Debug)]
pub(crate) struct Storage {
    ledger: Ledger,
    journal: Journal,
    /// Blocks that became final in this group, with their certificates.
    decided: Vec<(Vec<Block>, Verified<CommitCertificate>)>,
    /// When the ledger must be durable at the latest; `None` while it is.
    durable_due: Option<Moment>,
    /// Journal rows up to here can go with the next group.
    collectable: Option<Height>,
    /// Up to here rows have been collected. It never falls, also when the ledger is an old copy.
    collected: Height,
    /// Height difference between checkpoints.
    checkpoint_interval: u64,
    /// Groups written since the start, each with one sync.
    groups: u64,
}

impl Storage {
    /// Both files as they were opened; rows up to `collected` were collected before.
    pub(crate) fn new(ledger: Ledger, journal: Journal, collected: Height, checkpoint_interval: u64) -> Self {
        Storage {
            collectable: Some(ledger.durable_head()),
            ledger,
            journal,
            decided: Vec::new(),
            durable_due: None,
            collected,
            checkpoint_interval,
            groups: 0,
        }
    }

    /// Reads the chain; may be used from any thread.
    pub(crate) fn reader(&self) -> LedgerReader {
        self.ledger.reader()
    }

    pub(crate) fn head(&self) -> Head {
        self.ledger.head()
    }

    /// Up to here the ledger alone survives a power cut.
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

    /// These blocks became final: they go to the ledger with this group.
    pub(crate) fn decide(&mut self, blocks: Vec<Block>, certificate: Verified<CommitCertificate>) {
        self.decided.push((blocks, certificate));
    }

    pub(crate) fn has_decided(&self) -> bool {
        !self.decided.is_empty()
    }

    /// Appends blocks that were fetched.
    ///
    /// # Errors
    /// See [`append`].
    pub(crate) fn append(&mut self, group: &Group) -> Result<Result<(), StoreError>, Fatal> {
        append(&mut self.ledger, group)
    }

    /// Whether the ledger must be made durable now: it is a while since it grew, or a checkpoint waits for it.
    pub(crate) fn is_durable_due(&mut self, now: Moment, urgent: bool) -> bool {
        if self.head().height == self.durable_head() {
            self.durable_due = None;
            return false;
        }
        urgent || now >= *self.durable_due.get_or_insert(now.after(DURABLE_INTERVAL))
    }

    /// When [`Storage::is_durable_due`] must be asked next.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.durable_due
    }

    /// Syncs the ledger, after which the journal need not have what is in it. Answers the height.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn make_durable(&mut self) -> Result<Height, StoreError> {
        let durable = self.ledger.make_durable()?;
        self.collectable = Some(durable);
        self.durable_due = None;
        Ok(durable)
    }

    /// Writes the records of these steps with one sync, then answers their messages (R13). Blocks that became final go to
    /// the ledger only then, in one transaction with the certificate that finalises them: readers on other threads see
    /// them at once, and a certificate is a message too.
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
        // Up to here the ledger has everything itself, and no vote is given any more.
        let durable = self.ledger.durable_head();
        let lasts = |record: &&Record| record.height().is_none_or(|height| height > durable);
        let interval = self.checkpoint_interval;
        let mut wrote = false;
        let forgetful = is(Mutant::SpeakBeforeSync) && self.groups % 2 == 1;
        let messages = steps.persist(|rows| {
            let mut changes = records::changes(rows.iter().filter(lasts), flight, interval);
            let collectable = collectable.take();
            if let Some(through) = collectable {
                *collected = through.max(*collected);
                changes.collected(*collected);
            }
            let gone: Vec<_> = std::mem::take(&mut changes.gone).into_iter().collect();
            let rows = changes.into_rows();
            wrote = !rows.is_empty();
            if forgetful && wrote {
                return Ok(());
            }
            journal.replace(&gone, &rows, collectable)
        })?;
        self.groups += u64::from(wrote);
        for (blocks, certificate) in self.decided.drain(..) {
            self.ledger.append(&blocks, &certificate)?;
        }
        Ok(messages)
    }

    /// Makes everything durable, for a quick next start.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        let durable = self.ledger.make_durable()?;
        let mut changes = records::Changes::default();
        changes.collected(durable.max(self.collected));
        self.journal.write(&changes.into_rows(), Some(durable))
    }
}
