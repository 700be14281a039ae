use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Ballot, BlockHash, ChainId, Domain, Epoch, Hash, Height, ReplicaId, SecretKey, SignatureMemo, Signed,
    Verified, View, signing_hash,
};

use crate::config::EpochContext;
use crate::messages::statement::{Statement, Subject};
use crate::signing::seen::HighWaterMark;

/// Owns this replica's key. It signs one statement about each subject, all votes at a height in a
/// view for one block (R4), no vote in a view that the replica has left (R19a), and no statement of
/// another epoch than its own (R26f). It panics rather than break this: such a statement is a bug
/// in the caller, and a stopped node is better than one that equivocates.
#[derive(Debug)]
pub struct Signer {
    chain: ChainId,
    epoch: Epoch,
    key: SecretKey,
    replica: ReplicaId,
    /// Where its signatures are added, so that this node does not verify them in certificates.
    memo: Option<Arc<SignatureMemo>>,
    given: BTreeMap<Subject, Hash>,
    /// The block that the votes of each view and height are for, whatever their kind.
    blocks: BTreeMap<(View, Height), BlockHash>,
    /// A vote in a lower view would contradict the VIEW-CHANGE (R19a).
    floor: View,
    mark: HighWaterMark,
}

impl Signer {
    /// A signer without statements. After a restart, [`crate::Replica::restore`] restores them.
    pub fn new(context: &EpochContext, key: SecretKey, replica: ReplicaId) -> Self {
        Signer {
            chain: context.chain,
            epoch: context.epoch(),
            key,
            replica,
            memo: context.memo.clone(),
            given: BTreeMap::new(),
            blocks: BTreeMap::new(),
            floor: View(0),
            mark: HighWaterMark::default(),
        }
    }

    /// The member whose key this is.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The high-water mark of what it signed.
    pub(crate) fn mark(&self) -> HighWaterMark {
        self.mark
    }

    /// Restores the high-water mark from the journal.
    pub(crate) fn restore_mark(&mut self, mark: HighWaterMark) {
        self.mark = self.mark.max(mark);
    }

    /// Signs a statement. The same statement gives the same bytes each time (RFC 6979).
    pub(crate) fn sign<S: Statement>(&mut self, body: S) -> Verified<Signed<S>> {
        let subject = body.subject();
        assert_eq!(subject.epoch, self.epoch, "R26: a statement of another epoch");
        let hash = signing_hash(&self.chain, &body);
        let given = *self.given.entry(subject).or_insert(hash);
        assert_eq!(given, hash, "R4: a second statement about {subject:?}");
        if let Some(Ballot { view, height, block, .. }) = body.voted() {
            let voted = *self.blocks.entry((*view, *height)).or_insert(*block);
            assert_eq!(voted, *block, "R4: a vote for another block about {subject:?}");
        }
        self.advance(subject);
        match &self.memo {
            Some(memo) => memo.sign(&self.chain, &self.key, self.replica, body),
            None => Signed::sign(&self.chain, &self.key, self.replica, body),
        }
    }

    fn advance(&mut self, subject: Subject) {
        let Subject { kind, view, height, .. } = subject;
        let place = (view, height);
        match kind {
            Domain::PrePrepare | Domain::Prepare => {
                assert!(view >= self.floor, "R19: a vote in view {view}, which was left");
                self.mark.accepted = self.mark.accepted.max(place);
            }
            Domain::Commit => {
                assert!(view >= self.floor, "R19: a vote in view {view}, which was left");
                self.mark.committed = self.mark.committed.max(place);
            }
            Domain::ViewChange => {
                self.mark.left = self.mark.left.max(view);
                self.leave_below(view);
            }
            Domain::NewView => self.mark.opened = self.mark.opened.max(view),
            // It is about a committed block, which an old journal cannot contradict.
            Domain::Checkpoint => {}
            other => unreachable!("{other:?} is the domain of no statement of a replica"),
        }
    }

