//! Headers, certificates, transactions and blocks.

use quorate_ledger::{
    Ballot, Block, BlockHash, BlockSkeleton, Body, ChainId, CommitCertificate, Epoch, Hash, Header, Height,
    MAX_MEMBERS, Payload, PublicKey, ReplicaId, Signature, SignatureSet, Signers, Timestamp, Transaction,
    TransactionId, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::{Bytes, Hex};
use crate::encoding::invalid::InvalidJson;
use crate::encoding::object::objects_only;
use crate::governance::outcome::BlockOutcome;

objects_only!(HeaderJson, CertificateJson, PayloadJson, TransactionJson, BlockJson);

/// A header, field by field as it is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Header")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct HeaderJson {
    /// Version of the rules that this block follows.
    pub version: u16,
    /// The chain that it belongs to.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub chain_id: ChainId,
    /// Number of the committee that orders it.
    pub epoch: u64,
    /// Height of the block.
    pub height: u64,
    /// Hash of the header below.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub parent: BlockHash,
    /// Merkle root over the transaction ids.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub transactions_root: Hash,
    /// Number of transactions in the block.
    pub transaction_count: u32,
    /// Length of the encoded transactions, bytes.
    pub body_bytes: u32,
    /// Time of the block, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Hash of the committee whose signatures certify this block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub committee: Hash,
    /// Hash of the committee of the next block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub next_committee: Hash,
    /// Index of the member that first proposed the block.
    pub proposer: u16,
}

impl From<&Header> for HeaderJson {
    fn from(header: &Header) -> Self {
        HeaderJson {
            version: header.version,
            chain_id: header.chain_id,
            epoch: header.epoch.0,
            height: header.height.0,
            parent: header.parent,
            transactions_root: header.transactions_root,
            transaction_count: header.transaction_count,
            body_bytes: header.body_bytes,
            timestamp_ms: header.timestamp.0,
            committee: header.committee,
            next_committee: header.next_committee,
            proposer: header.proposer.0,
        }
    }
}

impl From<&HeaderJson> for Header {
    fn from(json: &HeaderJson) -> Self {
        Header {
            version: json.version,
            chain_id: json.chain_id,
            epoch: Epoch(json.epoch),
            height: Height(json.height),
            parent: json.parent,
            transactions_root: json.transactions_root,
            transaction_count: json.transaction_count,
            body_bytes: json.body_bytes,
            timestamp: Timestamp(json.timestamp_ms),
            committee: json.committee,
            next_committee: json.next_committee,
            proposer: ReplicaId(json.proposer),
        }
    }
}

/// The signatures of a quorum over one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Certificate")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct CertificateJson {
    /// Number of the committee that voted.
    pub epoch: u64,
    /// View in which the committee voted.
    pub view: u64,
    /// Height of the block.
    pub height: u64,
    /// Hash of the block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub block: BlockHash,
    /// Indices of the members that signed, ascending.
    pub signers: Vec<u16>,
    /// One signature for each signer, in the same order.
    #[serde(with = "hex::signatures")]
    #[schemars(with = "Vec<Hex<64>>")]
    pub signatures: Vec<Signature>,
}

impl From<&CommitCertificate> for CertificateJson {
    fn from(certificate: &CommitCertificate) -> Self {
        let (ballot, votes) = (certificate.ballot(), certificate.votes());
        CertificateJson {
            epoch: ballot.epoch.0,
            view: ballot.view.0,
            height: ballot.height.0,
            block: ballot.block,
            signers: votes.signers().iter().map(|replica| replica.0).collect(),
            signatures: votes.signatures().to_vec(),
        }
    }
}

/// The result is unverified: verify it against the committee.
impl TryFrom<&CertificateJson> for CommitCertificate {
    type Error = InvalidJson;

    fn try_from(json: &CertificateJson) -> Result<Self, InvalidJson> {
        let ascending = json.signers.windows(2).all(|pair| pair[0] < pair[1]);
        let possible = json.signers.iter().all(|signer| usize::from(*signer) < MAX_MEMBERS);
        if !ascending || !possible {
            return Err(InvalidJson::Signers { limit: MAX_MEMBERS });
        }
        let ballot = Ballot {
            epoch: Epoch(json.epoch),
            view: View(json.view),
            height: Height(json.height),
            block: json.block,
        };
        let signers = Signers::of(json.signers.iter().copied().map(ReplicaId));
        let votes = SignatureSet::claimed(signers, json.signatures.clone());
        Ok(CommitCertificate::claimed(ballot, votes))
    }
}

/// The content of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Payload")]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
pub enum PayloadJson {
    /// Opaque bytes.
    Data {
        /// The bytes.
        #[serde(with = "hex")]
        #[schemars(with = "Bytes")]
        data: Vec<u8>,
    },
    /// An operation on the network.
    Governance {
        /// The encoded operation.
        #[serde(with = "hex")]
        #[schemars(with = "Bytes")]
        data: Vec<u8>,
    },
}

/// A signed transaction, with its id for the reader's convenience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Transaction")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct TransactionJson {
    /// Hash of the whole encoding; checked against the other fields when read.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub id: TransactionId,
    /// Public key of the sender.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub sender: PublicKey,
    /// A number that makes the id unique. Below 2^53, every language can read it.
    pub nonce: u64,
    /// No block with a later time may contain the transaction.
    pub valid_until_ms: u64,
    /// The content that is ordered.
    pub payload: PayloadJson,
    /// The sender's signature.
    #[serde(with = "hex::signature")]
    #[schemars(with = "Hex<64>")]
    pub signature: Signature,
}

