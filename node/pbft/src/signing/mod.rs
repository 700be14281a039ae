//! What this replica signed, whether it may sign, and what it has seen others sign (R4, R13, R24).

pub(crate) mod exchange;
pub(crate) mod seen;
pub(crate) mod signer;

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId, Signed, Verified, View};

use self::seen::{Mark, Seen};
use self::signer::Signer;
use crate::journal::record::Record;
use crate::messages::Checked;
use crate::messages::statement::Statement;

/// Whether new statements may be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SigningState {
    /// Since the restart this replica asks the others how far they have seen it go, and signs nothing new.
    Probing {
        /// The members that have answered.
        answered: BTreeSet<ReplicaId>,
    },
    /// A quorum, this replica included, has seen nothing that the journal does not have.
    Enabled,
    /// Others have seen more than the journal has. What else this replica signed is unknown, so it never signs again.
    Recovering {
        /// The furthest statements that others have seen.
        seen: Mark,
    },
}

/// The result of comparing what another member has seen with this replica's own high-water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The member has seen nothing that is unknown here.
    Known,
    /// The journal is an old copy: this replica has stopped to sign.
    OldJournal {
        /// What the member has seen.
        seen: Mark,
    },
    /// This replica was allowed to sign, and another process signs with the same key.
    SecondInstance,
}

/// The signer, the right to use it, and the furthest statements of every member.
#[derive(Debug)]
pub(crate) struct Signing {
    signer: Signer,
    state: SigningState,
    /// The ledger once reached this height: the journal has no records up to here, or it has records that were written
    /// while the ledger reached further. Nothing is signed while the ledger ends lower.
    ledger_had: Height,
    /// The furthest statements of each other member.
    seen: BTreeMap<ReplicaId, Seen>,
    /// The members whose furthest statements are newer than the journal's.
    unwritten: BTreeSet<ReplicaId>,
}

impl Signing {
    pub(crate) fn new(signer: Signer) -> Self {
        Signing {
            signer,
            state: SigningState::Enabled,
            ledger_had: Height(0),
            seen: BTreeMap::new(),
            unwritten: BTreeSet::new(),
        }
    }

    /// The member whose key this is.
    pub(crate) fn replica(&self) -> ReplicaId {
        self.signer.replica()
    }

    /// The furthest statements of this replica.
    pub(crate) fn mark(&self) -> Mark {
        self.signer.mark()
    }

    /// Signs a statement. What may be signed now is for the caller to know ([`Signing::is_enabled`]): a restart repeats
    /// statements before.
    pub(crate) fn sign<S: Statement>(&mut self, body: S) -> Verified<Signed<S>> {
        self.signer.sign(body)
    }

    /// From now on nothing is signed in views below this one (R19).
    pub(crate) fn leave_below(&mut self, view: View) {
        self.signer.leave_below(view);
    }

    /// Forgets the statements about heights up to this one, and CHECKPOINTs below the other.
    pub(crate) fn forget_through(&mut self, height: Height, checkpoints_below: Height) {
        self.signer.forget_through(height, checkpoints_below);
    }

    pub(crate) fn state(&self) -> &SigningState {
        &self.state
    }

    /// Whether new statements may be signed.
    pub(crate) fn is_enabled(&self) -> bool {
        self.state == SigningState::Enabled
    }

    pub(crate) fn is_probing(&self) -> bool {
        matches!(self.state, SigningState::Probing { .. })
    }

    /// The height that the ledger must reach before anything is signed, if it does not with this tip.
    pub(crate) fn ledger_lacks(&self, tip: Height) -> Option<Height> {
        (tip < self.ledger_had).then_some(self.ledger_had)
    }

    /// The furthest statements of another member.
    pub(crate) fn seen_of(&self, member: ReplicaId) -> Option<&Seen> {
        self.seen.get(&member)
    }

    /// Keeps a statement if it is the furthest of its signer (R24).
    pub(crate) fn observe(&mut self, message: &Checked) {
        let me = self.replica();
        let mut note = |signer: ReplicaId, keep: &dyn Fn(&mut Seen) -> bool| {
            if signer != me && keep(self.seen.entry(signer).or_default()) {
                self.unwritten.insert(signer);
            }
        };
        match message {
            Checked::PrePrepare(proposal) => {
                note(proposal.vote().signer, &|seen| seen.pre_prepared(proposal.vote()));
            }
            Checked::Prepare(vote) => note(vote.signer, &|seen| seen.prepared(vote)),
            Checked::Commit(vote) => note(vote.signer, &|seen| seen.committed(vote)),
            Checked::ViewChange(change) => note(change.signer(), &|seen| seen.left(change.vote())),
            Checked::NewView(new_view) => {
                note(new_view.vote().signer, &|seen| seen.opened(new_view.vote()));
            }
            // CHECKPOINTs are statements about committed blocks, which an old journal cannot contradict.
            Checked::Checkpoint(_) | Checked::Status(_) | Checked::Evidence(_) | Checked::Seen(_) => {}
        }
    }

    /// The records of the high-water marks that changed since they were written last.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        let changed = std::mem::take(&mut self.unwritten);
        let seen =
            changed.into_iter().map(|member| Record::Heard(member, Box::new(self.seen[&member].clone())));
        std::iter::once(Record::Mark(self.mark())).chain(seen).collect()
    }

    /// Compares what `from` has seen of this replica with the journal (R24). `None`: it has seen nothing.
    pub(crate) fn compare(&mut self, from: ReplicaId, seen: Option<Mark>) -> Comparison {
        if let Some(seen) = seen
            && seen.exceeds(&self.mark())
        {
            return match self.state {
                SigningState::Probing { .. } => {
                    self.state = SigningState::Recovering { seen };
                    Comparison::OldJournal { seen }
                }
                SigningState::Enabled => Comparison::SecondInstance,
                SigningState::Recovering { .. } => Comparison::Known,
            };
        }
        if let SigningState::Probing { answered } = &mut self.state {
            answered.insert(from);
        }
        Comparison::Known
    }

    /// Enables signing once a quorum, this replica included, was compared with, and the ledger is no old copy (R24).
    pub(crate) fn try_enable(&mut self, quorum: usize, tip: Height) {
        if let SigningState::Probing { answered } = &self.state
            && answered.len() + 1 >= quorum
            && self.ledger_lacks(tip).is_none()
        {
            self.state = SigningState::Enabled;
        }
    }

    /// Takes a record back after a restart.
    pub(crate) fn restore_mark(&mut self, mark: Mark) {
        self.signer.reminded(mark);
    }

    /// Takes a record back after a restart: it was found out before that the journal is an old copy.
    pub(crate) fn restore_recovering(&mut self, seen: Mark) {
        self.state = SigningState::Recovering { seen };
    }

    /// Takes a record back after a restart.
    pub(crate) fn restore_seen(&mut self, member: ReplicaId, seen: Seen) {
        self.seen.insert(member, seen);
    }

    /// Ends a restart: nothing new is signed until others have answered, and the ledger has reached this height.
    pub(crate) fn start_probing(&mut self, ledger_had: Height) {
        self.ledger_had = ledger_had;
        if self.is_enabled() && !is(Mutant::SpeaksUnasked) {
            self.state = SigningState::Probing { answered: BTreeSet::new() };
        }
    }
}
