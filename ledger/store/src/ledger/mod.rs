//! The ledger file: writing it (here), reading it, and verifying it.

pub(crate) mod execution;
pub(crate) mod reader;
mod replay;
mod rows;
pub(crate) mod stored;
pub(crate) mod verify;
mod view;

use std::path::Path;
use std::sync::Arc;

use quorate_governance::State;
use quorate_ledger::{
    Block, BlockHash, Body, ChainId, CommitCertificate, Header, Height, MAX_DESCENDANTS, decode, encode,
};
use redb::{StorageBackend, WriteTransaction};

use crate::database::file;
use crate::database::storage::{Durable, Storage};
use crate::database::tables::{BODIES, CERTIFICATES, HEADERS, HEIGHTS, Segment, index_table};
use crate::error::{Fault, FileKind, StoreError};
use crate::ledger::execution::{Effects, ExecutionError};
use crate::ledger::reader::LedgerReader;
use crate::ledger::stored::Head;

/// Most blocks that one certificate may finalise: its own and as many ancestors as a pipeline can
/// leave uncertified.
pub const MAX_BATCH_BLOCKS: usize = MAX_DESCENDANTS as usize + 1;

/// Most blocks that one certificate finalises in a network with window W: 2 W without their own
/// certificate, and the certified one. A member that is behind can fetch that many in one answer,
/// and no more. Never more than [`MAX_BATCH_BLOCKS`].
pub fn max_batch_blocks(window: u64) -> usize {
    let most = window.saturating_mul(2).saturating_add(1);
    usize::try_from(most).map_or(MAX_BATCH_BLOCKS, |most| most.min(MAX_BATCH_BLOCKS))
}

/// The chain on disk, opened for writing. Each file has at most one such handle, in one process.
///
/// It executes the governance transactions of each block that it appends, and stores the governance
/// state with the block.
///
/// The highest block always has its own certificate. Dropping the last handle tries to make
/// everything durable; call [`Ledger::make_durable`] to be certain.
#[derive(Debug)]
pub struct Ledger {
    storage: Arc<Storage>,
    head: Header,
    /// The hash of `head`, cached because it is read more often than blocks are appended.
    head_hash: BlockHash,
    /// The governance state after `head`.
    state: State,
    durable: Height,
}

impl Ledger {
    /// Creates a ledger with the genesis header and the governance state before block 1. Only the
    /// owner may read the file.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Access`], [`StoreError::NotGenesis`],
    /// [`StoreError::NotInitial`], [`StoreError::Failed`].
    pub fn create(
        path: impl AsRef<Path>,
        genesis_header: &Header,
        initial: &State,
    ) -> Result<Ledger, StoreError> {
        let genesis = genesis_block(genesis_header, initial)?;
        let identity = genesis_header.chain_id.as_bytes();
        let storage = file::create(FileKind::Ledger, path.as_ref(), identity, |transaction| {
            fill(transaction, &genesis, initial)
        })?;
        Ok(Ledger::at(Arc::new(storage), genesis_header.clone(), initial.clone()))
    }

    /// Like [`Ledger::create`], on a backend that is not a file. It must be empty.
    ///
    /// # Errors
    /// As [`Ledger::create`].
    pub fn create_on(
        backend: impl StorageBackend,
        genesis_header: &Header,
        initial: &State,
    ) -> Result<Ledger, StoreError> {
        let genesis = genesis_block(genesis_header, initial)?;
        let identity = genesis_header.chain_id.as_bytes();
        let storage = file::create_on(FileKind::Ledger, backend, file::no_path(), identity, |transaction| {
            fill(transaction, &genesis, initial)
        })?;
        Ok(Ledger::at(Arc::new(storage), genesis_header.clone(), initial.clone()))
    }

