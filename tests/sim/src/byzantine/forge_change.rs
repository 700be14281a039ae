//! View changes whose certificates do not hold.

use quorate_ledger::{
    Ballot, BlockHash, CommitCertificate, Header, ReplicaId, Signature, SignatureSet, Signers, View, decode,
    encode,
};
use quorate_pbft::{Message, PrePrepare, PreparedCertificate};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Leaves views with a certificate that an honest check refuses: a base that no member committed, PREPAREs that no member
/// gave, fewer of them than a quorum needs, or the primary's own among them.
#[derive(Debug)]
pub(super) struct ForgeChange;

/// A prepared certificate of these parts, whether they belong together or not: it is what its bytes say.
fn prepared(
    header: &Header,
    view: View,
    pre_prepare: Signature,
    prepares: &SignatureSet,
) -> PreparedCertificate {
    decode(&encode(&(header, view, pre_prepare, prepares))).expect("these are the fields of a certificate")
}

/// A block proposed by a liar in a view that is over, with the PREPAREs for it that the liars have seen.
#[derive(Debug)]
struct OldProposal {
    header: Header,
    view: View,
    prepares: Vec<(ReplicaId, Signature)>,
}

/// Old proposals of liars above a height, each with its PREPAREs.
fn old_proposals(brain: &Brain, base: u64, before: View) -> Vec<OldProposal> {
    let proposals = brain.memory().filter_map(|(_, message)| match message {
        Message::PrePrepare(proposal) => Some(proposal),
        _ => None,
    });
    let usable = proposals.filter(|proposal| {
        let ballot = proposal.vote.body.0;
        brain.pen.knows(proposal.vote.signer) && ballot.view < before && ballot.height.0 == base + 1
    });
    usable
        .map(|proposal| {
            let ballot = proposal.vote.body.0;
            let prepares = brain.memory().filter_map(|(_, message)| match message {
                Message::Prepare(vote) if vote.body.0 == ballot => Some((vote.signer, vote.signature)),
                _ => None,
            });
            OldProposal { header: proposal.header.clone(), view: ballot.view, prepares: prepares.collect() }
        })
        .collect()
}

impl Strategy for ForgeChange {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::ViewChange(change) = &said.message else { return out.push(said) };
        if change.vote.signer != me || brain.random.permille(150) {
            return out.push(said);
        }
        let view = change.vote.body.view;
        let mut knowledge = change.knowledge.clone();
        let base = knowledge.base_height();
        let old = old_proposals(brain, base.0, view);
        match brain.random.between(0, 3) {
            0 => {
                let block = brain.no_block();
                knowledge.base =
                    Some(forged_base(brain, me, base.0 + brain.random.clone().between(1, 3), block));
                knowledge.prepared.clear();
            }
            _ if old.is_empty() => {
                let Some(last) = brain.last_proposal().cloned() else { return out.push(said) };
                let mut header = last.header;
                (header.height, header.timestamp) = (base.next(), header.timestamp.plus_ms(2));
                let forged = forged_prepares(brain, me, &header, view);
                knowledge.prepared = vec![forged];
            }
            choice => {
                let chosen = brain.random.index(old.len());
                knowledge.prepared = vec![weak(brain, &old[chosen], choice == 1)];
            }
        }
        let message = Message::ViewChange(brain.depart(me, view, knowledge));
        brain.note(me, &message);
        out.push(Utterance { message, ..said });
    }
}

/// A certificate of a block that does not exist: every signature in it is a liar's.
fn forged_base(brain: &Brain, me: ReplicaId, height: u64, block: BlockHash) -> CommitCertificate {
    let ballot =
        Ballot { epoch: brain.pen.epoch, view: View(0), height: quorate_ledger::Height(height), block };
    let signature = brain.pen.sign(me, quorate_ledger::Commit(ballot)).signature;
    let quorum = brain.committee.quorum();
    let signers = Signers::of(brain.committee.replicas().take(quorum));
    CommitCertificate::claimed(ballot, SignatureSet::claimed(signers, vec![signature; quorum]))
}

/// A prepared certificate that has as many PREPAREs as it needs, all of them with a liar's signature.
fn forged_prepares(brain: &Brain, me: ReplicaId, header: &Header, before: View) -> PreparedCertificate {
    let view = View(before.0 - 1);
    let primary = brain.committee.primary(brain.pen.epoch, view);
    let ballot = Ballot { epoch: brain.pen.epoch, view, height: header.height, block: header.hash() };
    let signature = brain.pen.sign(me, PrePrepare(ballot)).signature;
    let needed = brain.committee.quorum() - 1;
    let signers = Signers::of(brain.committee.replicas().filter(|member| *member != primary).take(needed));
    prepared(header, view, signature, &SignatureSet::claimed(signers, vec![signature; needed]))
}

/// A prepared certificate with f PREPAREs, or with that of its primary among q - 1: genuine signatures, and too few.
fn weak(brain: &Brain, old: &OldProposal, with_primary: bool) -> PreparedCertificate {
    let primary = brain.committee.primary(brain.pen.epoch, old.view);
    let ballot = Ballot {
        epoch: brain.pen.epoch,
        view: old.view,
        height: old.header.height,
        block: old.header.hash(),
    };
    let pre_prepare = brain.pen.sign(primary, PrePrepare(ballot)).signature;
    let mut votes: std::collections::BTreeMap<ReplicaId, Signature> = std::collections::BTreeMap::new();
    let needed = if with_primary {
        votes.insert(primary, brain.pen.sign(primary, quorate_pbft::Prepare(ballot)).signature);
        brain.committee.quorum() - 1
    } else {
        brain.committee.faults()
    };
    for (member, signature) in old.prepares.iter().filter(|(member, _)| *member != primary) {
        if votes.len() < needed {
            votes.insert(*member, *signature);
        }
    }
    let set = SignatureSet::claimed(Signers::of(votes.keys().copied()), votes.values().copied().collect());
    prepared(&old.header, old.view, pre_prepare, &set)
}
