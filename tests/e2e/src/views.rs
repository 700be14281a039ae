//! What a network's validators say about views and votes.

use std::time::{Duration, Instant};

use quorate_api::{ConsensusState, ValidatorStanding};

use crate::network::Network;
use crate::rpc::Rpc;
use crate::wait::{PATIENCE, until, wait_until};

impl Network {
    /// Waits until all of these validators are active in the same view, and answers it.
    pub fn common_view(&self, indices: &[usize]) -> u64 {
        let nodes: Vec<Rpc> = indices.iter().map(|index| self.rpc(*index)).collect();
        until("all are active in one view", PATIENCE, || {
            let states: Vec<ConsensusState> = nodes.iter().map(Rpc::consensus).collect();
            let view = states[0].view;
            states.iter().all(|state| state.active && state.view == view).then_some(view)
        })
    }

    /// Waits until a validator is again at the head, in the same view as another and allowed to vote. Blocks may
    /// be committed meanwhile.
    pub fn wait_until_level(&self, index: usize, other: usize) {
        let what = format!("{} is level with the others", self.validators()[index].name);
        wait_until(&what, || self.is_level(index, other));
    }

    /// Whether a validator is at the head, in the same view as another and allowed to vote.
    pub fn is_level(&self, index: usize, other: usize) -> bool {
        let (rpc, other) = (self.rpc(index), self.rpc(other));
        let height = other.head().height;
        let (its, others) = (rpc.consensus(), other.consensus());
        its.standing == ValidatorStanding::Voting
            && its.active
            && (its.view, its.primary) == (others.view, others.primary)
            && rpc.head().height >= height
    }

    /// Validators that have left the view in which a quorum orders, and wait for a later one. Nobody without such a
    /// quorum.
    pub fn mute(&self) -> Vec<usize> {
        let states: Vec<ConsensusState> = (0..self.size()).map(|index| self.rpc(index).consensus()).collect();
        let quorum = self.genesis().committee().quorum();
        let orders =
            |view: u64| states.iter().filter(|state| state.active && state.view == view).count() >= quorum;
        let Some(view) = states.iter().map(|state| state.view).find(|view| orders(*view)) else {
            return Vec::new();
        };
        let mute = states.iter().enumerate().filter(|(_, state)| !state.active && state.view > view);
        mute.map(|(index, _)| index).collect()
    }

    /// Waits until another validator shows a certificate with the signature of this one, for a block above all
    /// that there are now. Somebody has to keep the network busy.
    pub fn wait_until_it_votes(&self, index: usize, other: usize) {
        let other = self.rpc(other);
        let height = other.head().height;
        wait_until(&format!("{} votes", self.validators()[index].name), || {
            let newest = other.newest();
            newest.header.height > height
                && newest.certificate.is_some_and(|certificate| {
                    certificate.signers.iter().any(|signer| usize::from(*signer) == index)
                })
        });
    }

    /// Waits until one of these validators has a block that was committed in a view after this one, and says how
    /// long that took since `start`.
    pub fn time_to_order_after(&self, view: u64, indices: &[usize], start: Instant) -> Duration {
        let nodes: Vec<Rpc> = indices.iter().map(|index| self.rpc(*index)).collect();
        let later = |node: &Rpc| node.newest().certificate.is_some_and(|certificate| certificate.view > view);
        until(&format!("a block is committed in a view after {view}"), PATIENCE, || {
            nodes.iter().any(later).then(|| start.elapsed())
        })
    }

    /// Asserts that nobody of these has a proof against anybody, and nobody has panicked.
    #[track_caller]
    pub fn assert_nobody_lied(&self, asked: &[usize]) {
        for index in asked {
            assert_eq!(self.rpc(*index).consensus().evidence_count, 0, "validator {index} has evidence");
            let log = self.log(*index);
            assert!(!log.contains("panicked") && !log.contains("FORK"), "{log}");
        }
    }

    /// T: how long these validators wait for a commit before they leave a view, without back-off.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.genesis().consensus().request_timeout_ms)
    }

    /// How long they wait for the next view to begin, without back-off.
    pub fn new_view_timeout(&self) -> Duration {
        Duration::from_millis(self.genesis().consensus().new_view_timeout_ms)
    }
}
