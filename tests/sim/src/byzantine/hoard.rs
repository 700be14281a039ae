//! Prepared certificates that no other member has, shown late.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, Header, Height, ReplicaId, Signature, SignatureSet, View, decode, encode};
use quorate_pbft::{Knowledge, Message, Prepare, PreparedCertificate, ViewChangeMessage};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Blocks whose PREPAREs are collected: the latest.
const COLLECTED: usize = 32;

/// Certificates that are kept: the latest.
const KEPT: usize = 16;

/// A proposal of this liar, and the PREPAREs for it that reached it.
#[derive(Debug)]
struct Collected {
    header: Header,
    pre_prepare: Signature,
    prepares: BTreeMap<ReplicaId, Signature>,
}

/// As primary it shows its block to as many members as must give their PREPARE, and to no other, and keeps its COMMIT. In
/// later VIEW-CHANGEs it shows what it has collected, once so many views have passed.
#[derive(Debug)]
pub(super) struct Hoard {
    /// Correct members that get its proposals, the first of these.
    order: Vec<ReplicaId>,
    /// Views to wait before a certificate is shown.
    patience: u64,
    /// Whether it also shows what lies outside of the window above its base, which others must refuse.
    reckless: bool,
    /// The last view it was primary in, and whether it hoards there.
    hoarding: (View, bool),
    collected: BTreeMap<Ballot, Collected>,
    kept: Vec<PreparedCertificate>,
    /// What it said about leaving for a view: it says the same again.
    said: Option<ViewChangeMessage>,
}

impl Hoard {
    /// Victims and patience by chance.
    pub(super) fn new(me: ReplicaId, brain: &mut Brain) -> Self {
        let mut others: Vec<ReplicaId> = brain.others(me);
        others.retain(|other| !brain.pen.knows(*other));
        let mut order = Vec::new();
        while !others.is_empty() {
            let index = brain.random.index(others.len());
            order.push(others.swap_remove(index));
        }
        Hoard {
            order,
            patience: *brain.random.choose(&[1, 2, 4, 18]),
            reckless: brain.random.permille(200),
            hoarding: (View(0), brain.random.permille(500)),
            collected: BTreeMap::new(),
            kept: Vec::new(),
            said: None,
        }
    }

    fn hoards_in(&mut self, brain: &mut Brain, view: View) -> bool {
        if self.hoarding.0 != view {
            self.hoarding = (view, brain.random.permille(500));
        }
        self.hoarding.1
    }

    /// How many correct members must give their PREPARE, with those of all other liars.
    fn needed(me: ReplicaId, brain: &Brain) -> usize {
        let others = brain.others(me).into_iter().filter(|other| brain.pen.knows(*other)).count();
        (brain.committee.quorum() - 1).saturating_sub(others)
    }

    /// Makes a certificate as soon as there are enough PREPAREs with those of all liars.
    fn certify(&mut self, me: ReplicaId, brain: &Brain, ballot: Ballot) {
        let Some(collected) = self.collected.get(&ballot) else { return };
        let mut prepares = collected.prepares.clone();
        for liar in brain.others(me).into_iter().filter(|other| brain.pen.knows(*other)) {
            prepares.insert(liar, brain.pen.sign(liar, Prepare(ballot)).signature);
        }
        let Some(prepares) = SignatureSet::first(brain.committee.quorum() - 1, &prepares) else { return };
        let bytes = encode(&(&collected.header, ballot.view, collected.pre_prepare, prepares));
        self.kept.push(decode(&bytes).expect("a certificate made of its parts"));
        self.collected.remove(&ballot);
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
    }

    /// What it admits to know when it leaves for a view: for each height what it really knows, or what it kept.
    fn admit(&self, view: View, known: &Knowledge) -> Knowledge {
        let base = known.base_height();
        let kept = self.kept.iter().filter(|kept| {
            let late = kept.view().0.saturating_add(self.patience) <= view.0;
            late && (self.reckless || kept.header().height > base)
        });
        let mut prepared: BTreeMap<Height, PreparedCertificate> =
            kept.map(|kept| (kept.header().height, kept.clone())).collect();
        for certificate in &known.prepared {
            let height = certificate.header().height;
            if prepared.get(&height).is_none_or(|kept| kept.view() < certificate.view()) {
                prepared.insert(height, certificate.clone());
            }
        }
        let base = if self.reckless { None } else { known.base.clone() };
        Knowledge { base, prepared: prepared.into_values().collect() }
    }
}

impl Strategy for Hoard {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        match &said.message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me => {
                let ballot = proposal.vote.body.0;
                // What a view begins with is known to all anyway.
                if !self.hoards_in(brain, ballot.view) || proposal.header.proposer != me {
                    return out.push(said);
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
                let needed = Hoard::needed(me, brain);
                if self.order.iter().take(needed).any(|confidant| *confidant == said.to) {
                    out.push(said);
                }
            }
            Message::Commit(vote) if self.hoarding == (vote.body.0.view, true) => {}
            Message::ViewChange(change) if change.vote.signer == me => {
                let view = change.vote.body.view;
                let again = self.said.as_ref().is_some_and(|before| before.vote.body.view == view);
                if !again {
                    let knowledge = self.admit(view, &change.knowledge);
                    let changed = knowledge != change.knowledge;
                    self.said = changed.then(|| brain.depart(me, view, knowledge));
                }
                let Some(change) = self.said.clone() else { return out.push(said) };
                let message = Message::ViewChange(change);
                brain.note(me, &message);
                out.push(Utterance { message, ..said });
            }
            _ => out.push(said),
        }
    }

    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        from: ReplicaId,
        message: &Message,
        _out: &mut Vec<Utterance>,
    ) {
        let Message::Prepare(vote) = message else { return };
        let Some(collected) = self.collected.get_mut(&vote.body.0) else { return };
        // The network hands over nothing that a member did not sign: what is signed by its sender is good.
        if vote.signer == from {
            collected.prepares.insert(from, vote.signature);
            self.certify(me, brain, vote.body.0);
        }
    }
}
