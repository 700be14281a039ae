//! Appending blocks that others have ordered (R12).

use quorate_pbft::{Input, Now};

use crate::engine::{Engine, Fatal};
use crate::event::{Effects, FetchId, Notice};
use crate::run::{CheckedRun, append};
use crate::wire::Ask;

impl Engine {
    /// Asks for certified blocks when it is time.
    pub(crate) fn catch_up(&mut self, now: Now, effects: &mut Effects) {
        let (tip, fetch) = (self.replica.tip().height, FetchId(self.fetches));
        let Some((peer, target)) = self.catchup.ask(now.moment, tip, fetch) else { return };
        self.fetches += 1;
        effects.asks.push((peer, fetch, Ask::Blocks { from: tip.next() }));
        effects.notices.push(Notice::CatchingUp { height: tip, target });
    }

    /// Takes the answer to a question for blocks; `false` if it was not asked by [`Engine::catch_up`].
    pub(crate) fn on_run(
        &mut self,
        now: Now,
        fetch: FetchId,
        run: Option<CheckedRun>,
        effects: &mut Effects,
    ) -> Result<bool, Fatal> {
        let question = self.catchup.answered(fetch);
        if question.is_none() && run.is_none() {
            return Ok(false);
        }
        let before = self.replica.tip().height;
        // A checked run proves itself, however late it comes.
        if let Some(run) = run {
            self.append_run(now, run, effects)?;
        }
        match question {
            Some(question) if self.replica.tip().height == before => {
                self.catchup.fruitless(&question, before)
            }
            Some(question) => self.catchup.helped(now.moment, &question),
            None => {}
        }
        Ok(true)
    }

    fn append_run(&mut self, now: Now, run: CheckedRun, effects: &mut Effects) -> Result<(), Fatal> {
        // Whatever the replica has finalised lies below, in whichever order things came.
        self.serve_requests(now, effects)?;
        let mut appended = false;
        let mut groups = run.into_groups();
        loop {
            let (height, hash) = (self.replica.tip().height, self.replica.tip().hash());
            let Some(group) = groups.next_above(height, hash)? else { break };
            // What was decided here lies below, and is remembered before anybody may see it. It may stand on blocks of
            // this run, which no journal has: those must not be lost from under it (R13).
            if !self.decided.is_empty() {
                if appended {
                    self.make_durable()?;
                }
                self.write_group(effects)?;
            }
            if let Err(refused) = append(&mut self.ledger, &group)? {
                let (height, reason) = (height.next(), refused.to_string());
                effects.notices.push(Notice::BadBlocks { height, reason });
                break;
            }
            let (blocks, certificate) = group;
            let headers = blocks.iter().map(|block| block.header().clone()).collect();
            self.counters.caught_up += blocks.len() as u64;
            self.note_final(&blocks, effects);
            self.inputs.push_back(Input::CaughtUp { headers, certificate });
            self.drain_inputs(now);
            // Votes that waited for these blocks may have made others final: they come before the next group.
            self.serve_requests(now, effects)?;
            appended = true;
        }
        if appended {
            // These blocks are in no journal: what is answered about them must not be forgotten.
            self.make_durable()?;
        }
        Ok(())
    }
}
