//! Fetching certified blocks from members that are ahead (R12).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_ledger::{
    Block, BlockError, Body, BodyError, CertificateError, ChainId, CommitCertificate, Committee, Height,
    ReplicaId, Verified,
};
use quorate_pbft::{Input, Moment, Now};
use quorate_store::{LedgerReader, StoreError};

use crate::engine::{Engine, Fatal};
use crate::event::{Effects, FetchId, Notice};
use crate::wire::{Answer, Ask, RUN_BLOCKS, RUN_BYTES, RunBlock};

/// Whoever has not answered after this is not waited for, however long others take: time for some megabytes and their
/// signatures over a slow line.
const RUN_PATIENCE: Duration = Duration::from_secs(10);

/// Blocks without a gap, each with its own certificate or finalised by a later one's; all checked but for the
/// link to our own tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRun {
    blocks: Vec<(Block, Option<Verified<CommitCertificate>>)>,
}

/// Why an answer proves nothing. Always the answering member's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A body does not decode.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A body is another header's, or headers do not follow each other.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate is for another block than it lies beside.
    #[error("the certificate at height {0} is for another block")]
    Misplaced(Height),
    /// No block at all, or the last one is not certified.
    #[error("the run does not end in a certified block")]
    Open,
}

impl CheckedRun {
    /// Checks bodies, links and every certificate: a quorum of verifications for each. Needs no state, so it
    /// can run on any thread.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn check(claims: Vec<RunBlock>, chain: &ChainId, committee: &Committee) -> Result<Self, RunError> {
        let mut blocks: Vec<(Block, Option<Verified<CommitCertificate>>)> = Vec::with_capacity(claims.len());
        for claim in claims {
            let block = Block::new(claim.header, Body::decode(claim.body)?)?;
            if let Some((before, _)) = blocks.last() {
                block.header().check_follows(before.header())?;
            }
            let certificate = match claim.certificate {
                Some(certificate) => {
                    let ballot = certificate.ballot();
                    if (ballot.height, ballot.block) != (block.height(), block.hash()) {
                        return Err(RunError::Misplaced(block.height()));
                    }
                    Some(certificate.verify(chain, committee)?)
                }
                None => None,
            };
            blocks.push((block, certificate));
        }
        match blocks.last() {
            Some((_, Some(_))) => Ok(CheckedRun { blocks }),
            _ => Err(RunError::Open),
        }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Never true: a checked run holds a certified block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// The answer to [`Ask::Blocks`], from the ledger alone: certified blocks from a height on, as many as fit
/// into an answer, ending in one with a certificate. Reads only, so it can run on any thread.
///
/// # Errors
/// Those of the ledger.
pub fn serve_run(ledger: &LedgerReader, from: Height) -> Result<Answer, StoreError> {
    if from == Height(0) || from > ledger.head()?.height {
        return Ok(Answer::Nothing);
    }
    let (mut run, mut bytes) = (Vec::new(), 0);
    // A run must end in a certified block: how many of its blocks may be sent.
    let mut certified = 0;
    let mut next = from;
    while run.len() < RUN_BLOCKS as usize {
        let Some(stored) = ledger.blocks(next, 1, usize::MAX)?.into_iter().next() else { break };
        let body = stored.block.body().as_bytes().to_vec();
        bytes += body.len();
        if bytes > RUN_BYTES && certified > 0 {
            break;
        }
        let header = stored.block.header().clone();
        run.push(RunBlock { header, body, certificate: stored.certificate });
        if run.last().is_some_and(|last| last.certificate.is_some()) {
            certified = run.len();
        }
        next = next.next();
    }
    run.truncate(certified);
    Ok(if run.is_empty() { Answer::Nothing } else { Answer::Blocks(run) })
}

/// Who claims to be where, and what is being done about it.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// Last committed height of each member, as it says itself. A claim that is not answered costs one question, and
    /// turns of growing length as long as it is repeated.
    heads: BTreeMap<ReplicaId, Height>,
    /// A certificate says that this height is committed.
    certain: Height,
    /// Since when we are behind without having made progress.
    behind_since: Option<Moment>,
    open: Option<Question>,
    /// Questions that were given up since we are behind. Each makes us more patient: the line may be slow.
    given_up: u32,
    /// Members to whom they were put. Others are asked before them.
    silent: BTreeSet<ReplicaId>,
    /// Who was asked last, to ask somebody else next.
    last: Option<ReplicaId>,
}

#[derive(Debug)]
struct Question {
    fetch: FetchId,
    peer: ReplicaId,
    until: Moment,
}

impl CatchUp {
    pub(crate) fn heard(&mut self, from: ReplicaId, committed: Height) {
        self.heads.insert(from, committed);
    }

    /// A member is gone. Its answer is not waited for, and what it claims does not count until it is back.
    pub(crate) fn lost(&mut self, peer: ReplicaId) {
        self.heads.remove(&peer);
        self.open.take_if(|open| open.peer == peer);
    }

    pub(crate) fn certain(&mut self, height: Height) {
        self.certain = self.certain.max(height);
    }

    pub(crate) fn progressed(&mut self) {
        self.behind_since = None;
    }

