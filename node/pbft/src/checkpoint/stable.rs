//! Checkpoints: votes for them, and what becomes stable (R23).

use std::collections::{BTreeMap, VecDeque};

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Header, Height, ReplicaId, SignatureSet, Signed, Verified};

use crate::checkpoint::certificate::{Checkpoint, CheckpointCertificate};
use crate::evidence::proof::{Evidence, pair};
use crate::journal::record::Record;
use crate::messages::{Message, Status};
use crate::replica::Replica;
use crate::step::{Request, Step, To};

/// CHECKPOINTs kept of each member, our own included: of the last two heights.
pub(crate) const KEPT: usize = 2;

/// What is known about checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// Committed and not signed yet, ascending, the last [`KEPT`].
    reached: VecDeque<Checkpoint>,
    /// Up to here the ledger survives a power cut.
    durable: Height,
    /// By member, ascending by height, the last [`KEPT`] of each.
    votes: BTreeMap<ReplicaId, Vec<Verified<Signed<Checkpoint>>>>,
    stable: Option<Verified<CheckpointCertificate>>,
}

impl Checkpoints {
    pub(crate) fn reached(&mut self, interval: u64, header: &Header) {
        if header.height.0.is_multiple_of(interval) && header.height > Height(0) {
            self.reached.push_back(Checkpoint::of(header));
            if self.reached.len() > KEPT {
                self.reached.pop_front();
            }
        }
    }

    pub(crate) fn durable(&mut self, height: Height) {
        self.durable = self.durable.max(height);
    }

    /// The height from which watermarks are counted; 0 before the first stable checkpoint.
    pub(crate) fn stable_height(&self) -> Height {
        self.stable.as_ref().map_or(Height(0), |stable| stable.checkpoint().height)
    }

    /// Height of the next CHECKPOINT to sign, once the ledger is durable up to there.
    pub(crate) fn next(&self) -> Option<Height> {
        self.reached.front().map(|checkpoint| checkpoint.height)
    }

    pub(crate) fn of(&self, replica: ReplicaId) -> &[Verified<Signed<Checkpoint>>] {
        self.votes.get(&replica).map_or(&[], Vec::as_slice)
    }

    /// Keeps a vote if it is among the latest of its member. An earlier one about the same height that says
    /// something else is handed back.
    pub(crate) fn record(
        &mut self,
        vote: Verified<Signed<Checkpoint>>,
    ) -> Option<Verified<Signed<Checkpoint>>> {
        let votes = self.votes.entry(vote.signer).or_default();
        match votes.binary_search_by_key(&vote.body.height, |known| known.body.height) {
            Ok(place) => (votes[place].body != vote.body).then(|| votes[place].clone()),
            Err(place) => {
                votes.insert(place, vote);
                if votes.len() > KEPT {
                    votes.remove(0);
                }
                None
            }
        }
    }

    pub(crate) fn adopt(&mut self, certificate: Verified<CheckpointCertificate>) {
        if certificate.checkpoint().height > self.stable_height() {
            self.stable = Some(certificate);
        }
    }

    /// A checkpoint above the stable one that so many members vouch for, the highest; with its votes.
    fn vouched(&self, count: usize) -> Option<(Checkpoint, BTreeMap<ReplicaId, quorate_ledger::Signature>)> {
        let mut tally: BTreeMap<Checkpoint, BTreeMap<_, _>> = BTreeMap::new();
        for vote in self.votes.values().flatten() {
            if vote.body.height > self.stable_height() {
                tally.entry(vote.body).or_default().insert(vote.signer, vote.signature);
            }
        }
        let vouched = tally.into_iter().filter(|(_, votes)| votes.len() >= count);
        vouched.max_by_key(|(checkpoint, _)| checkpoint.height)
    }
}

impl Replica {
    /// The stable checkpoint, once there is one.
    pub fn stable_checkpoint(&self) -> Option<&Verified<CheckpointCertificate>> {
        self.checkpoints.stable.as_ref()
    }

