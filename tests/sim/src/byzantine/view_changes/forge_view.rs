//! NEW-VIEWs without a quorum of VIEW-CHANGEs.

use quorate_ledger::{ReplicaId, Signed, View};
use quorate_pbft::{
    Message, NewViewMessage, PrePrepare, Selection, ViewChange, ViewChangeMessage, ViewChangePayload,
};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Begins views with one VIEW-CHANGE repeated, with VIEW-CHANGEs for other views, with VIEW-CHANGEs
/// that their senders did not sign, in views of other primaries, or in the name of another primary.
#[derive(Debug)]
pub(crate) struct ForgeView;

impl Strategy for ForgeView {
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::ViewChange(change) = message else { return };
        let view = change.vote.body.view;
        let primary = collusion.committee.primary(view);
        let mine = primary == me;
        let forged = match collusion.random.between(0, 5) {
            0 if mine => repeated(collusion, me, view),
            1 if mine => foreign(collusion, me, view),
            2 if mine => unsigned(collusion, me, view),
            3 if mine => altered(collusion, me, view),
            4 if !mine => collusion.open(me, view),
            5 if !mine => collusion.open(me, view).map(|new_view| in_the_name_of(primary, new_view)),
            _ => None,
        };
        let Some(forged) = forged else { return };
        for to in collusion.others(me) {
            out.push(Outgoing::new(to, Message::NewView(forged.clone())));
        }
    }
}

/// A NEW-VIEW that follows from these VIEW-CHANGEs, valid or not.
fn following(
    collusion: &Collusion,
    me: ReplicaId,
    view: View,
    changes: Vec<ViewChangeMessage>,
) -> Option<NewViewMessage> {
    let selection = Selection::of(collusion.keys.root, &changes.iter().map(|change| &change.payload)).ok()?;
    let votes = selection.chain.iter().map(|header| {
        let (height, block) = (header.height, header.hash());
        let ballot = quorate_ledger::Ballot { epoch: collusion.keys.epoch, view, height, block };
        collusion.keys.sign(me, PrePrepare(ballot))
    });
    let votes = votes.collect();
    Some(collusion.sign_new_view(me, view, changes, votes))
}

/// The VIEW-CHANGE of one Byzantine member, repeated as often as a quorum needs.
fn repeated(collusion: &Collusion, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let own = collusion.depart(me, view, ViewChangePayload::default());
    following(collusion, me, view, vec![own; collusion.committee.quorum()])
}

/// The latest VIEW-CHANGEs of a quorum, not all of them for this view.
fn foreign(collusion: &Collusion, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let changes = collusion.latest_departures();
    let mut chosen: Vec<_> = changes.into_iter().filter(|change| change.vote.signer != me).collect();
    chosen.truncate(collusion.committee.quorum() - 1);
    chosen.push(collusion.depart(me, view, ViewChangePayload::default()));
    chosen.sort_by_key(|change| change.vote.signer);
    let enough = chosen.len() == collusion.committee.quorum();
    let foreign = chosen.iter().any(|change| change.vote.body.view != view);
    (enough && foreign).then(|| following(collusion, me, view, chosen))?
}

/// VIEW-CHANGEs of members that never left, each signed by a Byzantine member.
fn unsigned(collusion: &Collusion, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let payload = ViewChangePayload::default();
    let body = ViewChange { epoch: collusion.keys.epoch, view, content: payload.hash() };
    let own = collusion.keys.sign(me, body);
    let mut signers = collusion.others(me);
    signers.truncate(collusion.committee.quorum() - 1);
    signers.push(me);
    signers.sort();
    let changes = signers
        .into_iter()
        .map(|signer| ViewChangeMessage { vote: Signed { signer, ..own.clone() }, payload: payload.clone() });
    following(collusion, me, view, changes.collect())
}

/// A quorum that left for this view, with the payloads of others removed from what they signed.
fn altered(collusion: &mut Collusion, me: ReplicaId, view: View) -> Option<NewViewMessage> {
    let mut changes = collusion.open(me, view)?.view_changes;
    changes.iter_mut().for_each(|change| change.payload = ViewChangePayload::default());
    following(collusion, me, view, changes)
}

/// The same as if another primary had signed it.
fn in_the_name_of(primary: ReplicaId, mut new_view: NewViewMessage) -> NewViewMessage {
    new_view.vote.signer = primary;
    new_view.pre_prepares.iter_mut().for_each(|vote| vote.signer = primary);
    new_view
}
