//! An epoch as the running node sees it.

pub(crate) mod members;
pub(crate) mod peer_lists;

use std::sync::Arc;

use quorate_api::Membership;
use quorate_engine::EngineConfig;
use quorate_genesis::Genesis;
use quorate_governance::{Config, State};
use quorate_ledger::{Committee, Epoch, PublicKey, ReplicaId};
use quorate_network::PeerKey;
use tokio::sync::watch;

use crate::config::Role;
use crate::runtime::status::peer_lag::PeerLag;
use members::Members;

/// The view of the epoch in force. The ordering thread publishes the next one when an epoch begins.
pub(crate) type EpochViews = watch::Receiver<Arc<EpochView>>;

/// The members and the configuration of one epoch. Except for measurements, it never changes.
///
/// The same index is another member in another epoch. Therefore a snapshot, a message that was
/// received and a request that was sent each hold the view of their epoch or its number, and nothing
/// else in the running node stores members.
#[derive(Debug)]
pub(crate) struct EpochView {
    pub(crate) members: Members,
    /// The configuration at the beginning of the epoch. Clients, quotas and the parameters of
    /// governance may change within it.
    pub(crate) config: Config,
    /// The constant configuration of the engine.
    pub(crate) engine: EngineConfig,
    /// The index of this node, if it is a member.
    pub(crate) me: Option<ReplicaId>,
    /// Whether the key of this node is in the committee. `None` for a node that was configured as an
    /// observer.
    pub(crate) membership: Option<Membership>,
    /// What messages of the other members show, by index.
    pub(crate) peer_lag: PeerLag,
    /// The peers that the bootstrap addresses of a follower name by their ids. It fetches certified
    /// blocks from them, also if its ledger is too old to know them as members. A validator has none.
    pub(crate) sources: Arc<[PeerKey]>,
}

impl EpochView {
    pub(crate) fn epoch(&self) -> Epoch {
        self.config.epoch()
    }

    pub(crate) fn committee(&self) -> &Committee {
        self.config.committee()
    }

    /// The index by which a follower names a peer: that of a member, or for a source one above all
    /// members.
    pub(crate) fn peer_index(&self, peer: &PeerKey) -> Option<ReplicaId> {
        self.members.index(peer).or_else(|| {
            let place = self.sources.iter().position(|source| source == peer)?;
            Some(ReplicaId(u16::try_from(self.members.keys().len() + place).ok()?))
        })
    }

    /// The peer with this index.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn peer_key(&self, index: ReplicaId) -> PeerKey {
        let members = self.members.keys();
        members.get(index.index()).copied().unwrap_or_else(|| self.sources[index.index() - members.len()])
    }

    /// The name of this node, if it is a member.
    pub(crate) fn own_name(&self) -> Option<&str> {
        self.me.map(|me| self.members.name(me))
    }

    /// The configuration in force in this epoch, as far as the governance state tells. A state after
    /// the last block of the epoch has that of the next epoch already, whose indices are others.
    pub(crate) fn config_in(&self, state: &State) -> Config {
        let present = state.next_config();
        if present.epoch() == self.epoch() { present.clone() } else { self.config.clone() }
    }
}

/// What the views of all epochs of one node have in common.
#[derive(Clone)]
pub(crate) struct EpochSource {
    pub(crate) genesis: Arc<Genesis>,
    /// The key of this node.
    pub(crate) key: PublicKey,
    /// The configured role.
    pub(crate) role: Role,
    /// See [`EpochView::sources`].
    pub(crate) sources: Arc<[PeerKey]>,
}

impl EpochSource {
    /// The view of the epoch in which the next block after this state is, with the configuration that
    /// an engine or observer uses in it.
    pub(crate) fn view(&self, state: &State, engine: EngineConfig) -> Arc<EpochView> {
        let config = state.next_config().clone();
        let members = Members::of(&config);
        let me = members.index(&PeerKey(*self.key.as_bytes()));
        Arc::new(EpochView {
            engine,
            me,
            membership: (self.role == Role::Validator).then(|| self.membership(state)),
            peer_lag: PeerLag::of(members.keys().len()),
            members,
            config,
            sources: Arc::clone(&self.sources),
        })
    }

