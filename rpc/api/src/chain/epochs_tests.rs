#![allow(clippy::unwrap_used)]
use quorate_ledger::{ChainAnchor, MAX_DESCENDANTS, Signature};

use super::*;
use crate::chain::fixture::World;

fn text_of(world: &World, proofs: &[EpochProof]) -> String {
    serde_json::to_string(&EpochProofsJson::of(world.anchor.chain_id(), proofs)).unwrap()
}

fn extended(world: &World, text: &str) -> Option<ChainAnchor> {
    let (chain, proofs) = parse_epoch_proofs(text).ok()?;
    let mut anchor = world.anchor.clone();
    let holds = chain == anchor.chain_id() && proofs.iter().all(|proof| anchor.extend(proof).is_ok());
    holds.then_some(anchor)
}

#[test]
fn epoch_proofs_survive_json() {
    let world = World::new();
    let proof = world.epoch_proof();
    let text = text_of(&world, std::slice::from_ref(&proof));
    assert_eq!(parse_epoch_proofs(&text).unwrap(), (world.anchor.chain_id(), vec![proof]));
    let anchor = extended(&world, &text).unwrap();
    assert_eq!(anchor.newest().epoch().0, 1);
    assert_eq!(extended(&world, &text_of(&world, &[])), Some(world.anchor.clone()));
}

#[test]
fn no_digit_of_epoch_proofs_can_change() {
    let world = World::new();
    let text = text_of(&world, &[world.epoch_proof()]);
    for position in 0..text.len() {
        let original = text.as_bytes()[position];
        for replacement in b"07af\":{}[]," {
            if *replacement == original {
                continue;
            }
            let mut changed = text.clone().into_bytes();
            changed[position] = *replacement;
            let changed = String::from_utf8(changed).unwrap();
            assert!(extended(&world, &changed).is_none(), "{} at {position}", char::from(*replacement));
        }
    }
}

#[test]
fn other_forms_of_epoch_proofs_are_refused() {
    let world = World::new();
    let text = text_of(&world, &[world.epoch_proof()]);
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        assert!(parse_epoch_proofs(&text.replacen(from, to, 1)).is_err(), "{to}");
    };
    refused("{\"chain_id\"", "{\"note\":1,\"chain_id\"");
    refused("\"proofs\":", "\"proofs\":[],\"proofs\":");
    refused("\"next\":", "\"note\":1,\"next\":");
    refused("{\"last\":", "[],{\"last\":");
    refused("\"next\":[", "\"next\":null,\"x\":[");
    let array = format!("[\"{}\",[]]", world.anchor.chain_id());
    assert!(parse_epoch_proofs(&array).is_err(), "an array for the object");
    let spaces = " ".repeat(MAX_EPOCH_PROOFS_JSON_BYTES + 1 - text.len());
    assert!(matches!(parse_epoch_proofs(&(text + &spaces)), Err(InvalidJson::TooLong { .. })));
}

#[test]
fn lists_have_limits() {
    let world = World::new();
    let mut json = EpochProofsJson::of(world.anchor.chain_id(), &[world.epoch_proof()]);
    let proof = json.proofs[0].clone();
    json.proofs = vec![proof.clone(); MAX_EPOCH_PROOFS];
    assert!(json.to_proofs().is_ok());
    json.proofs.push(proof.clone());
    assert!(matches!(json.to_proofs(), Err(InvalidJson::TooMany { what: "epoch proofs", .. })));
    json.proofs = vec![EpochProofJson { next: vec![proof.next[0]; MAX_MEMBERS + 1], ..proof.clone() }];
    assert!(matches!(json.to_proofs(), Err(InvalidJson::TooMany { what: "members", .. })));
    let header = proof.last.header.clone();
    let last = FinalityProofJson { descendants: vec![header; MAX_DESCENDANTS as usize + 1], ..proof.last };
    json.proofs = vec![EpochProofJson { last, next: proof.next }];
    assert!(json.to_proofs().is_err());
}

/// The proofs of the largest committees with the largest numbers fit into the text.
#[test]
fn as_many_proofs_as_are_allowed_fit() {
    let world = World::new();
    let mut proof = EpochProofJson::from(&world.epoch_proof());
    let header = &mut proof.last.header;
    (header.epoch, header.height, header.timestamp_ms) = (u64::MAX, u64::MAX, u64::MAX);
    (header.transaction_count, header.body_bytes) = (u32::MAX, u32::MAX);
    let certificate = &mut proof.last.certificate;
    (certificate.epoch, certificate.view, certificate.height) = (u64::MAX, u64::MAX, u64::MAX);
    certificate.signers = (10..31).collect();
    let signature: Signature = certificate.signatures[0];
    certificate.signatures = vec![signature; 21];
    proof.next = vec![proof.next[0]; MAX_MEMBERS];
    let one = serde_json::to_string(&proof).unwrap().len() + 1;
    assert!(one * MAX_EPOCH_PROOFS + 200 < MAX_EPOCH_PROOFS_JSON_BYTES, "{one} bytes each");
}
