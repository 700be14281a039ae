//! What this replica has signed, whether it may sign, and the furthest statements of all members
//! (R4, R13, R24).

pub(crate) mod exchange;
pub(crate) mod seen;
pub(crate) mod signer;

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Epoch, Height, ReplicaId, Signed, Verified, View};

use self::seen::{HighWaterMark, Seen};
use self::signer::Signer;
use crate::journal::record::Record;
use crate::messages::statement::Statement;
use crate::messages::{Checked, CheckedContent};

/// The signing state: whether the replica may sign new statements (R24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SigningState {
    /// The replica asks the others which of its statements they have received. It signs nothing new
    /// (R24a).
    Probing {
        /// The members that have answered.
        answered: BTreeSet<ReplicaId>,
    },
    /// The journal has all that a quorum, this replica included, has received. The replica may
    /// sign.
    Enabled,
    /// Others have received statements that the journal lacks. It may lack more, so the replica
    /// does not sign again with these files in this epoch (R24c).
    Recovering {
        /// The high-water mark that the others showed.
        seen: HighWaterMark,
    },
}

/// The result of comparing SEEN of another member with this replica's own high-water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The member has received nothing that goes further.
    Known,
    /// The replica was probing, so the journal is an old copy. Signing has stopped (R24c).
    OldJournal {
        /// The high-water mark that the member showed.
        seen: HighWaterMark,
    },
    /// The replica was enabled, so another process signs with the same key (R24c).
    SecondInstance,
}

/// The signer, the signing state, and the furthest statements of every member.
#[derive(Debug)]
pub(crate) struct Signing {
    epoch: Epoch,
    signer: Signer,
    state: SigningState,
    /// R24d: the height that the ledger had reached. The journal has collected its records up to
    /// here, or has records that were written while the ledger ended further. The replica signs
    /// nothing while the ledger ends lower. `u64::MAX` if the journal is of a later epoch.
    ledger_had: Height,
    /// The furthest statements of each other member.
    seen: BTreeMap<ReplicaId, Seen>,
    /// The members whose furthest statements are newer than those in the journal.
    unwritten: BTreeSet<ReplicaId>,
}

impl Signing {
    pub(crate) fn new(signer: Signer, epoch: Epoch) -> Self {
        Signing {
            epoch,
            signer,
            state: SigningState::Enabled,
            ledger_had: Height(0),
            seen: BTreeMap::new(),
            unwritten: BTreeSet::new(),
        }
    }

    /// The member whose key signs.
    pub(crate) fn replica(&self) -> ReplicaId {
        self.signer.replica()
    }

    /// The high-water mark of this replica.
    pub(crate) fn mark(&self) -> HighWaterMark {
        self.signer.mark()
    }

    /// Signs a statement. The caller must know that it may be signed ([`Signing::is_enabled`]).
    /// Before that, a restart signs only statements that are in the journal.
    pub(crate) fn sign<S: Statement>(&mut self, body: S) -> Verified<Signed<S>> {
        self.signer.sign(body)
    }

    /// From now on, the replica signs no vote in a view below this one (R19a).
    pub(crate) fn leave_below(&mut self, view: View) {
        self.signer.leave_below(view);
    }

    /// Forgets the statements about heights up to this one, and CHECKPOINTs below the other height.
    pub(crate) fn forget_through(&mut self, height: Height, checkpoints_below: Height) {
        self.signer.forget_through(height, checkpoints_below);
    }

    pub(crate) fn state(&self) -> &SigningState {
        &self.state
    }

    /// Whether the replica may sign new statements.
    pub(crate) fn is_enabled(&self) -> bool {
        self.state == SigningState::Enabled
    }

    pub(crate) fn is_probing(&self) -> bool {
        matches!(self.state, SigningState::Probing { .. })
    }

    /// The height that the ledger must reach before the replica signs; `None` if `tip` has reached
    /// it (R24d).
    pub(crate) fn ledger_lacks(&self, tip: Height) -> Option<Height> {
        (tip < self.ledger_had).then_some(self.ledger_had)
    }

    /// The furthest statements received of another member.
    pub(crate) fn seen_of(&self, member: ReplicaId) -> Option<&Seen> {
        self.seen.get(&member)
    }

