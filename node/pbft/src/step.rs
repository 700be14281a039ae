//! What a step asks for, and the order in which it may happen.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    BlockHash, CommitCertificate, Header, Height, Outline, ReplicaId, Signed, Verified, View,
};

use crate::certificate::PreparedCertificate;
use crate::messages::{CheckedProposal, Message, PrePrepare};
use crate::time::Moment;

/// A promise this replica gives, to be durable before the message that gives it leaves (R13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Before PRE-PREPARE or PREPARE: this proposal was accepted in its view. The engine stores the block's
    /// body with it, because a prepared certificate promises that the body can be fetched.
    Accepted(CheckedProposal),
    /// Before COMMIT: this certificate must reach every later view change.
    Prepared(Verified<PreparedCertificate>),
    /// Before a client hears of it: this certificate finalised a block.
    Finalised(Verified<CommitCertificate>),
}

/// The stored form of [`Record::Accepted`]: the transactions' ids are in the body stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StoredProposal {
    pub(crate) vote: Signed<PrePrepare>,
    pub(crate) header: Header,
}

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
    /// Somebody signed two different votes where one is allowed. Told once for each member, view and height.
    Contradiction {
        /// Who did.
        replica: ReplicaId,
        /// The view of the votes.
        view: View,
        /// The height of the votes.
        height: Height,
    },
    /// The primary's proposal breaks a rule that does not depend on clocks.
    BadProposal {
        /// The view.
        view: View,
        /// The height.
        height: Height,
        /// What is wrong.
        reason: String,
    },
    /// Work is pending and nothing was committed for the whole request timeout.
    Overdue(Overdue),
}

/// Pending work waited too long under this primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The view that is not making progress.
    pub view: View,
    /// Its primary.
    pub primary: ReplicaId,
    /// Since when nothing was committed although work was pending.
    pub since: Moment,
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

impl Record {
    /// Height the record is about.
    pub fn height(&self) -> Height {
        match self {
            Record::Accepted(proposal) => proposal.ballot().height,
            Record::Prepared(certificate) => certificate.header().height,
            Record::Finalised(certificate) => certificate.ballot().height,
        }
    }

    /// View the record is about.
    pub fn view(&self) -> View {
        match self {
            Record::Accepted(proposal) => proposal.ballot().view,
            Record::Prepared(certificate) => certificate.view(),
            Record::Finalised(certificate) => certificate.ballot().view,
        }
    }

    /// The bytes to store. The body of an accepted block is stored beside this, not in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Record::Accepted(proposal) => quorate_ledger::encode(&StoredProposal {
                vote: proposal.vote().clone().into_inner(),
                header: proposal.outline().header().clone(),
            }),
            Record::Prepared(certificate) => quorate_ledger::encode(&**certificate),
            Record::Finalised(certificate) => quorate_ledger::encode(&**certificate),
        }
    }

    /// Reads back an accepted proposal that this node stored, with the outline of the body stored beside it.
    ///
    /// # Errors
    /// A message for the operator: the journal holds something this version does not understand.
    pub fn read_accepted(bytes: &[u8], outline_of: &Outline) -> Result<Record, String> {
        let stored: StoredProposal = quorate_ledger::decode(bytes).map_err(|error| error.to_string())?;
        if stored.vote.body.0.block != outline_of.hash() || stored.header.hash() != outline_of.hash() {
            return Err("an accepted proposal and its body do not belong together".to_owned());
        }
        let vote = Verified::from_own_storage(stored.vote);
        Ok(Record::Accepted(CheckedProposal::new(vote, outline_of.clone())))
    }

    /// The header inside a stored accepted proposal, needed to join it with its body.
    ///
    /// # Errors
    /// As [`Record::read_accepted`].
    pub fn accepted_header(bytes: &[u8]) -> Result<Header, String> {
        quorate_ledger::decode::<StoredProposal>(bytes)
            .map(|stored| stored.header)
            .map_err(|error| error.to_string())
    }

    /// Reads back a prepared certificate that this node stored.
    ///
    /// # Errors
    /// As [`Record::read_accepted`].
    pub fn read_prepared(bytes: &[u8]) -> Result<Record, String> {
        quorate_ledger::decode(bytes)
            .map(|certificate| Record::Prepared(Verified::from_own_storage(certificate)))
            .map_err(|error| error.to_string())
    }

    /// Reads back a commit certificate that this node stored.
    ///
    /// # Errors
    /// As [`Record::read_accepted`].
    pub fn read_finalised(bytes: &[u8]) -> Result<Record, String> {
        quorate_ledger::decode(bytes)
            .map(|certificate| Record::Finalised(Verified::from_own_storage(certificate)))
            .map_err(|error| error.to_string())
    }
}
