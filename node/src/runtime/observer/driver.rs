//! An observer's thread: it passes observations to the observer and distributes the resulting
//! effects.

use quorate_engine::{Fatal, Observation, Observer};
use tokio::runtime::Runtime;

use super::inbox::ObserverWork;
use super::outgoing::Outgoing;
use crate::runtime::clock::Clock;
use crate::runtime::inbox::Inbox;
use crate::runtime::publisher::Publisher;
use crate::runtime::status::snapshot::ObserverSnapshot;

pub(crate) struct Driver {
    pub(crate) observer: Observer,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<ObserverWork>,
    pub(crate) publisher: Publisher<ObserverSnapshot>,
    pub(crate) outgoing: Outgoing,
}

impl Driver {
    /// Runs until it receives [`ObserverWork::Stop`].
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut group = Vec::new();
        loop {
            let deadline = self.observer.deadline().into_iter().chain(self.publisher.deadline());
            let goes_on = self.inbox.wait(runtime, deadline.min(), &mut group);
            if self.work(group.drain(..))? || !goes_on {
                return self.observer.close();
            }
        }
    }

    /// Processes one group. `true` when it contains a stop request.
    fn work(&mut self, group: impl Iterator<Item = ObserverWork>) -> Result<bool, Fatal> {
        let mut stop = false;
        let observations = group.filter_map(|work| match work {
            ObserverWork::Observation(observation) => Some(observation),
            ObserverWork::Stop => {
                stop = true;
                None
            }
        });
        let observations: Vec<Observation> = observations.collect();
        let now = self.clock.now();
        let effects = self.observer.handle(now, observations)?;
        let done = self.clock.now();
        self.publisher.record_metrics(done, &effects);
        if !effects.committed.is_empty() {
            // As a validator does: publish the status before the blocks, so that it is never older
            // than they are.
            self.publisher.publish(ObserverSnapshot::of(&self.observer, done));
        }
        self.publisher.publish_height(&effects);
        self.publisher.log(now.moment, &effects.notices);
        self.outgoing.send(effects);
        let observer = &self.observer;
        self.publisher.publish_if_due(now.moment, |_, at| ObserverSnapshot::of(observer, at));
        Ok(stop)
    }
}