    /// Keeps a statement if it goes further than all known of its signer (R24b).
    pub(crate) fn observe(&mut self, message: &Checked) {
        let me = self.replica();
        let nothing = || Seen::nothing(self.epoch);
        let mut note = |signer: ReplicaId, keep: &dyn Fn(&mut Seen) -> bool| {
            if signer != me && keep(self.seen.entry(signer).or_insert_with(nothing)) {
                self.unwritten.insert(signer);
            }
        };
        match message.content() {
            CheckedContent::PrePrepare(proposal) => {
                note(proposal.vote().signer, &|seen| seen.pre_prepared(proposal.vote()));
            }
            CheckedContent::Prepare(vote) => note(vote.signer, &|seen| seen.prepared(vote)),
            CheckedContent::Commit(vote) => note(vote.signer, &|seen| seen.committed(vote)),
            CheckedContent::ViewChange(change) => note(change.signer(), &|seen| seen.left(change.vote())),
            CheckedContent::NewView(new_view) => {
                note(new_view.vote().signer, &|seen| seen.opened(new_view.vote()));
            }
            // A CHECKPOINT is about a committed block, which an old journal cannot contradict.
            CheckedContent::Checkpoint(_)
            | CheckedContent::Status(_)
            | CheckedContent::Evidence(_)
            | CheckedContent::Seen(_) => {}
        }
    }

    /// The records of all high-water marks that changed since they were last written.
    pub(crate) fn take_records(&mut self) -> Vec<Record> {
        let changed = std::mem::take(&mut self.unwritten);
        let seen =
            changed.into_iter().map(|member| Record::Heard(member, Box::new(self.seen[&member].clone())));
        std::iter::once(Record::Mark(self.epoch, self.mark())).chain(seen).collect()
    }

    /// Compares SEEN of `from` about this replica with the journal (R24a, R24c). `None`: it has
    /// received nothing.
    pub(crate) fn compare(&mut self, from: ReplicaId, seen: Option<HighWaterMark>) -> Comparison {
        // R24d: the journal is of a later epoch. It says nothing about statements of this one.
        if self.ledger_had == Height(u64::MAX) {
            return Comparison::Known;
        }
        if let Some(seen) = seen
            && seen.exceeds(&self.mark())
        {
            return match self.state {
                SigningState::Probing { .. } => {
                    self.state = SigningState::Recovering { seen };
                    Comparison::OldJournal { seen }
                }
                SigningState::Enabled => Comparison::SecondInstance,
                // The replica signs nothing, and has recorded why.
                SigningState::Recovering { .. } => Comparison::Known,
            };
        }
        if let SigningState::Probing { answered } = &mut self.state {
            answered.insert(from);
        }
        Comparison::Known
    }

    /// Enables signing once SEEN of q - 1 others went no further than the journal, and the ledger
    /// is no old copy (R24a, R24d).
    pub(crate) fn try_enable(&mut self, quorum: usize, tip: Height) {
        if let SigningState::Probing { answered } = &self.state
            && answered.len() + 1 >= quorum
            && self.ledger_lacks(tip).is_none()
        {
            self.state = SigningState::Enabled;
        }
    }

    /// Restores the high-water mark after a restart.
    pub(crate) fn restore_mark(&mut self, mark: HighWaterMark) {
        self.signer.restore_mark(mark);
    }

    /// Restores the record that the journal is an old copy, which was found out before the restart.
    pub(crate) fn restore_recovering(&mut self, seen: HighWaterMark) {
        self.state = SigningState::Recovering { seen };
    }

    /// Restores the furthest statements of a member after a restart.
    pub(crate) fn restore_seen(&mut self, member: ReplicaId, seen: Seen) {
        self.seen.insert(member, seen);
    }

    /// Ends the restart: the replica signs nothing new until others have answered, and the ledger
    /// has reached this height.
    pub(crate) fn start_probing(&mut self, ledger_had: Height) {
        self.ledger_had = ledger_had;
        if self.is_enabled() && !is(Mutant::SpeaksUnasked) {
            self.state = SigningState::Probing { answered: BTreeSet::new() };
        }
    }
}
