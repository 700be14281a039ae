//! Nodes that prove fewer epochs than a command knows, or other ones.

use quorate_api::EpochProofsJson;
use quorate_ledger::EpochProof;

use super::chain::Chain;
use super::*;

/// Extends by the response of a node with these proofs, which returns two at a time.
fn extend(known: &mut KnownEpochs, chain: &Chain, proofs: &[EpochProof]) -> Result<(), String> {
    let id = chain.network.genesis().chain_id();
    let request = async |from_epoch: u64| {
        let rest = proofs.iter().skip(usize::try_from(from_epoch).unwrap()).take(2);
        Ok(EpochProofsJson::of(id, &rest.cloned().collect::<Vec<_>>()))
    };
    block_on(known.extend_by(request)).map_err(|error| format!("{error:#}"))
}

#[test]
fn epochs_are_extended_by_those_that_a_node_proves() {
    let chain = Chain::new();
    let mut known = KnownEpochs::of_genesis(chain.network.genesis().anchor());
    for epoch in [0, 1, 4, 4] {
        extend(&mut known, &chain, &chain.proofs_to(epoch)).unwrap();
        assert_eq!(known.count(), epoch);
        assert_eq!(serde_json::to_string(&known.to_json()).unwrap(), chain.text_to(epoch));
    }
    chain.receipt(chain.first(4), chain.first(4)).verify(known.anchor()).unwrap();
}

#[test]
fn a_node_that_leads_back_is_refused() {
    let chain = Chain::new();
    let genesis = chain.network.genesis();
    let mut known = KnownEpochs::of_text(genesis.anchor(), &chain.text_to(2)).unwrap();
    for older in [0, 1] {
        let error = extend(&mut known, &chain, &chain.proofs_to(older)).unwrap_err();
        assert!(
            error.contains("does not prove the end of epoch 1") && error.contains("is behind"),
            "{error}"
        );
    }
    // The members of epoch 1, some of whose keys have left, sign another end of it.
    let other = chain.end_with(1, |header| header.timestamp = header.timestamp.plus_ms(1));
    let forked = [chain.end_of(0), other];
    assert!(KnownEpochs::of_text(genesis.anchor(), &chain.text(&forked)).is_ok());
    let error = extend(&mut known, &chain, &forked).unwrap_err();
    assert!(error.contains("another end of epoch 1") && error.contains("do not trust it"), "{error}");
    assert_eq!(serde_json::to_string(&known.to_json()).unwrap(), chain.text_to(2));

    extend(&mut known, &chain, &chain.proofs_to(4)).unwrap();
    assert_eq!(known.count(), 4);
}

#[test]
fn an_invalid_proof_of_a_node_is_refused_and_those_before_it_are_kept() {
    let chain = Chain::new();
    let mut known = KnownEpochs::of_genesis(chain.network.genesis().anchor());
    let false_end = chain.end_with(1, |header| header.next_committee = Hash::ZERO);
    let error = extend(&mut known, &chain, &[chain.end_of(0), false_end]).unwrap_err();
    assert!(error.contains("invalid epoch proof"), "{error}");
    assert_eq!(known.count(), 1);

    let other = TestNetwork::seeded(4, 8);
    let mut known = KnownEpochs::of_genesis(other.genesis().anchor());
    let error = extend(&mut known, &chain, &chain.proofs_to(1)).unwrap_err();
    assert!(error.contains("the node is one of chain"), "{error}");
}
