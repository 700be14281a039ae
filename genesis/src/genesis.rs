//! A checked genesis and the values that follow from it.

use borsh::BorshSerialize;
use quorate_governance::{ConsensusParameters, MempoolParameters, Parameters, Settings};
use quorate_ledger::{
    BlockLimits, ChainAnchor, ChainId, Committee, Domain, Epoch, Header, PublicKey, ReplicaId, Timestamp,
    encode, tagged_hash,
};

use crate::draft::{GenesisDraft, Validator};
use crate::error::{GenesisErrors, Warning};
use crate::predecessor::Predecessor;
use crate::{FORMAT_VERSION, check, file, render};

/// The smallest committee that tolerates a faulty member.
pub(crate) const FAULT_TOLERANT: usize = 4;

/// Start of the year 2020. An earlier genesis time was probably given in seconds.
const YEAR_2020_MS: u64 = 1_577_836_800_000;

/// The content that all nodes agree on before block 1. A value of this type is checked and never
/// changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// With the validators in committee order.
    content: GenesisDraft,
    anchor: ChainAnchor,
    header: Header,
}

/// The content whose hash is the chain id, in canonical borsh:
///
/// ```text
/// version          u16
/// name             u32 length, UTF-8
/// genesis time     u64, milliseconds
/// validators       u32 count, then each: u32 length, name, 33 bytes of public key, 33 bytes of
///                  governance key; ascending by public key
/// block            5 × u64   in the order of the fields of `BlockParameters`
/// consensus        9 × u64   `ConsensusParameters`
/// mempool          4 × u64   `MempoolParameters`
/// submit           u8        0 = open, 1 = registry
/// governance       4 × u64   `GovernanceParameters`
/// predecessor      nothing if the network continues no chain; otherwise 32 bytes of chain id,
///                  u64 height, 32 bytes of block hash, u64 epoch, 32 bytes of state root,
///                  u64 count and 32 bytes of root of the clients
/// ```
///
/// little endian throughout.
#[derive(BorshSerialize)]
struct Content<'a> {
    version: u16,
    content: &'a GenesisDraft,
}

fn content_bytes(content: &GenesisDraft) -> Vec<u8> {
    encode(&Content { version: FORMAT_VERSION, content })
}

fn chain_id_of(content: &GenesisDraft) -> ChainId {
    ChainId(tagged_hash(Domain::Genesis, &[&content_bytes(content)]))
}

impl Genesis {
    /// Reads a genesis file. The text holds at most [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES).
    ///
    /// # Errors
    /// All errors of the file. If it is not TOML or has another version, only that one.
    pub fn parse(text: &str) -> Result<Self, GenesisErrors> {
        file::read(text).map(Genesis::of_checked)
    }

    /// The genesis with this content, in which [`check`] found no error.
    pub(crate) fn of_checked(mut content: GenesisDraft) -> Self {
        content.validators.sort_by_key(|validator| validator.public_key);
        let members = content.validators.iter().map(|validator| validator.public_key).collect();
        let committee = Committee::new(Epoch(0), members)
            .expect("1 to MAX_MEMBERS distinct points of the curve were sorted");
        let chain_id = chain_id_of(&content);
        let header = Header::genesis(chain_id, committee.hash(), content.genesis_time);
        Genesis { content, anchor: ChainAnchor::new(chain_id, committee), header }
    }

    /// The canonical file: every parameter with its meaning. Parsing it gives an equal genesis.
    pub fn to_toml(&self) -> String {
        render::to_toml(self, &self.content)
    }

    /// The content as a draft, from which another genesis can be made.
    pub fn to_draft(&self) -> GenesisDraft {
        self.content.clone()
    }

    /// The name of the network.
    pub fn name(&self) -> &str {
        &self.content.name
    }

    /// The chain id: the hash of the checked content.
    pub fn chain_id(&self) -> ChainId {
        self.anchor.chain_id()
    }

    /// The bytes whose hash, in the domain [`Domain::Genesis`], is the chain id: at most 3,573
    /// bytes, whose layout is in `ledger/WIRE.md`. Client implementations in other languages can
    /// compare their encoding with them.
    pub fn content_bytes(&self) -> Vec<u8> {
        content_bytes(&self.content)
    }

    /// The committee of epoch 0.
    pub fn committee(&self) -> &Committee {
        self.anchor.committee(Epoch(0)).expect("an anchor begins with epoch 0")
    }

    /// The members with their names and both keys, in committee order.
    pub fn validators(&self) -> &[Validator] {
        &self.content.validators
    }

    /// The member with this index, or `None` if the committee has no such member.
    pub fn validator(&self, replica: ReplicaId) -> Option<&Validator> {
        self.content.validators.get(replica.index())
    }

    /// The name of the validator of epoch 0 with this consensus key. Keys that came later have no name
    /// in the genesis.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let validator = self.content.validators.iter().find(|validator| validator.public_key == *key)?;
        Some(&validator.name)
    }

    /// The header at height 0, the parent of the first block.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The anchor with only the committee of epoch 0. Proofs and receipts of this chain are verified
    /// against it; those of later epochs need an anchor that is extended by epoch proofs.
    pub fn anchor(&self) -> &ChainAnchor {
        &self.anchor
    }

    /// Limits that are part of the validity of blocks.
    pub fn block_limits(&self) -> BlockLimits {
        self.content.settings.parameters.block.limits()
    }

    /// Parameters of the ordering protocol.
    pub fn consensus(&self) -> &ConsensusParameters {
        &self.content.settings.parameters.consensus
    }

    /// Limits of the pool of waiting transactions.
    pub fn mempool(&self) -> &MempoolParameters {
        &self.content.settings.parameters.mempool
    }

    /// All parameters but those of governance.
    pub fn parameters(&self) -> &Parameters {
        &self.content.settings.parameters
    }

    /// All parameters, with those of governance.
    pub fn settings(&self) -> &Settings {
        &self.content.settings
    }

    /// The chain that this network continues, if it continues one.
    pub fn predecessor(&self) -> Option<&Predecessor> {
        self.content.predecessor.as_ref()
    }

    /// Time of the genesis header.
    pub fn time(&self) -> Timestamp {
        self.content.genesis_time
    }

    /// The earliest clock time at which a block after a block of time `newest` can be ordered.
    /// Block times strictly increase, and no validator votes for a block whose time is ahead of its
    /// clock by more than the tolerance (R6).
    pub fn next_block_possible_at(&self, newest: Timestamp) -> Timestamp {
        newest.plus_ms(1).minus_ms(self.consensus().clock_tolerance_ms)
    }

    /// The warnings for an operator about this network, given the current time.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let validators = self.committee().size();
        let unsafe_size = (validators < FAULT_TOLERANT).then_some(Warning::NoFaultTolerated { validators });
        let time = self.time().0;
        let early = (time < YEAR_2020_MS).then_some(Warning::EarlyTime(time));
        let possible_at = self.next_block_possible_at(self.time());
        let ahead = Warning::AheadOfClock { genesis_time: self.time(), possible_at };
        let ahead = (possible_at > now).then_some(ahead);
        unsafe_size.into_iter().chain(early).chain(ahead).collect()
    }
}

impl GenesisDraft {
    /// Checks the content and makes a genesis of it.
    ///
    /// # Errors
    /// Every error of the content.
    pub fn check(self) -> Result<Genesis, GenesisErrors> {
        match GenesisErrors::of(check::errors(&self, 0)) {
            Some(errors) => Err(errors),
            None => Ok(Genesis::of_checked(self)),
        }
    }
}

#[cfg(test)]
#[path = "genesis_tests.rs"]
mod tests;