    fn membership(&self, state: &State) -> Membership {
        let was_member = || {
            let began = self.genesis.validators().iter().any(|validator| validator.public_key == self.key);
            began || state.retired().contains_key(&self.key)
        };
        match state.next_config().committee().index_of(&self.key) {
            Some(_) => Membership::Member,
            None if was_member() => Membership::Removed,
            None => Membership::NotYetMember,
        }
    }
}

/// The role of a node with this configured role and key after this state. A node that was
/// configured as a validator votes while its key is in the committee, and follows the chain
/// otherwise.
pub(crate) fn role_in_force(configured: Role, key: &PublicKey, state: &State) -> Role {
    let is_member = state.next_config().committee().index_of(key).is_some();
    if is_member { configured } else { Role::Observer }
}

#[cfg(test)]
pub(crate) mod tests {
    use quorate_genesis::TestNetwork;
    use quorate_ledger::SecretKey;

    use super::*;

    /// What makes the views of a node with this key.
    pub(crate) fn source(network: &TestNetwork, key: &SecretKey, role: Role) -> EpochSource {
        let genesis = Arc::new(network.genesis().clone());
        EpochSource { genesis, key: key.public(), role, sources: [].into() }
    }

    /// The view of the first member in epoch 0.
    pub(crate) fn first_view(network: &TestNetwork) -> Arc<EpochView> {
        let source = source(network, &network.keys()[0], Role::Validator);
        source.view(&network.genesis().governance_state(), EngineConfig::of(network.genesis()))
    }

    #[test]
    fn a_view_tells_whether_the_node_is_a_member() {
        let (network, other) = (TestNetwork::seeded(4, 1), TestNetwork::seeded(5, 2));
        let state = network.genesis().governance_state();
        let stranger = &other.keys()[4];
        let view = |source: EpochSource| {
            let view = source.view(&state, EngineConfig::of(network.genesis()));
            (view.me, view.membership)
        };
        let member = &network.keys()[2];
        assert_eq!(
            view(source(&network, member, Role::Validator)),
            (Some(ReplicaId(2)), Some(Membership::Member))
        );
        assert_eq!(view(source(&network, stranger, Role::Validator)), (None, Some(Membership::NotYetMember)));
        assert_eq!(view(source(&network, stranger, Role::Observer)), (None, None));
        // The genesis of another network stands for a committee that no longer contains the key.
        let removed = EpochSource {
            genesis: Arc::new(other.genesis().clone()),
            ..source(&network, stranger, Role::Validator)
        };
        assert_eq!(view(removed), (None, Some(Membership::Removed)));
    }

    #[test]
    fn a_source_has_an_index_above_all_members_and_a_member_keeps_its_own() {
        let network = TestNetwork::seeded(4, 1);
        let key = |key: &SecretKey| PeerKey(*key.public().as_bytes());
        let (member, stranger) = (key(&network.keys()[2]), key(&TestNetwork::seeded(1, 9).keys()[0]));
        let of_role = source(&network, &network.keys()[0], Role::Observer);
        let source = EpochSource { sources: [member, stranger].into(), ..of_role };
        let state = network.genesis().governance_state();
        let view = source.view(&state, EngineConfig::of(network.genesis()));
        assert_eq!(view.peer_index(&member), Some(ReplicaId(2)));
        assert_eq!(view.peer_index(&stranger), Some(ReplicaId(5)));
        assert_eq!(view.peer_index(&PeerKey([2; 33])), None);
        assert_eq!([2, 5].map(|index| view.peer_key(ReplicaId(index))), [member, stranger]);
    }

    #[test]
    fn only_a_member_that_is_configured_to_vote_votes() {
        let network = TestNetwork::seeded(4, 1);
        let state = network.genesis().governance_state();
        let (member, stranger) = (network.keys()[0].public(), TestNetwork::seeded(1, 9).keys()[0].public());
        assert_eq!(role_in_force(Role::Validator, &member, &state), Role::Validator);
        assert_eq!(role_in_force(Role::Observer, &member, &state), Role::Observer);
        assert_eq!(role_in_force(Role::Validator, &stranger, &state), Role::Observer);
    }
}
