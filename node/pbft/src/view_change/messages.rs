//! VIEW-CHANGE and NEW-VIEW: the messages, their checks, and their checked forms (R19, R20).

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, CommitCertificate, Domain, Hash, Header, Height, MAX_SIGNATURES, ReplicaId, Signed, Verified,
    View, bounded, encode, tagged_hash,
};

use crate::config::{EpochContext, EpochRoot};
use crate::messages::proposal::PrePrepare;
use crate::messages::rejected::Rejected;
use crate::messages::status::MAX_STATUS_SLOTS;
use crate::view_change::selection::{Selection, view_changes_needed};
use crate::view_change::statements::{NewView, ViewChange, ViewChangePayload};
use crate::votes::prepared::PreparedCertificate;

/// A VIEW-CHANGE as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChangeMessage {
    /// The signed statement.
    pub vote: Signed<ViewChange>,
    /// The payload.
    pub payload: ViewChangePayload,
}

/// A NEW-VIEW as it goes over the wire. Any member may relay it, since its signatures prove it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewViewMessage {
    /// The new primary's signature.
    pub vote: Signed<NewView>,
    /// Exactly a quorum of VIEW-CHANGEs for exactly this view, ascending by signer.
    #[borsh(deserialize_with = "bounded::<MAX_SIGNATURES, _, _>")]
    pub view_changes: Vec<ViewChangeMessage>,
    /// The new primary's PRE-PREPARE in this view for each block that is proposed again, ascending
    /// by height.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub pre_prepares: Vec<Signed<PrePrepare>>,
}

impl NewViewMessage {
    /// The hash that a [`NewView`] signs.
    pub fn content(view_changes: &[ViewChangeMessage], pre_prepares: &[Signed<PrePrepare>]) -> Hash {
        tagged_hash(Domain::NewViewContent, &[&encode(&(view_changes, pre_prepares))])
    }
}

/// A VIEW-CHANGE of which the signature and all certificates were verified. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedViewChange(Arc<Departed>);

#[derive(Debug, PartialEq, Eq)]
struct Departed {
    message: ViewChangeMessage,
    proven: Proven,
}

/// The parts of a VIEW-CHANGE that are used without the rest, each verified.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proven {
    vote: Verified<Signed<ViewChange>>,
    anchor: Option<Verified<CommitCertificate>>,
}

impl Proven {
    /// The parts of a VIEW-CHANGE that this node recorded. It verifies no signature.
    fn from_own_storage(message: &ViewChangeMessage) -> Self {
        let vote = Verified::from_own_storage(message.vote.clone());
        let anchor = message.payload.anchor.clone().map(Verified::from_own_storage);
        Proven { vote, anchor }
    }
}

impl CheckedViewChange {
    /// The VIEW-CHANGE of this replica, with this anchor and these prepared certificates (R19a).
    /// `sign` signs the hash of its payload.
    pub(crate) fn own<'a>(
        anchor: Option<&Verified<CommitCertificate>>,
        prepared: impl Iterator<Item = &'a Verified<PreparedCertificate>>,
        sign: impl FnOnce(Hash) -> Verified<Signed<ViewChange>>,
    ) -> Self {
        let payload = ViewChangePayload {
            anchor: anchor.map(|certificate| (**certificate).clone()),
            prepared: prepared.map(|certificate| (**certificate).clone()).collect(),
        };
        let proven = Proven { vote: sign(payload.hash()), anchor: anchor.cloned() };
        let message = ViewChangeMessage { vote: proven.vote.clone().into_inner(), payload };
        CheckedViewChange(Arc::new(Departed { message, proven }))
    }

    /// Restores the VIEW-CHANGE that this node recorded. It verifies no signature.
    pub(crate) fn from_own_storage(message: ViewChangeMessage) -> Self {
        let proven = Proven::from_own_storage(&message);
        CheckedViewChange(Arc::new(Departed { message, proven }))
    }

    /// The member that left.
    pub fn signer(&self) -> ReplicaId {
        self.vote().signer
    }

    /// The view that the member waits for.
    pub fn view(&self) -> View {
        self.vote().body.view
    }

    /// Height of its committed anchor, in an epoch on a root at this height.
    pub(crate) fn anchor_height(&self, root: Height) -> Height {
        self.0.message.payload.anchor_height(root)
    }

    /// The signed statement.
    pub fn vote(&self) -> &Verified<Signed<ViewChange>> {
        &self.0.proven.vote
    }

    /// As it goes over the wire.
    pub fn message(&self) -> &ViewChangeMessage {
        &self.0.message
    }
}

