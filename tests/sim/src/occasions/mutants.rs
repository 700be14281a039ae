//! Tests whether the simulator detects faults: they are switched on in the production code, one at
//! a time, and seeds are run until a rule breaks.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use quorate_ledger::mutant::{Mutant, activate};

use crate::byzantine::Lie;
use crate::occasions::{Occasion, Scenario};

/// Seeds of one fault that a thread runs before it continues with another fault.
const TURN: u64 = 4;

/// How a fault was detected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The seed that detected it.
    pub seed: u64,
    /// The rule that was broken, and how.
    pub violation: String,
}

/// The result for one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunted {
    /// The fault.
    pub mutant: Mutant,
    /// Number of seeds that were run, including the one that detected it.
    pub seeds: u64,
    /// How it was detected.
    pub found: Option<Found>,
}

/// Why no run of the simulator needs to detect a fault: it breaks no rule, or none that a run can
/// check. Every other fault must be found.
pub fn excuse(mutant: Mutant) -> Option<&'static str> {
    EXCUSED.iter().find(|(excused, _)| *excused == mutant).map(|(_, reason)| *reason)
}

/// Why the simulator detects no wrong outcome of an operation.
const SAME_CODE: &str =
    "the oracle executes operations with the same code; tests of ledger/governance/tests notice it";

const EXCUSED: &[(Mutant, &str)] = &[
    (
        Mutant::VotesRelayed,
        "harmless: only the signature counts, and a member that withholds another member's vote could equally withhold its own",
    ),
    (
        Mutant::NothingRepaired,
        "no rule of a run covers it: blocks arrive as certified ranges and views change more often, but nothing stops; \
         tests of node/pbft/tests/rules/ordering/lost_messages.rs notice it",
    ),
    (
        Mutant::ParentNotAskedAgain,
        "the engine refuses such proposals before they are accepted; `a_branch_that_lost_is_not_continued` in \
         node/pbft/tests/rules/hostile/lost_branches.rs notices it where there is no engine",
    ),
    (
        Mutant::PastBlocksGivenUp,
        "not found in 800 seeds of LostVotes: it takes more than 16 W accepted blocks of failed views, and a certificate \
         that only one correct member has; a test of node/pbft/tests/rules/view_changes/past_blocks.rs notices it",
    ),
    (Mutant::ApprovalsOfRemovedMembers, SAME_CODE),
    (Mutant::ReadyUnchecked, SAME_CODE),
    (Mutant::RetiredKeysAccepted, SAME_CODE),
    (
        Mutant::AnchorBelowRoot,
        "harmless here: an epoch certifies nothing at or below its root; tests of node/pbft notice it",
    ),
    (
        Mutant::OldEpochRestored,
        "a journal has no records of two epochs: the write that begins an epoch deletes all others; tests of node/pbft \
         notice it",
    ),
    (
        Mutant::SeenOfAnyEpoch,
        "members drop messages of other epochs before this check; tests of node/pbft notice it",
    ),
    (Mutant::CommitteeNotCompared, "no quorum certifies such a block; tests of ledger/store notice it"),
];

/// The occasion in which a fault does harm; the seeds of its hunt are shaped for it. The mix of all
/// situations would find most faults too, but later.
pub fn ground(mutant: Mutant) -> Occasion {
    if mutant == Mutant::AsksOneMember {
        return Occasion { scenario: None, lies: &[Lie::Withhold] };
    }
    if let Some(lies) = lies_of_a_primary(mutant) {
        return Occasion { scenario: Some(Scenario::BadPrimary), lies };
    }
    if let Some(lies) = lies_about_views(mutant) {
        return Occasion { scenario: Some(Scenario::BadViews), lies };
    }
    other_ground(mutant)
}

/// The behaviours of a first primary that exploit a fault.
fn lies_of_a_primary(mutant: Mutant) -> Option<&'static [Lie]> {
    use Mutant as M;
    Some(match mutant {
        M::TimeUnchecked
        | M::LimitsUnchecked
        | M::EmptyTooSoon
        | M::FormUnchecked
        | M::ExpiredAllowed
        | M::LifetimeUnbounded
        | M::ProposerUnchecked
        | M::NextCommitteeUnchecked
        | M::FillerUnchecked
        | M::RepeatsCommitted
        | M::RepeatsInFlight
        | M::SendersUnchecked => &[Lie::Misfill],
        M::ParentNotAskedAgain => &[Lie::HideBranch],
        M::SecondProposalReplaces => &[Lie::ProposeTwice],
        M::ClockUnchecked => &[Lie::PushTime],
        M::WindowUnbounded | M::ViewsUnbounded => &[Lie::VoteFar],
        M::PrimaryPrepareCounts => &[Lie::VoteAsPrimary],
        M::CrossedVotesIgnored => &[Lie::CrossVotes],
        M::VotesForAnyBlock => &[Lie::Equivocate],
        M::EquivocationIgnored | M::ProvenPrimaryStays => &[Lie::ProposeTwice, Lie::VoteTwice],
        M::SeenUnchecked => &[Lie::ForgeSeen],
        _ => return None,
    })
}

