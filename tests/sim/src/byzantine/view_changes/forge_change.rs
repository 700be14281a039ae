//! VIEW-CHANGEs with invalid certificates.

use quorate_ledger::{
    Ballot, BlockHash, CommitCertificate, Header, ReplicaId, Signature, SignatureSet, Signers, View, decode,
    encode,
};
use quorate_pbft::{Message, PrePrepare, PreparedCertificate};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Leaves views with a certificate that a correct check refuses: a committed anchor that no member
/// committed, PREPAREs that no member signed, fewer of them than a quorum needs, or the primary's
/// own PREPARE among them.
#[derive(Debug)]
pub(crate) struct ForgeChange;

/// A prepared certificate of these parts, even if they are inconsistent. It is built from its
/// encoding.
fn prepared(
    header: &Header,
    view: View,
    pre_prepare: Signature,
    prepares: &SignatureSet,
) -> PreparedCertificate {
    decode(&encode(&(header, view, pre_prepare, prepares))).expect("these are the fields of a certificate")
}

/// A block that a Byzantine member proposed in an earlier view, with the PREPAREs for it that they
/// have received.
#[derive(Debug)]
struct OldProposal {
    header: Header,
    view: View,
    prepares: Vec<(ReplicaId, Signature)>,
}

/// Old proposals of Byzantine members above a height, each with its PREPAREs.
fn old_proposals(collusion: &Collusion, anchor: u64, before: View) -> Vec<OldProposal> {
    let proposals = collusion.memory().filter_map(|(_, message)| match message {
        Message::PrePrepare(proposal) => Some(proposal),
        _ => None,
    });
    let usable = proposals.filter(|proposal| {
        let ballot = proposal.vote.body.0;
        collusion.keys.knows(proposal.vote.signer) && ballot.view < before && ballot.height.0 == anchor + 1
    });
    usable
        .map(|proposal| {
            let ballot = proposal.vote.body.0;
            let prepares = collusion.memory().filter_map(|(_, message)| match message {
                Message::Prepare(vote) if vote.body.0 == ballot => Some((vote.signer, vote.signature)),
                _ => None,
            });
            OldProposal { header: proposal.header.clone(), view: ballot.view, prepares: prepares.collect() }
        })
        .collect()
}

impl Strategy for ForgeChange {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::ViewChange(change) = &outgoing.message else { return out.push(outgoing) };
        if change.vote.signer != me || collusion.random.permille(150) {
            return out.push(outgoing);
        }
        let view = change.vote.body.view;
        let mut payload = change.payload.clone();
        let anchor = payload.anchor_height(collusion.keys.root.height);
        let old = old_proposals(collusion, anchor.0, view);
        match collusion.random.between(0, 3) {
            0 => {
                let block = collusion.no_block();
                payload.anchor = Some(forged_base(
                    collusion,
                    me,
                    anchor.0 + collusion.random.clone().between(1, 3),
                    block,
                ));
                payload.prepared.clear();
            }
            _ if old.is_empty() => {
                let Some(last) = collusion.last_proposal().cloned() else { return out.push(outgoing) };
                let mut header = last.header;
                (header.height, header.timestamp) = (anchor.next(), header.timestamp.plus_ms(2));
                let forged = forged_prepares(collusion, me, &header, view);
                payload.prepared = vec![forged];
            }
            choice => {
                let chosen = collusion.random.index(old.len());
                payload.prepared = vec![weak(collusion, &old[chosen], choice == 1)];
            }
        }
        let message = Message::ViewChange(collusion.depart(me, view, payload));
        collusion.note(me, &message);
        out.push(Outgoing { message, ..outgoing });
    }
}

/// A certificate of a block that does not exist: every signature in it is of a Byzantine member.
fn forged_base(collusion: &Collusion, me: ReplicaId, height: u64, block: BlockHash) -> CommitCertificate {
    let ballot =
        Ballot { epoch: collusion.keys.epoch, view: View(0), height: quorate_ledger::Height(height), block };
    let signature = collusion.keys.sign(me, quorate_ledger::Commit(ballot)).signature;
    let quorum = collusion.committee.quorum();
    let signers = Signers::of(collusion.committee.replicas().take(quorum));
    CommitCertificate::claimed(ballot, SignatureSet::claimed(signers, vec![signature; quorum]))
}

/// A prepared certificate with the right number of PREPAREs, all of them signed by a Byzantine
/// member.
fn forged_prepares(
    collusion: &Collusion,
    me: ReplicaId,
    header: &Header,
    before: View,
) -> PreparedCertificate {
    let view = View(before.0 - 1);
    let primary = collusion.committee.primary(view);
    let ballot = Ballot { epoch: collusion.keys.epoch, view, height: header.height, block: header.hash() };
    let signature = collusion.keys.sign(me, PrePrepare(ballot)).signature;
    let needed = collusion.committee.quorum() - 1;
    let signers =
        Signers::of(collusion.committee.replicas().filter(|member| *member != primary).take(needed));
    prepared(header, view, signature, &SignatureSet::claimed(signers, vec![signature; needed]))
}

/// A prepared certificate with f PREPAREs, or with the primary's own PREPARE among q - 1: genuine
/// signatures, but too few.
fn weak(collusion: &Collusion, old: &OldProposal, with_primary: bool) -> PreparedCertificate {
    let primary = collusion.committee.primary(old.view);
    let ballot = Ballot {
        epoch: collusion.keys.epoch,
        view: old.view,
        height: old.header.height,
        block: old.header.hash(),
    };
    let pre_prepare = collusion.keys.sign(primary, PrePrepare(ballot)).signature;
    let mut votes: std::collections::BTreeMap<ReplicaId, Signature> = std::collections::BTreeMap::new();
    let needed = if with_primary {
        votes.insert(primary, collusion.keys.sign(primary, quorate_pbft::Prepare(ballot)).signature);
        collusion.committee.quorum() - 1
    } else {
        collusion.committee.faults()
    };
    for (member, signature) in old.prepares.iter().filter(|(member, _)| *member != primary) {
        if votes.len() < needed {
            votes.insert(*member, *signature);
        }
    }
    let set = SignatureSet::claimed(Signers::of(votes.keys().copied()), votes.values().copied().collect());
    prepared(&old.header, old.view, pre_prepare, &set)
}
