//! An observer's thread: it passes observations to the observer and distributes the resulting
//! effects.

use std::sync::Arc;

use quorate_engine::{Effects, Fatal, Observation, Observer};
use quorate_pbft::Now;
use quorate_store::Ledger;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::candidate::Candidate;
use super::inbox::ObserverWork;
use super::outgoing::Outgoing;
use crate::config::Role;
use crate::runtime::clock::Clock;
use crate::runtime::epoch::peer_lists::PeerUpdates;
use crate::runtime::epoch::{EpochSource, EpochView};
use crate::runtime::inbox::Inbox;
use crate::runtime::ordering_thread::Ended;
use crate::runtime::publisher::Publisher;
use crate::runtime::status::snapshot::ObserverSnapshot;

pub(crate) struct Driver {
    pub(crate) observer: Observer,
    /// The epoch of the observer.
    pub(crate) epoch: Arc<EpochView>,
    /// Makes the views of later epochs.
    pub(crate) source: EpochSource,
    /// For the task that processes network events.
    pub(crate) views: watch::Sender<Arc<EpochView>>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<ObserverWork>,
    pub(crate) publisher: Publisher<ObserverSnapshot>,
    pub(crate) outgoing: Outgoing,
    /// Which nodes this one connects to.
    pub(crate) peers: PeerUpdates,
    /// Sends READY, if the node is configured as a validator.
    pub(crate) candidate: Option<Candidate>,
}

/// What follows the last block of an epoch.
#[expect(clippy::large_enum_variant, reason = "it is moved once, never kept")]
enum Next {
    Epoch(Driver),
    Role(Ledger),
}

impl Driver {
    /// Runs until it receives [`ObserverWork::Stop`], or until an epoch begins of which this node is
    /// a member.
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> anyhow::Result<Ended> {
        let mut waiting = Vec::new();
        loop {
            while self.observer.epoch_is_over() {
                self = match self.next_epoch()? {
                    Next::Epoch(driver) => driver,
                    Next::Role(ledger) => return Ok(Ended::RoleChanged(ledger.into())),
                };
            }
            let deadlines = self.observer.deadline().into_iter().chain(self.publisher.deadline());
            let deadlines = deadlines.chain(self.candidate.as_ref().and_then(Candidate::deadline));
            let goes_on = self.inbox.wait(runtime, deadlines.min(), &mut waiting);
            if self.work(waiting.drain(..))? || !goes_on {
                return Ok(Ended::Stopped(self.observer.into_ledger()?.into()));
            }
            if !self.observer.epoch_is_over() && self.should_vote() {
                tracing::warn!("the node has what the validators have, and starts to vote");
                return Ok(Ended::RoleChanged(self.observer.into_ledger()?.into()));
            }
        }
    }

    /// Processes one group. `true` when it contains a stop request.
    fn work(&mut self, group: impl Iterator<Item = ObserverWork>) -> Result<bool, Fatal> {
        let (observations, stop) = sort(group, &self.epoch);
        let now = self.clock.now();
        let effects = self.observer.handle(now, observations)?;
        let done = self.clock.now();
        self.publisher.record_metrics(&self.epoch, done, &effects);
        self.send_ready(done);
        if !effects.committed.is_empty() {
            // As a validator does: publish the status before the blocks, so that it is never older
            // than they are.
            self.publisher.publish(snapshot(&self.observer, &self.epoch, self.candidate.as_ref(), done));
        }
        self.publisher.publish_height(&effects);
        self.publisher.log(&self.epoch, now.moment, &effects.notices);
        self.update_peers(&effects);
        self.outgoing.send(effects);
        let (observer, epoch, candidate) = (&self.observer, &self.epoch, self.candidate.as_ref());
        self.publisher.publish_if_due(now.moment, |_, at| snapshot(observer, epoch, candidate, at));
        Ok(stop)
    }

    /// Sends READY if it is due.
    fn send_ready(&mut self, now: Now) {
        let Some(candidate) = &mut self.candidate else { return };
        let overview = self.observer.overview(now);
        if let Some((to, ready)) = candidate.update(now, self.observer.governance(), &overview) {
            self.outgoing.submit(to, ready);
        }
    }

