//! Which nodes may connect.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_governance::{Member, State};
use quorate_ledger::PublicKey;
use quorate_network::{Network, OBSERVERS_MAX, PeerKey};

use super::members::peer_key;

/// The nodes that may connect, each list in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerLists {
    pub(crate) members: Vec<PeerKey>,
    pub(crate) observers: Vec<PeerKey>,
}

/// The nodes that may connect after this state.
///
/// Members are those of the configuration in force and of the scheduled ones: a new member is
/// connected before its first epoch begins. Observers are those of the settings; the candidates of
/// open proposals, which catch up before they are ready; and `left`, members of an earlier epoch
/// that still serve and fetch blocks. A follower connects to `sources` as it does to members.
pub(crate) fn peers_of(
    state: &State,
    settings: &[PublicKey],
    left: &BTreeSet<PeerKey>,
    sources: &[PeerKey],
) -> PeerLists {
    let of_member = |member: &Member| peer_key(&member.consensus_key);
    let members = state.configs().flat_map(|(_, config)| config.members().iter().map(of_member));
    let members: BTreeSet<PeerKey> = members.chain(sources.iter().copied()).collect();
    let candidates = state.latest_config().candidates();
    // In this order of importance: at the limit, further candidates wait until others are gone.
    let observers =
        settings.iter().map(peer_key).chain(left.iter().copied()).chain(candidates.iter().map(peer_key));
    let mut admitted = BTreeSet::new();
    for observer in observers.filter(|observer| !members.contains(observer)) {
        if admitted.len() < OBSERVERS_MAX {
            admitted.insert(observer);
        }
    }
    PeerLists { observers: admitted.into_iter().collect(), members: members.into_iter().collect() }
}

/// Keeps the lists of the network equal to those that follow from governance.
pub(crate) struct PeerUpdates {
    network: Network,
    /// Keys of observers in the settings.
    settings: Vec<PublicKey>,
    /// Members of an earlier epoch. They stay connected until the present one has a stable
    /// checkpoint.
    left: BTreeSet<PeerKey>,
    /// See [`EpochView::sources`](super::EpochView::sources).
    sources: Arc<[PeerKey]>,
    lists: PeerLists,
}

impl PeerUpdates {
    /// `lists`: those with which the network was started.
    pub(crate) fn new(
        network: Network,
        settings: Vec<PublicKey>,
        sources: Arc<[PeerKey]>,
        lists: PeerLists,
    ) -> Self {
        PeerUpdates { network, settings, left: BTreeSet::new(), sources, lists }
    }

    /// An epoch has begun after one with these members.
    pub(crate) fn epoch_began(&mut self, before: &[PeerKey]) {
        self.left.extend(before);
    }

    /// The epoch has a stable checkpoint, so a quorum no longer needs the members that left.
    pub(crate) fn epoch_is_stable(&mut self) {
        self.left.clear();
    }

    /// Gives the network new lists if they have changed. Costs time in proportion to the number of
    /// peers.
    pub(crate) fn update(&mut self, state: &State) {
        let lists = peers_of(state, &self.settings, &self.left, &self.sources);
        if lists != self.lists && set_peers(&self.network, &lists) {
            self.lists = lists;
        }
    }
}

/// Changes who may connect. `false` if that is not possible now.
fn set_peers(network: &Network, lists: &PeerLists) -> bool {
    let (members, observers) = (lists.members.len(), lists.observers.len());
    match network.set_peers(&lists.members, &lists.observers) {
        Ok(()) => tracing::info!(members, observers, "the nodes that may connect have changed"),
        Err(error) => {
            tracing::error!(%error, members, observers, "the nodes that may connect cannot change now");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use quorate_genesis::TestNetwork;

    use super::*;

    fn key(seed: u64) -> PublicKey {
        TestNetwork::seeded(1, seed).keys()[0].public()
    }

    #[test]
    fn a_member_is_never_an_observer_and_each_key_is_listed_once() {
        let network = TestNetwork::seeded(4, 1);
        let members: Vec<PeerKey> = network.keys().iter().map(|key| peer_key(&key.public())).collect();
        let state = network.genesis().governance_state();
        let settings = [key(7), key(8), key(7), network.keys()[1].public()];
        let left = BTreeSet::from([peer_key(&key(8)), peer_key(&key(9)), members[2]]);
        let source = peer_key(&key(5));
        let lists = peers_of(&state, &settings, &left, &[source, members[0]]);
        assert_eq!(lists.members.len(), 5);
        assert!(lists.members.contains(&source));
        assert!(members.iter().all(|key| lists.members.contains(key)));
        let expected: BTreeSet<PeerKey> = [7, 8, 9].map(|seed| peer_key(&key(seed))).into();
        assert_eq!(lists.observers, expected.into_iter().collect::<Vec<_>>());
    }
}
