//! Evidence of hidden prepared certificates: a VIEW-CHANGE that does not account for a COMMIT of
//! its signer (R22b).

use quorate_ledger::{Commit, ReplicaId, Signed};

use crate::evidence::proof::{Evidence, HiddenCertificate, hides};
use crate::messages::statement::Subject;
use crate::replica::Replica;
use crate::step::Step;
use crate::view_change::messages::ViewChangeMessage;

impl Replica {
    /// Upon a VIEW-CHANGE, alone or in a NEW-VIEW: compares it with the COMMITs of its signer that
    /// are known here. If it does not account for one of them, that is evidence.
    pub(crate) fn examine_departure(&mut self, change: &ViewChangeMessage, step: &mut Step) {
        let (signer, view) = (change.vote.signer, change.vote.body.view);
        if self.is_known_to_hide(signer) {
            return;
        }
        let root = self.config.context.root.height;
        let hidden =
            self.commits_of(signer).find(|commit| hides(root, view, &change.payload, &commit.body.0));
        if let Some(commit) = hidden {
            self.accuse_hiding(commit, change.clone(), step);
        }
    }

    /// Upon a late COMMIT: compares it with the last VIEW-CHANGE of its signer.
    pub(crate) fn examine_late_commit(&mut self, commit: &Signed<Commit>, step: &mut Step) {
        let Some(change) = self.views.change_of(commit.signer) else { return };
        if self.is_known_to_hide(commit.signer) {
            return;
        }
        let root = self.config.context.root.height;
        if hides(root, change.view(), &change.message().payload, &commit.body.0) {
            let change = change.message().clone();
            self.accuse_hiding(commit.clone(), change, step);
        }
    }

    fn accuse_hiding(&mut self, commit: Signed<Commit>, view_change: ViewChangeMessage, step: &mut Step) {
        // A replica does not accuse itself. Its own statements are checked where it makes them.
        if commit.signer != self.signing.replica() {
            self.accuse_quietly(Evidence::of_hidden(HiddenCertificate { commit, view_change }), step);
        }
    }

    /// Whether there is evidence of this kind against the member. One proof is kept, so no other is
    /// sought.
    fn is_known_to_hide(&self, member: ReplicaId) -> bool {
        self.faults.of(member).is_some_and(|proofs| proofs.iter().any(Subject::is_hidden_certificate))
    }

    /// The known COMMITs of a member: those of open heights; the furthest one, whose height may be
    /// final here; and the one in the certificate of the last committed block, which may have been
    /// fetched.
    fn commits_of(&self, member: ReplicaId) -> impl Iterator<Item = Signed<Commit>> {
        let open = self.log.slots().filter_map(move |(_, _, slot)| slot.commits.of(member));
        let furthest = self.signing.seen_of(member).and_then(|seen| seen.commit.clone());
        let of_tip = self.chain.certificate().and_then(|certificate| certificate.commit_of(member));
        open.map(|vote| (**vote).clone()).chain(furthest).chain(of_tip)
    }
}
