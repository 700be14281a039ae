//! What can go wrong with the files, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use quorate_ledger::{BlockError, BlockHash, ChainId, Height, PublicKey};

/// The kinds of files in this crate. What helps when one is damaged differs for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The chain. Any node's copy can take its place.
    Ledger,
    /// What one validator has promised. Nothing can take its place.
    Journal,
    /// A copy of the chain for other places.
    Export,
}

impl FileKind {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Ledger => "ledger",
            FileKind::Journal => "journal",
            FileKind::Export => "export",
        }
    }

    /// What to do when such a file is not there.
    fn when_missing(self) -> &'static str {
        match self {
            FileKind::Ledger => {
                "if this is not a first start, check that its disk is mounted, copy the ledger of another node of the \
                 network there, or fill a new one by `quorate ledger import`"
            }
            FileKind::Journal => {
                "if this is not a first start, check that its disk is mounted; an older copy must never take its place, \
                 since the validator could contradict votes it has given"
            }
            FileKind::Export => "check the path",
        }
    }

    /// What to do when such a file is damaged.
    fn when_damaged(self) -> &'static str {
        match self {
            FileKind::Ledger => {
                "check the disk, put the ledger of another node of the network in its place, or remove it and fill a new \
                 one by `quorate ledger import`"
            }
            FileKind::Journal => {
                "check the disk; the validator must not vote without this very file, and an older copy must never take its \
                 place, since the validator could contradict votes it has given. If the file cannot be read intact again, \
                 the validator cannot vote again: the network goes on with one validator fewer, and this host can follow as \
                 an observer with a key of its own"
            }
            FileKind::Export => "keep it aside, and write a new one",
        }
    }
}

/// Why a file could not be opened, read or written.
///
/// Refusals (from [`StoreError::Batch`] on) leave the file as it was and the handle usable. After any other
/// error of a write, nothing more can be written through the same handle: the process has to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such file. A lost journal must never look like a first start, so opening creates nothing.
    #[error("{}: no {} there; {}", path.display(), what.name(), what.when_missing())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for.
        what: FileKind,
    },
    /// Creating never overwrites.
    #[error("{}: exists already; open it, or choose another directory for a new node", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// The file has one user at a time.
    #[error("{}: in use by another process; stop that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system does not let us.
    #[error("{}: {source}; check that the directory exists and belongs to the user of the node", path.display())]
    Access {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another kind of file, or one whose beginning is destroyed.
    #[error("{}: not a Quorate {expected} but {found}; check the path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// "ledger" or "journal".
        expected: &'static str,
        /// What it seems to be.
        found: String,
    },
    /// Written in a format this program does not know.
    #[error(
        "{}: has format version {found}, this program knows {supported}; use the release that wrote it or a newer one",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u16,
        /// Version of this program.
        supported: u16,
    },
    /// The file belongs to another network.
    #[error("{}: belongs to chain {found}, the genesis is of {expected}; check home directory and genesis", path.display())]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// Chain of the file.
        found: ChainId,
        /// Chain of the genesis.
        expected: ChainId,
    },
    /// Same chain id, but another header at height 0: the file was not made by this program.
    #[error("{}: starts at block {found} where the genesis gives {expected}; check the genesis", path.display())]
    OtherGenesis {
        /// The file.
        path: PathBuf,
        /// Hash of the file's header at height 0.
        found: BlockHash,
        /// Hash of the genesis header.
        expected: BlockHash,
    },
    /// A journal holds the promises of one key.
    #[error("{}: holds the promises of {found}, not of {expected}; a validator needs its own journal", path.display())]
    OtherValidator {
        /// The file.
        path: PathBuf,
        /// Key in the file.
        found: PublicKey,
        /// Key of this validator.
        expected: PublicKey,
    },
    /// What is in the file contradicts itself.
    #[error("{}: damaged: {reason}; {}", path.display(), what.when_damaged())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: FileKind,
        /// What does not fit.
        reason: String,
    },
    /// The disk failed. Nobody knows what it holds now, so this handle writes nothing more.
    #[error("{}: storage failed: {reason}; stop the node, check the disk and its free space, start again", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the storage said.
        reason: String,
    },
    /// An earlier write through this handle failed.
    #[error("{}: an earlier write failed, nothing more is written; stop the node and check the disk", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// A certificate finalises at least its own block, and at most as many as a pipeline leaves uncertified.
    #[error("{count} blocks for one certificate, 1 to {limit} are possible")]
    Batch {
        /// Blocks given.
        count: usize,
        /// Most blocks: [`crate::MAX_BATCH_BLOCKS`].
        limit: usize,
    },
    /// The certificate is about another block than the last one given.
    #[error("the certificate is for block {certified}, the last block given is {last}")]
    Uncertified {
        /// Block of the certificate.
        certified: BlockHash,
        /// Last block given.
        last: BlockHash,
    },
    /// Blocks in between are missing.
    #[error("block {got} does not follow the head {head}")]
    Gap {
        /// Highest stored block.
        head: Height,
        /// Lowest block given.
        got: Height,
    },
    /// Two certified blocks at one height: more members are faulty than the protocol tolerates, or the
    /// ledger is another network's. Nothing is overwritten.
    #[error("fork at height {height}: block {stored} is stored, {offered} was to be appended")]
    Fork {
        /// Where the chains part.
        height: Height,
        /// What the ledger has.
        stored: BlockHash,
        /// What was offered.
        offered: BlockHash,
    },
    /// A header that does not follow from its parent.
    #[error("block {height}: {source}")]
    Invalid {
        /// Height of the block.
        height: Height,
        /// The broken rule.
        source: BlockError,
    },
    /// A ledger starts with a genesis header.
    #[error("a ledger starts with an empty block at height 0, not with block {height}")]
    NotGenesis {
        /// Height of the header given.
        height: Height,
    },
    /// No journal row is that long.
    #[error("a journal row of {bytes} bytes, the limit is {limit}")]
    RowTooLarge {
        /// Bytes of the value.
        bytes: usize,
        /// [`crate::MAX_ROW_BYTES`].
        limit: usize,
    },
}

impl StoreError {
    /// Whether the store refused what it was given: the file is as it was and the handle is usable. All other errors
    /// of a write are final.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            StoreError::Batch { .. }
                | StoreError::Uncertified { .. }
                | StoreError::Gap { .. }
                | StoreError::Fork { .. }
                | StoreError::Invalid { .. }
                | StoreError::NotGenesis { .. }
                | StoreError::RowTooLarge { .. }
        )
    }
}

/// What stopped a transaction on a file, before the file's name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    /// redb gave up.
    Engine(redb::Error),
    /// What was read makes no sense.
    Damaged(String),
    /// What was asked for does not fit what is stored; the file is fine.
    Refused(StoreError),
}

impl Fault {
    /// A [`Fault::Damaged`] that says what was read.
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Fault::Damaged(reason.into())
    }

    /// Names the file.
    pub(crate) fn at(self, what: FileKind, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Refused(error) => error,
            Fault::Damaged(reason) => StoreError::Damaged { path, what, reason },
            Fault::Engine(error) => match error {
                redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
                redb::Error::PreviousIo => StoreError::Poisoned { path },
                redb::Error::Corrupted(reason) => StoreError::Damaged { path, what, reason },
                redb::Error::TableDoesNotExist(_)
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TypeDefinitionChanged { .. } => {
                    StoreError::Damaged { path, what, reason: error.to_string() }
                }
                other => StoreError::Failed { path, reason: other.to_string() },
            },
        }
    }
}

macro_rules! from_engine {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Fault::Engine(error.into())
            }
        })*
    };
}

from_engine!(
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);
