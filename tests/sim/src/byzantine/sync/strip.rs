//! Certified block ranges with misplaced certificates, or with fewer of them.

use quorate_engine::{FetchRequest, FetchResponse, RangeBlock};
use quorate_ledger::{Ballot, CommitCertificate, ReplicaId, SignatureSet};

use crate::byzantine::{Collusion, Strategy};

/// Responds to requests for blocks with genuine blocks whose certificates are removed, moved or
/// forged.
#[derive(Debug)]
pub(crate) struct Strip;

/// Genuine blocks under one certificate.
fn strip(run: &mut Vec<RangeBlock>) {
    while run.last().is_some_and(|last| last.certificate.is_none()) {
        run.pop();
    }
    let last = run.len().saturating_sub(1);
    run[..last].iter_mut().for_each(|block| block.certificate = None);
}

/// Puts the certificate of an earlier block at the last one.
fn misplace(run: &mut [RangeBlock]) {
    let Some((last, earlier)) = run.split_last_mut() else { return };
    if let Some(other) = earlier.iter().find_map(|block| block.certificate.clone()) {
        last.certificate = Some(other);
    }
}

/// A block that no member committed below a certified one: their hashes do not link.
fn swap(run: &mut [RangeBlock]) {
    let Some(first) = run.first_mut() else { return };
    first.header.timestamp = first.header.timestamp.plus_ms(1);
    first.certificate = None;
}

/// A block that was never certified, with a certificate that was never signed.
fn forge(run: &mut Vec<RangeBlock>) {
    run.truncate(1);
    let Some(first) = run.first_mut() else { return };
    let Some(certificate) = &first.certificate else { return };
    first.header.timestamp = first.header.timestamp.plus_ms(1);
    let ballot = Ballot { block: first.header.hash(), ..*certificate.ballot() };
    let votes = certificate.votes();
    let votes = SignatureSet::claimed(votes.signers(), votes.signatures().to_vec());
    first.certificate = Some(CommitCertificate::claimed(ballot, votes));
}

impl Strategy for Strip {
    fn answer(
        &mut self,
        collusion: &mut Collusion,
        _to: ReplicaId,
        _ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        match answer {
            FetchResponse::Blocks(mut run) => {
                match collusion.random.between(0, 4) {
                    0 => strip(&mut run),
                    1 => misplace(&mut run),
                    2 => forge(&mut run),
                    3 => swap(&mut run),
                    _ => {}
                }
                if run.is_empty() { FetchResponse::Nothing } else { FetchResponse::Blocks(run) }
            }
            // Nothing about a block that it holds: the requester must ask another member.
            FetchResponse::Transactions(_) | FetchResponse::Ids(_) if collusion.random.permille(500) => {
                FetchResponse::Nothing
            }
            other => other,
        }
    }
}