/// The behaviours that exploit a fault while views fail; none where failed views are enough.
fn lies_about_views(mutant: Mutant) -> Option<&'static [Lie]> {
    use Mutant as M;
    Some(match mutant {
        M::ProposalByAnyone | M::ProposalUnsigned | M::PrepareUnsigned | M::CommitUnsigned => {
            &[Lie::ForgeVotes]
        }
        M::AgainUnchecked => &[Lie::ProposeAgain],
        M::PreparedUnchecked | M::BaseUnchecked => &[Lie::ForgeChange],
        M::WeakPrepared => &[Lie::Equivocate, Lie::ForgeChange],
        M::PrimaryAmongPrepares => &[Lie::Equivocate, Lie::VoteAsPrimary, Lie::ForgeChange],
        M::ViewChangeUnsigned
        | M::ViewChangeContentUnchecked
        | M::NewViewByAnyone
        | M::NewViewUnsigned
        | M::NewViewSignersRepeat
        | M::NewViewForeignViews => &[Lie::ForgeView],
        M::EntersEarlierViews => &[Lie::Replay],
        M::JoinsOne | M::JoinsSameViewOnly => &[Lie::Spam],
        M::NewViewNotRecomputed => &[Lie::Misopen],
        M::BaseFinalisesNothing
        | M::ReleasedForgotten
        | M::NewViewTimerExact
        | M::NewViewDropsPrepared
        | M::ViewChangeQuorumShort => &[],
        _ => return None,
    })
}

fn other_ground(mutant: Mutant) -> Occasion {
    use Mutant as M;
    let (scenario, lies): (Scenario, &'static [Lie]) = match mutant {
        M::ParentUnchecked | M::CertificateMisplaced | M::CertificateUnchecked => {
            (Scenario::FarBehind, &[Lie::Strip])
        }
        M::AnyAnswer => (Scenario::FarBehind, &[]),
        M::NoWatermark => (Scenario::FarBehind, &[Lie::KeepCheckpoints]),
        M::CensorshipIgnored => (Scenario::Censorship, &[]),
        M::LeavesWithoutContact | M::LeavesWhileBehind | M::VotesWhenOvertaken => (Scenario::CutOff, &[]),
        M::LowestCertificate | M::PastBlocksGivenUp => (Scenario::LostVotes, &[]),
        M::HalfTheIds | M::SpeaksUnasked => (Scenario::Restarts, &[]),
        M::TimeoutNeverHalved => (Scenario::Recovery, &[]),
        M::EffectiveAtOnce
        | M::EpochChangesOverlap
        | M::JudgedUnexecuted
        | M::EpochEndIgnored
        | M::NextEpochUnprobed
        | M::OutcomesNotWritten
        | M::StateOfGenesis => (Scenario::Epochs, &[]),
        _ => return Occasion::default(),
    };
    Occasion { scenario: Some(scenario), lies }
}

/// Runs seeds with a fault switched on until one breaks a rule, at most `most` of them.
fn hunt(mutant: Mutant, start: u64, most: u64) -> (u64, Option<Found>) {
    activate(Some(mutant));
    let found = (0..most).find_map(|count| {
        let seed = start + count;
        let failure = crate::run(seed, ground(mutant), false).err()?;
        Some((count + 1, Found { seed, violation: failure.violation.to_string() }))
    });
    activate(None);
    match found {
        Some((seeds, found)) => (seeds, Some(found)),
        None => (most, None),
    }
}

/// Hunts these faults in turns, several at a time, each until it is found, `most` seeds were run,
/// or `goes_on` returns false for the number of its seeds. Reports each result as soon as it is
/// known, in no particular order.
pub fn hunt_all(
    mutants: &[Mutant],
    start: u64,
    most: u64,
    jobs: NonZeroUsize,
    goes_on: impl Fn(u64) -> bool + Sync,
    report: impl Fn(Hunted) + Sync,
) {
    let waiting: Mutex<VecDeque<(Mutant, u64)>> =
        Mutex::new(mutants.iter().map(|mutant| (*mutant, 0)).collect());
    let queue = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(mutants.len()) {
            scope.spawn(|| {
                loop {
                    let Some((mutant, before)) = queue().pop_front() else { return };
                    let (more, found) = hunt(mutant, start + before, TURN.min(most - before));
                    let seeds = before + more;
                    if found.is_none() && seeds < most && goes_on(seeds) {
                        queue().push_back((mutant, seeds));
                    } else {
                        report(Hunted { mutant, seeds, found });
                    }
                }
            });
        }
    });
}
