//! R22: the evidence that a member must create, and the view of a faulty primary that it must leave.

use quorate_engine::Notice;
use quorate_ledger::{BlockHash, Domain};

use super::{Heard, Inputs, Look, Place, Stood};
use crate::oracle::{Check, require};

const PROOF: &str = "two contradicting statements are evidence";
const CROSSED: &str = "a COMMIT for another block than its signer accepted is evidence";
const LIAR: &str = "a member leaves the view of a provably faulty primary";

/// Upper limit of evidence against one member.
const PROOFS: usize = 16;

impl Heard {
    /// R22: two contradicting statements about one subject, both within the window of an active
    /// view, are evidence. So are crossed votes.
    pub(super) fn proves(
        &self,
        look: &Look<'_>,
        inputs: &mut Inputs,
        before: &Stood,
        after: &Stood,
        statements: Vec<(Place, BlockHash)>,
    ) -> Check {
        inputs.statements.retain(|(_, view, height, _), _| *view >= after.view && *height > after.committed);
        let top = before.committed.plus(self.window).min(before.stable.plus(self.log_window));
        let top = look.end.map_or(top, |end| end.min(top));
        for (place, block) in statements {
            let (kind, view, height, signer) = place;
            let in_view = |stood: &Stood| stood.active && stood.view == view;
            let open = height > after.committed && height <= top && height > look.again;
            if !in_view(before) || !in_view(after) || !open || signer == look.member {
                continue;
            }
            if kind == Domain::Prepare && signer == look.stands.pbft.primary {
                continue;
            }
            let first = *inputs.statements.entry(place).or_insert(block);
            let against = look.evidence.iter().filter(|proof| proof.culprit() == signer);
            let known = || {
                against.clone().count() >= PROOFS
                    || against.clone().any(|proof| {
                        let subject = proof.subject();
                        (subject.kind, subject.view, subject.height) == (kind, view, height)
                    })
            };
            require(first == block || known(), PROOF, || {
                format!(
                    "member {} received {kind:?} of {signer} for two blocks at {height}, view {view}",
                    look.member
                )
            })?;
            Self::proves_crossing(look, inputs, place, first)?;
        }
        Ok(())
    }

    /// R22a: a COMMIT, and a PREPARE or PRE-PREPARE for another block, are evidence.
    fn proves_crossing(look: &Look<'_>, inputs: &Inputs, place: Place, block: BlockHash) -> Check {
        let (kind, view, height, signer) = place;
        let others: &[Domain] = match kind {
            Domain::Commit => &[Domain::PrePrepare, Domain::Prepare],
            _ => &[Domain::Commit],
        };
        let other_block = |other: &Domain| {
            let other = inputs.statements.get(&(*other, view, height, signer));
            other.is_some_and(|other| *other != block)
        };
        // The member may have kept an earlier statement, which is not noted here. Then it has proven
        // another fault of the signer at this height.
        let mut against =
            look.evidence.iter().filter(|proof| proof.culprit() == signer).map(|it| it.subject());
        let is_known = against.clone().count() >= PROOFS
            || against.any(|subject| (subject.view, subject.height) == (view, height));
        require(is_known || !others.iter().any(other_block), CROSSED, || {
            format!(
                "member {} received {kind:?} of {signer} that crosses another vote at {height}, view {view}",
                look.member
            )
        })
    }

    /// R22: a member with evidence against its primary leaves the view.
    pub(super) fn leaves_faulty_primary(look: &Look<'_>, before: &Stood, after: &Stood) -> Check {
        let stays =
            before.voting && after.voting && before.active && after.active && before.view == after.view;
        if !stays || look.overtaken {
            return Ok(());
        }
        let primary = look.stands.pbft.primary;
        let found = look.effects.notices.iter().find_map(|notice| match notice {
            Notice::Equivocation { replica, subject }
                if *replica == primary
                    && subject.view == after.view
                    && matches!(subject.kind, Domain::PrePrepare | Domain::NewView) =>
            {
                Some(subject)
            }
            _ => None,
        });
        require(found.is_none(), LIAR, || {
            format!(
                "member {} stays in view {} of {primary}, with evidence {found:?}",
                look.member, after.view
            )
        })
    }
}