    /// Opens a ledger of this chain, and rebuilds the governance state from its entries. Takes about
    /// the same time for any length of the chain, even after a crash, and time in proportion to the
    /// governance state.
    ///
    /// # Errors
    /// Those of [`StoreError`] that concern files. Damage that opening does not detect is reported
    /// when it is read, or by [`Ledger::verify`].
    pub fn open(path: impl AsRef<Path>, genesis_header: &Header) -> Result<Ledger, StoreError> {
        Ledger::over(open_storage(path.as_ref(), genesis_header)?)
    }

    /// Opens the ledger of a stopped node for reading. Nothing on disk changes, and no write
    /// permission is needed: the file may be on a read-only mount. A file that a crash left is
    /// repaired in memory, as a node that opens it would repair it on disk. Only adding blocks
    /// needs [`Ledger::open`].
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_read_only(
        path: impl AsRef<Path>,
        genesis_header: &Header,
    ) -> Result<LedgerReader, StoreError> {
        Ok(LedgerReader::new(Arc::new(open_storage_read_only(path.as_ref(), genesis_header)?)))
    }

    /// The chain of a ledger on disk, which is only read. Nothing else in it is checked.
    ///
    /// # Errors
    /// As [`Ledger::open`], except for a ledger of another chain.
    pub fn chain_of(path: impl AsRef<Path>) -> Result<ChainId, StoreError> {
        let (storage, identity) = file::open_read_only(FileKind::Ledger, path.as_ref())?;
        chain_id_in(&storage, &identity)
    }

