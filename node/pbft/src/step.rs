//! What a step asks for, and the order in which it may happen.

use std::fmt;

use quorate_ledger::{BlockHash, CommitCertificate, Header, Height, ReplicaId, Verified, View};

use crate::checkpoint::certificate::CheckpointCertificate;
use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::{CheckedProposal, Message};
use crate::signing::seen::Mark;

/// To whom a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To every other member.
    All,
    /// To one member.
    One(ReplicaId),
}

/// What a replica needs from the engine around it. Nothing here is a promise, so nothing waits for the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Get the transactions of this proposal, check them against limits and chain (R5), and answer with
    /// [`crate::Input::Examined`]. The proposal was sent by the primary or passed on by `from`.
    Examine {
        /// What was proposed.
        proposal: CheckedProposal,
        /// Who sent it to us: the first one to ask for what is missing.
        from: ReplicaId,
    },
    /// Append these blocks, all of which were accepted here before; the certificate is for the last.
    Finalise(Finalised),
    /// A quorum of COMMITs makes this height final, and a block up to there was not accepted here: fetch
    /// certified blocks. Told once for each height; keep trying until the tip has reached it.
    CatchUp {
        /// Height of the certified block.
        height: Height,
    },
    /// Get the ids of the block with this header, which is proposed again and was not accepted here before, and
    /// answer with [`crate::Input::Outlined`]. Told once; keep trying until the height is final or the view left.
    Outline {
        /// The block.
        header: Header,
        /// The primary that proposes it again: the first one to ask.
        from: ReplicaId,
    },
    /// A member lied, for the first time about this subject. It is broadcast and stored besides.
    Evidence(Verified<Evidence>),
    /// The primary's proposal breaks a rule that does not depend on clocks.
    BadProposal {
        /// The view.
        view: View,
        /// The height.
        height: Height,
        /// What is wrong.
        reason: String,
    },
    /// A view was left. What was being examined for it need not be any more.
    Left(Departure),
    /// A view has begun. Blocks that it does not propose again lose their place: what was in them is waiting.
    Entered {
        /// The view.
        view: View,
        /// Its primary.
        primary: ReplicaId,
    },
    /// This block of a view that was left is not kept any longer.
    Forget(BlockHash),
    /// A checkpoint became stable.
    Stable(Verified<CheckpointCertificate>),
    /// Others have seen us sign what we do not remember: these files are old. Nothing is signed any more (R24).
    Recovering {
        /// How far others have seen us go.
        seen: Mark,
        /// How far we remember to have gone.
        remembered: Mark,
    },
    /// Somebody else signs with our key while we run: the process must stop (R24).
    SecondInstance,
}

/// Why a view was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Work was pending and nothing was committed for the whole timeout.
    NoProgress,
    /// A transaction at the head of the queue was passed over for too long.
    Censorship,
    /// The primary lied, and there is proof.
    Evidence,
    /// f + 1 others have left it.
    Joined,
    /// No NEW-VIEW came in time.
    NoNewView,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NoProgress => "work waited and no block was committed in time",
            Cause::Censorship => "a transaction was passed over",
            Cause::Evidence => "the primary lied",
            Cause::Joined => "more validators than may be faulty have left it",
            Cause::NoNewView => "its primary did not begin it in time",
        })
    }
}

/// A view was left for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// The view that was left.
    pub from: View,
    /// Its primary.
    pub primary: ReplicaId,
    /// The view that is wanted.
    pub to: View,
    /// Why.
    pub cause: Cause,
}

/// Blocks that became final together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finalised {
    /// Ascending and contiguous, from one above the last committed block.
    pub blocks: Vec<BlockHash>,
    /// For the last of them.
    pub certificate: Verified<CommitCertificate>,
}

/// What one call of [`crate::Replica::step`] asks for.
#[must_use = "a step that is dropped loses promises"]
#[derive(Debug, Default)]
pub struct Step {
    pub(crate) records: Vec<Record>,
    pub(crate) messages: Vec<(To, Message)>,
    pub(crate) requests: Vec<Request>,
}

impl Step {
    /// What is needed from the engine, at once and in this order.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    pub(crate) fn send(&mut self, to: To, message: Message) {
        self.messages.push((to, message));
    }
}

/// The records and messages of several steps, written with one sync.
///
/// Messages leave only through [`Steps::persist`]: "remember, then speak" is not left to discipline.
#[must_use = "steps that are dropped lose promises"]
#[derive(Debug, Default)]
pub struct Steps {
    records: Vec<Record>,
    messages: Vec<(To, Message)>,
}

impl Steps {
    /// Adds a step whose requests were taken.
    pub fn absorb(&mut self, step: Step) {
        assert!(step.requests.is_empty(), "requests are served before a step is absorbed");
        self.records.extend(step.records);
        self.messages.extend(step.messages);
    }

    /// Makes the records durable with `write`, which returns once they would survive a power cut, and hands
    /// out the messages.
    ///
    /// # Errors
    /// Those of `write`; the messages are lost with it, as they must be.
    pub fn persist<E>(self, write: impl FnOnce(&[Record]) -> Result<(), E>) -> Result<Vec<(To, Message)>, E> {
        write(&self.records)?;
        Ok(self.messages)
    }
}
