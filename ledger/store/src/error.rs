//! The errors of the files, with the operator's remedy for each.

use std::io;
use std::path::{Path, PathBuf};

use quorate_ledger::NotPermitted;
use quorate_ledger::{BlockError, BlockHash, ChainId, Height, ProofError, PublicKey, TransactionId};

/// The kinds of files in this crate. The remedy for a damaged file depends on its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The chain. A copy of any node's ledger can replace it.
    Ledger,
    /// The durable records of one validator. Nothing can replace it.
    Journal,
    /// A portable copy of the chain.
    Export,
}

impl FileKind {
    /// The name of the kind in messages.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Ledger => "ledger",
            FileKind::Journal => "journal",
            FileKind::Export => "export",
        }
    }

    /// The remedy if such a file is missing.
    fn when_missing(self) -> &'static str {
        match self {
            FileKind::Ledger => {
                "if this is not a first start, check that its disk is mounted, copy the ledger of another node of the \
                 network there, or fill a new one with `quorate ledger import`"
            }
            FileKind::Journal => {
                "if this is not a first start, check that its disk is mounted; an older copy must never take its place, \
                 because the validator could then contradict votes it has given"
            }
            FileKind::Export => "check the path",
        }
    }

    /// The remedy if such a file is damaged.
    fn when_damaged(self) -> &'static str {
        match self {
            FileKind::Ledger => {
                "check the disk, put the ledger of another node of the network in its place, or remove it and fill a new \
                 one with `quorate ledger import`"
            }
            FileKind::Journal => {
                "check the disk; the validator must not vote without exactly this file, and an older copy must never take its \
                 place, because the validator could then contradict votes it has given. If the file cannot be recovered \
                 intact, move it and the ledger away, start once with --init, and begin a new epoch with the governance \
                 key of the validator (quorate validator renew)"
            }
            FileKind::Export => "move it away, and write a new export",
        }
    }
}

/// Why a file could not be opened, read or written.
///
/// Refusals (from [`StoreError::Batch`] on) do not change the file, and the handle stays usable.
/// After any other error of a write, the same handle can write nothing more, and the process must
/// stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file does not exist. Opening never creates it, because a lost journal must not look like
    /// a first start.
    #[error("{}: no {} there; {}", path.display(), what.name(), what.when_missing())]
    Missing {
        /// The path of the missing file.
        path: PathBuf,
        /// The kind of the missing file.
        what: FileKind,
    },
    /// The file exists already. Creating never overwrites.
    #[error("{}: exists already and is not overwritten; open it, or choose another directory for a new node", path.display())]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// Another process has the file open.
    #[error("{}: in use by another process; stop that process first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses access.
    #[error("{}: {source}; check that the directory exists and belongs to the user of the node", path.display())]
    Access {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is of another kind, or its beginning is destroyed.
    #[error("{}: not a Quorate {expected} but {found}; check the path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// "ledger" or "journal".
        expected: &'static str,
        /// What the file appears to be.
        found: String,
    },
    /// The file has a format that this program does not know.
    #[error(
        "{}: has format version {found}, this program knows {supported}; {}",
        path.display(), other_version(*found, *supported)
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
    /// Same chain id, but another header at height 0: this program did not create the file.
    #[error("{}: has block {found} at height 0, but the genesis has {expected}; check the genesis", path.display())]
    OtherGenesis {
        /// The file.
        path: PathBuf,
        /// Hash of the file's header at height 0.
        found: BlockHash,
        /// Hash of the genesis header.
        expected: BlockHash,
    },
    /// The journal belongs to another validator.
    #[error("{}: holds the votes of validator {found}, not of {expected}; use the key of that validator, or move this file and the ledger away and start with --init", path.display())]
    OtherValidator {
        /// The file.
        path: PathBuf,
        /// Key in the file.
        found: PublicKey,
        /// Key of this validator.
        expected: PublicKey,
    },
    /// The content of the file is inconsistent.
    #[error("{}: damaged: {reason}; {}", path.display(), what.when_damaged())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The kind of the file.
        what: FileKind,
        /// The inconsistency.
        reason: String,
    },
    /// The file is intact as far as it can be checked, but the caller's anchor does not have the
    /// committee of an epoch of its blocks.
    #[error("{}: cannot be verified from block {height} on: {error}", path.display())]
    Unproven {
        /// The file.
        path: PathBuf,
        /// The first block of this epoch.
        height: Height,
        /// The epoch, and the newest one of the anchor.
        error: ProofError,
    },
    /// The disk failed. Its content is unknown now, so this handle writes nothing more.
    #[error("{}: storage failed: {reason}; stop the node, check the disk and its free space, then start it again", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The error of the storage.
        reason: String,
    },
    /// An earlier write through this handle failed.
    #[error("{}: an earlier write failed, so nothing more is written; stop the node and check the disk", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
    /// The number of blocks for one certificate is wrong. A certificate finalises at least its own
    /// block, and at most as many as a pipeline leaves uncertified.
    #[error("{count} blocks were given for one certificate, but it finalises 1 to {limit}")]
    Batch {
        /// Blocks given.
        count: usize,
        /// Most blocks: [`crate::MAX_BATCH_BLOCKS`].
        limit: usize,
    },
    /// The certificate is for another block than the last one given.
    #[error("the certificate is for block {certified}, but the last block given is {last}")]
    Uncertified {
        /// Block of the certificate.
        certified: BlockHash,
        /// Last block given.
        last: BlockHash,
    },
    /// The last block of an epoch has no certificate of its own. A committee certifies nothing beyond
    /// its epoch, so no later certificate makes this block final.
    #[error("block {height} ends its epoch, but has no certificate of its own")]
    EpochEnd {
        /// Height of the block.
        height: Height,
    },
    /// Blocks between the head and the given blocks are missing.
    #[error("block {got} does not follow the head {head}")]
    Gap {
        /// Highest stored block.
        head: Height,
        /// Lowest block given.
        got: Height,
    },
    /// Two certified blocks at one height: either more members are faulty than the protocol
    /// tolerates, or the ledger is of another network. Nothing is overwritten.
    #[error("fork at height {height}: block {stored} is stored, but block {offered} was given")]
    Fork {
        /// The lowest height at which the chains differ.
        height: Height,
        /// The stored block.
        stored: BlockHash,
        /// The given block.
        offered: BlockHash,
    },
    /// A block is not a valid child of its parent.
    #[error("block {height}: {source}")]
    Invalid {
        /// Height of the block.
        height: Height,
        /// The broken rule.
        source: BlockError,
    },
    /// A certified block contradicts the governance state that this ledger computed from the blocks
    /// before. Nothing is written. More members may be faulty than the protocol tolerates, or this
    /// program computes other states than the others: the node must stop and keep its files.
    #[error(
        "block {height} contradicts the governance state of this ledger: {contradiction}. A quorum certified the \
         block, so this node must stop; keep its files, compare its program version with those of the other nodes, \
         and run `quorate ledger verify`"
    )]
    Contradicts {
        /// Height of the block.
        height: Height,
        /// What differs.
        contradiction: Contradiction,
    },
    /// A block of an export contradicts the governance state that the blocks before it lead to.
    #[error("the blocks contradict those before them: {reason}")]
    Impossible {
        /// The height, and what differs.
        reason: String,
    },
    /// The state given is not that of the genesis header.
    #[error(
        "a ledger starts with the governance state of its genesis, but the state given is of chain {chain} after block \
         {height}"
    )]
    NotInitial {
        /// The chain of the state.
        chain: ChainId,
        /// The height of the state.
        height: Height,
    },
    /// The header given is not a genesis header.
    #[error("a ledger starts with an empty block at height 0, not with block {height}")]
    NotGenesis {
        /// Height of the header given.
        height: Height,
    },
    /// The value of a journal row is too long.
    #[error("a journal row has {bytes} bytes, but the limit is {limit}")]
    RowTooLarge {
        /// Bytes of the value.
        bytes: usize,
        /// [`crate::MAX_ROW_BYTES`].
        limit: usize,
    },
}

