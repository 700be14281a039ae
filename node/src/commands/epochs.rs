//! The epochs whose committees a command knows: from the genesis, a file of epoch proofs, and a node.

use anyhow::{Context, bail, ensure};
use quorate_api::{EpochProofsJson, MAX_EPOCH_PROOFS, parse_epoch_proofs};
use quorate_client::Rpc;
use quorate_ledger::{ChainAnchor, EpochProof};

use crate::remote;

/// An anchor, and the epoch proofs that extended it. It is only ever extended, so nothing that a file
/// or a node says leads back to a committee that was replaced.
#[derive(Debug, Clone)]
pub(crate) struct KnownEpochs {
    anchor: ChainAnchor,
    /// About the ends of the epochs 0, 1 and so on.
    proofs: Vec<EpochProof>,
}

impl KnownEpochs {
    /// Knows epoch 0, which follows from the genesis.
    pub(crate) fn of_genesis(anchor: &ChainAnchor) -> Self {
        KnownEpochs { anchor: anchor.clone(), proofs: Vec::new() }
    }

    /// With the proofs in the text of a file, from epoch 0 on. A text with an invalid proof is refused
    /// as a whole, also if a receipt does not need that proof.
    ///
    /// # Errors
    /// A sentence that names the error.
    pub(crate) fn of_text(anchor: &ChainAnchor, text: &str) -> Result<Self, String> {
        let (chain, proofs) = parse_epoch_proofs(text).map_err(|error| format!("epoch proofs: {error}"))?;
        if chain != anchor.chain_id() {
            return Err(format!(
                "the epoch proofs are of chain {chain}, but the genesis is of {}",
                anchor.chain_id()
            ));
        }
        let mut known = KnownEpochs::of_genesis(anchor);
        for proof in proofs {
            known.anchor.extend(&proof).map_err(|error| format!("epoch proofs: {error}"))?;
            known.proofs.push(proof);
        }
        Ok(known)
    }

    /// The anchor with the committees of all known epochs.
    pub(crate) fn anchor(&self) -> &ChainAnchor {
        &self.anchor
    }

    /// The number of epoch proofs, which is also the number of the newest known epoch.
    pub(crate) fn count(&self) -> usize {
        self.proofs.len()
    }

    /// The proofs, as a file contains them.
    pub(crate) fn to_json(&self) -> EpochProofsJson {
        EpochProofsJson::of(self.anchor.chain_id(), &self.proofs)
    }

    /// Adds all epochs that a node proves. The node need not be trusted.
    ///
    /// # Errors
    /// The node cannot be reached, or returns a proof that is not valid; valid proofs before it are
    /// kept. Also if the node leads back: it proves fewer epochs than are known, or another end of the
    /// newest one that has ended.
    pub(crate) async fn extend_from(&mut self, rpc: &Rpc) -> anyhow::Result<()> {
        let request = async |from_epoch| rpc.network_epochs(from_epoch).await.map_err(remote::advise);
        self.extend_by(request).await.with_context(|| format!("epoch proofs of {}", rpc.url()))
    }

    /// The same with a function that requests the proofs from an epoch on.
    pub(crate) async fn extend_by(
        &mut self,
        request: impl AsyncFn(u64) -> anyhow::Result<EpochProofsJson>,
    ) -> anyhow::Result<()> {
        // Begin with the last known proof, to see whether the node has it.
        let mut repeated = self.count().min(1);
        while self.count() < MAX_EPOCH_PROOFS {
            let proofs = self.read(&request((self.count() - repeated) as u64).await?)?;
            if repeated > 0 {
                self.check_end(proofs.first())?;
            }
            let new = proofs.get(repeated..).unwrap_or_default();
            if new.is_empty() {
                break;
            }
            for proof in new.iter().take(MAX_EPOCH_PROOFS - self.count()) {
                self.anchor.extend(proof).context("the node returned an invalid epoch proof")?;
                self.proofs.push(proof.clone());
            }
            repeated = 0;
        }
        Ok(())
    }

    fn read(&self, response: &EpochProofsJson) -> anyhow::Result<Vec<EpochProof>> {
        let (chain, ours) = (response.chain_id, self.anchor.chain_id());
        ensure!(chain == ours, "the node is one of chain {chain}, but the genesis is of {ours}");
        response.to_proofs().context("the node returned invalid epoch proofs")
    }

    /// Checks that a node has the same end of the epoch before the newest known one.
    fn check_end(&self, proof: Option<&EpochProof>) -> anyhow::Result<()> {
        let Some(known) = self.proofs.last() else { return Ok(()) };
        let epoch = known.last.header.epoch;
        let Some(proof) = proof else {
            bail!(
                "the node does not prove the end of epoch {epoch}, which is known here: it is behind, or not \
                 correct; ask another node"
            );
        };
        ensure!(
            proof.last.header.hash() == known.last.header.hash(),
            "the node has another end of epoch {epoch} than is known here: do not trust it"
        );
        Ok(())
    }
}
