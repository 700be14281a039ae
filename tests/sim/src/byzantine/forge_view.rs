//! New views that no quorum asked for.

use quorate_ledger::{ReplicaId, Signed, View};
use quorate_pbft::{
    Knowledge, Message, NewViewMessage, PrePrepare, Selection, ViewChange, ViewChangeMessage,
};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Begins views with one view change for all, with those of other views, with view changes that their senders did not
/// sign, in views of other primaries, or in the name of another primary.
#[derive(Debug)]
pub(super) struct ForgeView;

impl Strategy for ForgeView {
    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Utterance>,
    ) {
        let Message::ViewChange(change) = message else { return };
        let view = change.vote.body.view;
        let primary = brain.committee.primary(brain.pen.epoch, view);
        let mine = primary == me;
        let forged = match brain.random.between(0, 5) {
            0 if mine => repeated(brain, me, view),
            1 if mine => foreign(brain, me, view),
            2 if mine => unsigned(brain, me, view),
            3 if mine => altered(brain, me, view),
            4 if !mine => brain.open(me, view),
            5 if !mine => brain.open(me, view).map(|new_view| in_the_name_of(primary, new_view)),
            _ => None,
        };
        let Some(forged) = forged else { return };
        for to in brain.others(me) {
            out.push(Utterance::new(to, Message::NewView(forged.clone())));
        }
    }
}

/// A NEW-VIEW that follows from these view changes, whatever they are.
fn following(
    brain: &Brain,
    me: ReplicaId,
    view: View,
    changes: Vec<ViewChangeMessage>,
) -> Option<NewViewMessage> {
    let selection = Selection::of(&changes.iter().map(|change| &change.knowledge)).ok()?;
    let votes = selection.chain.iter().map(|header| {
        let (height, block) = (header.height, header.hash());
        let ballot = quorate_ledger::Ballot { epoch: brain.pen.epoch, view, height, block };
        brain.pen.sign(me, PrePrepare(ballot))
    });
    let votes = votes.collect();
    Some(brain.sign_new_view(me, view, changes, votes))
}

/// One liar's view change as often as a quorum needs.
fn repeated(brain: &Brain, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let own = brain.depart(me, view, Knowledge::default());
    following(brain, me, view, vec![own; brain.committee.quorum()])
}

/// The latest view changes of a quorum, of which not all are for this view.
fn foreign(brain: &Brain, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let changes = brain.latest_departures();
    let mut chosen: Vec<_> = changes.into_iter().filter(|change| change.vote.signer != me).collect();
    chosen.truncate(brain.committee.quorum() - 1);
    chosen.push(brain.depart(me, view, Knowledge::default()));
    chosen.sort_by_key(|change| change.vote.signer);
    let enough = chosen.len() == brain.committee.quorum();
    let foreign = chosen.iter().any(|change| change.vote.body.view != view);
    (enough && foreign).then(|| following(brain, me, view, chosen))?
}

/// View changes of members that never left, with the liar's signature under each.
fn unsigned(brain: &Brain, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let knowledge = Knowledge::default();
    let body = ViewChange { epoch: brain.pen.epoch, view, content: knowledge.hash() };
    let own = brain.pen.sign(me, body);
    let mut signers = brain.others(me);
    signers.truncate(brain.committee.quorum() - 1);
    signers.push(me);
    signers.sort();
    let changes = signers.into_iter().map(|signer| ViewChangeMessage {
        vote: Signed { signer, ..own.clone() },
        knowledge: knowledge.clone(),
    });
    following(brain, me, view, changes.collect())
}

/// A quorum that left for this view, with everything that others know taken out of what they signed.
fn altered(brain: &mut Brain, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let mut changes = brain.open(me, view)?.view_changes;
    changes.iter_mut().for_each(|change| change.knowledge = Knowledge::default());
    following(brain, me, view, changes)
}

/// The same as if another primary had signed it.
fn in_the_name_of(primary: ReplicaId, mut new_view: NewViewMessage) -> NewViewMessage {
    new_view.vote.signer = primary;
    new_view.pre_prepares.iter_mut().for_each(|vote| vote.signer = primary);
    new_view
}
