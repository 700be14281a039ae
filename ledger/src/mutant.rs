//! Faults that can be switched on to check that the tests detect them.
//!
//! Only the feature `mutants` compiles them in, and only tests enable that feature. Without it
//! [`is`] is the constant `false`. The numbers are those of the list in `tests/sim/README.md`. With
//! the feature, the variable `QUORATE_MUTANT` switches a fault on by name in any test binary.

/// Defines the faults and the list of them in one place.
macro_rules! mutants {
    ($($(#[doc = $text:literal])* $name:ident,)*) => {
        /// A deliberate fault in the implementation of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[doc = $text])* $name,)*
        }

        impl Mutant {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// Its number and its description, as in the list.
            pub fn text(self) -> &'static str {
                match self {
                    $(Mutant::$name => concat!($($text),*).trim(),)*
                }
            }
        }
    };
}

mutants! {
    /// M1: a quorum is 2f + 1 whatever n is.
    QuorumOfTwoFaults,
    /// M2: a block is prepared with one PREPARE less.
    PreparedOneShort,
    /// M3: f + 1 view changes begin a view.
    ViewChangeQuorumShort,
    /// M4: COMMIT is sent without waiting for the parent.
    CommitOutOfOrder,
    /// M5: a new view takes the certificate of the lowest view.
    LowestCertificate,
    /// M6: a NEW-VIEW is accepted without selecting again.
    NewViewNotRecomputed,
    /// M7: a new view drops all prepared blocks.
    NewViewDropsPrepared,
    /// M8: a VIEW-CHANGE is not journaled.
    ViewChangeNotDurable,
    /// M9: an accepted proposal is not journaled.
    AcceptedNotDurable,
    /// M10: a prepared certificate is not journaled.
    PreparedNotDurable,
    /// M11: messages leave although the group of records that they depend on is not written (every
    /// other group).
    SpeakBeforeSync,
    /// M12: a replica votes in a view that it has left.
    VotesAfterViewChange,
    /// M13: a restart returns to the view that was entered last.
    ViewRegresses,
    /// M14: a header's parent hash is not compared.
    ParentUnchecked,
    /// M15: a header's time need not come after its parent's.
    TimeUnchecked,
    /// M16: a block may be larger than the genesis allows.
    LimitsUnchecked,
    /// M17: an empty block may follow its parent at once.
    EmptyTooSoon,
    /// M18: a block may contain transactions that are larger than the limit.
    FormUnchecked,
    /// M19: a block may contain transactions that have expired.
    ExpiredAllowed,
    /// M20: `valid_until` has no upper bound.
    LifetimeUnbounded,
    /// M21: the parent of a validated proposal is not compared again before the proposal is
    /// accepted.
    ParentNotAskedAgain,
    /// M22: a second proposal replaces one that waits for its parent, and no evidence is made.
    SecondProposalReplaces,
    /// M23: a fresh proposal may name any member as its proposer.
    ProposerUnchecked,
    /// M24: a proposal with a future time is accepted at once.
    ClockUnchecked,
    /// M25: other proposals are taken at the heights that a view begins with.
    AgainUnchecked,
    /// M26: any member may propose.
    ProposalByAnyone,
    /// M27: the signature of a proposal is not verified.
    ProposalUnsigned,
    /// M28: votes and proposals are kept at any height above the window.
    WindowUnbounded,
    /// M29: votes and proposals are kept for any later view.
    ViewsUnbounded,
    /// M30: ordering does not wait for a stable checkpoint.
    NoWatermark,
    /// M31: the primary's PREPARE counts in addition to its PRE-PREPARE.
    PrimaryPrepareCounts,
    /// M32: PREPAREs for other blocks count too.
    VotesForAnyBlock,
    /// M33: the signature of a PREPARE is not verified.
    PrepareUnsigned,
    /// M34: the signature of a COMMIT is not verified.
    CommitUnsigned,
    /// M35: a vote is accepted from members that did not sign it.
    VotesRelayed,
    /// M36: a replica votes although a certificate shows a later view.
    VotesWhenOvertaken,
    /// M37: two contradicting votes of one member are no evidence.
    EquivocationIgnored,
    /// M38: a claimed prepared certificate may have f PREPAREs.
    WeakPrepared,
    /// M39: a claimed prepared certificate may have a PREPARE of the primary.
    PrimaryAmongPrepares,
    /// M40: the prepared certificates in a VIEW-CHANGE are not verified.
    PreparedUnchecked,
    /// M41: the committed anchor in a VIEW-CHANGE is not verified.
    BaseUnchecked,
    /// M42: the signature of a VIEW-CHANGE is not verified.
    ViewChangeUnsigned,
    /// M43: the content of a VIEW-CHANGE need not match its signature.
    ViewChangeContentUnchecked,
    /// M44: any member may begin a view.
    NewViewByAnyone,
    /// M45: the signature of a NEW-VIEW is not verified.
    NewViewUnsigned,
    /// M46: a member may occur in a NEW-VIEW several times.
    NewViewSignersRepeat,
    /// M47: the view changes in a NEW-VIEW may be for other views.
    NewViewForeignViews,
    /// M48: a NEW-VIEW of an earlier view is entered.
    EntersEarlierViews,
    /// M49: the anchor of a view finalises nothing.
    BaseFinalisesNothing,
    /// M50: accepted blocks of past views are dropped although the replica holds a prepared
    /// certificate for them.
    PastBlocksGivenUp,
    /// M51: one VIEW-CHANGE makes others leave too.
    JoinsOne,
    /// M52: only f + 1 VIEW-CHANGEs for the same view make others leave too.
    JoinsSameViewOnly,
    /// M53: the wait for a NEW-VIEW starts with a quorum for exactly this view.
    NewViewTimerExact,
    /// M54: the timeout is never doubled.
    TimeoutNeverDoubled,
    /// M55: the timeout is never halved.
    TimeoutNeverHalved,
    /// M56: a view is left although others are known to have committed more.
    LeavesWhileBehind,
    /// M57: a view is left without contact with a quorum.
    LeavesWithoutContact,
    /// M58: a VIEW-CHANGE is not resent.
    ViewChangeSaidOnce,
    /// M59: a primary that censors transactions is not replaced.
    CensorshipIgnored,
    /// M60: a primary that is proven faulty is not replaced.
    ProvenPrimaryStays,
    /// M61: two statements need not contradict each other to be evidence.
    EvidenceUnchecked,
    /// M62: SEEN is accepted without verifying its signatures.
    SeenUnchecked,
    /// M63: messages that others lack are not resent.
    NothingRepaired,
    /// M64: a member signs after a restart without probing.
    SpeaksUnasked,
    /// M65: f + 1 CHECKPOINTs make a checkpoint stable.
    CheckpointQuorumShort,
    /// M66: a CHECKPOINT is signed before the ledger is durable.
    CheckpointBeforeDurable,
    /// M67: after a restart, the ids of only half a lifetime are remembered.
    HalfTheIds,
    /// M68: a block may repeat ids of committed blocks.
    RepeatsCommitted,
    /// M69: a block may repeat ids of blocks in flight.
    RepeatsInFlight,
    /// M70: any answer counts as the answer to the open request.
    AnyAnswer,
    /// M71: a certificate in a range may be for another block.
    CertificateMisplaced,
    /// M72: the certificates in a range are not verified.
    CertificateUnchecked,
    /// M73: a member that does not answer is asked again and again.
    AsksOneMember,
    /// M74: the transactions of a superseded block do not return to the pool.
    ReleasedForgotten,
    /// M75: the pool drops transactions in the last millisecond in which they are valid.
    ExpiresEarly,
    /// M76: a COMMIT for another block than its signer's PREPARE or PRE-PREPARE is no evidence.
    CrossedVotesIgnored,
    /// M77: a change of the configuration takes effect at the height after its decision.
    EffectiveAtOnce,
    /// M78: approvals of removed members count.
    ApprovalsOfRemovedMembers,
    /// M79: a new member need not be ready.
    ReadyUnchecked,
    /// M80: several epoch changes may be scheduled at once.
    EpochChangesOverlap,
    /// M81: keys of earlier members are accepted again.
    RetiredKeysAccepted,
    /// M82: a proposal may name any committee for the next block.
    NextCommitteeUnchecked,
    /// M83: a height is judged before the blocks that decide about it are executed.
    JudgedUnexecuted,
    /// M84: heights above the last one of the epoch are proposed and accepted.
    EpochEndIgnored,
    /// M85: an early empty block is accepted although no scheduled change needs it.
    FillerUnchecked,
    /// M86: a member that was recovering signs in the next epoch without probing.
    NextEpochUnprobed,
    /// M87: the committed anchor of a VIEW-CHANGE may be at or below the root of the epoch.
    AnchorBelowRoot,
    /// M88: records of an earlier epoch are restored as if of the present one.
    OldEpochRestored,
    /// M89: SEEN of another epoch answers a probe.
    SeenOfAnyEpoch,
    /// M90: the outcomes of a block are not written with it.
    OutcomesNotWritten,
    /// M91: the ledger does not compare the committees of a block with its governance state.
    CommitteeNotCompared,
    /// M92: after a restart, the governance state is that of the genesis.
    StateOfGenesis,
    /// M93: a CHECKPOINT does not contain the state root.
    StateUnsigned,
    /// M94: a block may contain transactions of any sender, and of one as many as fit.
    SendersUnchecked,
}

