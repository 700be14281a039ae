//! Faults that can be switched on to find out whether the tests would notice them.
//!
//! Only the feature `mutants` compiles them in, and only tests ask for that feature. Without it
//! [`is`] is the constant `false`. The numbers are those of the list in `tests/sim/README.md`.

/// A way to get the protocol wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// M1: a quorum is 2f + 1 whatever n is.
    QuorumOfTwoFaults,
    /// M2: a block is prepared with one PREPARE less.
    PreparedOneShort,
    /// M3: f + 1 view changes begin a view.
    ViewChangeQuorumShort,
    /// M4: COMMIT is given whatever became of the parent.
    CommitOutOfOrder,
    /// M5: a new view takes the certificate of the lowest view.
    LowestCertificate,
    /// M6: a NEW-VIEW is believed without selecting again.
    NewViewNotRecomputed,
    /// M7: a new view forgets what was prepared.
    NewViewDropsPrepared,
    /// M8: a VIEW-CHANGE is not written down.
    ViewChangeNotDurable,
    /// M9: an accepted proposal is not written down.
    AcceptedNotDurable,
    /// M10: a prepared certificate is not written down.
    PreparedNotDurable,
    /// M11: messages leave although the group of records that they depend on is not written; every other group.
    SpeakBeforeSync,
    /// M12: votes are given in a view that was left.
    VotesAfterViewChange,
    /// M13: a restart goes back to the view that was entered last.
    ViewRegresses,
}

impl Mutant {
    /// All of them, in the order of their numbers.
    pub const ALL: [Mutant; 13] = [
        Mutant::QuorumOfTwoFaults,
        Mutant::PreparedOneShort,
        Mutant::ViewChangeQuorumShort,
        Mutant::CommitOutOfOrder,
        Mutant::LowestCertificate,
        Mutant::NewViewNotRecomputed,
        Mutant::NewViewDropsPrepared,
        Mutant::ViewChangeNotDurable,
        Mutant::AcceptedNotDurable,
        Mutant::PreparedNotDurable,
        Mutant::SpeakBeforeSync,
        Mutant::VotesAfterViewChange,
        Mutant::ViewRegresses,
    ];

    /// Its number in the list, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Switches a fault on for this thread, or all off.
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

/// Whether this fault is switched on: never, in a build without them.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is(_mutant: Mutant) -> bool {
    false
}