impl StoreError {
    /// Whether the store refused the given data: the file is unchanged and the handle is usable.
    /// All other errors of a write are final.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            StoreError::Batch { .. }
                | StoreError::Uncertified { .. }
                | StoreError::EpochEnd { .. }
                | StoreError::Gap { .. }
                | StoreError::Fork { .. }
                | StoreError::Invalid { .. }
                | StoreError::Contradicts { .. }
                | StoreError::Impossible { .. }
                | StoreError::NotInitial { .. }
                | StoreError::NotGenesis { .. }
                | StoreError::RowTooLarge { .. }
        )
    }
}

/// How a block contradicts the configuration that governance determines for its height.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The header has another epoch or committee.
    #[error("{field} of its header is not that of the configuration at its height")]
    Header {
        /// Name of the header field.
        field: &'static str,
    },
    /// The configuration does not permit a transaction of the block.
    #[error("it contains transaction {id}, which is not permitted there: {error}")]
    Transaction {
        /// The transaction.
        id: TransactionId,
        /// Why it is not permitted.
        error: NotPermitted,
    },
}

/// What to do with a file of another format version.
fn other_version(found: u16, supported: u16) -> &'static str {
    if found < supported {
        "an export cannot carry the chain over to this version of the protocol: start a new network from a new genesis, \
         and read the old files with the release that wrote them"
    } else {
        "use the release that wrote it or a newer one"
    }
}

/// A sentence about a block at this height that its certificate does not prove.
pub(crate) fn refused_certificate(height: Height, error: &ProofError) -> String {
    match error {
        ProofError::Certificate(error) => format!("the certificate at height {height}: {error}"),
        error => format!("the certificate at height {height}: {error}"),
    }
}

/// Why a transaction on a file failed, before the file's name is added.
#[derive(Debug)]
pub(crate) enum Fault {
    /// redb failed.
    Engine(redb::Error),
    /// The file is inconsistent.
    Damaged(String),
    /// A committee is not known.
    Unproven {
        /// The first block that it certifies.
        height: Height,
        /// [`ProofError::Unproven`].
        error: ProofError,
    },
    /// The request contradicts the stored data; the file is intact.
    Refused(StoreError),
}

impl Fault {
    /// A [`Fault::Damaged`] with this reason.
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Fault::Damaged(reason.into())
    }

    /// Adds the name of the file.
    pub(crate) fn at(self, what: FileKind, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Refused(error) => error,
            Fault::Damaged(reason) => StoreError::Damaged { path, what, reason },
            Fault::Unproven { height, error } => StoreError::Unproven { path, height, error },
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