impl ViewChangeMessage {
    /// Checks the form, and then every signature. The replica accepts all of it or nothing (R19b).
    pub(crate) fn check(self, context: &EpochContext) -> Result<CheckedViewChange, Rejected> {
        self.check_form(context)?;
        let proven = self.verify(context)?;
        Ok(CheckedViewChange(Arc::new(Departed { message: self, proven })))
    }

    /// Checks what needs no signature (R19b), so that refusing costs little.
    fn check_form(&self, context: &EpochContext) -> Result<(), Rejected> {
        let EpochContext { committee, window, root, .. } = context;
        let epoch = context.epoch();
        let ViewChange { epoch: claimed, view, content } = self.vote.body;
        if claimed != epoch {
            return Err(Rejected::Epoch(claimed));
        }
        if view == View(0) {
            return Err(Rejected::ViewChange("it is for view 0, which begins without one"));
        }
        if let Some(anchor) = &self.payload.anchor {
            // Any view is valid: a replica that fetches certified blocks may be behind the view of
            // their certificates.
            if anchor.ballot().epoch != epoch {
                return Err(Rejected::ViewChange("its committed anchor is certified in another epoch"));
            }
            // R26: the root is the lowest anchor, and needs no certificate.
            if anchor.ballot().height <= root.height && !is(Mutant::AnchorBelowRoot) {
                return Err(Rejected::ViewChange("its committed anchor is not above the root of the epoch"));
            }
            if !is(Mutant::BaseUnchecked) {
                anchor.check_form(committee)?;
            }
        }
        let anchor = self.payload.anchor_height(root.height);
        let mut below = anchor;
        for certificate in &self.payload.prepared {
            let header = certificate.header();
            if header.epoch != epoch || certificate.view() >= view {
                return Err(Rejected::ViewChange(
                    "a block in it was prepared in a later view or another epoch",
                ));
            }
            if header.height <= below {
                return Err(Rejected::ViewChange(
                    "its prepared blocks are not in ascending order above its anchor",
                ));
            }
            // R19b: a correct replica prepares nothing higher (R7). The limit also bounds the
            // length of a NEW-VIEW, and the signatures to verify.
            if header.height > anchor.plus(2 * window) {
                return Err(Rejected::ViewChange(
                    "a block in it was prepared beyond the window above its anchor",
                ));
            }
            if header.height.follows(root.height) && header.parent != root.block {
                return Err(Rejected::ViewChange("a block in it does not extend the root of the epoch"));
            }
            below = header.height;
            if !is(Mutant::PreparedUnchecked) {
                certificate.check_form(committee)?;
            }
        }
        if content != self.payload.hash() && !is(Mutant::ViewChangeContentUnchecked) {
            return Err(Rejected::ViewChange("its content is not what was signed"));
        }
        Ok(())
    }

    /// Verifies every signature in a message whose form was checked.
    fn verify(&self, context: &EpochContext) -> Result<Proven, Rejected> {
        let vote = context.verify_unless(Mutant::ViewChangeUnsigned, self.vote.clone())?;
        let verify = |anchor: CommitCertificate| anchor.verify(&context.chain, context);
        let anchor = self.payload.anchor.clone();
        let anchor =
            anchor.map(|anchor| Verified::unless(Mutant::BaseUnchecked, anchor, verify)).transpose()?;
        let prepared = self.payload.prepared.iter().filter(|_| !is(Mutant::PreparedUnchecked));
        for certificate in prepared {
            certificate.check(&context.chain, context)?;
        }
        Ok(Proven { vote, anchor })
    }
}

/// A NEW-VIEW that was verified, with what follows from its VIEW-CHANGEs. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedNewView(Arc<Start>);

#[derive(Debug, PartialEq, Eq)]
struct Start {
    message: NewViewMessage,
    vote: Verified<Signed<NewView>>,
    /// What its VIEW-CHANGEs state, in their order.
    departures: Vec<Verified<Signed<ViewChange>>>,
    root: EpochRoot,
    anchor: Option<Verified<CommitCertificate>>,
    chain: Vec<(Header, Verified<Signed<PrePrepare>>)>,
}

