//! The committees of later epochs: the client extends its anchor by epoch proofs of the nodes.

use std::sync::{Arc, PoisonError};

use quorate_api::MAX_EPOCH_PROOFS;
use quorate_ledger::{ChainAnchor, Epoch, Header, ProofError};

use crate::client::Client;
use crate::error::{ClientError, Untrusted};
use crate::rpc::Rpc;

impl Client {
    /// The anchor that results are verified against: that of the genesis, extended by every epoch that
    /// the client has seen proven. It never loses an epoch.
    pub fn anchor(&self) -> Arc<ChainAnchor> {
        Arc::clone(&self.anchor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks a node's result against the anchor. If the result is of a later epoch, gets the epoch
    /// proofs from the same node, extends the anchor by them, and checks again.
    pub(crate) async fn check<T>(
        &self,
        node: &Rpc,
        check: impl Fn(&ChainAnchor) -> Result<T, Untrusted>,
    ) -> Result<T, ClientError> {
        let mut checked = check(&self.anchor());
        if let Err(Untrusted::Proof(ProofError::Unproven { epoch, .. })) = &checked {
            let epoch = *epoch;
            self.extend_to(node, epoch).await?;
            checked = check(&self.anchor());
        }
        checked.map_err(|reason| Client::untrusted(node, reason))
    }

    /// Extends the anchor up to an epoch, as far as the node has the proofs.
    async fn extend_to(&self, node: &Rpc, epoch: Epoch) -> Result<(), ClientError> {
        let mut anchor = ChainAnchor::clone(&self.anchor());
        let begun = anchor.newest().epoch();
        while anchor.newest().epoch() < epoch && anchor.newest().epoch().0 - begun.0 < MAX_EPOCH_PROOFS as u64
        {
            let json = node.network_epochs(anchor.newest().epoch().0).await?;
            let proofs = json.to_proofs().map_err(|reason| Client::untrusted(node, reason))?;
            if proofs.is_empty() {
                break;
            }
            for proof in &proofs {
                anchor.extend(proof).map_err(|reason| Client::untrusted(node, reason))?;
            }
        }
        let mut newest = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        // Another request may have extended it further.
        if newest.newest().epoch() < anchor.newest().epoch() {
            *newest = Arc::new(anchor);
        }
        Ok(())
    }

    /// Refuses a head of an epoch before the newest proven one. Its members may have left the
    /// committee, and a node that is so far behind would make the client miss the present.
    ///
    /// The last block of the epoch before is a possible head, because it proves the newest epoch.
    pub(crate) fn check_is_present(&self, head: &Header) -> Result<(), Untrusted> {
        let newest = self.anchor().newest().epoch();
        let begins = if head.ends_epoch() { head.epoch.next() } else { head.epoch };
        if begins >= newest { Ok(()) } else { Err(Untrusted::Behind { epoch: head.epoch, newest }) }
    }
}
