//! The ids in a block that a new view proposes again and that this replica never received (R20c).

use quorate_ledger::{BlockSkeleton, Header, ReplicaId, TransactionId};
use quorate_pbft::{Input, Now};

use crate::engine::Engine;
use crate::event::FetchId;

impl Engine {
    /// Requests the ids in the block with this header. The first member to ask is `from`, the new
    /// primary, which proposes the block again. It sends the block skeletons that it holds with its
    /// NEW-VIEW.
    pub(crate) fn want_skeleton(&mut self, now: Now, header: Header, from: ReplicaId) {
        let schedule = self.schedule(now, from);
        self.fetching.skeletons.want(header.height, header, schedule);
    }

    /// Takes an answer, however late it arrives. Ids that do not match the header count as no
    /// answer.
    pub(crate) fn on_ids(&mut self, now: Now, fetch: FetchId, ids: Option<Vec<TransactionId>>) {
        let Some((height, header)) = self.fetching.skeletons.asked_for(fetch) else { return };
        match ids.and_then(|ids| BlockSkeleton::new(header.clone(), ids).ok()) {
            Some(skeleton) => {
                self.fetching.skeletons.remove(height);
                self.driver.step(now, Input::SkeletonFetched(skeleton));
            }
            None => self.fetching.skeleton_not_answered(now.moment, fetch),
        }
    }
}
