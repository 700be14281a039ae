//! Opens an engine on its two files and restores what it signed (R13b).

use std::cmp::Ordering;
use std::sync::Arc;

use quorate_ledger::{Block, SecretKey, SignatureMemo};
use quorate_pbft::{Continuation, Now};
use quorate_store::{Journal, Ledger, StoreError};

use crate::engine::Engine;
use crate::epochs::EpochRole;
use crate::pool::Pool;
use crate::storage::opening::Opening;
use crate::storage::records::{self, Remembered};

/// Why an engine cannot start on these files.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
    /// Opens an engine on a ledger and a journal, in the epoch of the ledger's next block, with the
    /// key that is a member's in that epoch. `keys`: those of this node. Only one of them is a
    /// member's in each epoch. If none is, the node follows the chain with the ledger.
    ///
    /// Final blocks that the journal has, and the ledger lost in a power cut, are appended again.
    /// So no answer to a client is lost. These blocks may end the epoch. Opening reads the blocks in flight and those of one
    /// transaction lifetime, not the whole chain.
    ///
    /// If the journal is of an earlier epoch, the engine begins the epoch of the ledger with an empty
    /// journal: records promise nothing beyond their epoch (R26e). If the journal is of a later epoch,
    /// the ledger is an old copy. The engine then fetches blocks and signs nothing in the epochs
    /// before that of the journal (R24d).
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        keys: &[SecretKey],
        ledger: Ledger,
        journal: Journal,
        memo: Option<Arc<SignatureMemo>>,
        now: Now,
    ) -> Result<EpochRole, OpenError> {
        Ok(Engine::open_with(keys, ledger, journal, memo, None, now)?.0)
    }

    /// Like [`Engine::open`], with the pool that the node has already. Returns also the blocks that
    /// the journal had and the ledger lacked.
    pub(crate) fn open_with(
        keys: &[SecretKey],
        mut ledger: Ledger,
        journal: Journal,
        memo: Option<Arc<SignatureMemo>>,
        pool: Option<Pool>,
        now: Now,
    ) -> Result<(EpochRole, Vec<Block>), OpenError> {
        let rows = journal.rows()?;
        let journaled = records::epoch_of(&rows).map_err(OpenError::Journal)?;
        let mut remembered = Remembered::default();
        let mut appended = Vec::new();
        let opening = Opening::of(&ledger, memo.clone())?;
        if journaled == opening.epoch() {
            let root = opening.config.pbft.context.root;
            remembered = records::read(rows, root).map_err(OpenError::Journal)?;
            appended = append_final(&mut ledger, &remembered)?;
            if !appended.is_empty() {
                ledger.make_durable()?;
            }
        }
        // The blocks of the journal may end its epoch.
        let opening = Opening::of(&ledger, memo)?;
        let Some(signer) = opening.signer(keys) else {
            return Ok((EpochRole::Follower(ledger), appended));
        };
        let pool = match pool {
            Some(mut pool) => {
                appended.iter().for_each(|block| pool.note_final(block));
                pool
            }
            None => opening.pool(&ledger.reader())?,
        };
        let engine = match journaled.cmp(&opening.epoch()) {
            Ordering::Equal => opening.restore(signer, ledger, journal, pool, remembered, now),
            Ordering::Less => opening.begin(signer, ledger, journal, pool, Continuation::unknown()),
            Ordering::Greater => opening.follow(signer, ledger, journal, pool),
        };
        Ok((EpochRole::Member(engine?), appended))
    }
}

/// Appends the final blocks that the journal has above the ledger's head, at most 2 W. Returns them.
fn append_final(ledger: &mut Ledger, remembered: &Remembered) -> Result<Vec<Block>, StoreError> {
    let mut appended = Vec::new();
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
            appended.extend(path);
        }
    }
    Ok(appended)
}
