//! Prepared certificates that no other member has, sent late.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, Header, Height, ReplicaId, Signature, SignatureSet, View, decode, encode};
use quorate_pbft::{Message, Prepare, PreparedCertificate, ViewChangeMessage, ViewChangePayload};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Number of blocks whose PREPAREs are collected: the latest.
const COLLECTED: usize = 32;

/// Number of certificates that are kept: the latest.
const KEPT: usize = 16;

/// A proposal of this member, and the PREPAREs for it that it received.
#[derive(Debug)]
struct Collected {
    header: Header,
    pre_prepare: Signature,
    prepares: BTreeMap<ReplicaId, Signature>,
}

/// As primary, it sends its block to exactly as many members as must send a PREPARE, and does not
/// send its COMMIT. In later VIEW-CHANGEs it includes the collected certificates, after a number of
/// views.
#[derive(Debug)]
pub(crate) struct Hoard {
    /// Correct members that receive its proposals, the first of this order.
    order: Vec<ReplicaId>,
    /// Number of views to wait before a certificate is sent.
    delay: u64,
    /// Whether it also includes certificates outside of the window above its anchor, which others
    /// must refuse.
    reckless: bool,
    /// The last view in which it was primary, and whether it hoards there.
    hoarding: (View, bool),
    collected: BTreeMap<Ballot, Collected>,
    kept: Vec<PreparedCertificate>,
    /// The VIEW-CHANGE that it sent for a view: it sends the same again.
    outgoing: Option<ViewChangeMessage>,
}

impl Hoard {
    /// Random victims and waiting time.
    pub(crate) fn new(me: ReplicaId, collusion: &mut Collusion) -> Self {
        let mut others: Vec<ReplicaId> = collusion.others(me);
        others.retain(|other| !collusion.keys.knows(*other));
        let mut order = Vec::new();
        while !others.is_empty() {
            let index = collusion.random.index(others.len());
            order.push(others.swap_remove(index));
        }
        Hoard {
            order,
            delay: *collusion.random.choose(&[1, 2, 4, 18]),
            reckless: collusion.random.permille(200),
            hoarding: (View(0), collusion.random.permille(500)),
            collected: BTreeMap::new(),
            kept: Vec::new(),
            outgoing: None,
        }
    }

    fn hoards_in(&mut self, collusion: &mut Collusion, view: View) -> bool {
        if self.hoarding.0 != view {
            self.hoarding = (view, collusion.random.permille(500));
        }
        self.hoarding.1
    }

    /// How many correct members must send their PREPARE, in addition to those of all other
    /// Byzantine members.
    fn needed(me: ReplicaId, collusion: &Collusion) -> usize {
        let others = collusion.others(me).into_iter().filter(|other| collusion.keys.knows(*other)).count();
        (collusion.committee.quorum() - 1).saturating_sub(others)
    }

    /// Creates a certificate as soon as there are enough PREPAREs, with those of all Byzantine
    /// members.
    fn certify(&mut self, me: ReplicaId, collusion: &Collusion, ballot: Ballot) {
        let Some(collected) = self.collected.get(&ballot) else { return };
        let mut prepares = collected.prepares.clone();
        for adversary in collusion.others(me).into_iter().filter(|other| collusion.keys.knows(*other)) {
            prepares.insert(adversary, collusion.keys.sign(adversary, Prepare(ballot)).signature);
        }
        let Some(prepares) = SignatureSet::first(collusion.committee.quorum() - 1, &prepares) else { return };
        let bytes = encode(&(&collected.header, ballot.view, collected.pre_prepare, prepares));
        self.kept.push(decode(&bytes).expect("a certificate made of its parts"));
        self.collected.remove(&ballot);
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
    }

    /// The payload that it sends when it leaves for a view: for each height the true certificate,
    /// or the one that it kept.
    fn admit(&self, root: Height, view: View, known: &ViewChangePayload) -> ViewChangePayload {
        let anchor = known.anchor_height(root);
        let kept = self.kept.iter().filter(|kept| {
            let late = kept.view().0.saturating_add(self.delay) <= view.0;
            late && (self.reckless || kept.header().height > anchor)
        });
        let mut prepared: BTreeMap<Height, PreparedCertificate> =
            kept.map(|kept| (kept.header().height, kept.clone())).collect();
        for certificate in &known.prepared {
            let height = certificate.header().height;
            if prepared.get(&height).is_none_or(|kept| kept.view() < certificate.view()) {
                prepared.insert(height, certificate.clone());
            }
        }
        let anchor = if self.reckless { None } else { known.anchor.clone() };
        ViewChangePayload { anchor, prepared: prepared.into_values().collect() }
    }
}

impl Strategy for Hoard {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        match &outgoing.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me => {
                let ballot = proposal.vote.body.0;
                // All members know the blocks with which a view begins.
                if !self.hoards_in(collusion, ballot.view) || proposal.header.proposer != me {
                    return out.push(outgoing);
                }
                let collected = Collected {
                    header: proposal.header.clone(),
                    pre_prepare: proposal.vote.signature,
                    prepares: BTreeMap::new(),
                };
                let known = self.kept.iter().any(|kept| kept.ballot() == ballot);
                if !known {
                    self.collected.entry(ballot).or_insert(collected);
                }
                if self.collected.len() > COLLECTED {
                    self.collected.pop_first();
                }
                let needed = Hoard::needed(me, collusion);
                if self.order.iter().take(needed).any(|confidant| *confidant == outgoing.to) {
                    out.push(outgoing);
                }
            }
            Message::Commit(vote) if self.hoarding == (vote.body.0.view, true) => {}
            Message::ViewChange(change) if change.vote.signer == me => {
                let view = change.vote.body.view;
                let again = self.outgoing.as_ref().is_some_and(|before| before.vote.body.view == view);
                if !again {
                    let payload = self.admit(collusion.keys.root.height, view, &change.payload);
                    let changed = payload != change.payload;
                    self.outgoing = changed.then(|| collusion.depart(me, view, payload));
                }
                let Some(change) = self.outgoing.clone() else { return out.push(outgoing) };
                let message = Message::ViewChange(change);
                collusion.note(me, &message);
                out.push(Outgoing { message, ..outgoing });
            }
            _ => out.push(outgoing),
        }
    }

    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        from: ReplicaId,
        message: &Message,
        _out: &mut Vec<Outgoing>,
    ) {
        let Message::Prepare(vote) = message else { return };
        let Some(collected) = self.collected.get_mut(&vote.body.0) else { return };
        // The network only delivers messages with valid signatures, so a vote signed by its sender
        // is valid.
        if vote.signer == from {
            collected.prepares.insert(from, vote.signature);
            self.certify(me, collusion, vote.body.0);
        }
    }
}
