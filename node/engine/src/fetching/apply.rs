//! Appends blocks that others have ordered (R12).

use quorate_pbft::{Input, Now};

use crate::engine::Engine;
use crate::event::{Effects, FetchId, Notice};
use crate::fatal::Fatal;
use crate::fetching::range::CheckedRange;

impl Engine {
    /// Requests certified blocks when a request is due.
    pub(crate) fn request_blocks(&mut self, now: Now, effects: &mut Effects) -> Result<(), Fatal> {
        // The next committee certifies the blocks above, and this engine cannot verify them (R26d).
        if self.driver.replica().epoch_is_over() {
            return Ok(());
        }
        let tip = self.driver.replica().tip().height;
        if let Some((request, target)) = self.fetching.blocks_due(now.moment, tip) {
            effects.asks.push(request);
            effects.notices.push(Notice::CatchingUp { height: tip, target });
        }
        Ok(())
    }

    /// Takes the outcome of a request for blocks; `false` if [`Engine::request_blocks`] did not
    /// send it.
    pub(crate) fn on_range(
        &mut self,
        now: Now,
        fetch: FetchId,
        range: Option<CheckedRange>,
        effects: &mut Effects,
    ) -> Result<bool, Fatal> {
        let request = self.fetching.blocks.answered(fetch);
        // Neither an open request for blocks nor blocks: the outcome belongs to another request.
        if request.is_none() && range.is_none() {
            return Ok(false);
        }
        let before = self.driver.replica().tip().height;
        let full = range.as_ref().is_some_and(CheckedRange::is_full);
        // A checked range proves itself, however late it arrives.
        if let Some(range) = range {
            self.append_range(now, range, effects)?;
        }
        let tip = self.driver.replica().tip().height;
        match request {
            Some(request) if tip == before => self.fetching.blocks.fruitless(now.moment, &request, tip),
            Some(request) => self.fetching.blocks.helped(now.moment, &request, tip, full),
            None => {}
        }
        Ok(true)
    }

    fn append_range(&mut self, now: Now, range: CheckedRange, effects: &mut Effects) -> Result<(), Fatal> {
        // Everything that the replica has finalised lies below, so take it first, whatever arrived
        // first.
        self.settle(now, effects)?;
        let mut appended = false;
        let mut groups = range.into_groups();
        loop {
            let (height, hash) = (self.driver.replica().tip().height, self.driver.replica().tip().hash());
            let Some(group) = groups.next_above(height, hash)? else { break };
            // Blocks that became final here lie below the next group, and must be durable before
            // readers see them. Their ancestors may be blocks of this range, which the journal does
            // not contain. So first make those durable in the ledger (R13c).
            if self.storage.has_decided() {
                if appended {
                    self.make_durable()?;
                }
                self.write_group(effects)?;
            }
            let affected = match self.storage.append(&group)? {
                Ok(affected) => affected,
                Err(refused) => {
                    let (height, reason) = (height.next(), refused.to_string());
                    effects.notices.push(Notice::BadBlocks { height, reason });
                    break;
                }
            };
            let (blocks, certificate) = group;
            let headers = blocks.iter().map(|block| block.header().clone()).collect();
            self.counters.caught_up += blocks.len() as u64;
            self.note_final(&blocks, effects);
            self.driver.step(now, Input::CaughtUp { headers, certificate });
            self.executed(&affected, effects);
            // Votes that waited for these blocks may have finalised others. Take those before the
            // next group.
            self.settle(now, effects)?;
            appended = true;
        }
        if appended {
            // The journal does not contain these blocks. Make them durable before a message depends
            // on them (R13c).
            self.make_durable()?;
        }
        Ok(())
    }
}
