//! Signing CHECKPOINTs, and adopting stable checkpoints (R23).

use std::collections::{BTreeMap, VecDeque};

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Hash, Header, Height, ReplicaId, Signed, Verified};

use crate::checkpoint::certificate::{Checkpoint, CheckpointCertificate};
use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::status::Status;
use crate::replica::Replica;
use crate::step::{Request, Step, To};

/// CHECKPOINTs that are kept of each member, this replica included: those of the last two heights.
pub(crate) const KEPT: usize = 2;

/// The checkpoints to sign, those received, and the stable one.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// The height of the root of the epoch: the low watermark before the first stable checkpoint.
    root: Height,
    /// Committed but not signed yet, ascending by height, the last [`KEPT`].
    reached: VecDeque<Header>,
    /// The state roots after blocks at checkpoint heights, the last [`KEPT`].
    roots: BTreeMap<Height, Hash>,
    /// The ledger is durable up to this height.
    durable: Height,
    /// By member, ascending by height, the last [`KEPT`] of each.
    votes: BTreeMap<ReplicaId, Vec<Verified<Signed<Checkpoint>>>>,
    stable: Option<Verified<CheckpointCertificate>>,
}

impl Checkpoints {
    /// No checkpoint yet, in an epoch on a root at this height.
    pub(crate) fn on(root: Height) -> Self {
        Checkpoints {
            root,
            reached: VecDeque::new(),
            roots: BTreeMap::new(),
            durable: root,
            votes: BTreeMap::new(),
            stable: None,
        }
    }

    pub(crate) fn reached(&mut self, interval: u64, header: &Header) {
        if header.height.0.is_multiple_of(interval) && header.height > self.root {
            self.reached.push_back(header.clone());
            if self.reached.len() > KEPT {
                self.reached.pop_front();
            }
        }
    }

    /// The state after the block at this checkpoint height has this root.
    pub(crate) fn executed(&mut self, height: Height, state_root: Hash) {
        self.roots.insert(height, state_root);
        if self.roots.len() > KEPT {
            self.roots.pop_first();
        }
    }

    /// Takes the next checkpoint to sign, once the ledger is durable there and the state is known.
    fn take_due(&mut self) -> Option<Checkpoint> {
        let header = self.reached.front()?;
        if header.height > self.durable && !is(Mutant::CheckpointBeforeDurable) {
            return None;
        }
        let root = *self.roots.get(&header.height)?;
        let checkpoint = Checkpoint::of(header, if is(Mutant::StateUnsigned) { Hash::ZERO } else { root });
        self.reached.pop_front();
        Some(checkpoint)
    }

    pub(crate) fn durable(&mut self, height: Height) {
        self.durable = self.durable.max(height);
    }

    /// The low watermark: height of the stable checkpoint, and of the root before the first one.
    pub(crate) fn stable_height(&self) -> Height {
        self.stable.as_ref().map_or(self.root, |stable| stable.checkpoint().height)
    }

    /// Height of the next CHECKPOINT to sign. It may be signed once the ledger is durable there.
    pub(crate) fn next(&self) -> Option<Height> {
        self.reached.front().map(|header| header.height)
    }

    pub(crate) fn of(&self, replica: ReplicaId) -> &[Verified<Signed<Checkpoint>>] {
        self.votes.get(&replica).map_or(&[], Vec::as_slice)
    }

    /// Keeps a CHECKPOINT if it is among the latest of its member. Returns an earlier, different
    /// one for the same height: the two are evidence.
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

    /// The highest checkpoint above the stable one for which at least `count` members sent equal
    /// CHECKPOINTs.
    fn vouched(&self, count: usize) -> Option<Checkpoint> {
        let mut tally: BTreeMap<Checkpoint, usize> = BTreeMap::new();
        // A member has at most one CHECKPOINT here for each height.
        for vote in self.votes.values().flatten() {
            if vote.body.height > self.stable_height() {
                *tally.entry(vote.body).or_default() += 1;
            }
        }
        let vouched = tally.into_iter().filter(|(_, votes)| *votes >= count);
        vouched.map(|(checkpoint, _)| checkpoint).max_by_key(|checkpoint| checkpoint.height)
    }
}