impl Mutant {
    /// Its number in the list, as its description gives it.
    pub fn number(self) -> usize {
        let number = self.text().split(':').next().and_then(|first| first.strip_prefix('M'));
        number.and_then(|digits| digits.parse().ok()).expect("a description begins with its number")
    }

    /// The fault with this name, or with this number as in `M7`.
    pub fn named(name: &str) -> Option<Mutant> {
        let is_it =
            |mutant: &&Mutant| format!("{mutant:?}") == name || format!("M{}", mutant.number()) == name;
        Mutant::ALL.iter().find(is_it).copied()
    }
}

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Mutant;

    /// Environment variable that names a fault to switch on in every thread, for any test binary.
    const VARIABLE: &str = "QUORATE_MUTANT";

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = Cell::new(from_environment());
    }

    /// The fault that the environment variable names.
    ///
    /// # Panics
    /// If it names no fault: with a misspelt name, it would look as if no test detected the fault.
    fn from_environment() -> Option<Mutant> {
        static ASKED: OnceLock<Option<Mutant>> = OnceLock::new();
        *ASKED.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
            Some(Mutant::named(&name).unwrap_or_else(|| panic!("{VARIABLE}={name} names no fault")))
        })
    }

    /// Switches one fault on for this thread, or all faults off.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    /// Whether this fault is switched on for this thread.
    pub fn is(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use switch::{activate, is};

/// Whether this fault is switched on. Without the feature, it never is.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is(_mutant: Mutant) -> bool {
    false
}
