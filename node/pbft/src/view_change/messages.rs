//! VIEW-CHANGE and NEW-VIEW: what a member takes with it into a new view, and what the new primary makes of a
//! quorum of those (R19, R20).

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, ChainId, CommitCertificate, Committee, Domain, Epoch, Hash, Header, Height, MAX_SIGNATURES,
    ReplicaId, Signable, Signed, Verified, View, bounded, encode, tagged_hash,
};

use crate::messages::{MAX_STATUS_SLOTS, PrePrepare, Rejected, verify_unless};
use crate::votes::prepared::PreparedCertificate;

/// "I have left all views below this one, and this is what I know."
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view it wants to enter, above 0.
    pub view: View,
    /// Hash of its [`Knowledge`]: evidence of two different ones stays small.
    pub content: Hash,
}

impl Signable for ViewChange {
    const DOMAIN: Domain = Domain::ViewChange;
}

/// "A quorum has left the views below; this view begins like this."
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The epoch.
    pub epoch: Epoch,
    /// The view, above 0.
    pub view: View,
    /// Hash of the view changes and the proposals made again.
    pub content: Hash,
}

impl Signable for NewView {
    const DOMAIN: Domain = Domain::NewView;
}

/// Everything a later view must not lose: the last committed block, and what is prepared above it.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Knowledge {
    /// Proof of the last committed block; `None` while that is the genesis.
    pub base: Option<CommitCertificate>,
    /// For each height above, the prepared certificate of the highest view, ascending by height.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub prepared: Vec<PreparedCertificate>,
}

impl Knowledge {
    /// What a [`ViewChange`] signs.
    pub fn hash(&self) -> Hash {
        tagged_hash(Domain::ViewChangeContent, &[&encode(self)])
    }

    /// Whether it says that this block is prepared, in whatever view.
    pub(crate) fn has_prepared(&self, block: &Header) -> bool {
        self.prepared.iter().any(|certificate| certificate.header() == block)
    }

    /// Height of the last committed block.
    pub fn base_height(&self) -> Height {
        self.base.as_ref().map_or(Height(0), |certificate| certificate.ballot().height)
    }
}

/// View changes that begin a view: a quorum, so that whatever may be final is known to one of them at least.
pub(crate) fn view_changes_needed(committee: &Committee) -> usize {
    if is(Mutant::ViewChangeQuorumShort) { committee.one_honest() } else { committee.quorum() }
}

/// A VIEW-CHANGE as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChangeMessage {
    /// Who left, and for which view.
    pub vote: Signed<ViewChange>,
    /// What it knows.
    pub knowledge: Knowledge,
}

/// A NEW-VIEW as it goes over the wire. It proves itself, whoever passes it on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewViewMessage {
    /// The new primary's signature.
    pub vote: Signed<NewView>,
    /// Exactly a quorum, for exactly this view, ascending by signer.
    #[borsh(deserialize_with = "bounded::<MAX_SIGNATURES, _, _>")]
    pub view_changes: Vec<ViewChangeMessage>,
    /// The new primary's PRE-PREPARE in this view for each block that is proposed again, ascending by height.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub pre_prepares: Vec<Signed<PrePrepare>>,
}

impl NewViewMessage {
    /// What a [`NewView`] signs.
    pub fn content(view_changes: &[ViewChangeMessage], pre_prepares: &[Signed<PrePrepare>]) -> Hash {
        tagged_hash(Domain::NewViewContent, &[&encode(&(view_changes, pre_prepares))])
    }
}

/// A VIEW-CHANGE whose signature and certificates were checked. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedViewChange(Arc<ViewChangeMessage>);

impl CheckedViewChange {
    /// Takes back what this node made or checked itself.
    pub(crate) fn own(message: ViewChangeMessage) -> Self {
        CheckedViewChange(Arc::new(message))
    }

    /// Whose it is.
    pub fn signer(&self) -> ReplicaId {
        self.0.vote.signer
    }

    /// The view it wants to enter.
    pub fn view(&self) -> View {
        self.0.vote.body.view
    }

