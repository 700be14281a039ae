//! The one table of methods: what is served, checked and described comes out of it.
//!
//! The server runs no method that is not in [`METHODS`], checks parameters by it, and answers
//! `rpc.discover` from it, so nothing is served that is not described. That types and errors in it are those
//! of the trait in [`crate::methods`] is what the server's tests check with every answer they get.
//!
//! A new method needs a function in the trait, an entry here with the same name, parameters and types, and a
//! section with an example and its answer in `rpc/README.md`; tests miss whichever is forgotten. A new type of an
//! answer derives [`JsonSchema`], with `#[schemars(with = "Hex<32>")]` or its like on fields that are hex.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::ErrorKind;
use crate::hex::Hex;
use crate::parameter::Parameter;
use crate::query::BlockLimit;
use crate::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, CheckpointJson, ConsensusEvidence, ConsensusState,
    DEFAULT_BLOCKS, DEFAULT_WAIT_MS, Discovery, Explanation, FinalityProofJson, LocatedTransaction,
    MempoolStatus, NetworkGenesis, NodeStatus, PeerJson, ReceiptJson, SubmitResult, TransactionStatus,
    ValidatorSet, VersionInfo, Wait,
};

/// Makes the JSON Schema of one type, with the types it is made of as definitions of the generator.
pub type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What an absent optional parameter stands for.
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
    /// What it answers, in a sentence or two.
    pub summary: &'static str,
    /// Its parameters in order, required ones first.
    pub parameters: &'static [Parameter],
    /// The schema of its results.
    pub result: MakeSchema,
    /// What it may fail with of its own, besides [`Method::COMMON_ERRORS`].
    pub errors: &'static [ErrorKind],
}

impl Method {
    /// What every method may fail with.
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
    Parameter::optional::<bool>("full", "Whether blocks contain whole transactions, or their ids alone.")
        .or(DefaultValue::Flag(true));

/// Every method, in the order of the documentation.
pub const METHODS: &[Method] = &[
    Method::answering::<SubmitResult>(
        "tx_submit",
        "Hands in an encoded, signed transaction. Handing in the same bytes again is always safe, to any node.",
    )
    .taking(&[
        Parameter::required::<Bytes>("transaction", "The transaction's canonical encoding."),
        Parameter::optional::<Wait>("wait", "What to wait for before the answer.")
            .or(DefaultValue::Word("accepted")),
        Parameter::optional::<u64>(
            "timeout_ms",
            "How long to wait, in milliseconds; a wait that runs out is no error. At most 60000 count.",
        )
        .or(DefaultValue::Number(DEFAULT_WAIT_MS)),
    ])
    .failing(&[
        ErrorKind::TransactionMalformed,
        ErrorKind::TransactionTooLarge,
        ErrorKind::BadSignature,
        ErrorKind::GovernanceUnsupported,
        ErrorKind::TransactionExpired,
        ErrorKind::LifetimeTooLong,
        ErrorKind::PoolFull,
        ErrorKind::SenderQuota,
        ErrorKind::Syncing,
        ErrorKind::Unavailable,
        ErrorKind::StorageDamaged,
        ErrorKind::Observer,
    ]),
    Method::answering::<TransactionStatus>("tx_status", "What this node knows of a transaction.")
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
    Method::answering::<ChainHead>("chain_head", "The newest committed block."),
    Method::answering::<Option<BlockJson>>("chain_block", "A block; null if there is none.")
        .taking(&[
            Parameter::required::<BlockAt>("at", "The block's height, its hash, or \"latest\"."),
            FULL,
        ])
        .failing(&[ErrorKind::Pruned, ErrorKind::StorageDamaged]),
    Method::answering::<Blocks>(
        "chain_blocks",
        "Consecutive blocks, ascending; perhaps fewer than asked for, at least one if the first exists.",
    )
    .taking(&[
        Parameter::required::<u64>("from_height", "Height of the first block."),
        Parameter::optional::<BlockLimit>("limit", "Most blocks to answer.")
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
    .taking(&[Parameter::optional::<u64>("height", "The only height that is of interest.")]),
    Method::answering::<NetworkGenesis>("network_genesis", "What the network was founded on."),
    Method::answering::<Option<ValidatorSet>>(
        "network_validators",
        "The committee that orders the block at a height; null further ahead than the next block.",
    )
    .taking(&[Parameter::optional::<u64>("height", "The block's height; that of the next block unless given.")]),
    Method::answering::<NodeStatus>("node_status", "The node's summary of itself."),
    Method::answering::<Vec<PeerJson>>("node_peers", "The other nodes it knows."),
    Method::answering::<VersionInfo>("node_version", "Which program answers."),
    Method::answering::<ConsensusState>("consensus_state", "Where ordering stands."),
    Method::answering::<Explanation>(
        "consensus_explain",
        "Why this node gets on with ordering or does not, in words and as data.",
    ),
    Method::answering::<ConsensusEvidence>(
        "consensus_evidence",
        "Proofs that validators lied; empty as long as none did.",
    ),
    Method::answering::<MempoolStatus>("mempool_status", "How full the pool of waiting transactions is."),
    Method::answering::<Discovery>("rpc.discover", "This interface, as an OpenRPC document."),
];

/// The methods of streams, which a WebSocket has besides [`METHODS`].
pub const STREAM_METHODS: &[Method] = &[
    Method::answering::<u64>(
        "chain_subscribe",
        "Over a WebSocket alone: streams blocks, each once and in order, as notifications. The number of the subscription.",
    )
    .taking(&[
        Parameter::optional::<u64>("from_height", "Height of the first block; the next one unless given."),
        FULL,
    ])
    .failing(&[ErrorKind::Pruned, ErrorKind::Syncing, ErrorKind::StorageDamaged]),
    Method::answering::<bool>(
        "chain_unsubscribe",
        "Over a WebSocket alone: ends a stream of blocks. Whether there was one.",
    )
    .taking(&[Parameter::required::<u64>("subscription", "The number of the subscription.")]),
];

/// The administrative methods, which a node answers at its own socket and nowhere else.
pub const ADMIN_METHODS: &[Method] = &[
    Method::answering::<String>("admin_log_level", "What the node logs."),
    Method::answering::<String>(
        "admin_set_log_level",
        "Changes what the node logs until it is restarted. What it logged before.",
    )
    .taking(&[Parameter::required::<String>(
        "level",
        "error, warn, info, debug or trace, also for each module, as in info,quorate_network=debug.",
    )]),
];