impl CheckedNewView {
    /// The NEW-VIEW of this replica, with these VIEW-CHANGEs and the selection from them, in an
    /// epoch on this root. `sign` signs its content.
    pub(crate) fn own(
        root: EpochRoot,
        changes: &[CheckedViewChange],
        selection: Selection,
        votes: Vec<Verified<Signed<PrePrepare>>>,
        sign: impl FnOnce(Hash) -> Verified<Signed<NewView>>,
    ) -> Self {
        let view_changes: Vec<_> = changes.iter().map(|change| change.message().clone()).collect();
        let pre_prepares: Vec<_> = votes.iter().map(|vote| vote.clone().into_inner()).collect();
        let vote = sign(NewViewMessage::content(&view_changes, &pre_prepares));
        let message = NewViewMessage { vote: vote.clone().into_inner(), view_changes, pre_prepares };
        let proven = changes.iter().map(|change| change.0.proven.clone());
        CheckedNewView::join(root, message, vote, selection, proven, votes)
    }

    /// Joins a NEW-VIEW with its verified parts. The selection is the one from its VIEW-CHANGEs,
    /// of which `changes` are the verified parts, in the same order.
    fn join(
        root: EpochRoot,
        message: NewViewMessage,
        vote: Verified<Signed<NewView>>,
        selection: Selection,
        changes: impl Iterator<Item = Proven>,
        votes: Vec<Verified<Signed<PrePrepare>>>,
    ) -> Self {
        assert_eq!(selection.chain.len(), votes.len(), "one PRE-PREPARE for each block proposed again");
        let (departures, anchors): (Vec<_>, Vec<_>) =
            changes.map(|Proven { vote, anchor }| (vote, anchor)).unzip();
        let anchor = selection.anchor.map(|selected| {
            let mut anchors = anchors.into_iter().flatten();
            anchors.find(|anchor| **anchor == selected).expect("an anchor of a VIEW-CHANGE was selected")
        });
        let chain = selection.chain.into_iter().zip(votes).collect();
        CheckedNewView(Arc::new(Start { message, vote, departures, root, anchor, chain }))
    }

    /// Restores the NEW-VIEW that this node recorded when it entered the view, in an epoch on this
    /// root. It verifies no signature.
    pub(crate) fn from_own_storage(message: NewViewMessage, root: EpochRoot) -> Result<Self, Rejected> {
        let selection = Selection::of(root, &message.view_changes.iter().map(|change| &change.payload))?;
        let votes: Vec<_> = message.pre_prepares.iter().cloned().map(Verified::from_own_storage).collect();
        if selection.chain.len() != votes.len() {
            return Err(Rejected::NewView("it does not propose again what follows from its VIEW-CHANGEs"));
        }
        let vote = Verified::from_own_storage(message.vote.clone());
        let changes: Vec<_> = message.view_changes.iter().map(Proven::from_own_storage).collect();
        Ok(CheckedNewView::join(root, message, vote, selection, changes.into_iter(), votes))
    }

    /// The view that begins.
    pub fn view(&self) -> View {
        self.vote().body.view
    }

    /// The signed statement.
    pub fn vote(&self) -> &Verified<Signed<NewView>> {
        &self.0.vote
    }

    /// The committed anchor that the view begins with; `None` for the root of the epoch.
    pub fn anchor(&self) -> Option<&Ballot> {
        self.base_certificate().map(|certificate| certificate.ballot())
    }

    /// Height and hash of the committed anchor, or of the root of the epoch.
    pub(crate) fn base(&self) -> EpochRoot {
        let anchor = |anchor: &Ballot| EpochRoot { height: anchor.height, block: anchor.block };
        self.anchor().map_or(self.0.root, anchor)
    }

    /// The certificate of the committed anchor.
    pub(crate) fn base_certificate(&self) -> Option<&Verified<CommitCertificate>> {
        self.0.anchor.as_ref()
    }

    /// The blocks that the view proposes again, ascending by height, with the primary's
    /// PRE-PREPAREs.
    pub fn chain(&self) -> &[(Header, Verified<Signed<PrePrepare>>)] {
        &self.0.chain
    }

    /// The last height that the view proposes again, or the anchor's. Fresh proposals are above it.
    pub fn end(&self) -> Height {
        self.base().height.plus(self.0.chain.len() as u64)
    }

