//! VIEW-CHANGEs that hide what their signer gave COMMIT for (R19, R22).

use quorate_ledger::{Commit, ReplicaId, Signed};

use crate::evidence::proof::{Evidence, HiddenCertificate, hides};
use crate::messages::statement::Subject;
use crate::replica::Replica;
use crate::step::Step;
use crate::view_change::messages::ViewChangeMessage;

impl Replica {
    /// Compares a VIEW-CHANGE with the COMMITs of its signer that are known here, and accuses the signer if one of them is
    /// not accounted for. The VIEW-CHANGE may have come inside a NEW-VIEW.
    pub(crate) fn examine_departure(&mut self, change: &ViewChangeMessage, step: &mut Step) {
        let (signer, view) = (change.vote.signer, change.vote.body.view);
        if self.is_known_to_hide(signer) {
            return;
        }
        let hidden = self.commits_of(signer).find(|commit| hides(view, &change.knowledge, &commit.body.0));
        if let Some(commit) = hidden {
            self.accuse_hiding(commit, change.clone(), step);
        }
    }

    /// Compares a COMMIT that came late with the VIEW-CHANGE of its signer.
    pub(crate) fn examine_late_commit(&mut self, commit: &Signed<Commit>, step: &mut Step) {
        let Some(change) = self.views.change_of(commit.signer) else { return };
        if self.is_known_to_hide(commit.signer) {
            return;
        }
        if hides(change.view(), &change.message().knowledge, &commit.body.0) {
            let change = change.message().clone();
            self.accuse_hiding(commit.clone(), change, step);
        }
    }

    fn accuse_hiding(&mut self, commit: Signed<Commit>, view_change: ViewChangeMessage, step: &mut Step) {
        // Our own statements are checked where they are made: a member does not accuse itself.
        if commit.signer != self.signing.replica() {
            self.accuse_quietly(Evidence::Hidden(HiddenCertificate { commit, view_change }), step);
        }
    }

    /// One proof of this kind against a member is kept, so another one is not looked for.
    fn is_known_to_hide(&self, member: ReplicaId) -> bool {
        self.faults.of(member).is_some_and(|proofs| proofs.iter().any(Subject::is_hidden_certificate))
    }

    /// The COMMITs of a member that are known here: those of open heights, the furthest one, which may be for a height
    /// that is final here, and the one in the certificate of the last committed block, which may have been fetched.
    fn commits_of(&self, member: ReplicaId) -> impl Iterator<Item = Signed<Commit>> {
        let open = self.log.slots().filter_map(move |(_, _, slot)| slot.commits.of(member));
        let furthest = self.signing.seen_of(member).and_then(|seen| seen.commit.clone());
        let of_tip = self.chain.certificate().and_then(|certificate| certificate.commit_of(member));
        open.map(|vote| (**vote).clone()).chain(furthest).chain(of_tip)
    }
}
