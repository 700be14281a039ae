//! The peers that may connect: all members and observers except this node.
//!
//! A list never changes. A change makes a new list, which shares with the old one every [`Peer`]
//! whose role stays the same. So a comparison of two lists shows which connections must end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;

use crate::config::{KEPT_LIMITS_MAX, MEMBERS_MAX, NetworkLimits, OBSERVERS_MAX};
use crate::counters::Counters;
use crate::error::PeersError;
use crate::identity::PeerKey;
use crate::peer::{Peer, PeerLimits, Rank};

/// See the module.
pub(crate) struct Peers {
    own: PeerKey,
    /// Whether this node is a member; otherwise it is an observer.
    own_is_member: bool,
    by_key: BTreeMap<PeerKey, Arc<Peer>>,
    by_id: HashMap<PeerId, Arc<Peer>>,
    /// The limits of all peers, and of removed ones as long as they are used. So a key that is
    /// removed and added again never has twice its share of the event channel.
    limits: HashMap<PeerKey, PeerLimits>,
}

impl Peers {
    /// The list of the node with the key `own`, without any peer.
    pub(crate) fn none(own: PeerKey) -> Self {
        let (by_key, by_id, limits) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { own, own_is_member: false, by_key, by_id, limits }
    }

    /// The list with these members and observers instead. A key that is listed twice counts once,
    /// and as a member if it is one. This node's own key says which role it has itself.
    ///
    /// # Errors
    /// [`PeersError`], but not [`PeersError::Closed`].
    pub(crate) fn changed(
        &self,
        members: &[PeerKey],
        observers: &[PeerKey],
        limits: &NetworkLimits,
    ) -> Result<Self, PeersError> {
        within("members", members.len(), MEMBERS_MAX)?;
        within("observers", observers.len(), OBSERVERS_MAX)?;
        let own_is_member = members.contains(&self.own);
        let mut next = Self { own_is_member, ..Self::none(self.own) };
        let used = self.limits.iter().filter(|(_, limits)| !limits.are_unused());
        next.limits = used.map(|(key, limits)| (*key, limits.clone())).collect();
        let members = members.iter().map(|key| (*key, Rank::Member));
        let all = observers.iter().map(|key| (*key, Rank::Observer)).chain(members);
        for (key, rank) in all.collect::<BTreeMap<_, _>>() {
            if key != self.own {
                next.insert(self.peer(key, rank, own_is_member), key, rank, limits)?;
            }
        }
        if next.limits.len() > KEPT_LIMITS_MAX {
            return Err(PeersError::EventsWaiting { limit: KEPT_LIMITS_MAX });
        }
        Ok(next)
    }

    /// The peer that stays, connection included, if the key has this rank in the next list.
    fn peer(&self, key: PeerKey, rank: Rank, own_is_member: bool) -> Option<&Arc<Peer>> {
        // The protocols on a connection to a member depend on this node's own role, too.
        let stays = |peer: &Peer| {
            peer.rank == rank && (rank == Rank::Observer || own_is_member == self.own_is_member)
        };
        self.by_key.get(&key).filter(|peer| stays(peer))
    }

    fn insert(
        &mut self,
        present: Option<&Arc<Peer>>,
        key: PeerKey,
        rank: Rank,
        limits: &NetworkLimits,
    ) -> Result<(), PeersError> {
        let kept = self.limits.entry(key).or_insert_with(|| PeerLimits::new(limits));
        let peer = match present {
            Some(peer) => peer.clone(),
            None => Arc::new(Peer::new(key, rank, kept.clone())?),
        };
        self.by_id.insert(peer.id, peer.clone());
        self.by_key.insert(key, peer);
        Ok(())
    }

    /// The peers that are not in `other`, or are there in another role.
    pub(crate) fn not_in<'a>(&'a self, other: &'a Peers) -> impl Iterator<Item = &'a Arc<Peer>> {
        self.iter().filter(|peer| !other.by_key(&peer.key).is_some_and(|known| Arc::ptr_eq(known, peer)))
    }

    /// Whether both lists admit the same peers in the same roles.
    pub(crate) fn is_same(&self, other: &Peers) -> bool {
        let same_peers = self.len() == other.len() && self.not_in(other).next().is_none();
        same_peers && self.own_is_member == other.own_is_member
    }

    /// Whether this node is a member; otherwise it is an observer.
    pub(crate) fn own_is_member(&self) -> bool {
        self.own_is_member
    }

    /// Whether this node dials the member at once, instead of after a grace time. Members never
    /// dial observers, so an observer dials every member at once.
    pub(crate) fn dials_first(&self, member: &PeerKey) -> bool {
        !self.own_is_member || self.own < *member
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// In the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_key.values()
    }

    /// The members, in the order of their keys.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.iter().filter(|peer| peer.is_member())
    }

    /// Queues a direct message for every connected peer of this rank. The peers share the bytes.
    pub(crate) fn broadcast(&self, to: Rank, bytes: &Bytes, counters: &Counters) {
        for peer in self.iter().filter(|peer| peer.rank == to && peer.is_connected()) {
            peer.send(bytes.clone(), counters);
        }
    }

    pub(crate) fn by_key(&self, key: &PeerKey) -> Option<&Arc<Peer>> {
        self.by_key.get(key)
    }

    pub(crate) fn by_id(&self, id: &PeerId) -> Option<&Arc<Peer>> {
        self.by_id.get(id)
    }

    /// Whether this key is a member's, other than this node's.
    pub(crate) fn is_member(&self, key: &PeerKey) -> bool {
        self.by_key(key).is_some_and(|peer| peer.is_member())
    }
}

