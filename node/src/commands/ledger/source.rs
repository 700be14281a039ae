//! The sources of a chain: a stopped node's ledger, a running node, an export.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use quorate_api::{BlockAt, BlockJson, MAX_BLOCKS};
use quorate_client::{ClientConfig, Rpc};
use quorate_genesis::Genesis;
use quorate_ledger::{BlockHash, ChainAnchor, CommitCertificate, FinalityProof, Height};
use quorate_store::{
    CertifiedRange, ExportReader, Ledger, LedgerReader, MAX_BATCH_BLOCKS, RangeBuilder, RangeVerifier,
    StoreError,
};

use super::{advise, must_exist, read_config};
use crate::commands::epochs::KnownEpochs;
use crate::output;
use crate::remote;

/// Blocks and bytes of bodies that are read from a ledger at a time.
const BLOCKS: usize = 256;
const BYTES: usize = 4 << 20;

/// A running node's JSON-RPC, called from a blocking thread.
pub(super) struct Node {
    rpc: Rpc,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("no asynchronous runtime can be started")?;
        Ok(Node { rpc: Rpc::new(url, &ClientConfig::default())?, runtime })
    }

    pub(super) fn head(&self) -> anyhow::Result<(Height, BlockHash)> {
        let head = self.runtime.block_on(self.rpc.chain_head()).map_err(remote::advise)?;
        Ok((Height(head.height), head.hash))
    }

    /// Blocks with their transactions from a height on; at least one if the node has one. They are
    /// not verified.
    fn blocks(&self, from: Height) -> anyhow::Result<Vec<BlockJson>> {
        let answer = self.runtime.block_on(self.rpc.chain_blocks(from.0, MAX_BLOCKS, true));
        Ok(answer.map_err(remote::advise)?.blocks)
    }

    pub(super) fn hash_at(&self, height: Height) -> anyhow::Result<Option<BlockHash>> {
        let block = self.runtime.block_on(self.rpc.chain_block(BlockAt::Height(height.0), false));
        let Some(block) = block.map_err(remote::advise)? else { return Ok(None) };
        let skeleton = block.skeleton().context("the node returned an inconsistent block")?;
        if skeleton.header().height != height {
            bail!("the node returned block {} instead of block {height}", skeleton.header().height);
        }
        Ok(Some(skeleton.hash()))
    }

    fn anchor(&self, genesis: &ChainAnchor) -> (ChainAnchor, Option<anyhow::Error>) {
        let mut known = KnownEpochs::of_genesis(genesis);
        let error = self.runtime.block_on(known.extend_from(&self.rpc)).err();
        (known.anchor().clone(), error)
    }

    fn proof(&self, height: Height) -> anyhow::Result<Option<FinalityProof>> {
        let proof = self.runtime.block_on(self.rpc.chain_proof(height.0)).map_err(remote::advise)?;
        let proof = proof.as_ref().map(FinalityProof::try_from).transpose();
        proof.context("the node returned an inconsistent proof")
    }
}

/// Passes on a chain's certified block ranges from a height to its current end. They are not
/// verified yet. A node that returns more blocks in a row without a certificate than the largest W
/// allows is faulty.
pub(super) fn runs_of_node(
    node: &Node,
    from: Height,
    mut take: impl FnMut(CertifiedRange, Height) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // The last block of a range is certified.
    let limit = MAX_BATCH_BLOCKS - 1;
    let (head, _) = node.head()?;
    let (mut next, mut ranges) = (from, RangeBuilder::default());
    while next <= head || ranges.waiting() > 0 {
        let answer = node.blocks(next)?;
        if answer.is_empty() {
            bail!("the node claims a chain up to height {head}, but does not return block {next}");
        }
        for json in &answer {
            let block = json.to_block().context("the node returned an inconsistent block")?;
            if block.height() != next {
                bail!("the node returned block {} instead of block {next}", block.height());
            }
            let certificate = json.certificate.as_ref().map(CommitCertificate::try_from).transpose();
            let certificate = certificate.context("the node returned an inconsistent certificate")?;
            next = next.next();
            if let Some(range) = ranges.push(block, certificate) {
                take(range, head)?;
            }
            if ranges.waiting() > limit {
                bail!("the node returned more than {limit} blocks without a certificate, below block {next}");
            }
        }
    }
    Ok(())
}

/// As [`runs_of_node`], from a ledger.
pub(super) fn runs_of_ledger(
    ledger: &LedgerReader,
    from: Height,
    mut take: impl FnMut(CertifiedRange, Height) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let head = ledger.head()?.height;
    let (mut next, mut ranges) = (from, RangeBuilder::default());
    while next <= head {
        let stored = ledger.blocks(next, BLOCKS, BYTES)?;
        if stored.is_empty() {
            bail!("block {next} was pruned from this ledger: export from a node that still has it");
        }
        for block in stored {
            next = next.next();
            if let Some(range) = ranges.push(block.block, block.certificate) {
                take(range, head)?;
            }
        }
    }
    Ok(())
}

/// A chain from which single blocks can be read.
pub(super) enum Source {
    Ledger(LedgerReader),
    Node(Node),
    Export(Box<Export>),
}

/// An export, read forwards as far as needed.
pub(super) struct Export {
    path: PathBuf,
    genesis: Genesis,
    reader: ExportReader,
    range: Option<CertifiedRange>,
}

