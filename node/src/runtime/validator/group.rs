//! A group of work of the engine's thread.

use std::collections::BTreeSet;

use quorate_engine::{Effects, Event, FetchResponse, Submission, Ticket};
use quorate_ledger::{Refusal, TransactionId, VerifiedTransaction};
use quorate_network::PeerKey;
use quorate_pbft::Moment;
use tokio::sync::oneshot;

use super::inbox::{TransactionState, ValidatorWork};
use crate::runtime::epoch::EpochView;
use crate::runtime::metrics::Stopwatch;

/// The nodes with an open channel, members and others.
#[derive(Debug, Default)]
pub(crate) struct Channels(BTreeSet<PeerKey>);

impl Channels {
    /// Those of members of an epoch, as events for its engine.
    pub(crate) fn members_up(&self, epoch: &EpochView) -> Vec<Event> {
        self.0.iter().filter_map(|key| epoch.members.index(key)).map(Event::PeerUp).collect()
    }

    /// Those of nodes that are no members of an epoch.
    pub(crate) fn followers<'a>(&'a self, epoch: &'a EpochView) -> impl Iterator<Item = &'a PeerKey> {
        self.0.iter().filter(|key| epoch.members.index(key).is_none())
    }
}

/// A client's transaction, and where the outcome of its submission goes.
type Submitter = (TransactionId, oneshot::Sender<Result<Submission, Refusal>>);

/// The events for the engine, and where the outcomes of requests go.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) events: Vec<Event>,
    /// By ticket.
    submitters: Vec<Option<Submitter>>,
    /// By ticket.
    askers: Vec<Option<oneshot::Sender<FetchResponse>>>,
    pub(crate) questions: Vec<(TransactionId, oneshot::Sender<TransactionState>)>,
    pub(crate) follower_connected: bool,
    pub(crate) stop: bool,
}

impl Group {
    /// Only these events.
    pub(crate) fn of_events(events: Vec<Event>) -> Self {
        Group { events, ..Group::default() }
    }

    /// Sorts work for the engine of this epoch. Drops events of other epochs.
    pub(crate) fn of(
        work: impl Iterator<Item = ValidatorWork>,
        epoch: &EpochView,
        channels: &mut Channels,
    ) -> Self {
        let mut group = Group::default();
        for work in work {
            group.take(work, epoch, channels);
        }
        group
    }

    fn take(&mut self, work: ValidatorWork, epoch: &EpochView, channels: &mut Channels) {
        match work {
            ValidatorWork::Event { epoch: of, event } if of == epoch.epoch() => self.events.push(event),
            // Its indices are those of other members. The sender resends what is still of use.
            ValidatorWork::Event { .. } => {}
            ValidatorWork::Gossiped { epoch: of, mut transactions } => {
                if of != epoch.epoch() {
                    transactions.retain(|transaction| check_again(transaction, epoch).is_ok());
                }
                self.events.push(Event::Gossiped(transactions));
            }
            ValidatorWork::Submit { epoch: of, transaction, reply } => {
                let still_valid = if of == epoch.epoch() { Ok(()) } else { check_again(&transaction, epoch) };
                match still_valid {
                    Ok(()) => self.submit(transaction, reply),
                    // A send error means that the client is gone.
                    Err(refusal) => drop(reply.send(Err(refusal))),
                }
            }
            ValidatorWork::Fetch { request, reply } => {
                let ticket = Ticket(self.askers.len() as u64);
                self.askers.push(Some(reply));
                self.events.push(Event::Asked { ticket, ask: request });
            }
            ValidatorWork::StatusOf { id, reply } => self.questions.push((id, reply)),
            ValidatorWork::PeerUp(peer) => {
                channels.0.insert(peer);
                match epoch.members.index(&peer) {
                    Some(member) => self.events.push(Event::PeerUp(member)),
                    None => self.follower_connected = true,
                }
            }
            ValidatorWork::PeerDown(peer) => {
                channels.0.remove(&peer);
                self.events.extend(epoch.members.index(&peer).map(Event::PeerDown));
            }
            ValidatorWork::Stop => self.stop = true,
        }
    }

    fn submit(
        &mut self,
        transaction: VerifiedTransaction,
        reply: oneshot::Sender<Result<Submission, Refusal>>,
    ) {
        let ticket = Ticket(self.submitters.len() as u64);
        self.submitters.push(Some((transaction.id(), reply)));
        self.events.push(Event::Submitted { ticket, transaction });
    }

    /// Replies to clients and members. Send errors mean that the requester is gone.
    pub(crate) fn reply(&mut self, now: Moment, effects: &mut Effects, stopwatch: &mut Stopwatch) {
        for (ticket, outcome) in effects.submissions.drain(..) {
            if let Some((id, reply)) = take(&mut self.submitters, ticket) {
                if outcome == Ok(Submission::Pending) {
                    stopwatch.taken(now, id);
                }
                let _ = reply.send(outcome);
            }
        }
        for (ticket, answer) in effects.answers.drain(..) {
            if let Some(reply) = take(&mut self.askers, ticket) {
                let _ = reply.send(answer);
            }
        }
    }
}

