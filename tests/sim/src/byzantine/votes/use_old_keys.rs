//! Statements with the keys of earlier epochs.

use quorate_engine::{FetchRequest, FetchResponse, RangeBlock};
use quorate_ledger::{Ballot, Commit, CommitCertificate, ReplicaId, SignatureSet, Signed, Signers};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Has the keys that members had before they were replaced or removed. It relays rivals of a proposal
/// that are signed with an old key of the primary, and answers with blocks that old keys certify.
#[derive(Debug)]
pub(crate) struct UseOldKeys;

impl Strategy for UseOldKeys {
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::PrePrepare(proposal) = message else { return };
        let primary = proposal.vote.signer;
        let Some(key) = collusion.old_keys.get(&primary) else { return };
        let mut header = proposal.header.clone();
        header.timestamp = header.timestamp.plus_ms(1);
        let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
        let vote = Signed::sign(&collusion.keys.chain, key, primary, PrePrepare(ballot)).into_inner();
        let rival = Message::PrePrepare(Proposal { vote, header, ids: proposal.ids.clone() });
        for to in collusion.others(me) {
            out.push(Outgoing::new(to, rival.clone()));
        }
    }

    fn answer(
        &mut self,
        collusion: &mut Collusion,
        _to: ReplicaId,
        _ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        let FetchResponse::Blocks(mut run) = answer else { return answer };
        if collusion.random.permille(500) {
            forge(collusion, &mut run);
        }
        FetchResponse::Blocks(run)
    }
}

/// Another first block, certified by as many old keys as there are, and by genuine votes for the first
/// block otherwise.
fn forge(collusion: &Collusion, run: &mut Vec<RangeBlock>) {
    let Some(first) = run.first_mut() else { return };
    let Some(certificate) = first.certificate.as_ref().filter(|_| !collusion.old_keys.is_empty()) else {
        return;
    };
    first.header.timestamp = first.header.timestamp.plus_ms(1);
    let ballot = Ballot { block: first.header.hash(), ..*certificate.ballot() };
    let (signers, genuine) = (certificate.votes().signers(), certificate.votes().signatures());
    let votes = signers.iter().zip(genuine).map(|(signer, genuine)| match collusion.old_keys.get(&signer) {
        Some(key) => Signed::sign(&collusion.keys.chain, key, signer, Commit(ballot)).into_inner().signature,
        None => *genuine,
    });
    let votes = SignatureSet::claimed(Signers::of(signers.iter()), votes.collect());
    first.certificate = Some(CommitCertificate::claimed(ballot, votes));
    run.truncate(1);
}