impl Export {
    fn open(path: &Path, genesis: &Genesis) -> anyhow::Result<Self> {
        let reader = ExportReader::open(path, genesis.header())?;
        Ok(Export { path: path.to_owned(), genesis: genesis.clone(), reader, range: None })
    }

    /// The anchor of the genesis, extended by the epochs that the export proves, and the reason why it
    /// proves no further ones, if it should. Executes the governance transactions of all ranges.
    fn anchor(&self) -> anyhow::Result<(ChainAnchor, Option<anyhow::Error>)> {
        let mut verifier = RangeVerifier::new(&self.genesis.governance_state(), self.genesis.anchor());
        for range in ExportReader::open(&self.path, self.genesis.header())? {
            if let Err(reason) = verifier.execute(&range?) {
                return Ok((verifier.anchor().clone(), Some(anyhow!(reason))));
            }
        }
        Ok((verifier.anchor().clone(), None))
    }

    /// The range that contains a height, `None` above the end.
    fn range_at(&mut self, height: Height) -> anyhow::Result<Option<&CertifiedRange>> {
        let begins_above =
            |range: &CertifiedRange| range.blocks.first().is_some_and(|first| first.height() > height);
        if self.range.as_ref().is_some_and(begins_above) {
            *self = Export::open(&self.path, &self.genesis)?;
        }
        let ends_below = |range: &Option<CertifiedRange>| {
            range.as_ref().is_none_or(|range| range.certificate.ballot().height < height)
        };
        while ends_below(&self.range) {
            match self.reader.next() {
                Some(range) => self.range = Some(range?),
                None => return Ok(None),
            }
        }
        Ok(self.range.as_ref())
    }
}

impl Source {
    /// Opens what an argument names: a URL, a directory, or a file.
    pub(super) fn open(argument: &str, genesis: &Genesis) -> anyhow::Result<Self> {
        if is_url(argument) {
            return Ok(Source::Node(Node::new(argument)?));
        }
        let path = Path::new(argument);
        must_exist(path)?;
        if path.is_dir() {
            let reader = Ledger::open_read_only(read_config(path)?.ledger, genesis.header());
            return Ok(Source::Ledger(reader.map_err(|error| match error {
                StoreError::InUse { .. } => {
                    advise(error).context(format!("{argument} is the home of a running node"))
                }
                other => other.into(),
            })?));
        }
        Ok(Source::Export(Box::new(Export::open(path, genesis)?)))
    }

    /// The last block.
    pub(super) fn head(&mut self) -> anyhow::Result<(Height, BlockHash)> {
        match self {
            Source::Ledger(reader) => {
                let head = reader.head()?;
                Ok((head.height, head.hash))
            }
            Source::Node(node) => node.head(),
            Source::Export(export) => {
                for range in export.reader.by_ref() {
                    export.range = Some(range?);
                }
                let head = export.reader.head();
                Ok((head.height, head.hash))
            }
        }
    }

    /// The hash of the block at a height.
    pub(super) fn hash_at(&mut self, height: Height) -> anyhow::Result<Option<BlockHash>> {
        match self {
            Source::Ledger(reader) => Ok(reader.header(height)?.map(|header| header.hash())),
            Source::Node(node) => node.hash_at(height),
            Source::Export(export) => {
                if height == Height(0) {
                    return Ok(Some(export.genesis.header().hash()));
                }
                let Some(range) = export.range_at(height)? else { return Ok(None) };
                Ok(range
                    .blocks
                    .iter()
                    .find(|block| block.height() == height)
                    .map(quorate_ledger::Block::hash))
            }
        }
    }

    /// The anchor of the genesis, extended by the epochs that the source proves. The source is not
    /// trusted: the first proof that is not valid ends the anchor, and a note says why.
    pub(super) fn anchor(&mut self, genesis: &Genesis) -> anyhow::Result<ChainAnchor> {
        let (anchor, error) = match self {
            Source::Ledger(reader) => match reader.anchor(genesis.anchor()) {
                Ok(anchor) => (anchor, None),
                Err(error) => (genesis.anchor().clone(), Some(error.into())),
            },
            Source::Node(node) => node.anchor(genesis.anchor()),
            Source::Export(export) => export.anchor()?,
        };
        if let Some(error) = error {
            let newest = anchor.newest().epoch();
            output::note(format_args!("the chain does not prove the epochs after epoch {newest}: {error:#}"));
        }
        Ok(anchor)
    }

    /// The proof that a height is final, as the source claims it. It is not verified.
    pub(super) fn proof_of(&mut self, height: Height) -> anyhow::Result<Option<FinalityProof>> {
        match self {
            Source::Ledger(reader) => Ok(reader.finality_proof(height)?),
            Source::Node(node) => node.proof(height),
            Source::Export(export) => Ok(export.range_at(height)?.and_then(|range| proof_in(range, height))),
        }
    }
}

/// The proof in a range for one of its blocks.
fn proof_in(range: &CertifiedRange, height: Height) -> Option<FinalityProof> {
    let place = range.blocks.iter().position(|block| block.height() == height)?;
    let mut headers = range.blocks[place..].iter().map(|block| block.header().clone());
    let header = headers.next()?;
    Some(FinalityProof { header, descendants: headers.collect(), certificate: range.certificate.clone() })
}

pub(super) fn is_url(argument: &str) -> bool {
    argument.starts_with("http://") || argument.starts_with("https://")
}
