//! Checks what members report to their operators: no false alarm, and no reason for a true one
//! among correct members.

use std::collections::BTreeSet;

use quorate_engine::Notice;
use quorate_ledger::{Domain, Height, ReplicaId, View};
use quorate_pbft::{Cause, Departure, Evidence, Subject};

use crate::oracle::{Check, require};
use crate::world::World;

/// Upper limit of evidence that a member keeps against another: more would prove nothing more.
const PROOFS_MAX: u64 = 16;

/// More blocks than a response may contain under one certificate.
const FAR_BEHIND: u64 = 65;

const FAIR: &str = "no evidence against correct members";
const CALM: &str = "Byzantine backups cannot depose a correct primary";

impl World {
    /// A correct member reports something.
    pub(super) fn noticed(
        &mut self,
        replica: ReplicaId,
        notice: &Notice,
        faulty: &BTreeSet<ReplicaId>,
    ) -> Check {
        match notice {
            Notice::CatchingUp { height, target } => {
                if target.0 > height.0 + FAR_BEHIND {
                    self.coverage.saw("a member more than 65 blocks behind");
                }
                Ok(())
            }
            Notice::Equivocation { replica: culprit, subject } => {
                self.proven(replica, *culprit, subject, faulty)
            }
            Notice::BadProposal { primary, height, reason } => {
                require(faulty.contains(primary), FAIR, || {
                    format!("member {replica} refuses height {height} of {primary}: {reason}")
                })
            }
            // A quorum has certified them, so a ledger has no reason to refuse them.
            Notice::BadBlocks { height, reason } => {
                require(false, "certified blocks can be appended", || {
                    format!("member {replica} refuses blocks from height {height} on: {reason}")
                })
            }
            Notice::EnteredEpoch { .. } => Ok(()), // of the next engine, seen with its first step
            Notice::LeftView(departure) => self.left(replica, departure),
            Notice::EnteredView { view, .. } => {
                self.entered(replica, *view);
                Ok(())
            }
            Notice::Stable(height) => {
                self.became_stable(replica, *height);
                Ok(())
            }
            Notice::Recovering { seen, remembered } => {
                require(false, "only restored disks lack statements", || {
                    format!("member {replica} has {remembered:?} in its journal, others have seen {seen:?}")
                })
            }
        }
    }

    /// A correct member has evidence against another member.
    fn proven(
        &mut self,
        replica: ReplicaId,
        culprit: ReplicaId,
        subject: &Subject,
        faulty: &BTreeSet<ReplicaId>,
    ) -> Check {
        require(faulty.contains(&culprit), FAIR, || {
            format!("member {replica} has evidence against {culprit}: {subject:?}")
        })?;
        let life = self.members[replica.index()].life;
        let proofs = self.watch.proofs.entry((replica, life, culprit)).or_default();
        *proofs += 1;
        require(*proofs <= PROOFS_MAX, "bounded memory", || {
            format!("member {replica} keeps {proofs} pieces of evidence against {culprit}")
        })?;
        let engine = self.members[replica.index()].engine();
        let mut evidence = engine.into_iter().flat_map(|engine| engine.evidence());
        let proof = evidence.find(|proof| proof.culprit() == culprit && proof.subject() == *subject);
        let is_crossed = proof.is_some_and(|proof| {
            matches!(**proof, Evidence::PrepareCommit(_) | Evidence::PrePrepareCommit(_))
        });
        self.coverage.saw(match subject.kind {
            // Crossed votes have the subject of their COMMIT.
            _ if is_crossed => "evidence: crossed votes",
            _ if subject.is_hidden_certificate() => "evidence: a hidden certificate",
            Domain::PrePrepare => "evidence: two proposals",
            Domain::Prepare => "evidence: two prepares",
            Domain::Commit => "evidence: two commits",
            Domain::ViewChange => "evidence: two view changes",
            Domain::NewView => "evidence: two new views",
            _ => "evidence: two checkpoints",
        });
        Ok(())
    }

    fn left(&mut self, replica: ReplicaId, departure: &Departure) -> Check {
        let Departure { from, to, cause, .. } = departure;
        self.note(format_args!("{replica} leaves view {from} for {to}: {cause:?}"));
        // The first primary of a later epoch may be Byzantine.
        let epoch = self.epoch_of(replica);
        let first = self.epochs.of(epoch).knobs.primary(View(0));
        let is_calm = self.knobs.calm && !self.faulty_in(epoch).contains(&first);
        require(!is_calm, CALM, || {
            format!("member {replica} left view {from} for {to}: {cause:?}; {}", self.what_is_open())
        })?;
        self.watch.left.insert(replica, *to);
        self.departures += u64::from(self.core.contains(&replica));
        self.coverage.saw(match cause {
            Cause::NoProgress => "a departure: no progress",
            Cause::Censorship => "a departure: censorship",
            Cause::Evidence => "a departure: evidence",
            Cause::Joined => "a departure: joined",
            Cause::NoNewView => "a departure: no new view",
        });
        Ok(())
    }

    fn entered(&mut self, replica: ReplicaId, view: View) {
        self.note(format_args!("{replica} enters view {view}"));
        self.coverage.saw("a view change");
        let before = self.watch.entered.insert(replica, view).unwrap_or(View(0));
        if self.watch.left.get(&replica) != Some(&view) {
            self.coverage.saw("a new view entered without leaving");
        }
        if view.0 > before.0 + 1 {
            self.coverage.saw("a view that was skipped");
        }
    }

    fn became_stable(&mut self, replica: ReplicaId, height: Height) {
        self.note(format_args!("height {height} is stable at {replica}"));
        self.coverage.saw("a checkpoint became stable");
        if self.done {
            self.coverage.saw("a checkpoint became stable in an idle network");
        }
    }
}