impl TransactionJson {
    /// The JSON of a transaction whose id is known; it is not hashed again.
    pub fn with_id(id: TransactionId, transaction: &Transaction) -> Self {
        TransactionJson {
            id,
            sender: transaction.sender,
            nonce: transaction.nonce,
            valid_until_ms: transaction.valid_until.0,
            payload: match &transaction.payload {
                Payload::Data(data) => PayloadJson::Data { data: data.clone() },
                Payload::Governance(data) => PayloadJson::Governance { data: data.clone() },
            },
            signature: transaction.signature,
        }
    }
}

impl From<&Transaction> for TransactionJson {
    fn from(transaction: &Transaction) -> Self {
        TransactionJson::with_id(transaction.id(), transaction)
    }
}

/// Checks the id. The signature is not verified yet.
impl TryFrom<&TransactionJson> for Transaction {
    type Error = InvalidJson;

    fn try_from(json: &TransactionJson) -> Result<Self, InvalidJson> {
        let transaction = Transaction {
            sender: json.sender,
            nonce: json.nonce,
            valid_until: Timestamp(json.valid_until_ms),
            payload: match &json.payload {
                PayloadJson::Data { data } => Payload::Data(data.clone()),
                PayloadJson::Governance { data } => Payload::Governance(data.clone()),
            },
            signature: json.signature,
        };
        let found = transaction.id();
        if found != json.id {
            return Err(InvalidJson::TransactionId { claimed: json.id, found });
        }
        Ok(transaction)
    }
}

/// The transactions of a block: whole, or their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Transactions")]
#[serde(untagged)]
pub enum TransactionsJson {
    /// With `full = true`, and for a block without transactions.
    Full(Vec<TransactionJson>),
    /// With `full = false`.
    Ids(
        #[serde(with = "hex::list")]
        #[schemars(with = "Vec<Hex<32>>")]
        Vec<TransactionId>,
    ),
}

impl TransactionsJson {
    /// Number of transactions.
    pub fn len(&self) -> usize {
        match self {
            TransactionsJson::Full(transactions) => transactions.len(),
            TransactionsJson::Ids(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids in order, as claimed.
    pub fn ids(&self) -> Vec<TransactionId> {
        match self {
            TransactionsJson::Full(transactions) => transactions.iter().map(|json| json.id).collect(),
            TransactionsJson::Ids(ids) => ids.clone(),
        }
    }
}

/// A block as a node sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Block")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct BlockJson {
    /// The header, which commits to the whole block.
    pub header: HeaderJson,
    /// Hash of the header, for convenience; checked against the header when read.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub hash: BlockHash,
    /// The transactions in order.
    pub transactions: TransactionsJson,
    /// The block's own certificate. Null for height 0, and for a block that became final by a later
    /// block's certificate; `chain_proof` proves that one.
    pub certificate: Option<CertificateJson>,
    /// What became of the governance transactions, in block order; absent if there are none. It is
    /// what this node computed: neither header nor certificate proves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<BlockOutcome>,
}

impl BlockJson {
    /// The JSON of a block, with whole transactions or with their ids.
    pub fn of(block: &Block, certificate: Option<&CommitCertificate>, full: bool) -> Self {
        let body = block.body();
        let transactions = if full {
            let pairs = body.ids().iter().zip(body.transactions());
            TransactionsJson::Full(
                pairs.map(|(id, transaction)| TransactionJson::with_id(*id, &transaction)).collect(),
            )
        } else {
            TransactionsJson::Ids(body.ids().to_vec())
        };
        BlockJson {
            header: block.header().into(),
            hash: block.hash(),
            transactions,
            certificate: certificate.map(CertificateJson::from),
            outcomes: Vec::new(),
        }
    }

    /// The same with the outcomes of its governance transactions.
    #[must_use]
    pub fn with_outcomes(mut self, outcomes: Vec<BlockOutcome>) -> Self {
        self.outcomes = outcomes;
        self
    }

    /// The header and the transaction ids, after checking that they belong together. Does not check
    /// that the block is final.
    ///
    /// Also for blocks with ids only.
    ///
    /// # Errors
    /// [`InvalidJson::BlockHash`] and [`InvalidJson::Block`].
    pub fn skeleton(&self) -> Result<BlockSkeleton, InvalidJson> {
        let skeleton = BlockSkeleton::new(Header::from(&self.header), self.transactions.ids())?;
        if skeleton.hash() != self.hash {
            return Err(InvalidJson::BlockHash { claimed: self.hash, found: skeleton.hash() });
        }
        Ok(skeleton)
    }

    /// The whole block, after checking the id of every transaction and that the header commits to
    /// all of them. Does not check that the block is final.
    ///
    /// # Errors
    /// The variants of [`InvalidJson`] for blocks; [`InvalidJson::IdsOnly`] for `full = false`.
    pub fn to_block(&self) -> Result<Block, InvalidJson> {
        let skeleton = self.skeleton()?;
        let body = match &self.transactions {
            TransactionsJson::Full(transactions) => body_of(transactions)?,
            TransactionsJson::Ids(ids) if ids.is_empty() => body_of(&[])?,
            TransactionsJson::Ids(_) => return Err(InvalidJson::IdsOnly),
        };
        Ok(Block::new(skeleton.header().clone(), body)?)
    }
}

fn body_of(transactions: &[TransactionJson]) -> Result<Body, InvalidJson> {
    // A body is a u32 count and the concatenated encodings. The decoder refuses a count that does
    // not fit, like every count above its limit.
    let count = u32::try_from(transactions.len()).unwrap_or(u32::MAX);
    let mut bytes = count.to_le_bytes().to_vec();
    for json in transactions {
        bytes.extend_from_slice(&Transaction::try_from(json)?.to_bytes());
    }
    Ok(Body::decode(bytes)?)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
