//! The table of methods, from which the server serves, checks and describes them.
//!
//! The server runs only methods in [`METHODS`], checks parameters by it, and makes the result of
//! `rpc.discover` from it, so every served method is described. The server's tests check with every
//! response that it has the type or an error that the table names.
//!
//! A new method needs an entry here, an arm with its name and parameters in the server's
//! `rpc/src/methods`, and a section with an example and its response in `rpc/README.md`; tests fail
//! if one of them is missing. A new type of a result derives [`JsonSchema`], with `#[schemars(with =
//! "Hex<32>")]` or similar on fields that are hex.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::ErrorKind;
use crate::chain::query::BlockLimit;
use crate::encoding::hex::Hex;
use crate::governance::query::{ChangeList, KeyText, ListLimit, MAX_LISTED};
use crate::methods::parameter::Parameter;
use crate::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, CheckpointJson, ClientJson, Clients, ConsensusEvidence,
    ConsensusState, DEFAULT_BLOCKS, DEFAULT_WAIT_MS, Discovery, EpochProofsJson, Explanation,
    FinalityProofJson, GovernanceStatus, History, LocatedTransaction, MempoolStatus, NetworkGenesis,
    NodeStatus, PeerJson, PreviewJson, ProposalJson, ReceiptJson, StatusResult, SubmitResult, ValidatorSet,
    VersionInfo, Wait,
};

/// Makes the JSON Schema of one type. The types of its fields become definitions of the generator.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The default of an optional parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// `true` or `false`.
    Flag(bool),
    /// An integer.
    Number(u64),
    /// A string.
    Word(&'static str),
}

impl From<DefaultValue> for serde_json::Value {
    fn from(value: DefaultValue) -> Self {
        match value {
            DefaultValue::Flag(flag) => flag.into(),
            DefaultValue::Number(number) => number.into(),
            DefaultValue::Word(word) => word.into(),
        }
    }
}

/// A method of the interface.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its result, in one or two sentences.
    pub summary: &'static str,
    /// Its parameters in order, required ones first.
    pub parameters: &'static [Parameter],
    /// The schema of its results.
    pub result: MakeSchema,
    /// Its errors, besides [`Method::COMMON_ERRORS`].
    pub errors: &'static [ErrorKind],
}

impl Method {
    /// The errors that every method may return.
    pub const COMMON_ERRORS: &'static [ErrorKind] =
        &[ErrorKind::InvalidParams, ErrorKind::Internal, ErrorKind::Overloaded, ErrorKind::ResponseTooLarge];

    const fn answering<T: JsonSchema>(name: &'static str, summary: &'static str) -> Self {
        Method { name, summary, parameters: &[], result: schema_of::<T>, errors: &[] }
    }

