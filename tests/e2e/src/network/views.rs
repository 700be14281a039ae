//! Views and votes of a network's validators.

use std::time::{Duration, Instant};

use quorate_api::{ConsensusState, ValidatorSigningState};

use crate::clients::rpc::Rpc;
use crate::network::Network;
use crate::wait::{WAIT_LIMIT, until, wait_until};

impl Network {
    /// Waits until all of these validators are active in the same view; returns the view.
    pub fn common_view(&self, indices: &[usize]) -> u64 {
        let nodes: Vec<Rpc> = indices.iter().map(|index| self.rpc(*index)).collect();
        until("all are active in one view", WAIT_LIMIT, || {
            let states: Vec<ConsensusState> = nodes.iter().map(Rpc::consensus).collect();
            let view = states[0].view;
            states.iter().all(|state| state.active && state.view == view).then_some(view)
        })
    }

    /// Waits until a validator is at the head, in the same view as another one, and allowed to
    /// vote. Blocks may be committed meanwhile.
    pub fn wait_until_caught_up(&self, index: usize, other: usize) {
        let what = format!("{} is level with the others", self.validators()[index].name);
        wait_until(&what, || self.is_caught_up(index, other));
    }

    /// Whether a validator is at the head, in the same view as another and allowed to vote.
    pub fn is_caught_up(&self, index: usize, other: usize) -> bool {
        let (rpc, other) = (self.rpc(index), self.rpc(other));
        let height = other.head().height;
        let (its, others) = (rpc.consensus(), other.consensus());
        its.signing_state == ValidatorSigningState::Voting
            && its.active
            && (its.view, its.primary) == (others.view, others.primary)
            && rpc.head().height >= height
    }

    /// Validators that have left the view in which a quorum orders, and wait for a later one. Empty
    /// without such a quorum.
    pub fn excluded_from_view(&self) -> Vec<usize> {
        let states: Vec<ConsensusState> = (0..self.size()).map(|index| self.rpc(index).consensus()).collect();
        let quorum = self.genesis().committee().quorum();
        let orders =
            |view: u64| states.iter().filter(|state| state.active && state.view == view).count() >= quorum;
        let Some(view) = states.iter().map(|state| state.view).find(|view| orders(*view)) else {
            return Vec::new();
        };
        let excluded = states.iter().enumerate().filter(|(_, state)| !state.active && state.view > view);
        excluded.map(|(index, _)| index).collect()
    }

    /// Waits until another validator shows a certificate with the signature of this one, for a
    /// block above all current ones. The network must be under load.
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

    /// Waits until one of these validators has a block that was committed in a view after this one.
    /// Returns how long that took since `start`.
    pub fn time_to_order_after(&self, view: u64, indices: &[usize], start: Instant) -> Duration {
        let nodes: Vec<Rpc> = indices.iter().map(|index| self.rpc(*index)).collect();
        let later = |node: &Rpc| node.newest().certificate.is_some_and(|certificate| certificate.view > view);
        until(&format!("a block is committed in a view after {view}"), WAIT_LIMIT, || {
            nodes.iter().any(later).then(|| start.elapsed())
        })
    }

    /// Asserts that none of these validators has evidence against any validator, and that no
    /// validator has panicked.
    #[track_caller]
    pub fn assert_no_evidence(&self, indices: &[usize]) {
        for index in indices {
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
