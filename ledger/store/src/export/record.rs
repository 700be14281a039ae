//! The bytes of an export: its head, and the records with one range each.

use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    Block, Body, ChainId, CommitCertificate, Header, MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_RANGE_BYTES,
    bounded, bounded_bytes, decode, encode,
};

use super::range::CertifiedRange;
use crate::error::StoreError;
use crate::ledger::MAX_BATCH_BLOCKS;

const TAG: [u8; 8] = *b"quo-expo";

/// Version of the layout; increase it with every change of the layout.
const EXPORT_VERSION: u16 = 1;

/// Bytes of the head.
pub(super) const HEAD_BYTES: usize = 8 + 2 + 32;

/// Upper bound for the bytes of a record besides bodies: headers, lengths, and a certificate.
const MAX_FRAME_BYTES: usize = MAX_BATCH_BLOCKS * 512 + 8192;

/// Bytes of the longest record.
#[expect(clippy::cast_possible_truncation, reason = "55 MiB")]
pub(super) const MAX_RECORD_BYTES: usize = MAX_RANGE_BYTES as usize + MAX_FRAME_BYTES;

/// Name of the kind in messages.
const WHAT: &str = "export";

#[derive(BorshSerialize, BorshDeserialize)]
struct Record {
    #[borsh(deserialize_with = "bounded::<{ MAX_DESCENDANTS + 1 }, _, _>")]
    blocks: Vec<RecordBlock>,
    certificate: CommitCertificate,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct RecordBlock {
    header: Header,
    #[borsh(deserialize_with = "bounded_bytes::<{ MAX_BODY_BYTES + 4 }, _>")]
    body: Vec<u8>,
}

/// The head of an export of this chain.
pub(super) fn head_of(chain_id: &ChainId) -> Vec<u8> {
    [&TAG[..], &EXPORT_VERSION.to_be_bytes(), chain_id.as_bytes()].concat()
}

/// Checks that the file is an export of this chain.
pub(super) fn check_head(found: &[u8], path: &Path, genesis_header: &Header) -> Result<(), StoreError> {
    let foreign = || {
        let found = "something else, or its beginning is destroyed".to_owned();
        StoreError::Foreign { path: path.to_owned(), expected: WHAT, found }
    };
    let (tag, rest) = found.split_first_chunk::<8>().ok_or_else(foreign)?;
    let (version, chain) = rest.split_first_chunk::<2>().ok_or_else(foreign)?;
    if *tag != TAG {
        return Err(foreign());
    }
    let version = u16::from_be_bytes(*version);
    if version != EXPORT_VERSION {
        let path = path.to_owned();
        return Err(StoreError::Format { path, found: version, supported: EXPORT_VERSION });
    }
    let chain = ChainId::from_bytes(chain.try_into().map_err(|_| foreign())?);
    let expected = genesis_header.chain_id;
    if chain == expected {
        Ok(())
    } else {
        Err(StoreError::OtherChain { path: path.to_owned(), found: chain, expected })
    }
}

/// The range of a record, given without its length.
pub(super) fn range_of(record: &[u8]) -> Result<CertifiedRange, String> {
    let Record { blocks, certificate } = decode(record).map_err(|error| error.to_string())?;
    let block = |block: RecordBlock| {
        let (height, body) = (block.header.height, Body::decode(block.body));
        let block = body
            .map_err(|error| error.to_string())
            .and_then(|body| Block::new(block.header, body).map_err(|error| error.to_string()));
        block.map_err(|error| format!("block {height}: {error}"))
    };
    Ok(CertifiedRange { blocks: blocks.into_iter().map(block).collect::<Result<_, _>>()?, certificate })
}

/// The bytes of a record, including its length; `None` if there are too many.
pub(super) fn record_of(range: &CertifiedRange) -> Option<Vec<u8>> {
    let count = u32::try_from(range.blocks.len()).ok()?;
    let mut record = vec![0; 4];
    record.extend(count.to_le_bytes());
    for block in &range.blocks {
        let body = block.body().as_bytes();
        record.extend(encode(block.header()));
        record.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
        record.extend(body);
    }
    record.extend(encode(&range.certificate));
    let bytes = record.len() - 4;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_RECORD_BYTES)?;
    record[..4].copy_from_slice(&length.to_be_bytes());
    Some(record)
}
