//! The HTTP interface of a node: its JSON types, errors and methods.
//!
//! Server and client share these types, and the table of methods ([`METHODS`]). The types mirror
//! those of `quorate-ledger` field by field and convert to and from them; the ledger has no JSON.
//! The crate has no server and no client, so it suffices for a command line or a verifier.
//!
//! The rules of the encoding:
//! * bytes, hashes, keys and signatures are lower-case hex after `0x`; other forms are refused;
//! * heights, times, counts and indices are JSON integers; times are milliseconds since the Unix
//!   epoch;
//! * field names are the ledger's, in snake_case, with the unit last where there is one;
//! * verified objects ([`ReceiptJson`], [`FinalityProofJson`], [`EpochProofsJson`] and their parts)
//!   refuse surplus and repeated fields, so that no digit of them can change without the proof failing.
//!
//! ```
//! use quorate_api::{ChainHead, Wait};
//!
//! let head: ChainHead = serde_json::from_str(
//!     r#"{"height":7,"hash":"0x4545454545454545454545454545454545454545454545454545454545454545","timestamp_ms":1}"#,
//! )?;
//! assert_eq!(head.height, 7);
//! assert_eq!(serde_json::to_string(&Wait::Committed)?, "\"committed\"");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod chain;
mod encoding;
mod error;
mod governance;
mod methods;
mod node;
mod stream;
mod submit;
mod transaction_refusal;

pub use chain::block::{
    BlockJson, CertificateJson, HeaderJson, PayloadJson, TransactionJson, TransactionsJson,
};
pub use chain::epochs::{
    EpochProofJson, EpochProofsJson, MAX_EPOCH_PROOFS, MAX_EPOCH_PROOFS_JSON_BYTES, parse_epoch_proofs,
};
pub use chain::proof::{
    FinalityProofJson, MAX_PROOF_JSON_BYTES, ReceiptJson, parse_finality_proof, parse_receipt,
};
pub use chain::query::{BlockAt, Blocks, DEFAULT_BLOCKS, LocatedTransaction, MAX_BLOCKS};
pub use encoding::excerpt::{MAX_EXCERPT_CHARS, cut_off, excerpt, shorten};
pub use encoding::hex::Bytes;
pub use encoding::invalid::InvalidJson;
pub use error::{ErrorData, ErrorKind, MAX_MESSAGE_BYTES, RpcError};
pub use governance::change::{ChangeJson, DescribedChange, InvalidChange, SubmitMode};
pub use governance::history::{History, PastOperation};
pub use governance::operation::{OperationJson, QuotaJson};
pub use governance::outcome::{BlockOutcome, OutcomeJson};
pub use governance::preview::{ObstacleJson, PreviewJson};
pub use governance::query::{MAX_LISTED, MAX_PREVIEW_CHANGES};
pub use governance::status::{
    Arithmetic, CandidateJson, ClientJson, Clients, GovernanceStatus, MemberJson, ProposalJson, ScheduledJson,
};
pub use methods::catalogue::{ADMIN_METHODS, DefaultValue, METHODS, MakeSchema, Method, STREAM_METHODS};
pub use methods::discovery::Discovery;
pub use methods::parameter::Parameter;
pub use node::candidacy::{Candidacy, CandidacyState};
pub use node::consensus::{
    CheckpointJson, ConsensusDeadline, ConsensusEvidence, ConsensusState, DeadlinePurpose, EvidenceJson,
    EvidenceKind, HeightInFlight, HeightPhase, Obstacle, Probe, ValidatorSigningState, ViewChangeCounts,
};
pub use node::explanation::{
    Awaited, AwaitedHeight, Explanation, MemberName, OrderingBounds, ProgressState, QuorumContact,
    SilentMember, ViewChangeTally, ViewTimer, VoteTally, Warning, WarningKind,
};
pub use node::pending::{PendingChange, PendingStage};
pub use node::status::{
    ChainHead, FailedAddress, Membership, MempoolStatus, NetworkGenesis, NodeRole, NodeStatus, PeerDirection,
    PeerJson, PredecessorJson, Readiness, ReadinessCheck, ValidatorJson, ValidatorSet, VersionInfo,
};
pub use stream::{EndReason, NOTIFICATION};
pub use submit::{DEFAULT_WAIT_MS, MAX_WAIT_MS, StatusResult, SubmitResult, TransactionStatus, Wait};
