//! An observer's thread, and what it hears.

use std::sync::Arc;

use quorate_engine::{Event, Fatal, Fetched, HeadClaim, Observation, Observer};
use quorate_ledger::Height;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::desk::Desk;
use super::heard::Heard;
use super::members::Members;
use super::outgoing::Outgoing;
use super::snapshot::Snapshot;
use super::work::{GROUP, Standing, Work};

/// Takes what has happened, lets the observer work through it, passes on what comes of it.
pub(crate) struct Watch {
    pub(crate) observer: Observer,
    pub(crate) desk: Desk,
    pub(crate) outgoing: Outgoing,
}

impl Watch {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let goes_on = self.desk.wait(runtime, self.observer.deadline(), &mut group);
            let stop = !goes_on || group.iter().any(|work| matches!(work, Work::Stop));
            let now = self.desk.clock.now();
            let effects = self.observer.handle(now, group.drain(..).filter_map(observation))?;
            let done = self.desk.clock.now();
            self.desk.measure(done, &effects);
            if !effects.committed.is_empty() {
                // As in the driver: status is no older than the blocks that others are told of.
                self.desk.show(Snapshot::of_observer(&self.observer, done));
            }
            self.desk.tell_waiters(&effects);
            self.desk.log(now.moment, &effects.notices);
            self.outgoing.send(effects);
            let observer = &self.observer;
            self.desk.publish(now.moment, |_, at| Snapshot::of_observer(observer, at));
            if stop {
                return self.observer.close();
            }
        }
    }
}

/// What of this concerns an observer. Nobody submits anything to it, and it answers no member.
fn observation(work: Work) -> Option<Observation> {
    match work {
        Work::Head { from, claim } => Some(Observation::Head { from, claim }),
        Work::Event(Event::PeerDown(peer)) => Some(Observation::PeerDown(peer)),
        Work::Event(Event::Answered { fetch, answer, .. }) => {
            let run = match answer {
                Some(Fetched::Run(run)) => Some(run),
                Some(Fetched::Transactions(_) | Fetched::Ids(_)) | None => None,
            };
            Some(Observation::Answered { fetch, run })
        }
        Work::StatusOf { reply, .. } => {
            // An error means that whoever asked is gone. What is in no block is unknown here.
            let _ = reply.send(Standing::Unknown);
            None
        }
        Work::Event(_) | Work::Submit { .. } | Work::Ask { .. } | Work::ObserverUp | Work::Stop => None,
    }
}

/// What an observer hears from validators.
pub(crate) struct Hearing {
    pub(crate) members: Arc<Members>,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) heard: Arc<Heard>,
}

impl Hearing {
    /// Runs until the network ends or the observer is gone.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        while let Some(event) = events.recv().await {
            let work = match event {
                NetworkEvent::Connected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "connected");
                    None
                }
                NetworkEvent::Disconnected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "disconnected");
                    self.members.index(&peer).map(|replica| Work::Event(Event::PeerDown(replica)))
                }
                NetworkEvent::Message { from, bytes } => self.head(&from, &bytes),
                // Dropping the answer refuses the question: members ask each other.
                NetworkEvent::Gossip { .. } | NetworkEvent::Request { .. } => None,
            };
            if let Some(work) = work
                && self.inbox.send(work).await.is_err()
            {
                return;
            }
        }
    }

    /// Everything that is no head is dropped before it costs anything.
    fn head(&self, from: &PeerKey, bytes: &[u8]) -> Option<Work> {
        let from = self.members.index(from)?;
        match HeadClaim::read(bytes) {
            Ok(claim) => {
                let claim = claim?;
                self.heard.stands(from, claim.committed, *self.committed.borrow());
                Some(Work::Head { from, claim })
            }
            Err(error) => {
                tracing::debug!(validator = self.members.name(from), %error, "message rejected");
                None
            }
        }
    }
}
