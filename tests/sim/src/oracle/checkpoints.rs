//! Checkpoints refer to durable blocks, and are the same for all members.

use std::collections::{BTreeMap, BTreeSet};

use quorate_engine::Overview;
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::{Checkpoint, Message};

use crate::occasions::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

const CHECKPOINT: &str = "checkpoints are correct";

/// All CHECKPOINTs that correct members signed in one epoch.
#[derive(Debug)]
pub struct Checkpoints {
    /// The height below the epoch: the low watermark before the first stable checkpoint.
    root: Height,
    bodies: BTreeMap<Height, Checkpoint>,
    signers: BTreeMap<Height, BTreeSet<ReplicaId>>,
}

impl Checkpoints {
    /// No CHECKPOINTs yet, in an epoch above this height.
    pub fn on(root: Height) -> Self {
        Checkpoints { root, bodies: BTreeMap::new(), signers: BTreeMap::new() }
    }

    /// A correct member in this state signed a message.
    ///
    /// # Errors
    /// It signs a checkpoint of a block that is not durable, or of another state than other
    /// members.
    pub fn given(&mut self, stands: &Overview, message: &Message, knobs: &Knobs, chain: &Chain) -> Check {
        let Message::Checkpoint(vote) = message else { return Ok(()) };
        let (member, body) = (vote.signer, vote.body);
        if member != stands.replica {
            return Ok(());
        }
        let height = body.height;
        require(height > self.root && height.0 % knobs.checkpoint_interval == 0, CHECKPOINT, || {
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
        let root = chain.at(height).map(|link| link.root);
        require(root == Some(body.state_root), CHECKPOINT, || {
            format!("member {member} signs the state {} at {height}, not {root:?}", body.state_root)
        })?;
        let first = *self.bodies.entry(height).or_insert(body);
        require(first == body, CHECKPOINT, || format!("two states at height {height}: {first:?}, {body:?}"))?;
        self.signers.entry(height).or_default().insert(member);
        Ok(())
    }

    /// Checks a correct member in this state: its stable checkpoint is durable at a quorum, faulty
    /// members included.
    ///
    /// # Errors
    /// It is not.
    pub fn stands(&self, stands: &Overview, knobs: &Knobs, faulty: &BTreeSet<ReplicaId>) -> Check {
        let height = stands.pbft.stable;
        if height == self.root {
            return Ok(());
        }
        let signers = self.signers.get(&height).map_or(0, |signers| signers.difference(faulty).count());
        require(signers + faulty.len() >= knobs.quorum(), CHECKPOINT, || {
            format!(
                "member {} has a stable checkpoint at {height}, but only {signers} correct members signed it",
                stands.replica
            )
        })?;
        Ok(())
    }

    /// A correct member starts again. It may have signed a CHECKPOINT of a durable block in a group
    /// whose sync failed, and have found it again. It counts this CHECKPOINT from the start, before
    /// any other member has received it.
    pub fn reopened(&mut self, stands: &Overview, knobs: &Knobs) {
        let last = stands.durable.0 - stands.durable.0 % knobs.checkpoint_interval;
        for height in [Height(last), stands.pbft.stable] {
            if height > self.root && height <= stands.durable {
                self.signers.entry(height).or_default().insert(stands.replica);
            }
        }
    }
}
