//! Everything Quorate keeps on disk: the ledger file and the journal file.
//!
//! The two have different lifetimes, which is why they are two files.
//!
//! * The [`Ledger`] holds the chain: blocks, certificates, the transaction index. It may be copied,
//!   restored from a backup and, later, pruned: whatever is missing can be fetched again from others.
//!   Blocks are written without a sync and made durable together ([`Ledger::make_durable`]).
//! * The [`Journal`] holds what this validator has promised. Every write is synced before it returns, and
//!   the file must never go back in time: with an old journal an honest validator votes twice.
//!
//! An export ([`ExportWriter`], [`ExportReader`]) is a third kind of file: the chain in a form that outlives both, for
//! backups and for other places.
//!
//! This is the only crate that knows redb. It knows nothing of consensus rules, networks or HTTP: it checks
//! that blocks link and that a certificate names the last of them, not whether the certificate holds.
//!
//! Ledger and journal are redb databases that can be opened by one process at a time. A ledger that no process has open
//! can also be read without the right to write it ([`Ledger::open_read_only`], [`Ledger::verify`]), by any number of
//! processes. Storage errors are final:
//! after a failed sync nobody knows what the disk holds, so every later write is refused and the process
//! must stop ([`StoreError::Failed`], [`StoreError::Poisoned`]). [`ForgetfulDisk`] stands in for a disk in
//! tests and simulations.
//!
//! ```
//! use quorate_ledger::{ChainId, Height, SecretKey};
//! use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Row, RowKey};
//!
//! let identity = JournalIdentity {
//!     chain_id: ChainId::from_bytes([1; 32]),
//!     validator: SecretKey::from_bytes(&[2; 32])?.public(),
//! };
//! let disk = ForgetfulDisk::new();
//! let mut journal = Journal::create_on(disk.attach(), &identity)?;
//! let key = RowKey { height: Height(1), kind: 3, detail: [0; 32] };
//! journal.write(&[Row { key, value: b"prepared".into() }], None)?;
//!
//! disk.power_loss();
//! let journal = Journal::open_on(disk.attach(), &identity)?;
//! assert_eq!(journal.rows()?, [(key, b"prepared".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is in the files
//!
//! Numbers that are keys are compared as numbers by redb; `borsh` is the canonical encoding of
//! `quorate-ledger`.
//!
//! ```text
//! both      meta              "format"   -> kind: 8 bytes, version: u16 big-endian
//!                             "identity" -> ledger: chain id; journal: chain id, public key (33 bytes)
//!
//! ledger    headers           height: u64      -> borsh header        height 0 is the genesis header
//!           bodies            height: u64      -> u32 count and the transactions, as in the block
//!           certificates      height: u64      -> borsh certificate   only heights with one of their own
//!           heights           block hash       -> height: u64
//!           transactions-<s>  transaction id   -> (height: u64, index: u32)   for the heights
//!                                                 4096 s .. 4096 (s + 1)
//!
//! journal   rows              height: 8 bytes big-endian, kind: 1 byte, detail: 32 bytes -> value
//! ```

mod disk;
mod error;
mod export;
mod file;
mod journal;
mod ledger;
mod panics;
mod read_only;
mod reader;
mod storage;
mod tables;
mod verify;
mod view;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod layout_tests;

pub use disk::{Attachment, ForgetfulDisk};
pub use error::{FileKind, StoreError};
pub use export::{ExportReader, ExportWriter, Run, Runs};
pub use journal::{Journal, JournalIdentity, MAX_ROW_BYTES, Row, RowKey};
pub use ledger::{Ledger, MAX_BATCH_BLOCKS, max_batch_blocks};
pub use panics::hide_caught_panics;
pub use reader::{BlockIds, Head, LedgerReader, StoredBlock};
pub use redb::StorageBackend;
pub use storage::Damage;
pub use verify::Verification;