    /// Whether a CHECKPOINT waits for the ledger to be durable. It should not wait long: others, whose window may be
    /// fuller than ours, may have no quorum without it.
    pub fn needs_checkpoint(&self) -> bool {
        self.checkpoints.next().is_some_and(|height| height > self.checkpoints.durable)
    }

    /// The highest height at which anything is accepted: L above the stable checkpoint.
    pub(crate) fn high_watermark(&self) -> Height {
        if is(Mutant::NoWatermark) {
            return Height(u64::MAX);
        }
        self.checkpoints.stable_height().plus(self.config.log_window)
    }

    /// Signs the next CHECKPOINT once the ledger below it is durable: whoever sees it may come and fetch.
    pub(crate) fn checkpoint_next(&mut self, step: &mut Step) -> bool {
        let durable = |height| height <= self.checkpoints.durable || is(Mutant::CheckpointBeforeDurable);
        let due = self.checkpoints.next().is_some_and(durable);
        if !due || !self.signing.is_enabled() {
            return false;
        }
        let checkpoint = self.checkpoints.reached.pop_front().expect("one is due");
        let vote = self.signing.sign(checkpoint);
        step.records.push(Record::Checkpoint(vote.clone()));
        step.send(To::All, Message::Checkpoint(vote.clone().into_inner()));
        let earlier = self.checkpoints.record(vote);
        assert!(earlier.is_none(), "R4: own checkpoints do not contradict each other");
        true
    }

    pub(crate) fn on_checkpoint(&mut self, vote: &Verified<Signed<Checkpoint>>, step: &mut Step) {
        if !vote.body.height.0.is_multiple_of(self.config.checkpoint_interval) {
            self.counters.outside_window += 1;
            return;
        }
        if let Some(first) = self.checkpoints.record(vote.clone()) {
            self.accuse_quietly(Evidence::Checkpoint(pair(&first, vote)), step);
        }
    }

    /// Adopts a checkpoint of a quorum once our own chain has reached it; before that, a checkpoint that one
    /// correct member vouches for says where to go.
    ///
    /// # Panics
    /// If the quorum's state is not ours: more than f members lied, or this node computes something else.
    pub(crate) fn stabilise(&mut self, step: &mut Step) -> bool {
        let one_honest = self.config.committee.one_honest();
        if let Some((ahead, _)) = self.checkpoints.vouched(one_honest)
            && ahead.height > self.chain.height()
        {
            self.catch_up(ahead.height, step);
        }
        let short = is(Mutant::CheckpointQuorumShort);
        let quorum = if short { one_honest } else { self.config.committee.quorum() };
        let Some((checkpoint, votes)) = self.checkpoints.vouched(quorum) else { return false };
        if checkpoint.height > self.chain.height() {
            return false;
        }
        let own = self.checkpoints.of(self.signing.replica());
        let differs = own.iter().any(|own| own.body.height == checkpoint.height && own.body != checkpoint);
        assert!(!differs, "FORK: a quorum vouches for another state at height {}", checkpoint.height);
        let votes = SignatureSet::first(quorum, &votes).expect("a quorum was counted");
        let certificate = CheckpointCertificate::assemble(checkpoint, votes);
        self.checkpoints.adopt(certificate.clone());
        self.counters.stable_checkpoints += 1;
        step.records.push(Record::Stable(certificate.clone()));
        step.requests.push(Request::Stable(certificate));
        true
    }

    /// Our CHECKPOINTs that a member lacks for its next stable one: also when nothing new is ordered.
    pub(crate) fn repeat_checkpoints(&self, member: ReplicaId, status: &Status, step: &mut Step) {
        for vote in self.checkpoints.of(self.signing.replica()) {
            if vote.body.height > status.stable {
                step.send(To::One(member), Message::Checkpoint(vote.clone().into_inner()));
            }
        }
    }
}