    /// The block that the view proposes again at this height.
    pub fn at(&self, height: Height) -> Option<&(Header, Verified<Signed<PrePrepare>>)> {
        self.0.chain.iter().find(|(header, _)| header.height == height)
    }

    /// Its VIEW-CHANGEs, each with its verified statement.
    pub(crate) fn departures(
        &self,
    ) -> impl Iterator<Item = (&ViewChangeMessage, &Verified<Signed<ViewChange>>)> {
        self.0.message.view_changes.iter().zip(&self.0.departures)
    }

    /// As it goes over the wire.
    pub fn message(&self) -> &NewViewMessage {
        &self.0.message
    }
}

impl NewViewMessage {
    /// Only for a fault: the headers of the blocks that the primary claims to propose again, as far
    /// as the VIEW-CHANGEs contain them.
    fn claimed_chain(&self) -> Vec<Header> {
        let known = || self.view_changes.iter().flat_map(|change| &change.payload.prepared);
        let header = |vote: &Signed<PrePrepare>| {
            known()
                .map(PreparedCertificate::header)
                .find(|header| header.hash() == vote.body.0.block)
                .cloned()
        };
        self.pre_prepares.iter().filter_map(header).collect()
    }

    /// Checks the form, selects again, compares, and then verifies every signature (R20b).
    pub(crate) fn check(self, context: &EpochContext) -> Result<CheckedNewView, Rejected> {
        let selection = self.check_form(context)?;
        let vote = context.verify_unless(Mutant::NewViewUnsigned, self.vote.clone())?;
        let verify = |change: &ViewChangeMessage| change.verify(context);
        let changes: Vec<Proven> = self.view_changes.iter().map(verify).collect::<Result<_, _>>()?;
        let verify = |vote: &Signed<PrePrepare>| context.verify(vote.clone());
        let votes = self.pre_prepares.iter().map(verify).collect::<Result<_, _>>()?;
        Ok(CheckedNewView::join(context.root, self, vote, selection, changes.into_iter(), votes))
    }

    /// Checks what needs no signature, so that refusing costs little (R20b). Returns how the view
    /// begins if the signatures are valid.
    fn check_form(&self, context: &EpochContext) -> Result<Selection, Rejected> {
        let committee = &context.committee;
        let NewView { epoch: claimed, view, content } = self.vote.body;
        if claimed != context.epoch() {
            return Err(Rejected::Epoch(claimed));
        }
        let primary = committee.primary(view);
        let foreign = |signer: ReplicaId| Rejected::NotPrimary { signer, view };
        if self.vote.signer != primary && !is(Mutant::NewViewByAnyone) {
            return Err(foreign(self.vote.signer));
        }
        if self.view_changes.len() != view_changes_needed(committee) {
            return Err(Rejected::NewView("it must have exactly a quorum of VIEW-CHANGEs"));
        }
        let in_order = |pair: &[ViewChangeMessage]| pair[0].vote.signer < pair[1].vote.signer;
        if !self.view_changes.windows(2).all(in_order) && !is(Mutant::NewViewSignersRepeat) {
            return Err(Rejected::NewView("its VIEW-CHANGEs are not in ascending order of their signers"));
        }
        let foreign_view = |change: &ViewChangeMessage| change.vote.body.view != view;
        if self.view_changes.iter().any(foreign_view) && !is(Mutant::NewViewForeignViews) {
            return Err(Rejected::NewView("a VIEW-CHANGE in it is for another view"));
        }
        if let Some(vote) = self.pre_prepares.iter().find(|vote| vote.signer != self.vote.signer) {
            return Err(foreign(vote.signer));
        }
        if content != NewViewMessage::content(&self.view_changes, &self.pre_prepares) {
            return Err(Rejected::NewView("its content is not what was signed"));
        }
        for change in &self.view_changes {
            change.check_form(context)?;
        }
        let mut selection =
            Selection::of(context.root, &self.view_changes.iter().map(|change| &change.payload))?;
        if is(Mutant::NewViewNotRecomputed) {
            selection.chain = self.claimed_chain();
        }
        let claimed = self.pre_prepares.iter().map(|vote| vote.body.0);
        if !selection.ballots(context.epoch(), view).eq(claimed) {
            return Err(Rejected::NewView("it does not propose again what follows from its VIEW-CHANGEs"));
        }
        Ok(selection)
    }
}
