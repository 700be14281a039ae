//! Reads and verifies blocks.

use quorate_api::{BlockAt, BlockJson, MAX_BLOCKS};
use quorate_ledger::{Block, CommitCertificate, FinalityProof, Header, Height};

use crate::client::Client;
use crate::error::{ClientError, Untrusted};
use crate::rpc::Rpc;

impl Client {
    /// The header of the newest block of the node that responded, proven final. `None` if it has
    /// only the genesis. The absence of a newer block is a claim of this node.
    ///
    /// # Errors
    /// [`ClientError::Call`] and [`ClientError::Untrusted`] of the last node.
    pub async fn head(&self) -> Result<Option<Header>, ClientError> {
        self.nodes.ask(self.timeout(), async |node: Rpc, _| self.head_of(&node).await.into()).await
    }

    /// A block with all its transactions, proven final. `None` if the node that responded has none
    /// at this height, and at height 0, which is the genesis.
    ///
    /// # Errors
    /// As [`Client::head`].
    pub async fn block(&self, height: Height) -> Result<Option<Block>, ClientError> {
        if height == Height(0) {
            return Ok(None);
        }
        self.nodes.ask(self.timeout(), async |node: Rpc, _| self.block_of(&node, height).await.into()).await
    }

    /// Consecutive blocks with all their transactions, proven final, from a height above 0 upwards.
    ///
    /// At most `limit`, which is capped at 100, possibly fewer; at least one if the node that
    /// responded has the first. The proof of the last block covers those before it, because each
    /// header has the hash of its parent.
    ///
    /// # Errors
    /// As [`Client::head`].
    pub async fn blocks(&self, from: Height, limit: u32) -> Result<Vec<Block>, ClientError> {
        let from = from.max(Height(1));
        let limit = limit.clamp(1, MAX_BLOCKS);
        self.nodes
            .ask(self.timeout(), async |node: Rpc, _| self.blocks_of(&node, from, limit).await.into())
            .await
    }

    async fn head_of(&self, node: &Rpc) -> Result<Option<Header>, ClientError> {
        let head = node.chain_head().await?;
        if head.height == 0 {
            return Ok(None);
        }
        let proof = self.proof_of(node, Height(head.height)).await?;
        if proof.header.hash() != head.hash {
            return Err(Client::untrusted(node, Untrusted::OtherBlock(head.hash)));
        }
        self.check_is_present(&proof.header).map_err(|reason| Client::untrusted(node, reason))?;
        Ok(Some(proof.header))
    }

    async fn block_of(&self, node: &Rpc, height: Height) -> Result<Option<Block>, ClientError> {
        let Some(json) = node.chain_block(BlockAt::Height(height.0), true).await? else {
            return Ok(None);
        };
        let block = json.to_block().map_err(|reason| Client::untrusted(node, reason))?;
        check_height(node, height, &block)?;
        self.prove(node, &block, &json).await?;
        Ok(Some(block))
    }

    async fn blocks_of(&self, node: &Rpc, from: Height, limit: u32) -> Result<Vec<Block>, ClientError> {
        let found = node.chain_blocks(from.0, limit, true).await?.blocks;
        let Some(last) = found.last() else {
            return Ok(Vec::new());
        };
        if usize::try_from(limit).is_ok_and(|limit| found.len() > limit) {
            let reason = Untrusted::TooMany { asked: limit, found: found.len() };
            return Err(Client::untrusted(node, reason));
        }
        let mut blocks: Vec<Block> = Vec::with_capacity(found.len());
        for json in &found {
            let block = json.to_block().map_err(|reason| Client::untrusted(node, reason))?;
            match blocks.last() {
                None => check_height(node, from, &block)?,
                Some(parent) if is_child(parent, &block) => {}
                Some(_) => return Err(Client::untrusted(node, Untrusted::Unlinked(block.height()))),
            }
            blocks.push(block);
        }
        if let Some(block) = blocks.last() {
            self.prove(node, block, last).await?;
        }
        Ok(blocks)
    }

    /// Verifies that a block is final, by its own certificate or by a proof with its descendants.
    pub(crate) async fn prove(&self, node: &Rpc, block: &Block, json: &BlockJson) -> Result<(), ClientError> {
        let Some(certificate) = &json.certificate else {
            let proof = self.proof_of(node, block.height()).await?;
            if proof.header != *block.header() {
                return Err(Client::untrusted(node, Untrusted::OtherBlock(block.hash())));
            }
            return Ok(());
        };
        self.check(node, |anchor| {
            let certificate = CommitCertificate::try_from(certificate)?;
            let header = block.header().clone();
            FinalityProof { header, descendants: Vec::new(), certificate }.verify(anchor)?;
            Ok(())
        })
        .await
    }

    /// A node's verified proof for a height.
    async fn proof_of(&self, node: &Rpc, height: Height) -> Result<FinalityProof, ClientError> {
        let json = node.chain_proof(height.0).await?;
        self.check(node, |anchor| {
            let proof = FinalityProof::try_from(json.as_ref().ok_or(Untrusted::NoProof(height))?)?;
            if proof.header.height != height {
                return Err(Untrusted::OtherHeight { asked: height, found: proof.header.height });
            }
            proof.verify(anchor)?;
            Ok(proof)
        })
        .await
    }
}

pub(crate) fn check_height(node: &Rpc, asked: Height, block: &Block) -> Result<(), ClientError> {
    if block.height() == asked {
        return Ok(());
    }
    Err(Client::untrusted(node, Untrusted::OtherHeight { asked, found: block.height() }))
}

fn is_child(parent: &Block, block: &Block) -> bool {
    block.height().previous() == Some(parent.height()) && block.header().parent == parent.hash()
}