    /// Height of the last committed block that it starts from.
    pub(crate) fn base_height(&self) -> Height {
        self.0.knowledge.base_height()
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
    /// Checks the form and then every signature: the whole is believed or nothing of it (R19). `window` is W.
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

    /// Checks all that costs no verification, so that a refusal here is cheap (R19).
    fn check_form(&self, epoch: Epoch, committee: &Committee, window: u64) -> Result<(), Rejected> {
        let ViewChange { epoch: claimed, view, content } = self.vote.body;
        if claimed != epoch {
            return Err(Rejected::Epoch(claimed));
        }
        if view == View(0) {
            return Err(Rejected::ViewChange("view 0 needs none"));
        }
        if let Some(base) = &self.knowledge.base {
            // Any view is allowed: a replica that fetches certified blocks may be ahead of its own view.
            if base.ballot().epoch != epoch {
                return Err(Rejected::ViewChange("its base is certified in another epoch"));
            }
            if !is(Mutant::BaseUnchecked) {
                base.check_form(committee)?;
            }
        }
        let base = self.knowledge.base_height();
        let mut below = base;
        for certificate in &self.knowledge.prepared {
            let header = certificate.header();
            if header.epoch != epoch || certificate.view() >= view {
                return Err(Rejected::ViewChange(
                    "a block in it was prepared in a later view or another epoch",
                ));
            }
            if header.height <= below {
                return Err(Rejected::ViewChange(
                    "its prepared blocks are not in ascending order above its base",
                ));
            }
            // R7: nothing higher is accepted, so a correct replica has nothing prepared there. This also bounds the
            // length of a NEW-VIEW, and the signatures to verify.
            if header.height > base.plus(2 * window) {
                return Err(Rejected::ViewChange(
                    "a block in it was prepared beyond the window above its base",
                ));
            }
            below = header.height;
            if !is(Mutant::PreparedUnchecked) {
                certificate.check_form(committee)?;
            }
        }
        if content != self.knowledge.hash() && !is(Mutant::ViewChangeContentUnchecked) {
            return Err(Rejected::ViewChange("its content is not what was signed"));
        }
        Ok(())
    }

    /// Verifies every signature in a message whose form was checked.
    fn verify(&self, chain: &ChainId, committee: &Committee) -> Result<(), Rejected> {
        verify_unless(Mutant::ViewChangeUnsigned, self.vote.clone(), chain, committee)?;
        if let Some(base) = self.knowledge.base.as_ref().filter(|_| !is(Mutant::BaseUnchecked)) {
            base.check(chain, committee)?;
        }
        let prepared = self.knowledge.prepared.iter().filter(|_| !is(Mutant::PreparedUnchecked));
        for certificate in prepared {
            certificate.check(chain, committee)?;
        }
        Ok(())
    }
}

/// How a new view begins: a function of a quorum of view changes, the same for everybody (R20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The highest committed block among them; `None` is the genesis.
    pub base: Option<CommitCertificate>,
    /// The blocks to propose again, from one above the base, each the parent of the next.
    pub chain: Vec<Header>,
}