    /// Whether the node should vote: its key is in the committee, and it has what the members have. A node
    /// that is behind goes on as a follower, because the members of a past epoch may have other keys now.
    fn should_vote(&self) -> bool {
        self.epoch.me.is_some() && self.source.role == Role::Validator && self.is_in_step()
    }

    fn is_in_step(&self) -> bool {
        let overview = self.observer.overview(self.clock.now());
        overview.contacts.len() > self.epoch.committee().faults() && !overview.catching_up
    }

    /// Continues in the next epoch, or ends if the node votes in it.
    fn next_epoch(self) -> Result<Next, Fatal> {
        let in_step = self.is_in_step();
        let observer = self.observer.next_epoch()?;
        let state = observer.governance().clone();
        let epoch = self.source.view(&state, observer.config().clone());
        if epoch.me.is_some() && self.source.role == Role::Validator && in_step {
            tracing::warn!(
                epoch = epoch.epoch().0,
                "an epoch has begun whose committee contains the key of this node: the node starts to vote"
            );
            return observer.into_ledger().map(Next::Role);
        }
        if epoch.me.is_some() && self.source.role == Role::Observer {
            tracing::error!(
                "the committee contains the key of this node, but the node is configured as an observer and \
                 does not vote: set node.role = \"validator\" and start it again"
            );
        }
        self.publisher.measured.epoch_began(&self.epoch.members, &epoch.members);
        let candidate = self.candidate.as_ref();
        self.publisher.publish(snapshot(&observer, &epoch, candidate, self.clock.now()));
        self.views.send_replace(Arc::clone(&epoch));
        let outgoing = Outgoing { epoch: Arc::clone(&epoch), ..self.outgoing };
        let mut driver = Driver { observer, epoch, outgoing, ..self };
        driver.peers.update(&state);
        Ok(Next::Epoch(driver))
    }

    /// As a validator: operations in blocks change who the members are.
    fn update_peers(&mut self, effects: &Effects) {
        if effects.committed.iter().any(|block| block.body().governance().next().is_some()) {
            self.peers.update(self.observer.governance());
        }
    }
}

/// The state of the observer in this epoch, with what a candidate still lacks.
fn snapshot(
    observer: &Observer,
    epoch: &Arc<EpochView>,
    candidate: Option<&Candidate>,
    at: Now,
) -> ObserverSnapshot {
    let candidacy = candidate.and_then(|candidate| candidate.candidacy().cloned());
    ObserverSnapshot::of(observer, epoch, candidacy, at)
}

/// The observations of this epoch in a group of work, and whether it contains a stop request.
/// Observations of other epochs are dropped: their indices are those of other members.
fn sort(group: impl Iterator<Item = ObserverWork>, epoch: &EpochView) -> (Vec<Observation>, bool) {
    let (mut observations, mut stop) = (Vec::new(), false);
    for work in group {
        match work {
            ObserverWork::Observation { epoch: of, observation } if of == epoch.epoch() => {
                observations.push(observation);
            }
            ObserverWork::Observation { .. } => {}
            ObserverWork::PeerDown(peer) => {
                observations.extend(epoch.peer_index(&peer).map(Observation::PeerDown));
            }
            ObserverWork::Stop => stop = true,
        }
    }
    (observations, stop)
}

#[cfg(test)]
mod tests {
    use quorate_engine::FetchId;
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Epoch, ReplicaId};

    use super::*;
    use crate::runtime::epoch::members::peer_key;
    use crate::runtime::epoch::tests::first_view;

    #[test]
    fn only_observations_of_the_epoch_count() {
        let network = TestNetwork::seeded(4, 1);
        let answered = |epoch| ObserverWork::Observation {
            epoch: Epoch(epoch),
            observation: Observation::Answered { fetch: FetchId(epoch), range: None },
        };
        let down = |network: &TestNetwork| ObserverWork::PeerDown(peer_key(&network.keys()[3].public()));
        let work = vec![answered(1), down(&network), down(&TestNetwork::seeded(4, 2)), answered(0)];
        let (observations, stop) = sort(work.into_iter(), &first_view(&network));
        let expected = matches!(
            observations.as_slice(),
            [Observation::PeerDown(ReplicaId(3)), Observation::Answered { fetch: FetchId(0), range: None }]
        );
        assert!(expected && !stop, "{observations:?}");
        assert!(sort([ObserverWork::Stop].into_iter(), &first_view(&network)).1);
    }
}
