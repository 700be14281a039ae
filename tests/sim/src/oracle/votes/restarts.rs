//! Everything that a member sent is in its files when it starts again.

use quorate_ledger::{CommitCertificate, Height, ReplicaId, View};
use quorate_pbft::{Overview, Phase};

use crate::oracle::votes::statements::{IntoHash, Kind, of_ballot};
use crate::oracle::votes::{ONE_WORD, REMEMBERED, Votes};
use crate::oracle::{Check, require};

impl Votes {
    /// A member starts with a certificate from its journal or its ledger. Its own COMMIT in the
    /// certificate may come from a failed call, but it is in the files: from now on it counts as
    /// signed.
    ///
    /// # Errors
    /// The member had signed another one.
    pub fn found(&mut self, member: ReplicaId, certificate: &CommitCertificate) -> Check {
        if !certificate.votes().signers().contains(member) {
            return Ok(());
        }
        let (place, hash) = of_ballot(Kind::Commit, certificate.ballot());
        let first = *self.given.entry((member, place)).or_insert(hash);
        require(first == hash, ONE_WORD, || {
            format!("member {member} signed {place:?} of {first}, and starts with a certificate for {hash}")
        })
    }

    /// A member starts again in this state: its slots must contain everything that it signed above
    /// `top`, the highest block that it ever had.
    ///
    /// # Errors
    /// A vote that it would not repeat.
    pub fn reopened(&mut self, member: ReplicaId, stands: &Overview, top: Height) -> Check {
        self.stands(member, stands)?;
        self.recall(member, stands);
        let floor = self.floors.get(&member).copied().unwrap_or(View(0));
        require(stands.view >= floor, REMEMBERED, || {
            format!("member {member} left for view {floor} and starts again in view {}", stands.view)
        })?;
        if !stands.active {
            self.unheard.insert(member, stands.view);
            return Ok(());
        }
        let first = (member, (Kind::PrePrepare, View(0), Height(0)));
        let last = (member, (Kind::Commit, View(u64::MAX), Height(u64::MAX)));
        for (_, place) in self.sent.range(first..=last) {
            let (kind, view, height) = *place;
            if view != stands.view || height <= top {
                continue;
            }
            let block = self.given[&(member, *place)];
            let slot = stands.slots.iter().find(|slot| slot.height == height && slot.view == view);
            let remembered = slot.is_some_and(|slot| {
                slot.block.map(IntoHash::into_hash) == Some(block)
                    && match kind {
                        Kind::PrePrepare => true,
                        Kind::Prepare => {
                            matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
                                && slot.prepares.contains(&member)
                        }
                        _ => slot.phase == Phase::Prepared && slot.commits.contains(&member),
                    }
            });
            // A block with which the view began is put into its slot with the first step, not
            // before.
            let again = kind == Kind::PrePrepare && slot.is_none();
            require(remembered || again, REMEMBERED, || {
                format!(
                    "member {member} sent {kind:?} for {block} at height {height}, view {view}, and after a \
                     restart at height {} its slot is {slot:?}",
                    stands.committed
                )
            })?;
        }
        Ok(())
    }

    /// Records the votes in the member's slots at its start. They may be from a group whose sync
    /// failed, but they are in the files.
    fn recall(&mut self, member: ReplicaId, stands: &Overview) {
        for slot in &stands.slots {
            let Some(block) = slot.block.map(IntoHash::into_hash) else { continue };
            let voted = [
                (Kind::PrePrepare, slot.view == stands.view && stands.primary == member),
                (Kind::Prepare, slot.prepares.contains(&member)),
                (Kind::Commit, slot.commits.contains(&member)),
            ];
            for (kind, _) in voted.into_iter().filter(|(_, voted)| *voted) {
                self.given.entry((member, (kind, slot.view, slot.height))).or_insert(block);
            }
        }
    }

    /// Whether its files contain everything that a member ever signed, as far as slots and views
    /// show it.
    pub fn is_remembered(&mut self, member: ReplicaId, stands: &Overview, top: Height) -> bool {
        let before = self.views.get(&member).copied().unwrap_or((View(0), false));
        (stands.view, stands.active) >= before && self.reopened(member, stands, top).is_ok()
    }
}