impl Selection {
    /// The selection from these view changes: the highest base, then for each height above it the block
    /// prepared in the highest view, up to the first height without one or that does not extend the block
    /// below. What is dropped cannot be locked: by R10 a lock covers all heights below it.
    ///
    /// # Errors
    /// More than f members have lied: two blocks are committed at one height, or prepared in one view.
    pub fn of<'a>(known: &(impl Iterator<Item = &'a Knowledge> + Clone)) -> Result<Self, Rejected> {
        let known = || known.clone();
        let mut base: Option<&CommitCertificate> = None;
        for certificate in known().filter_map(|knowledge| knowledge.base.as_ref()) {
            let (ballot, best) = (certificate.ballot(), base.map(CommitCertificate::ballot));
            match best {
                Some(best) if best.height == ballot.height && best.block != ballot.block => {
                    return Err(Rejected::ViewChange("two blocks are committed at one height"));
                }
                Some(best) if best.height >= ballot.height => {}
                _ => base = Some(certificate),
            }
        }
        let mut end = base.map(|certificate| certificate.ballot().block);
        let mut height = base.map_or(Height(0), |certificate| certificate.ballot().height);
        let mut chain = Vec::new();
        // Heights are claims until the signatures are verified, so the last one may be the end of `u64`.
        while let Some(next) = height.0.checked_add(1).map(Height) {
            height = next;
            let candidates = known()
                .flat_map(|knowledge| &knowledge.prepared)
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
        Ok(Selection { base: base.cloned(), chain })
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

/// The certificate of the highest view.
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

/// A NEW-VIEW that follows from its view changes. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedNewView(Arc<Start>);

#[derive(Debug, PartialEq, Eq)]
struct Start {
    message: NewViewMessage,
    base: Option<Verified<CommitCertificate>>,
    chain: Vec<(Header, Verified<Signed<PrePrepare>>)>,
}

impl CheckedNewView {
    /// Joins a NEW-VIEW and the selection it was made from, whose certificates were checked.
    pub(crate) fn own(
        message: NewViewMessage,
        selection: Selection,
        votes: Vec<Verified<Signed<PrePrepare>>>,
    ) -> Self {
        assert_eq!(selection.chain.len(), votes.len(), "one PRE-PREPARE for each block proposed again");
        let base = selection.base.map(Verified::from_own_storage);
        let chain = selection.chain.into_iter().zip(votes).collect();
        CheckedNewView(Arc::new(Start { message, base, chain }))
    }

    /// Takes back what this node wrote down when it entered the view.
    pub(crate) fn from_own_storage(message: NewViewMessage) -> Result<Self, Rejected> {
        let selection = Selection::of(&message.view_changes.iter().map(|change| &change.knowledge))?;
        let votes: Vec<_> = message.pre_prepares.iter().cloned().map(Verified::from_own_storage).collect();
        if selection.chain.len() != votes.len() {
            return Err(Rejected::NewView("it does not propose again what follows from its view changes"));
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

    /// The committed block it starts from; `None` is the genesis.
    pub fn base(&self) -> Option<&Ballot> {
        self.base_certificate().map(|certificate| certificate.ballot())
    }

    /// Proof of it.
    pub(crate) fn base_certificate(&self) -> Option<&Verified<CommitCertificate>> {
        self.0.base.as_ref()
    }

    /// The blocks it proposes again, ascending, with the new primary's PRE-PREPAREs.
    pub fn chain(&self) -> &[(Header, Verified<Signed<PrePrepare>>)] {
        &self.0.chain
    }

    /// The last height it speaks of: fresh proposals lie above it.
    pub fn end(&self) -> Height {
        let base = self.base().map_or(Height(0), |base| base.height);
        base.plus(self.0.chain.len() as u64)
    }

    /// The block proposed again at a height.
    pub fn at(&self, height: Height) -> Option<&(Header, Verified<Signed<PrePrepare>>)> {
        self.0.chain.iter().find(|(header, _)| header.height == height)
    }

    /// As it goes over the wire.
    pub fn message(&self) -> &NewViewMessage {
        &self.0.message
    }
}

impl NewViewMessage {
    /// The headers of whatever the primary proposes again, as far as they are known.
    fn claimed_chain(&self) -> Vec<Header> {
        let known = || self.view_changes.iter().flat_map(|change| &change.knowledge.prepared);
        let header = |vote: &Signed<PrePrepare>| {
            known()
                .map(PreparedCertificate::header)
                .find(|header| header.hash() == vote.body.0.block)
                .cloned()
        };
        self.pre_prepares.iter().filter_map(header).collect()
    }

    /// Checks the form, selects again, compares, and then verifies every signature (R20). `window` is W.
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

    /// Checks all that costs no verification, so that a refusal here is cheap (R20). Returns how the view begins if
    /// the signatures are good.
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
            return Err(Rejected::NewView("it needs exactly a quorum of view changes"));
        }
        let in_order = |pair: &[ViewChangeMessage]| pair[0].vote.signer < pair[1].vote.signer;
        if !self.view_changes.windows(2).all(in_order) && !is(Mutant::NewViewSignersRepeat) {
            return Err(Rejected::NewView("its view changes are not in ascending order of their signers"));
        }
        let foreign_view = |change: &ViewChangeMessage| change.vote.body.view != view;
        if self.view_changes.iter().any(foreign_view) && !is(Mutant::NewViewForeignViews) {
            return Err(Rejected::NewView("a view change in it is for another view"));
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
        let mut selection = Selection::of(&self.view_changes.iter().map(|change| &change.knowledge))?;
        if is(Mutant::NewViewNotRecomputed) {
            selection.chain = self.claimed_chain();
        }
        let claimed = self.pre_prepares.iter().map(|vote| vote.body.0);
        if !selection.ballots(epoch, view).eq(claimed) {
            return Err(Rejected::NewView("it does not propose again what follows from its view changes"));
        }
        Ok(selection)
    }
}