/// The limits of transactions may have changed since this one was checked. Its signature is as valid
/// as before.
fn check_again(transaction: &VerifiedTransaction, epoch: &EpochView) -> Result<(), Refusal> {
    Ok(transaction.transaction().check_form(&epoch.engine.pbft.limits.transaction)?)
}

fn take<T>(replies: &mut [Option<T>], ticket: Ticket) -> Option<T> {
    replies.get_mut(usize::try_from(ticket.0).ok()?)?.take()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_engine::FetchId;
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Epoch, Payload, ReplicaId, SecretKey, Timestamp, Transaction};

    use super::*;
    use crate::runtime::epoch::members::peer_key;
    use crate::runtime::epoch::tests::first_view;

    const OTHER: Epoch = Epoch(7);

    fn sort(epoch: &EpochView, channels: &mut Channels, work: Vec<ValidatorWork>) -> Group {
        Group::of(work.into_iter(), epoch, channels)
    }

    fn answered(epoch: Epoch) -> ValidatorWork {
        let event = Event::Answered { fetch: FetchId(1), from: ReplicaId(2), answer: None };
        ValidatorWork::Event { epoch, event }
    }

    #[test]
    fn events_of_another_epoch_are_dropped() {
        let epoch = first_view(&TestNetwork::seeded(4, 1));
        let group = sort(&epoch, &mut Channels::default(), vec![answered(OTHER), answered(Epoch(0))]);
        assert!(matches!(group.events.as_slice(), [Event::Answered { .. }]), "{:?}", group.events);
    }

    #[test]
    fn transactions_survive_a_change_of_the_epoch_if_its_limits_allow_them() {
        let network = TestNetwork::seeded(4, 1);
        let epoch = first_view(&network);
        let (chain, key) = (network.genesis().chain_id(), SecretKey::generate());
        let sign = |bytes: usize| {
            let payload = Payload::Data(vec![1; bytes]);
            let signed = Transaction::sign(&chain, &key, 1, Timestamp(1_800_000_000_000), payload);
            signed.verify(&chain).unwrap()
        };
        let most = epoch.engine.pbft.limits.transaction.max_bytes as usize;
        let mut channels = Channels::default();
        let transactions = vec![sign(10), sign(most)];
        let group = sort(&epoch, &mut channels, vec![ValidatorWork::Gossiped { epoch: OTHER, transactions }]);
        let [Event::Gossiped(kept)] = group.events.as_slice() else { panic!("{:?}", group.events) };
        assert_eq!(kept.len(), 1, "the second one is above the limit of this epoch");

        let submit = |bytes| {
            let (reply, outcome) = oneshot::channel();
            (ValidatorWork::Submit { epoch: OTHER, transaction: sign(bytes), reply }, outcome)
        };
        let ((small, _waiting), (large, mut refused)) = (submit(10), submit(most));
        let group = sort(&epoch, &mut channels, vec![small, large]);
        assert!(matches!(group.events.as_slice(), [Event::Submitted { .. }]));
        assert!(refused.try_recv().unwrap().is_err());
    }

    #[test]
    fn channels_are_kept_by_key_across_epochs() {
        let (network, other) = (TestNetwork::seeded(4, 1), TestNetwork::seeded(4, 2));
        let (epoch, next) = (first_view(&network), first_view(&other));
        let key = |network: &TestNetwork, index: usize| peer_key(&network.keys()[index].public());
        let mut channels = Channels::default();
        let up = |network, index| ValidatorWork::PeerUp(key(network, index));
        let group = sort(&epoch, &mut channels, vec![up(&network, 1), up(&other, 3), up(&network, 2)]);
        let ups: Vec<&Event> = group.events.iter().collect();
        assert!(
            matches!(ups.as_slice(), [Event::PeerUp(ReplicaId(1)), Event::PeerUp(ReplicaId(2))]),
            "{ups:?}"
        );
        assert!(group.follower_connected, "a node that is no member of this epoch follows it");
        assert_eq!(channels.followers(&epoch).collect::<Vec<_>>(), [&key(&other, 3)]);

        // In the next epoch, only the last one is a member.
        let ups = channels.members_up(&next);
        assert!(matches!(ups.as_slice(), [Event::PeerUp(ReplicaId(3))]), "{ups:?}");
        assert_eq!(channels.followers(&next).count(), 2);
        let down = vec![ValidatorWork::PeerDown(key(&other, 3)), ValidatorWork::PeerDown(key(&network, 1))];
        let group = sort(&next, &mut channels, down);
        assert!(matches!(group.events.as_slice(), [Event::PeerDown(ReplicaId(3))]), "{:?}", group.events);
        assert_eq!((channels.members_up(&next).len(), channels.followers(&next).count()), (0, 1));
    }
}
