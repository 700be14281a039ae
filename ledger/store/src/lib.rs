//! Quorate's files on disk: the ledger and the journal.
//!
//! They are two files because they have different lifetimes.
//!
//! * The [`Ledger`] holds the chain: blocks, certificates, the transaction index, and the governance
//!   state after the head. It may be copied, restored from a backup and, later, pruned: missing
//!   blocks can be fetched from other nodes.
//!   Blocks are written without a sync and made durable together ([`Ledger::make_durable`]).
//! * The [`Journal`] holds the records that this validator must have on disk before it sends the
//!   messages that depend on them. Every write is synced before it returns. The file must never be
//!   replaced by an older copy: with an old journal, a correct validator votes twice.
//!
//! An export ([`ExportWriter`], [`ExportReader`]) is a third kind of file: the chain in a portable
//! format, for backups and for transfer to other hosts.
//!
//! This is the only crate that depends on redb. It contains no consensus rules, networking or HTTP:
//! it checks that blocks link, that a certificate names the last of them, and that the governance
//! state permits them, but does not verify the certificate.
//!
//! Ledger and journal are redb databases that one process at a time can open. Any number of
//! processes can read a ledger that no process has open for writing, without write permission
//! ([`Ledger::open_read_only`], [`Ledger::verify`]). Storage errors are final: after a failed sync
//! the content of the disk is unknown. So every later write is refused, and the process must stop
//! ([`StoreError::Failed`], [`StoreError::Poisoned`]). [`ForgetfulDisk`] replaces a disk in tests
//! and simulations.
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
//! # Layout of the files
//!
//! redb compares numeric keys as numbers. `borsh` is the canonical encoding of `quorate-ledger`.
//!
//! ```text
//! both      meta              "format"   -> kind: 8 bytes, version: u16 big-endian
//!                             "identity" -> ledger: chain id; journal: chain id, public key (33 bytes)
//!
//! ledger    headers           height: u64      -> borsh header        height 0 is the genesis header
//!           bodies            height: u64      -> u32 count and the transactions, as in the block
//!           certificates      height: u64      -> borsh certificate   only heights with their own
//!           heights           block hash       -> height: u64
//!           transactions-<s>  transaction id   -> (height: u64, index: u32)   for the heights
//!                                                 4096 s .. 4096 (s + 1)
//!           governance        entry key        -> value       borsh both: the governance state after the head
//!           outcomes          (height: u64, index: u32) -> borsh outcome   of governance transactions
//!           epochs            epoch: u64       -> (last height: u64, borsh list of the next members)
//!           roots             height: u64      -> state root: 32 bytes     at checkpoints
//!
//! journal   rows              height: 8 bytes big-endian, kind: 1 byte, detail: 32 bytes -> value
//! ```

mod backends;
mod database;
mod error;
mod export;
mod journal;
mod ledger;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod epoch_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod layout_tests;

pub use backends::forgetful_disk::{Attachment, ForgetfulDisk};
pub use database::panics::hide_caught_panics;
pub use database::storage::Damage;
pub use error::{Contradiction, FileKind, StoreError};
pub use export::range::{CertifiedRange, RangeBuilder};
pub use export::reader::ExportReader;
pub use export::verifier::RangeVerifier;
pub use export::writer::ExportWriter;
pub use journal::{Journal, JournalIdentity, MAX_ROW_BYTES, Row, RowKey};
pub use ledger::reader::LedgerReader;
pub use ledger::stored::{BlockIds, Head, StoredBlock};
pub use ledger::verify::Verification;
pub use ledger::{Ledger, MAX_BATCH_BLOCKS, max_batch_blocks};
pub use redb::StorageBackend;
