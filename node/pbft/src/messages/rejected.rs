//! Why a message is refused.

use quorate_ledger::{BlockError, CertificateError, Epoch, Height, ReplicaId, SignedError, View};

use crate::votes::prepared::PreparedError;

/// Why a message was refused. A correct member sends no such message, with one exception: the
/// epochs of two correct members may differ for a while ([`Rejected::Epoch`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// R2: a vote is taken only from the channel of its signer. A member that collects votes of
    /// others could release them at a time of its choice.
    #[error("a vote signed by member {signer} arrived from member {from}")]
    Relayed {
        /// The member that sent it.
        from: ReplicaId,
        /// The claimed signer.
        signer: ReplicaId,
    },
    /// R2: the signer is not the primary of the view.
    #[error("member {signer} proposed in view {view}, whose primary is another")]
    NotPrimary {
        /// The claimed signer.
        signer: ReplicaId,
        /// The view.
        view: View,
    },
    /// The message is of another epoch.
    #[error("it is of epoch {0}, not of the present one")]
    Epoch(Epoch),
    /// The signature is not valid.
    #[error(transparent)]
    Signature(#[from] SignedError),
    /// The signed ballot is for another header.
    #[error("the proposal's header is not the one that was signed")]
    OtherHeader,
    /// The header and the ids do not match.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A commit certificate in a VIEW-CHANGE is not valid.
    #[error("a commit certificate in a VIEW-CHANGE: {0}")]
    Certificate(#[from] CertificateError),
    /// A prepared certificate in a VIEW-CHANGE is not valid.
    #[error("a prepared certificate in a VIEW-CHANGE: {0}")]
    Prepared(#[from] PreparedError),
    /// A VIEW-CHANGE breaks a rule (R19b).
    #[error("a VIEW-CHANGE: {0}")]
    ViewChange(&'static str),
    /// A NEW-VIEW does not follow from its VIEW-CHANGEs (R20b).
    #[error("a NEW-VIEW: {0}")]
    NewView(&'static str),
    /// The statements are no evidence, or SEEN is not of one member.
    #[error("its statements are not of one member, or a correct member could make both")]
    Evidence,
    /// A CHECKPOINT at a height that has none: at or below the root of the epoch.
    #[error("a CHECKPOINT at height {0}, which has none")]
    Checkpoint(Height),
}
