//! VIEW-CHANGE and NEW-VIEW: the payload of a VIEW-CHANGE, and what the new primary selects from a
//! quorum of them (R19, R20).

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, ChainId, CommitCertificate, Committee, Domain, Epoch, Hash, Header, Height, MAX_SIGNATURES,
    ReplicaId, Signable, Signed, Verified, View, bounded, encode, tagged_hash,
};

use crate::messages::{MAX_STATUS_SLOTS, PrePrepare, Rejected, verify_unless};
use crate::votes::prepared::PreparedCertificate;

/// States that its signer has left all views below this one, with this payload (R19a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that its signer waits for, above 0.
    pub view: View,
    /// Hash of the payload, a [`ViewChangePayload`]. The hash keeps evidence of two VIEW-CHANGEs short.
    pub content: Hash,
}

impl Signable for ViewChange {
    const DOMAIN: Domain = Domain::ViewChange;
}

/// States that a quorum has left the views below, and how this view begins (R20a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The epoch.
    pub epoch: Epoch,
    /// The view, above 0.
    pub view: View,
    /// Hash of the VIEW-CHANGEs and of the PRE-PREPAREs of the blocks that are proposed again.
    pub content: Hash,
}

impl Signable for NewView {
    const DOMAIN: Domain = Domain::NewView;
}

/// The payload of a VIEW-CHANGE (R19a): the committed anchor, and what is prepared above it. No
/// later view may lose it.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChangePayload {
    /// The committed anchor: the certificate of the last committed block. `None` for the genesis.
    pub anchor: Option<CommitCertificate>,
    /// For each height above the anchor, the prepared certificate of the highest view, ascending by
    /// height.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub prepared: Vec<PreparedCertificate>,
}

impl ViewChangePayload {
    /// The hash that a [`ViewChange`] signs.
    pub fn hash(&self) -> Hash {
        tagged_hash(Domain::ViewChangeContent, &[&encode(self)])
    }

    /// Whether it has a prepared certificate for this block, of any view.
    pub(crate) fn has_prepared(&self, block: &Header) -> bool {
        self.prepared.iter().any(|certificate| certificate.header() == block)
    }

    /// Height of the committed anchor.
    pub fn anchor_height(&self) -> Height {
        self.anchor.as_ref().map_or(Height(0), |certificate| certificate.ballot().height)
    }
}

/// Number of VIEW-CHANGEs that begin a view: a quorum, so that one of them at least contains each
/// block that may be final (R20a).
pub(crate) fn view_changes_needed(committee: &Committee) -> usize {
    if is(Mutant::ViewChangeQuorumShort) { committee.weak_quorum() } else { committee.quorum() }
}

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
pub struct CheckedViewChange(Arc<ViewChangeMessage>);

impl CheckedViewChange {
    /// Wraps a message that this node made or checked itself.
    pub(crate) fn own(message: ViewChangeMessage) -> Self {
        CheckedViewChange(Arc::new(message))
    }

    /// The member that left.
    pub fn signer(&self) -> ReplicaId {
        self.0.vote.signer
    }

    /// The view that the member waits for.
    pub fn view(&self) -> View {
        self.0.vote.body.view
    }

    /// Height of its committed anchor.
    pub(crate) fn anchor_height(&self) -> Height {
        self.0.payload.anchor_height()
    }

    /// The signed statement.
    pub fn vote(&self) -> &Signed<ViewChange> {
        &self.0.vote
    }

    /// As it goes over the wire.
    pub fn message(&self) -> &ViewChangeMessage {
        &self.0
    }
}

impl ViewChangeMessage {
    /// Checks the form, and then every signature. The replica accepts all of it or nothing (R19b).
    /// `window` is W.
    pub(crate) fn check(
        self,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
        window: u64,
    ) -> Result<CheckedViewChange, Rejected> {
        self.check_form(epoch, committee, window)?;
        self.verify(chain, committee)?;
        Ok(CheckedViewChange(Arc::new(self)))
    }