    const fn taking(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn failing(mut self, errors: &'static [ErrorKind]) -> Self {
        self.errors = errors;
        self
    }

    /// The method with this name, in one of the tables below.
    pub fn find(table: &'static [Method], name: &str) -> Option<&'static Method> {
        table.iter().find(|method| method.name == name)
    }
}

const ID: Parameter = Parameter::required::<Hex<32>>("id", "The transaction's id.");

const FULL: Parameter =
    Parameter::optional::<bool>("full", "Whether blocks contain whole transactions, or only their ids.")
        .or(DefaultValue::Flag(true));

const LIMIT: Parameter = Parameter::optional::<ListLimit>("limit", "How many to return at most.")
    .or(DefaultValue::Number(MAX_LISTED as u64));

/// Every method, in the order of the documentation.
pub const METHODS: &[Method] = &[
    Method::answering::<SubmitResult>(
        "tx_submit",
        "Submits an encoded, signed transaction. Submitting the same bytes again is always safe, to any node.",
    )
    .taking(&[
        Parameter::required::<Bytes>("transaction", "The transaction's canonical encoding."),
        Parameter::optional::<Wait>("wait", "What to wait for before the response.")
            .or(DefaultValue::Word("accepted")),
        Parameter::optional::<u64>(
            "timeout_ms",
            "How long to wait, in milliseconds; a wait that times out is no error. Values above 60000 count as 60000.",
        )
        .or(DefaultValue::Number(DEFAULT_WAIT_MS)),
    ])
    .failing(&[
        ErrorKind::TransactionMalformed,
        ErrorKind::TransactionTooLarge,
        ErrorKind::BadSignature,
        ErrorKind::OperationMalformed,
        ErrorKind::TransactionExpired,
        ErrorKind::LifetimeTooLong,
        ErrorKind::SenderUnknown,
        ErrorKind::SenderRevoked,
        ErrorKind::Quota,
        ErrorKind::PoolFull,
        ErrorKind::SenderQuota,
        ErrorKind::Unavailable,
        ErrorKind::StorageDamaged,
        ErrorKind::Observer,
    ]),
    Method::answering::<StatusResult>("tx_status", "The status of a transaction, as far as this node knows it.")
        .taking(&[ID])
        .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Option<LocatedTransaction>>(
        "tx_get",
        "A committed transaction with its place; null if none is known.",
    )
    .taking(&[ID])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Option<ReceiptJson>>(
        "tx_receipt",
        "Proof that a transaction was committed; null if it is not known to be.",
    )
    .taking(&[ID])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<ChainHead>("chain_head", "The newest committed block.")
        .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Option<BlockJson>>("chain_block", "A block; null if there is none.")
        .taking(&[
            Parameter::required::<BlockAt>("at", "The block's height, its hash, or \"latest\"."),
            FULL,
        ])
        .failing(&[ErrorKind::Pruned, ErrorKind::StorageDamaged]),
    Method::answering::<Blocks>(
        "chain_blocks",
        "Consecutive blocks, ascending; possibly fewer than requested, at least one if the first exists.",
    )
    .taking(&[
        Parameter::required::<u64>("from_height", "Height of the first block."),
        Parameter::optional::<BlockLimit>("limit", "Most blocks to return.")
            .or(DefaultValue::Number(DEFAULT_BLOCKS as u64)),
        FULL,
    ])
    .failing(&[ErrorKind::Pruned, ErrorKind::StorageDamaged]),
    Method::answering::<Option<FinalityProofJson>>(
        "chain_proof",
        "Proof that a block is final; null at height 0 and above the head.",
    )
    .taking(&[Parameter::required::<u64>("height", "The block's height.")])
    .failing(&[ErrorKind::Pruned, ErrorKind::StorageDamaged]),
    Method::answering::<Option<CheckpointJson>>(
        "chain_checkpoint",
        "The stable checkpoint; null before the first, and if it is at another height than the given one.",
    )
    .taking(&[Parameter::optional::<u64>("height", "Return the checkpoint only if it has this height.")]),
    Method::answering::<NetworkGenesis>("network_genesis", "The genesis of the network."),
    Method::answering::<Option<ValidatorSet>>(
        "network_validators",
        "The committee that orders the block at a height of any epoch; null further ahead than the next block, and for pruned blocks.",
    )
    .taking(&[Parameter::optional::<u64>("height", "The block's height; by default that of the next block.")])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<EpochProofsJson>(
        "network_epochs",
        "Proofs of the ends of consecutive epochs, each with the members of the next one; empty if the first has not ended.",
    )
    .taking(&[
        Parameter::optional::<u64>("from_epoch", "The epoch whose end the first proof is of.")
            .or(DefaultValue::Number(0)),
        LIMIT,
    ])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<GovernanceStatus>(
        "governance_status",
        "The committee and parameters in force at the next height, and what is scheduled to change them.",
    )
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Vec<ProposalJson>>(
        "governance_proposals",
        "The open proposals with their approvals, and what is in their way.",
    )
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<PreviewJson>(
        "governance_preview",
        "What a proposal of these changes would do if the next block decided it. Submits nothing.",
    )
    .taking(&[Parameter::required::<ChangeList>("changes", "The changes, at most 16.")])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Clients>("governance_clients", "Registered clients, in ascending order of their keys.")
        .taking(&[
            Parameter::optional::<KeyText>("after", "Return clients with greater keys than this one."),
            LIMIT,
        ])
        .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<Option<ClientJson>>("governance_client", "A registered client; null if there is none.")
        .taking(&[Parameter::required::<KeyText>("key", "The client's key.")])
        .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<History>(
        "governance_history",
        "Past governance transactions with their outcomes, newest first.",
    )
    .taking(&[
        Parameter::optional::<u64>("below_height", "Begin below this height; by default at the newest block."),
        LIMIT,
    ])
    .failing(&[ErrorKind::StorageDamaged]),
    Method::answering::<NodeStatus>("node_status", "The node's summary of itself."),
    Method::answering::<Vec<PeerJson>>("node_peers", "The other nodes that it knows."),
    Method::answering::<VersionInfo>("node_version", "The program that the node runs."),
    Method::answering::<ConsensusState>("consensus_state", "The state of ordering."),
    Method::answering::<Explanation>(
        "consensus_explain",
        "Why this node makes progress with ordering or does not, in words and as data.",
    ),
    Method::answering::<ConsensusEvidence>(
        "consensus_evidence",
        "Evidence of faulty validators; empty if there is none.",
    ),
    Method::answering::<MempoolStatus>("mempool_status", "How full the pool of waiting transactions is."),
    Method::answering::<Discovery>("rpc.discover", "This interface, as an OpenRPC document."),
];

/// The methods of streams, which only a WebSocket serves, besides [`METHODS`].
pub const STREAM_METHODS: &[Method] = &[
    Method::answering::<u64>(
        "chain_subscribe",
        "Only over a WebSocket: streams blocks, each once and in order, as notifications. Returns the number of the subscription.",
    )
    .taking(&[
        Parameter::optional::<u64>("from_height", "Height of the first block; by default the next one."),
        FULL,
    ])
    .failing(&[ErrorKind::Pruned, ErrorKind::Syncing, ErrorKind::StorageDamaged]),
    Method::answering::<bool>(
        "chain_unsubscribe",
        "Only over a WebSocket: ends a stream of blocks. Returns whether there was one.",
    )
    .taking(&[Parameter::required::<u64>("subscription", "The number of the subscription.")]),
];

/// The administrative methods, which a node serves only at its admin socket.
pub const ADMIN_METHODS: &[Method] = &[
    Method::answering::<String>("admin_log_level", "The log level."),
    Method::answering::<String>(
        "admin_set_log_level",
        "Changes the log level until the node restarts. Returns the previous one.",
    )
    .taking(&[Parameter::required::<String>(
        "level",
        "error, warn, info, debug or trace, also for each module, as in info,quorate_network=debug.",
    )]),
];
