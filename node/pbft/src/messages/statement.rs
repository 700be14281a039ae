//! Statements that members sign, and their subjects (R4).

use quorate_ledger::{Ballot, Commit, Domain, Epoch, Height, Signable, View};

use crate::checkpoint::certificate::Checkpoint;
use crate::messages::proposal::{PrePrepare, Prepare};
use crate::view_change::statements::{NewView, ViewChange};

/// What a statement is about. A correct member makes one statement about each subject, ever (R4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The kind of statement.
    pub kind: Domain,
    /// The epoch.
    pub epoch: Epoch,
    /// The view; 0 for a CHECKPOINT, which belongs to no view.
    pub view: View,
    /// The height; 0 for VIEW-CHANGE and NEW-VIEW, which belong to no height. Evidence of a hidden
    /// certificate has the height of that certificate (R22b).
    pub height: Height,
}

impl Subject {
    /// Whether this is the subject of evidence of a hidden certificate. A pair of VIEW-CHANGEs has
    /// height 0.
    pub fn is_hidden_certificate(&self) -> bool {
        self.kind == Domain::ViewChange && self.height > Height(0)
    }
}

/// What a member signs at most once for each subject.
pub trait Statement: Signable + Copy + PartialEq {
    /// The subject of this statement.
    fn subject(&self) -> Subject;

    /// The ballot, if the statement is a vote.
    fn voted(&self) -> Option<&Ballot> {
        None
    }
}

/// A vote: a statement that signs a [`Ballot`].
pub trait Vote: Statement {
    /// The ballot that it signs.
    fn ballot(&self) -> &Ballot;
}

macro_rules! votes {
    ($($name:ident),*) => {
        $(
            impl Statement for $name {
                fn subject(&self) -> Subject {
                    let Ballot { epoch, view, height, .. } = self.0;
                    Subject { kind: Self::DOMAIN, epoch, view, height }
                }

                fn voted(&self) -> Option<&Ballot> {
                    Some(&self.0)
                }
            }

            impl Vote for $name {
                fn ballot(&self) -> &Ballot {
                    &self.0
                }
            }
        )*
    };
}

votes!(PrePrepare, Prepare, Commit);

impl Statement for ViewChange {
    fn subject(&self) -> Subject {
        Subject { kind: Self::DOMAIN, epoch: self.epoch, view: self.view, height: Height(0) }
    }
}

impl Statement for NewView {
    fn subject(&self) -> Subject {
        Subject { kind: Self::DOMAIN, epoch: self.epoch, view: self.view, height: Height(0) }
    }
}

impl Statement for Checkpoint {
    fn subject(&self) -> Subject {
        Subject { kind: Self::DOMAIN, epoch: self.epoch, view: View(0), height: self.height }
    }
}