    /// Like [`Ledger::open`], on a backend that is not a file.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_on(backend: impl StorageBackend, genesis_header: &Header) -> Result<Ledger, StoreError> {
        Ledger::over(open_storage_on(backend, genesis_header)?)
    }

    fn over(storage: Storage) -> Result<Ledger, StoreError> {
        let storage = Arc::new(storage);
        let reader = LedgerReader::new(Arc::clone(&storage));
        let (head, state) = reader.view(|view| Ok((view.head_header()?, view.governance()?)))?;
        Ok(Ledger::at(storage, head, state))
    }

    /// The content of a file that was just created or opened is durable.
    fn at(storage: Arc<Storage>, head: Header, state: State) -> Ledger {
        Ledger { storage, durable: head.height, head_hash: head.hash(), head, state }
    }

    /// Appends blocks that one certificate finalises, in one transaction, with the changes of the
    /// governance state. The certificate is for the last of them.
    ///
    /// Readers see the blocks at once. They survive a power loss after the next
    /// [`Ledger::make_durable`]. Blocks that are stored already are skipped. If all are stored,
    /// nothing is written, not even another certificate for them. The caller must have verified the
    /// certificate.
    ///
    /// # Errors
    /// [`StoreError::Batch`], [`StoreError::Uncertified`], [`StoreError::EpochEnd`],
    /// [`StoreError::Gap`], [`StoreError::Fork`], [`StoreError::Invalid`] and
    /// [`StoreError::Contradicts`] refuse the blocks and change nothing. Other errors are final.
    pub fn append(&mut self, blocks: &[Block], certificate: &CommitCertificate) -> Result<(), StoreError> {
        let fresh = self.check(blocks, certificate)?;
        let Some(last) = fresh.last() else {
            return Ok(());
        };
        let mut state = self.state.clone();
        let effects = self.execute(&mut state, fresh)?;
        let changes = state.changes_since(&self.state);
        self.storage.write(Durable::Later, |transaction| {
            insert(transaction, fresh)?;
            let mut certificates = transaction.open_table(CERTIFICATES)?;
            certificates.insert(last.height().0, encode(certificate).as_slice())?;
            rows::write(transaction, &changes, &effects)
        })?;
        (self.head, self.head_hash, self.state) = (last.header().clone(), last.hash(), state);
        Ok(())
    }

    /// Executes blocks on a copy of the state.
    fn execute(&self, state: &mut State, fresh: &[Block]) -> Result<Vec<Effects>, StoreError> {
        let reader = self.reader();
        // A header that cannot be read is unknown, and the reader records the damage.
        let stored = |height| Some(reader.header(height).ok()??.hash());
        execution::execute_all(state, fresh, stored).map_err(|(height, error)| match error {
            ExecutionError::Contradiction(contradiction) => StoreError::Contradicts { height, contradiction },
            // The state is that after the head, and all headers are stored.
            ExecutionError::Apply(error) => {
                self.storage.name(Fault::damaged(format!("block {height}: {error}")))
            }
        })
    }

    /// Checks everything before writing. Returns the blocks that are not stored yet.
    fn check<'a>(
        &self,
        blocks: &'a [Block],
        certificate: &CommitCertificate,
    ) -> Result<&'a [Block], StoreError> {
        let (count, limit) = (blocks.len(), MAX_BATCH_BLOCKS);
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Err(StoreError::Batch { count, limit });
        };
        if count > limit {
            return Err(StoreError::Batch { count, limit });
        }
        let ballot = certificate.ballot();
        if (ballot.epoch, ballot.height, ballot.block) != (last.header().epoch, last.height(), last.hash()) {
            return Err(StoreError::Uncertified { certified: ballot.block, last: last.hash() });
        }
        // From here on the heights are next to the head's, so counting up from them cannot
        // overflow.
        if first.height() > self.head.height.next() {
            return Err(StoreError::Gap { head: self.head.height, got: first.height() });
        }
        for pair in blocks.windows(2) {
            follows(&pair[1], pair[0].header())?;
        }
        one_epoch(blocks)?;
        let stored = blocks.partition_point(|block| block.height() <= self.head.height);
        self.check_same(&blocks[..stored])?;
        let fresh = &blocks[stored..];
        if let Some(first) = fresh.first() {
            if first.header().parent != self.head_hash {
                return Err(StoreError::Fork {
                    height: self.head.height,
                    stored: self.head_hash,
                    offered: first.header().parent,
                });
            }
            follows(first, &self.head)?;
        }
        Ok(fresh)
    }

    fn check_same(&self, blocks: &[Block]) -> Result<(), StoreError> {
        let reader = self.reader();
        reader.view(|view| {
            for block in blocks {
                let stored = view.present_header(block.height())?.hash();
                if stored != block.hash() {
                    return Err(Fault::Refused(StoreError::Fork {
                        height: block.height(),
                        stored,
                        offered: block.hash(),
                    }));
                }
            }
            Ok(())
        })
    }

    /// Makes every appended block durable, so that it survives a power loss. Costs two syncs, or
    /// none if no block was appended since the last call. Returns the height of the highest durable
    /// block.
    ///
    /// # Errors
    /// [`StoreError::Failed`] and [`StoreError::Poisoned`]: the node must stop.
    pub fn make_durable(&mut self) -> Result<Height, StoreError> {
        if self.durable < self.head.height {
            self.storage.write(Durable::NowAndQuickToOpen, |_| Ok(()))?;
            self.durable = self.head.height;
        }
        Ok(self.durable)
    }

    /// The height of the highest durable block.
    pub fn durable_head(&self) -> Height {
        self.durable
    }

    /// The highest block.
    pub fn head(&self) -> Head {
        Head { height: self.head.height, hash: self.head_hash, timestamp: self.head.timestamp }
    }

    /// The governance state after the head.
    pub fn governance(&self) -> &State {
        &self.state
    }

    /// A handle for reading.
    pub fn reader(&self) -> LedgerReader {
        LedgerReader::new(Arc::clone(&self.storage))
    }
}

/// Opens the file and checks that it belongs to this chain.
pub(crate) fn open_storage(path: &Path, genesis_header: &Header) -> Result<Storage, StoreError> {
    let (storage, identity) = file::open(FileKind::Ledger, path)?;
    check_chain(&storage, &identity, genesis_header)?;
    Ok(storage)
}

