//! Executing a stored chain again, to compare the rows of governance with what its blocks say.

use std::fmt::Display;

use quorate_governance::{EntryKey, State};
use quorate_ledger::{Block, Epoch, Height, PublicKey, decode};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use crate::database::tables::{EPOCHS, GOVERNANCE, OUTCOMES, ROOTS};
use crate::error::Fault;
use crate::ledger::execution::{BatchAncestors, Effects, execute};
use crate::ledger::rows::EpochEnd;
use crate::ledger::view::View;

/// The governance state at the height that the verification has reached, with the numbers of rows.
pub(super) struct Replay {
    state: State,
    outcomes: u64,
    epochs: u64,
    roots: u64,
}

impl Replay {
    /// Begins with the state before block 1.
    pub(super) fn begin(view: &View<'_>, initial: &State) -> Result<Self, Fault> {
        let header = view.present_header(Height(0))?;
        if (initial.height(), initial.head().block) != (Height(0), header.hash()) {
            return Err(Fault::damaged("its genesis header is not that of the governance state"));
        }
        expect("the state root at height 0", &view.state_root(Height(0))?, &Some(initial.root()))?;
        Ok(Replay { state: initial.clone(), outcomes: 0, epochs: 0, roots: 1 })
    }

    /// Executes the next block, and compares the rows of its height. Returns the members of the
    /// next epoch if the block ends its epoch.
    pub(super) fn block(&mut self, view: &View<'_>, block: &Block) -> Result<Option<Vec<PublicKey>>, Fault> {
        let height = block.height();
        let below = |height| Some(view.header(height).ok()??.hash());
        let executed = execute(&mut self.state, block, &BatchAncestors { batch: &[], below });
        let Effects { outcomes, root, ended, .. } =
            executed.map_err(|error| Fault::damaged(format!("block {height}: {error}")))?;
        expect(&format!("the outcomes of block {height}"), &view.outcomes(height)?, &outcomes)?;
        expect(&format!("the state root at height {height}"), &view.state_root(height)?, &root)?;
        self.outcomes += outcomes.len() as u64;
        self.roots += u64::from(root.is_some());
        let Some((epoch, next)) = ended else { return Ok(None) };
        self.epochs += 1;
        let found = view.epoch_end(epoch)?;
        expect(&end_of(epoch), &found, &Some(EpochEnd { last: height, next: next.clone() }))?;
        Ok(Some(next))
    }

    /// Compares the entries of the state after the head, and the numbers of all rows.
    pub(super) fn finish(self, view: &View<'_>, transaction: &ReadTransaction) -> Result<(), Fault> {
        let stored = transaction.open_table(GOVERNANCE)?;
        let mut entries = self.state.entries();
        for row in stored.iter()? {
            let (key, value) = row?;
            if entries.remove(key.value()).as_deref() != Some(value.value()) {
                return Err(differs(&entry(key.value())));
            }
        }
        if let Some((key, _)) = entries.first_key_value() {
            return Err(Fault::damaged(format!("{} is missing", entry(key))));
        }
        view.governance()?;
        let counts = [
            ("outcomes", transaction.open_table(OUTCOMES)?.len()?, self.outcomes),
            ("ends of epochs", transaction.open_table(EPOCHS)?.len()?, self.epochs),
            ("state roots", transaction.open_table(ROOTS)?.len()?, self.roots),
        ];
        match counts.iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(Fault::damaged(format!("{found} {what} where the chain has {expected}")))
            }
            None => Ok(()),
        }
    }
}

/// The members of the next epoch, as a pruned ledger has them: its first blocks cannot be executed.
pub(super) fn stored_members(view: &View<'_>, epoch: Epoch) -> Result<Vec<PublicKey>, Fault> {
    let end = view.epoch_end(epoch)?;
    end.map(|end| end.next).ok_or_else(|| Fault::damaged(format!("{} is missing", end_of(epoch))))
}

fn end_of(epoch: Epoch) -> String {
    format!("the row of the end of epoch {epoch}")
}

fn entry(key: &[u8]) -> String {
    match decode::<EntryKey>(key) {
        Ok(key) => format!("the entry {key:?} of the governance state"),
        Err(_) => "an entry of the governance state with an unknown key".to_owned(),
    }
}

fn expect<T: PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), Fault> {
    if found == expected { Ok(()) } else { Err(differs(&what)) }
}

fn differs(what: &dyn Display) -> Fault {
    Fault::damaged(format!("{what}: the chain has another content"))
}
