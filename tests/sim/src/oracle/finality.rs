//! Every member can prove what it has committed, offline.

use quorate_genesis::Genesis;
use quorate_ledger::{Height, ReplicaId};
use quorate_store::LedgerReader;

use crate::oracle::chain::Chain;
use crate::oracle::{Check, Violation, require};
use crate::random::Random;

const PROOF: &str = "receipts";
const GOVERNANCE: &str = "all members have the same governance state";

/// Receipts that are checked for each member; each costs a quorum of verifications.
const SAMPLE: usize = 4;

/// Checks a member's ledger against the chain, and some of its receipts.
///
/// # Errors
/// A proof that is missing, invalid, or for another chain.
pub fn check(
    member: ReplicaId,
    reader: &LedgerReader,
    chain: &Chain,
    genesis: &Genesis,
    random: &mut Random,
) -> Check {
    let broken = |what: String| Violation { rule: PROOF, what: format!("member {member}: {what}") };
    let read = |error: quorate_store::StoreError| broken(error.to_string());
    let head = reader.head().map_err(read)?;
    let anchor = reader.anchor(genesis.anchor()).map_err(read)?;
    check_governance(member, reader, chain, head.height)?;
    for height in (0..=head.height.0).map(Height) {
        let header = reader.header(height).map_err(read)?;
        let wanted = chain.at(height).map(|link| link.hash);
        require(header.map(|header| header.hash()) == wanted, PROOF, || {
            format!("member {member} holds another block at height {height}")
        })?;
    }
    let known: Vec<_> = chain.links[1..].iter().flat_map(|link| &link.ids).collect();
    for _ in 0..SAMPLE.min(known.len()) {
        let id = random.choose(&known);
        let (height, index) = chain.place(id).expect("it was taken from the chain");
        if height > head.height {
            continue;
        }
        let receipt = reader
            .receipt(id)
            .map_err(read)?
            .ok_or_else(|| broken(format!("no receipt for {id} at height {height}")))?;
        receipt.verify(&anchor).map_err(|error| broken(format!("receipt of {id}: {error}")))?;
        let signers = receipt.proof.certificate.votes().signers().iter().count();
        let right = receipt.transaction == **id
            && receipt.index == index
            && Some(receipt.proof.header.hash()) == chain.at(height).map(|link| link.hash)
            && chain.config(height).is_some_and(|config| signers == config.committee().quorum());
        require(right, PROOF, || format!("member {member} returns a receipt of something else for {id}"))?;
    }
    Ok(())
}

/// The outcomes of all operations, and the governance state after the last block.
fn check_governance(member: ReplicaId, reader: &LedgerReader, chain: &Chain, head: Height) -> Check {
    let broken = |what: String| Violation { rule: GOVERNANCE, what: format!("member {member}: {what}") };
    let read = |error: quorate_store::StoreError| broken(error.to_string());
    for height in (1..=head.0).map(Height) {
        let Some(link) = chain.at(height) else { continue };
        let outcomes = reader.outcomes(height).map_err(read)?;
        require(outcomes == link.outcomes, GOVERNANCE, || {
            format!("member {member} has {outcomes:?} at height {height}, not {:?}", link.outcomes)
        })?;
        let root = reader.state_root(height).map_err(read)?;
        require(root.is_none_or(|root| root == link.root), GOVERNANCE, || {
            format!("member {member} has the state root {root:?} at height {height}, not {}", link.root)
        })?;
    }
    let root = reader.governance().map_err(read)?.root();
    require(chain.at(head).is_some_and(|link| link.root == root), GOVERNANCE, || {
        format!("member {member} has the governance state {root} at height {head}")
    })
}
