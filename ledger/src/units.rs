//! Typed numbers. They do not convert into each other, so a view cannot be passed as a height.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// Position in the chain. The genesis header has height 0, the first block height 1.
    Height(u64)
}
number! {
    /// View number, counted from 0 in every epoch. Each view has one primary.
    View(u64)
}
number! {
    /// Number of a committee, counted from 0 along the chain.
    Epoch(u64)
}
number! {
    /// Index of a member in its committee, in the order of public keys.
    ReplicaId(u16)
}
number! {
    /// Milliseconds since the Unix epoch.
    Timestamp(u64)
}

impl Height {
    /// The next height. Saturates at the end of `u64`, which no chain reaches, because a height in
    /// a message must not stop the process. Use [`Height::follows`] to check that one height
    /// follows another.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// Whether this height directly follows the other one.
    pub fn follows(self, other: Height) -> bool {
        self.previous() == Some(other)
    }

    /// The previous height; `None` at the genesis.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Height)
    }

    /// The height `count` above this one; saturates.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Height(self.0.saturating_add(count))
    }
}

impl Epoch {
    /// The next epoch. Saturates at the end of `u64`, which no chain reaches. Use
    /// [`Epoch::follows`] to check that one epoch follows another.
    #[must_use]
    pub fn next(self) -> Self {
        Epoch(self.0.saturating_add(1))
    }

    /// Whether this epoch directly follows the other one.
    pub fn follows(self, other: Epoch) -> bool {
        self.0.checked_sub(1) == Some(other.0)
    }
}

impl View {
    /// The next view. Saturates at the end of `u64`, which no network reaches.
    #[must_use]
    pub fn next(self) -> Self {
        View(self.0.saturating_add(1))
    }
}

impl ReplicaId {
    /// As an index into the members.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Timestamp {
    /// This time and `milliseconds` more; saturates.
    #[must_use]
    pub fn plus_ms(self, milliseconds: u64) -> Self {
        Timestamp(self.0.saturating_add(milliseconds))
    }

    /// This time less `milliseconds`; stops at the Unix epoch.
    #[must_use]
    pub fn minus_ms(self, milliseconds: u64) -> Self {
        Timestamp(self.0.saturating_sub(milliseconds))
    }
}
