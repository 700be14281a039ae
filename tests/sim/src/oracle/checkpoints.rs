//! Checkpoints are about what is durable, and the same for all.

use std::collections::{BTreeMap, BTreeSet};

use quorate_engine::Overview;
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::{Checkpoint, Message};

use crate::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

const CHECKPOINT: &str = "checkpoints are true";

/// All CHECKPOINTs that correct members made.
#[derive(Debug, Default)]
pub struct Checkpoints {
    bodies: BTreeMap<Height, Checkpoint>,
    signers: BTreeMap<Height, BTreeSet<ReplicaId>>,
}

impl Checkpoints {
    /// A correct member that stands here made a message.
    ///
    /// # Errors
    /// It vouches for what it does not hold, or for something else than others.
    pub fn given(&mut self, stands: &Overview, message: &Message, knobs: &Knobs, chain: &Chain) -> Check {
        let Message::Checkpoint(vote) = message else { return Ok(()) };
        let (member, body) = (vote.signer, vote.body);
        if member != stands.replica {
            return Ok(());
        }
        let height = body.height;
        require(height.0 > 0 && height.0 % knobs.checkpoint_interval == 0, CHECKPOINT, || {
            format!("member {member} signs a checkpoint at height {height}")
        })?;
        let again = self.signers.get(&height).is_some_and(|signers| signers.contains(&member));
        require(again || height <= stands.durable, CHECKPOINT, || {
            format!("member {member} signs a checkpoint at {height}, durable is {}", stands.durable)
        })?;
        let link = chain.at(height).map(|link| link.hash);
        require(link == Some(body.block), CHECKPOINT, || {
            format!("member {member} signs {} at {height}, the chain has {link:?}", body.block)
        })?;
        let first = *self.bodies.entry(height).or_insert(body);
        require(first == body, CHECKPOINT, || format!("two states at height {height}: {first:?}, {body:?}"))?;
        self.signers.entry(height).or_default().insert(member);
        Ok(())
    }

    /// A correct member stands here: what is stable for it is durable at a quorum, the faulty included.
    ///
    /// # Errors
    /// It is not.
    pub fn stands(&self, stands: &Overview, knobs: &Knobs, faulty: &BTreeSet<ReplicaId>) -> Check {
        let height = stands.pbft.stable;
        if height == Height(0) {
            return Ok(());
        }
        let signers = self.signers.get(&height).map_or(0, |signers| signers.difference(faulty).count());
        require(signers + faulty.len() >= knobs.quorum(), CHECKPOINT, || {
            format!("member {} calls {height} stable, {signers} correct members do", stands.replica)
        })?;
        Ok(())
    }

    /// A correct member starts again: of what is durable it may have signed a CHECKPOINT in a group whose sync failed, and have
    /// found it again. It counts that from the start, before anybody has seen it.
    pub fn reopened(&mut self, stands: &Overview, knobs: &Knobs) {
        let last = stands.durable.0 - stands.durable.0 % knobs.checkpoint_interval;
        for height in [Height(last), stands.pbft.stable] {
            if height > Height(0) && height <= stands.durable {
                self.signers.entry(height).or_default().insert(stands.replica);
            }
        }
    }
}