fn within(list: &'static str, count: usize, limit: usize) -> Result<(), PeersError> {
    if count > limit { Err(PeersError::TooMany { list, count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeroize::Zeroizing;

    use super::*;
    use crate::identity::keypair;

    fn key(seed: u16) -> PeerKey {
        let mut secret = [7; 32];
        secret[..2].copy_from_slice(&seed.to_be_bytes());
        keypair(&Zeroizing::new(secret)).unwrap().1
    }

    fn changed(peers: &Peers, members: &[u16], observers: &[u16]) -> Result<Peers, PeersError> {
        let keys = |seeds: &[u16]| seeds.iter().map(|seed| key(*seed)).collect::<Vec<_>>();
        peers.changed(&keys(members), &keys(observers), &NetworkLimits::default())
    }

    fn not_in(first: &Peers, second: &Peers) -> Vec<PeerKey> {
        first.not_in(second).map(|peer| peer.key).collect()
    }

    #[test]
    fn peers_whose_role_stays_are_shared_and_the_others_replaced() {
        let first = changed(&Peers::none(key(1)), &[1, 2, 3, 4], &[5, 6]).unwrap();
        let second = changed(&first, &[1, 2, 5], &[4, 6]).unwrap();
        let sorted = |mut keys: Vec<PeerKey>| {
            keys.sort();
            keys
        };
        assert_eq!(not_in(&first, &second), sorted(vec![key(3), key(4), key(5)]));
        assert_eq!(not_in(&second, &first), sorted(vec![key(4), key(5)]));
        assert!(!second.is_same(&first) && second.by_key(&key(3)).is_none());
        let same = changed(&second, &[5, 5, 2, 1], &[6, 4, 2]).unwrap();
        assert!(same.is_same(&second), "neither order nor repetitions matter");
    }

    #[test]
    fn a_change_of_the_own_role_replaces_the_members_and_who_dials() {
        let member = changed(&Peers::none(key(1)), &[1, 2, 3], &[4]).unwrap();
        let observer = changed(&member, &[2, 3], &[4]).unwrap();
        assert_eq!(not_in(&member, &observer).len(), 2, "the observer stays");
        assert!(observer.dials_first(&key(2)) && observer.dials_first(&key(3)));
        assert!(member.own_is_member() && !observer.own_is_member() && !member.is_same(&observer));
        let (smaller, larger) = if key(1) < key(2) { (1, 2) } else { (2, 1) };
        let of = |own: u16| changed(&Peers::none(key(own)), &[1, 2], &[]).unwrap();
        assert!(of(smaller).dials_first(&key(larger)) && !of(larger).dials_first(&key(smaller)));
    }

    #[test]
    fn a_key_that_returns_has_the_limits_that_its_events_still_use() {
        let first = changed(&Peers::none(key(1)), &[1, 2], &[]).unwrap();
        let peer = first.by_key(&key(2)).unwrap().clone();
        let second = changed(&first, &[1], &[]).unwrap();
        drop(first);
        let third = changed(&second, &[1, 2], &[]).unwrap();
        let again = third.by_key(&key(2)).unwrap();
        assert!(!Arc::ptr_eq(again, &peer), "it is another peer");
        assert!(Arc::ptr_eq(&again.limits.requests, &peer.limits.requests), "with the same limits");

        drop((peer, third));
        let fourth = changed(&second, &[1], &[]).unwrap();
        assert!(fourth.limits.is_empty(), "unused limits are not kept");
    }

    #[test]
    fn removed_peers_whose_events_are_not_taken_are_limited() {
        let mut peers = Peers::none(key(0));
        let mut used = Vec::new();
        for round in 0.. {
            let seeds: Vec<u16> = (1..=200).map(|seed| 200 * round + seed).collect();
            match changed(&peers, &seeds, &[]) {
                Ok(next) => peers = next,
                Err(error) => {
                    assert_eq!(error, PeersError::EventsWaiting { limit: KEPT_LIMITS_MAX });
                    break;
                }
            }
            used.extend(peers.iter().cloned());
        }
        assert_eq!(used.len(), KEPT_LIMITS_MAX / 200 * 200);
        used.clear();
        changed(&peers, &[1], &[]).unwrap();
    }

    #[test]
    fn lists_that_are_too_long_or_contain_no_keys_are_refused() {
        let none = Peers::none(key(0));
        let limits = NetworkLimits::default();
        let refused = |members: &[PeerKey], observers: &[PeerKey]| {
            none.changed(members, observers, &limits).err().unwrap()
        };
        let one = PeerKey([9; 33]);
        assert!(matches!(refused(&[one], &[]), PeersError::Key(_)));
        assert!(matches!(refused(&[], &[one]), PeersError::Key(_)));
        let many = vec![key(1); MEMBERS_MAX + 1];
        assert!(matches!(refused(&many, &[]), PeersError::TooMany { list: "members", .. }));
        assert!(matches!(
            refused(&[], &many[..=OBSERVERS_MAX]),
            PeersError::TooMany { list: "observers", .. }
        ));
        none.changed(&many[1..], &many[..OBSERVERS_MAX], &limits).unwrap();
    }
}