    /// Checks what needs no signature (R19b), so that refusing costs little.
    fn check_form(&self, epoch: Epoch, committee: &Committee, window: u64) -> Result<(), Rejected> {
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
            if !is(Mutant::BaseUnchecked) {
                anchor.check_form(committee)?;
            }
        }
        let anchor = self.payload.anchor_height();
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
    fn verify(&self, chain: &ChainId, committee: &Committee) -> Result<(), Rejected> {
        verify_unless(Mutant::ViewChangeUnsigned, self.vote.clone(), chain, committee)?;
        if let Some(anchor) = self.payload.anchor.as_ref().filter(|_| !is(Mutant::BaseUnchecked)) {
            anchor.check(chain, committee)?;
        }
        let prepared = self.payload.prepared.iter().filter(|_| !is(Mutant::PreparedUnchecked));
        for certificate in prepared {
            certificate.check(chain, committee)?;
        }
        Ok(())
    }
}

/// How a view begins: a function of a quorum of VIEW-CHANGEs, the same at all replicas (R20a).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The highest committed anchor among them; `None` for the genesis.
    pub anchor: Option<CommitCertificate>,
    /// The blocks to propose again, from the height above the anchor on, each the parent of the
    /// next.
    pub chain: Vec<Header>,
}

impl Selection {
    /// Selects from these payloads (R20a): the highest anchor, and for each height above it the
    /// block that is prepared in the highest view. Stops at the first height without such a block,
    /// or whose block does not extend the one below. No block from there on can be final, because a
    /// quorum of COMMITs covers all heights below (R10).
    ///
    /// # Errors
    /// [`Rejected`] if two blocks are committed at one height, or prepared at one height in one
    /// view. More than f members are faulty then.
    pub fn of<'a>(known: &(impl Iterator<Item = &'a ViewChangePayload> + Clone)) -> Result<Self, Rejected> {
        let known = || known.clone();
        let mut anchor: Option<&CommitCertificate> = None;
        for certificate in known().filter_map(|payload| payload.anchor.as_ref()) {
            let (ballot, best) = (certificate.ballot(), anchor.map(CommitCertificate::ballot));
            match best {
                Some(best) if best.height == ballot.height && best.block != ballot.block => {
                    return Err(Rejected::ViewChange("two blocks are committed at one height"));
                }
                Some(best) if best.height >= ballot.height => {}
                _ => anchor = Some(certificate),
            }
        }
        let mut end = anchor.map(|certificate| certificate.ballot().block);
        let mut height = anchor.map_or(Height(0), |certificate| certificate.ballot().height);
        let mut chain = Vec::new();
        // Heights are claims until the signatures are verified, so a height may be `u64::MAX`.
        while let Some(next) = height.0.checked_add(1).map(Height) {
            height = next;
            let candidates = known()
                .flat_map(|payload| &payload.prepared)
                .filter(|certificate| certificate.header().height == height);
            let Some(best) = highest(candidates)? else { break };
            if is(Mutant::NewViewDropsPrepared) {
                break;
            }
            if end.is_some_and(|end| best.header().parent != end) {
                break;
            }
            end = Some(best.header().hash());
            chain.push(best.header().clone());
        }
        Ok(Selection { anchor: anchor.cloned(), chain })
    }

    /// The ballots of the blocks to propose again, in this view.
    pub(crate) fn ballots(&self, epoch: Epoch, view: View) -> impl Iterator<Item = Ballot> {
        self.chain.iter().map(move |header| Ballot {
            epoch,
            view,
            height: header.height,
            block: header.hash(),
        })
    }
}

/// Among these certificates, the one of the highest view.
fn highest<'a>(
    candidates: impl Iterator<Item = &'a PreparedCertificate>,
) -> Result<Option<&'a PreparedCertificate>, Rejected> {
    let mut best: Option<&PreparedCertificate> = None;
    for candidate in candidates {
        match best {
            Some(known) if known.view() == candidate.view() => {
                if known.header() != candidate.header() {
                    return Err(Rejected::ViewChange("two blocks are prepared at one height in one view"));
                }
            }
            Some(known) if (known.view() > candidate.view()) != is(Mutant::LowestCertificate) => {}
            _ => best = Some(candidate),
        }
    }
    Ok(best)
}

