//! From votes to certificates, and from certificates to final blocks (R8, R10, R12a).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, BlockHash, Commit, CommitCertificate, Header, Height, Verified};

use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::proposal::CheckedProposal;
use crate::replica::Replica;
use crate::step::{Finalised, Request, Step, To};
use crate::time::Now;
use crate::votes::prepared::{PreparedCertificate, prepares_needed};
use crate::votes::slot::{Slot, Stage};

impl Replica {
    /// Sends COMMIT for the next accepted proposal that is prepared, in height order (R8, R10).
    pub(crate) fn prepare_next(&mut self, step: &mut Step) -> bool {
        if !self.votes() {
            return false;
        }
        let backups = prepares_needed(&self.config.context.committee);
        let ready = self.log.slots_of(self.views.view()).find_map(|(height, slot)| {
            let Stage::Accepted { proposal } = &slot.stage else { return None };
            if !self.in_order(height, &proposal.skeleton().header().parent) {
                return None;
            }
            let certificate = PreparedCertificate::assemble(proposal, slot.prepares.all(), backups)?;
            Some((proposal.clone(), certificate))
        });
        let Some((proposal, certificate)) = ready else { return false };
        let ballot = *proposal.ballot();
        let vote = self.signing.sign(Commit(ballot));
        // R13a: the certificate must be durable before the COMMIT leaves.
        if !is(Mutant::PreparedNotDurable) {
            step.records.push(Record::Prepared(certificate.clone()));
        }
        self.log.keep_prepared(certificate.clone());
        step.send(To::All, Message::Commit(vote.clone().into_inner()));
        let slot = self.log.slot_mut(ballot.height, ballot.view).expect("a proposal has its slot");
        slot.stage = Stage::Prepared { proposal, certificate: Box::new(certificate) };
        let recorded = slot.commits.record(vote);
        assert!(!recorded.is_conflicting(), "R4: own votes do not contradict each other");
        true
    }

    /// R10: whether the parent is committed here, or this replica sent COMMIT for it in this view.
    /// Otherwise the block could become final while a new view fills the height below with another
    /// block.
    fn in_order(&self, height: Height, parent: &BlockHash) -> bool {
        if is(Mutant::CommitOutOfOrder) {
            return true;
        }
        match height.previous() {
            Some(below) if below == self.chain.height() => *parent == self.chain.hash(),
            Some(below) => {
                self.log.slot(below, self.views.view()).is_some_and(|slot| slot.committed_to(parent))
            }
            None => false,
        }
    }

    /// R12a: finalises the highest block that has a quorum of COMMITs and whose uncommitted
    /// ancestors are all accepted here. Requests the blocks that are missing.
    pub(crate) fn finalise_highest(&mut self, now: Now, step: &mut Step) -> bool {
        let quorum = self.config.context.committee.quorum();
        let certified: Vec<_> =
            self.log.slots().rev().filter_map(|(_, _, slot)| slot.commits.block_with(quorum)).collect();
        for ballot in certified {
            let Some(path) = self.path_to(ballot.height, ballot.block) else {
                self.catch_up(ballot.height, step);
                continue;
            };
            let slot = self.log.slot(ballot.height, ballot.view).expect("it has a quorum of commits");
            let certificate = self.certificate(slot, ballot);
            self.finalise(now, &path, certificate, step);
            return true;
        }
        false
    }

    /// R20b: the certificate of the committed anchor finalises blocks like any other. Perhaps no
    /// correct member has another certificate to serve.
    pub(crate) fn finalise_base(&mut self, now: Now, step: &mut Step) -> bool {
        let anchor = self.views.entered().and_then(|entered| entered.base_certificate());
        let Some(certificate) = anchor
            .filter(|anchor| anchor.ballot().height > self.chain.height())
            .cloned()
            .filter(|_| !is(Mutant::BaseFinalisesNothing))
        else {
            return false;
        };
        let ballot = *certificate.ballot();
        let Some(path) = self.path_to(ballot.height, ballot.block) else { return false };
        self.finalise(now, &path, certificate, step);
        true
    }

    fn finalise(
        &mut self,
        now: Now,
        path: &[CheckedProposal],
        certificate: Verified<CommitCertificate>,
        step: &mut Step,
    ) {
        let headers: Vec<Header> = path.iter().map(|block| block.skeleton().header().clone()).collect();
        let blocks = path.iter().map(|block| block.skeleton().hash()).collect();
        step.records.push(Record::Finalised(certificate.clone()));
        step.requests.push(Request::Finalise(Finalised { blocks, certificate: certificate.clone() }));
        self.advance_tip(now.moment, headers, certificate);
        // R14b: votes extended the chain, so other messages are probably in flight as well. Fetched
        // blocks are no activity: a replica that had to fetch missed the messages of that time.
        self.log.touch(now.moment);
    }

    fn certificate(&self, slot: &Slot, ballot: Ballot) -> Verified<CommitCertificate> {
        CommitCertificate::assemble(&self.config.context.committee, ballot, slot.commits.all())
            .expect("a quorum of commits was counted")
    }

    /// The blocks from the height above the committed chain up to this one, if all were accepted
    /// here.
    ///
    /// # Panics
    /// If they do not extend the committed chain. More than f members are faulty then, and two
    /// chains are final. Software must not choose between them (R12d).
    pub(crate) fn path_to(&self, height: Height, block: BlockHash) -> Option<Vec<CheckedProposal>> {
        let (mut height, mut wanted) = (height, block);
        let mut path = Vec::new();
        while height > self.chain.height() {
            let proposal = self.log.accepted_block(height, &wanted)?;
            wanted = proposal.skeleton().header().parent;
            path.push(proposal.clone());
            height = height.previous().expect("heights above the tip are above zero");
        }
        assert_eq!(wanted, self.chain.hash(), "FORK: a certified block does not extend the committed chain");
        path.reverse();
        Some(path)
    }

    /// Whether the replica keeps this block: it was accepted in some view, is not final, and was
    /// not dropped (R20d). The engine must keep its body, because a prepared certificate may
    /// promise it.
    pub fn holds(&self, height: Height, block: &BlockHash) -> bool {
        self.log.accepted_block(height, block).is_some()
    }

    /// R12a: requests certified blocks up to a height, if a certificate has proven no higher one
    /// before.
    pub(crate) fn catch_up(&mut self, height: Height, step: &mut Step) {
        if self.chain.raise_target(height) {
            step.requests.push(Request::CatchUp { height });
        }
    }
}