    /// From now on, signs no vote in a view below this one, and forgets the statements of those
    /// views.
    pub(crate) fn leave_below(&mut self, view: View) {
        if is(Mutant::VotesAfterViewChange) || is(Mutant::ViewRegresses) {
            return;
        }
        self.floor = self.floor.max(view);
        self.given.retain(|subject, _| subject.kind == Domain::Checkpoint || subject.view >= view);
        self.blocks.retain(|(of, _), _| *of >= view);
    }

    /// Forgets the statements about heights up to this committed one: the replica signs nothing
    /// there any more. CHECKPOINTs are kept for the last two heights that have one.
    pub(crate) fn forget_through(&mut self, height: Height, checkpoints_below: Height) {
        self.given.retain(|subject, _| match subject.kind {
            Domain::Checkpoint => subject.height >= checkpoints_below,
            Domain::ViewChange | Domain::NewView => true,
            _ => subject.height > height,
        });
        self.blocks.retain(|(_, of), _| *of > height);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_ledger::{Commit, Committee};

    use super::*;
    use crate::config::EpochRoot;
    use crate::messages::proposal::Prepare;
    use crate::view_change::statements::ViewChange;

    fn ballot(view: u64, block: u8) -> Ballot {
        Ballot {
            epoch: Epoch(0),
            view: View(view),
            height: Height(1),
            block: BlockHash::from_bytes([block; 32]),
        }
    }

    fn signer() -> Signer {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let context = EpochContext {
            chain: ChainId::from_bytes([1; 32]),
            committee: Committee::new(Epoch(0), vec![key.public()]).unwrap(),
            root: EpochRoot { height: Height(0), block: BlockHash::from_bytes([0; 32]) },
            window: 8,
            memo: None,
        };
        Signer::new(&context, key, ReplicaId(0))
    }

    fn leave(view: u64, content: u8) -> ViewChange {
        ViewChange { epoch: Epoch(0), view: View(view), content: Hash::from_bytes([content; 32]) }
    }

    #[test]
    fn the_same_statement_can_be_signed_again_and_is_the_same() {
        let mut signer = signer();
        let first = signer.sign(Prepare(ballot(0, 1)));
        assert_eq!(signer.sign(Prepare(ballot(0, 1))), first);
        signer.sign(Commit(ballot(0, 1)));
        signer.sign(Prepare(ballot(1, 2)));
        assert_eq!(signer.mark().accepted, (View(1), Height(1)));
        assert_eq!(signer.mark().committed, (View(0), Height(1)));
    }

    #[test]
    #[should_panic(expected = "R4")]
    fn another_block_for_the_same_view_and_height_is_never_signed() {
        let mut signer = signer();
        signer.sign(Prepare(ballot(0, 1)));
        signer.sign(Prepare(ballot(0, 2)));
    }

    #[test]
    #[should_panic(expected = "R4: a vote for another block")]
    fn a_commit_for_another_block_than_the_prepare_is_never_signed() {
        let mut signer = signer();
        signer.sign(Prepare(ballot(0, 1)));
        signer.sign(Commit(ballot(0, 2)));
    }

    #[test]
    #[should_panic(expected = "R4")]
    fn a_view_is_left_in_one_way_only() {
        let mut signer = signer();
        signer.sign(leave(1, 1));
        signer.sign(leave(1, 2));
    }

    #[test]
    #[should_panic(expected = "R26")]
    fn nothing_is_signed_in_another_epoch() {
        signer().sign(Prepare(Ballot { epoch: Epoch(1), ..ballot(0, 1) }));
    }

    #[test]
    #[should_panic(expected = "R19")]
    fn nothing_is_voted_for_in_a_view_that_was_left() {
        let mut signer = signer();
        signer.sign(leave(2, 1));
        signer.sign(Commit(ballot(1, 1)));
    }
}