impl Replica {
    /// The stable checkpoint; `None` before the first.
    pub fn stable_checkpoint(&self) -> Option<&Verified<CheckpointCertificate>> {
        self.checkpoints.stable.as_ref()
    }

    /// Whether a CHECKPOINT waits for the ledger to be durable. The engine must not delay that,
    /// even if the window here has room. The window of another replica may be full, and without
    /// this CHECKPOINT it may have no quorum.
    pub fn needs_checkpoint(&self) -> bool {
        self.checkpoints.next().is_some_and(|height| height > self.checkpoints.durable)
    }

    /// The high watermark: L above the stable checkpoint. The replica accepts and proposes nothing
    /// above it.
    pub(crate) fn high_watermark(&self) -> Height {
        if is(Mutant::NoWatermark) {
            return Height(u64::MAX);
        }
        self.checkpoints.stable_height().plus(self.config.log_window)
    }

    /// Signs the next CHECKPOINT once the ledger is durable there (R13a). Members that receive it
    /// may fetch the blocks.
    pub(crate) fn checkpoint_next(&mut self, step: &mut Step) -> bool {
        if !self.may_sign() {
            return false;
        }
        let Some(checkpoint) = self.checkpoints.take_due() else { return false };
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
            self.accuse_quietly(Evidence::of_pair(Evidence::Checkpoint, &first, vote), step);
        }
    }

    /// Adopts the checkpoint of a quorum once the own chain has reached it. If f + 1 members sent
    /// equal CHECKPOINTs above the chain, fetches blocks up to there: one of these members is
    /// correct.
    ///
    /// # Panics
    /// If the quorum has another state than this replica at that height. More than f members are
    /// faulty then, or this node computes another state.
    pub(crate) fn stabilise(&mut self, step: &mut Step) -> bool {
        let weak_quorum = self.config.context.committee.weak_quorum();
        if let Some(ahead) = self.checkpoints.vouched(weak_quorum)
            && ahead.height > self.chain.height()
        {
            self.catch_up(ahead.height, step);
        }
        let short = is(Mutant::CheckpointQuorumShort);
        let quorum = if short { weak_quorum } else { self.config.context.committee.quorum() };
        let Some(checkpoint) = self.checkpoints.vouched(quorum) else { return false };
        // The blocks are being fetched, by the request above.
        if checkpoint.height > self.chain.height() {
            return false;
        }
        let own = self.checkpoints.of(self.signing.replica());
        let computed = self.checkpoints.roots.get(&checkpoint.height);
        let differs = own.iter().any(|own| own.body.height == checkpoint.height && own.body != checkpoint)
            || computed.is_some_and(|root| *root != checkpoint.state_root);
        assert!(!differs, "FORK: a quorum vouches for another state at height {}", checkpoint.height);
        let votes = self.checkpoints.votes.values().flatten();
        let certificate =
            CheckpointCertificate::assemble(checkpoint, votes, quorum).expect("a quorum was counted");
        self.checkpoints.adopt(certificate.clone());
        self.counters.stable_checkpoints += 1;
        step.records.push(Record::Stable(certificate.clone()));
        step.requests.push(Request::Stable(certificate));
        true
    }

    /// Sends a member the own CHECKPOINTs above its stable one (R14b), also when nothing new is
    /// ordered.
    pub(crate) fn repeat_checkpoints(&self, member: ReplicaId, status: &Status, step: &mut Step) {
        for vote in self.checkpoints.of(self.signing.replica()) {
            if vote.body.height > status.stable {
                step.send(To::One(member), Message::Checkpoint(vote.clone().into_inner()));
            }
        }
    }
}