/// Like [`open_storage`], without write permission.
pub(crate) fn open_storage_read_only(path: &Path, genesis_header: &Header) -> Result<Storage, StoreError> {
    let (storage, identity) = file::open_read_only(FileKind::Ledger, path)?;
    check_chain(&storage, &identity, genesis_header)?;
    Ok(storage)
}

/// Like [`open_storage`], on a backend.
pub(crate) fn open_storage_on(
    backend: impl StorageBackend,
    genesis_header: &Header,
) -> Result<Storage, StoreError> {
    let (storage, identity) = file::open_on(FileKind::Ledger, backend, file::no_path())?;
    check_chain(&storage, &identity, genesis_header)?;
    Ok(storage)
}

fn chain_id_in(storage: &Storage, identity: &[u8]) -> Result<ChainId, StoreError> {
    decode(identity).map_err(|error| storage.name(Fault::damaged(format!("the chain id: {error}"))))
}

fn check_chain(storage: &Storage, identity: &[u8], genesis_header: &Header) -> Result<(), StoreError> {
    let path = storage.path();
    let found = chain_id_in(storage, identity)?;
    let expected = genesis_header.chain_id;
    if found != expected {
        return Err(StoreError::OtherChain { path: path.to_owned(), found, expected });
    }
    let found = storage.read(|transaction| {
        let header = view::View::of(transaction).present_header(Height(0))?;
        Ok(header.hash())
    })?;
    let expected: BlockHash = genesis_header.hash();
    if found != expected {
        return Err(StoreError::OtherGenesis { path: path.to_owned(), found, expected });
    }
    Ok(())
}

fn genesis_block(header: &Header, initial: &State) -> Result<Block, StoreError> {
    let refused = StoreError::NotGenesis { height: header.height };
    if header.height != Height(0) {
        return Err(refused);
    }
    let block = Block::new(header.clone(), Body::of(&[])).map_err(|_| refused)?;
    let committee = initial.next_config().committee();
    let follows = (initial.chain(), initial.height(), initial.head().block, committee.hash())
        == (header.chain_id, header.height, block.hash(), header.next_committee);
    if follows {
        Ok(block)
    } else {
        Err(StoreError::NotInitial { chain: initial.chain(), height: initial.height() })
    }
}

pub(crate) fn follows(block: &Block, parent: &Header) -> Result<(), StoreError> {
    block
        .header()
        .check_follows(parent)
        .map_err(|source| StoreError::Invalid { height: block.height(), source })
}

/// Checks that only the last of these blocks may end an epoch. One certificate finalises blocks of
/// one epoch.
pub(crate) fn one_epoch(blocks: &[Block]) -> Result<(), StoreError> {
    let below_last = &blocks[..blocks.len().saturating_sub(1)];
    match below_last.iter().find(|block| block.header().ends_epoch()) {
        Some(block) => Err(StoreError::EpochEnd { height: block.height() }),
        None => Ok(()),
    }
}

/// Writes the genesis and creates every table, because readers do not.
fn fill(transaction: &WriteTransaction, genesis: &Block, initial: &State) -> Result<(), Fault> {
    transaction.open_table(CERTIFICATES)?;
    rows::write_initial(transaction, initial)?;
    insert(transaction, std::slice::from_ref(genesis))
}

fn insert(transaction: &WriteTransaction, blocks: &[Block]) -> Result<(), Fault> {
    let mut headers = transaction.open_table(HEADERS)?;
    let mut bodies = transaction.open_table(BODIES)?;
    let mut heights = transaction.open_table(HEIGHTS)?;
    for block in blocks {
        let height = block.height().0;
        headers.insert(height, encode(block.header()).as_slice())?;
        bodies.insert(height, block.body().as_bytes())?;
        heights.insert(block.hash().as_bytes(), height)?;
        let name = Segment::of(block.height()).table_name();
        let mut index = transaction.open_table(index_table(&name))?;
        for (position, id) in (0..).zip(block.body().ids()) {
            index.insert(id.as_bytes(), (height, position))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod governance_tests;
#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