/// A NEW-VIEW that was verified, with what follows from its VIEW-CHANGEs. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedNewView(Arc<Start>);

#[derive(Debug, PartialEq, Eq)]
struct Start {
    message: NewViewMessage,
    anchor: Option<Verified<CommitCertificate>>,
    chain: Vec<(Header, Verified<Signed<PrePrepare>>)>,
}

impl CheckedNewView {
    /// Joins a NEW-VIEW with the selection that it was made from. All certificates were verified.
    pub(crate) fn own(
        message: NewViewMessage,
        selection: Selection,
        votes: Vec<Verified<Signed<PrePrepare>>>,
    ) -> Self {
        assert_eq!(selection.chain.len(), votes.len(), "one PRE-PREPARE for each block proposed again");
        let anchor = selection.anchor.map(Verified::from_own_storage);
        let chain = selection.chain.into_iter().zip(votes).collect();
        CheckedNewView(Arc::new(Start { message, anchor, chain }))
    }

    /// Restores the NEW-VIEW that this node recorded when it entered the view. It verifies no
    /// signature.
    pub(crate) fn from_own_storage(message: NewViewMessage) -> Result<Self, Rejected> {
        let selection = Selection::of(&message.view_changes.iter().map(|change| &change.payload))?;
        let votes: Vec<_> = message.pre_prepares.iter().cloned().map(Verified::from_own_storage).collect();
        if selection.chain.len() != votes.len() {
            return Err(Rejected::NewView("it does not propose again what follows from its VIEW-CHANGEs"));
        }
        Ok(CheckedNewView::own(message, selection, votes))
    }

    /// The view that begins.
    pub fn view(&self) -> View {
        self.0.message.vote.body.view
    }

    /// The signed statement.
    pub fn vote(&self) -> &Signed<NewView> {
        &self.0.message.vote
    }

    /// The committed anchor that the view begins with; `None` for the genesis.
    pub fn anchor(&self) -> Option<&Ballot> {
        self.base_certificate().map(|certificate| certificate.ballot())
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
        let anchor = self.anchor().map_or(Height(0), |anchor| anchor.height);
        anchor.plus(self.0.chain.len() as u64)
    }

    /// The block that the view proposes again at this height.
    pub fn at(&self, height: Height) -> Option<&(Header, Verified<Signed<PrePrepare>>)> {
        self.0.chain.iter().find(|(header, _)| header.height == height)
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

    /// Checks the form, selects again, compares, and then verifies every signature (R20b). `window`
    /// is W.
    pub(crate) fn check(
        self,
        chain: &ChainId,
        epoch: Epoch,
        committee: &Committee,
        window: u64,
    ) -> Result<CheckedNewView, Rejected> {
        let selection = self.check_form(epoch, committee, window)?;
        verify_unless(Mutant::NewViewUnsigned, self.vote.clone(), chain, committee)?;
        for change in &self.view_changes {
            change.verify(chain, committee)?;
        }
        let verify = |vote: &Signed<PrePrepare>| vote.clone().verify(chain, committee);
        let votes = self.pre_prepares.iter().map(verify).collect::<Result<_, _>>()?;
        Ok(CheckedNewView::own(self, selection, votes))
    }

    /// Checks what needs no signature, so that refusing costs little (R20b). Returns how the view
    /// begins if the signatures are valid.
    fn check_form(&self, epoch: Epoch, committee: &Committee, window: u64) -> Result<Selection, Rejected> {
        let NewView { epoch: claimed, view, content } = self.vote.body;
        if claimed != epoch {
            return Err(Rejected::Epoch(claimed));
        }
        let primary = committee.primary(epoch, view);
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
            change.check_form(epoch, committee, window)?;
        }
        let mut selection = Selection::of(&self.view_changes.iter().map(|change| &change.payload))?;
        if is(Mutant::NewViewNotRecomputed) {
            selection.chain = self.claimed_chain();
        }
        let claimed = self.pre_prepares.iter().map(|vote| vote.body.0);
        if !selection.ballots(epoch, view).eq(claimed) {
            return Err(Rejected::NewView("it does not propose again what follows from its VIEW-CHANGEs"));
        }
        Ok(selection)
    }
}
