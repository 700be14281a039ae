//! The scenarios for which a run may be shaped.

/// The kind of situation for which a run is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A faulty first primary whose proposals and votes break rules, under load and without other
    /// faults.
    BadPrimary,
    /// Views that fail one after the other, with Byzantine members that forge VIEW-CHANGEs and
    /// NEW-VIEWs.
    BadViews,
    /// A member that is down while more than 65 blocks are ordered, and Byzantine members that
    /// serve ranges.
    FarBehind,
    /// A faulty first primary that censors a client for longer than the censorship bound.
    Censorship,
    /// One member at a time is cut off from most others, while the rest orders.
    CutOff,
    /// Most votes are lost for so long that many views fail with accepted blocks.
    LostVotes,
    /// Members restart often, with short transaction lifetimes, and clients resend old
    /// transactions.
    Restarts,
    /// Epochs change again and again, while members crash and get old disks. In some runs only
    /// registered clients may submit.
    Epochs,
    /// The first primary is dead, and no other fault occurs for many timeouts after that.
    Recovery,
}

impl Scenario {
    /// All of them. Each is drawn as often as the others.
    pub const ALL: &[Scenario] = &[
        Scenario::BadPrimary,
        Scenario::BadViews,
        Scenario::FarBehind,
        Scenario::Censorship,
        Scenario::CutOff,
        Scenario::LostVotes,
        Scenario::Restarts,
        Scenario::Epochs,
        Scenario::Recovery,
    ];

    /// The scenario with this name.
    pub fn named(name: &str) -> Option<Scenario> {
        Scenario::ALL.iter().copied().find(|scenario| format!("{scenario:?}") == name)
    }
}