    pub(crate) fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        &self.heads
    }

    pub(crate) fn is_running(&self) -> bool {
        self.open.is_some()
    }

    /// The next member to ask that claims to have more than `tip`: they take turns, those that answered or were not
    /// asked before those that were silent.
    fn candidate(&self, tip: Height) -> Option<ReplicaId> {
        let ahead = |silent: bool| {
            let claims = self.heads.iter().filter(move |(_, head)| **head > tip).map(|(replica, _)| *replica);
            claims.filter(move |replica| self.silent.contains(replica) == silent)
        };
        let turn = |silent| {
            let next = ahead(silent).find(|replica| Some(*replica) > self.last);
            next.or_else(|| ahead(silent).next())
        };
        turn(false).or_else(|| turn(true))
    }

    fn give_up(&mut self) {
        if let Some(question) = self.open.take() {
            self.given_up = self.given_up.saturating_add(1);
            self.silent.insert(question.peer);
        }
    }

    fn arrived(&mut self) {
        (self.behind_since, self.open, self.given_up) = (None, None, 0);
        self.silent.clear();
    }

    fn target(&self) -> Height {
        self.heads.values().copied().max().unwrap_or_default().max(self.certain)
    }
}

impl Engine {
    /// Asks for certified blocks if others are ahead and normal operation will not close the gap: the gap is
    /// larger than the window, or it has lasted for a whole status interval.
    pub(crate) fn catch_up(&mut self, now: Now, effects: &mut Effects) {
        let tip = self.replica.tip().height;
        let target = self.catchup.target();
        if target <= tip {
            self.catchup.arrived();
            return;
        }
        self.catchup.behind_since.get_or_insert(now.moment);
        if now.moment < self.next_question(tip, target) {
            return;
        }
        self.catchup.give_up();
        let Some(peer) = self.catchup.candidate(tip) else { return };
        let fetch = FetchId(self.fetches);
        self.fetches += 1;
        self.catchup.last = Some(peer);
        let until = now.moment.after(self.run_patience());
        self.catchup.open = Some(Question { fetch, peer, until });
        effects.asks.push((peer, fetch, Ask::Blocks { from: tip.next() }));
        effects.notices.push(Notice::CatchingUp { height: tip, target });
    }

    pub(crate) fn catch_up_deadline(&self) -> Option<Moment> {
        let tip = self.replica.tip().height;
        // Without anybody to ask there is nothing to wake up for: a STATUS will come as an event.
        if self.catchup.target() <= tip || self.catchup.candidate(tip).is_none() {
            return None;
        }
        Some(self.next_question(tip, self.catchup.target()))
    }

    /// How long one member may take to answer before the next is asked as well (R12). What we lack can be all that a
    /// block waits for, so liars that never answer must not take long; but the blocks may be many and the line slow, so
    /// each question that was given up lets the next have more time. Answers that come after all are used.
    fn run_patience(&self) -> Duration {
        let members = u32::try_from(self.config.pbft.committee.one_honest()).unwrap_or(u32::MAX);
        let least = self.config.pbft.status_interval / (2 * members);
        RUN_PATIENCE.min(least.saturating_mul(self.catchup.given_up.saturating_add(1)))
    }

    /// When to ask next: not while an answer may still come, nor while normal operation may close the gap.
    fn next_question(&self, tip: Height, target: Height) -> Moment {
        let far = target > tip.plus(self.config.pbft.window);
        let answered = self.catchup.open.as_ref().map_or(Moment::default(), |open| open.until);
        match self.catchup.behind_since {
            Some(since) if !far => answered.max(since.after(self.config.pbft.status_interval)),
            _ => answered,
        }
    }

    /// Takes the answer to a question for blocks; `false` if it was not asked by [`Engine::catch_up`].
    pub(crate) fn on_run(
        &mut self,
        now: Now,
        fetch: FetchId,
        run: Option<CheckedRun>,
        effects: &mut Effects,
    ) -> Result<bool, Fatal> {
        let question = self.catchup.open.take_if(|open| open.fetch == fetch);
        if let Some(question) = &question {
            self.catchup.silent.remove(&question.peer);
        }
        if question.is_none() && run.is_none() {
            return Ok(false);
        }
        let before = self.replica.tip().height;
        // A checked run proves itself, however late it comes.
        if let Some(run) = run {
            self.append_run(now, run, effects)?;
        }
        if let Some(question) = question
            && self.replica.tip().height == before
        {
            // Nothing came of it: until it proves otherwise, that member has no more than we do.
            self.catchup.heads.insert(question.peer, before);
            self.catchup.behind_since = Some(now.moment);
        }
        Ok(true)
    }

    fn append_run(&mut self, now: Now, run: CheckedRun, effects: &mut Effects) -> Result<(), Fatal> {
        // Whatever the replica has finalised lies below, in whichever order things came.
        self.serve_requests(now, effects)?;
        let mut group = Vec::new();
        let mut appended = false;
        for (block, certificate) in run.blocks {
            if block.height() <= self.replica.tip().height {
                continue;
            }
            let expected = self.replica.tip().height.plus(group.len() as u64 + 1);
            if block.height() != expected {
                break; // it does not start where we end
            }
            group.push(block);
            let Some(certificate) = certificate else { continue };
            let first = group.first().expect("a block was just pushed").header();
            if first.parent != self.replica.tip().hash() {
                return Err(Fatal::Fork { height: first.height });
            }
            let headers = group.iter().map(|block| block.header().clone()).collect();
            self.counters.caught_up += group.len() as u64;
            // What was decided here lies below, and is remembered before anybody may see it. It may stand on blocks of
            // this run, which no journal has: those must not be lost from under it (R13).
            if !self.decided.is_empty() {
                if appended {
                    self.make_durable()?;
                }
                self.write_group(effects)?;
            }
            let blocks = std::mem::take(&mut group);
            self.ledger.append(&blocks, &certificate)?;
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
