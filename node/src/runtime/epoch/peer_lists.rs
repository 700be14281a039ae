//! Which nodes may connect.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_governance::{Change, Member, Name, ProposalId, State};
use quorate_ledger::{MAX_MEMBERS, PublicKey};
use quorate_network::{Network, OBSERVERS_MAX, PeerKey};

use super::members::peer_key;
use crate::config::LISTED_OBSERVERS_MAX;
use crate::runtime::peer_network::accepted_response_bytes;

/// Most members of earlier epochs that are admitted; those that left last come first. More than f
/// members leave only in several epochs without a stable checkpoint.
const LEFT_MAX: usize = 32;

/// Most candidates that are admitted: at least one of each member that makes proposals.
const CANDIDATES_MAX: usize = 32;

const _: () = assert!(CANDIDATES_MAX >= MAX_MEMBERS && LEFT_MAX >= MAX_MEMBERS / 3);
const _: () = assert!(LISTED_OBSERVERS_MAX + LEFT_MAX + CANDIDATES_MAX <= OBSERVERS_MAX);

/// The nodes that may connect, each list in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerLists {
    pub(crate) members: Vec<PeerKey>,
    pub(crate) observers: Vec<PeerKey>,
}

/// The nodes that may connect after this state.
///
/// Members are those of the configuration in force and of the scheduled ones: a new member is
/// connected before its first epoch begins. Observers are those of the settings; `left`, members of
/// earlier epochs that still serve and fetch blocks; and candidates of open proposals, which catch up
/// before they are ready. Each of the three kinds has its own limit, so none of them takes the places
/// of another. A follower connects to `sources` as it does to members.
pub(crate) fn peers_of(
    state: &State,
    settings: &[PublicKey],
    left: &[PeerKey],
    sources: &[PeerKey],
) -> PeerLists {
    let of_member = |member: &Member| peer_key(&member.consensus_key);
    let members = state.configs().flat_map(|(_, config)| config.members().iter().map(of_member));
    let members: BTreeSet<PeerKey> = members.chain(sources.iter().copied()).collect();
    let settings = settings.iter().map(peer_key).take(LISTED_OBSERVERS_MAX);
    let observers = settings.chain(left.iter().copied().take(LEFT_MAX));
    let mut observers: BTreeSet<PeerKey> = observers.filter(|key| !members.contains(key)).collect();
    let candidates = candidates(state, |key| members.contains(key) || observers.contains(key));
    observers.extend(candidates);
    PeerLists { observers: observers.into_iter().collect(), members: members.into_iter().collect() }
}

/// At most [`CANDIDATES_MAX`] candidates of open proposals, but those that are admitted already.
///
/// The members that made proposals take turns, in the order of their oldest open ones. The turn of a
/// member admits its next candidate, beginning with its oldest proposal. So members with many
/// candidates do not keep out those of others.
fn candidates(state: &State, is_admitted: impl Fn(&PeerKey) -> bool) -> BTreeSet<PeerKey> {
    let mut proposals: Vec<_> = state.proposals().iter().collect();
    proposals.sort_by_key(|(id, proposal): &(&ProposalId, _)| (proposal.height, **id));
    let mut turns: Vec<(&Name, VecDeque<PeerKey>)> = Vec::new();
    for (_, proposal) in proposals {
        let keys = proposal.changes.iter().filter_map(Change::candidate).map(|key| peer_key(&key));
        match turns.iter_mut().find(|(proposer, _)| *proposer == &proposal.proposer) {
            Some((_, queue)) => queue.extend(keys),
            None => turns.push((&proposal.proposer, keys.collect())),
        }
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < CANDIDATES_MAX && turns.iter().any(|(_, queue)| !queue.is_empty()) {
        for (_, queue) in &mut turns {
            let next = std::iter::from_fn(|| queue.pop_front())
                .find(|key| !is_admitted(key) && !chosen.contains(key));
            chosen.extend(next.filter(|_| chosen.len() < CANDIDATES_MAX));
        }
    }
    chosen
}

/// Keeps the lists and limits of the network equal to those that follow from governance.
pub(crate) struct PeerUpdates {
    network: Network,
    /// Keys of observers in the settings.
    settings: Vec<PublicKey>,
    /// Members of earlier epochs that are none in the present one; those that left last come first.
    /// They stay connected until the present epoch has a stable checkpoint.
    left: Vec<PeerKey>,
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
        PeerUpdates { network, settings, left: Vec::new(), sources, lists }
    }

    /// An epoch with these members has begun after one with the members `before`.
    pub(crate) fn epoch_began(&mut self, before: &[PeerKey], members: &[PeerKey]) {
        self.left = left_after(&self.left, before, members);
    }

    /// The epoch has a stable checkpoint, so a quorum no longer needs the members that left.
    pub(crate) fn epoch_is_stable(&mut self) {
        self.left.clear();
    }

    /// Gives the network new lists if they have changed, and the size of the answers that the node
    /// accepts. Costs time in proportion to the number of peers.
    pub(crate) fn update(&mut self, state: &State) {
        self.network.set_accepted_response_bytes(accepted_response_bytes(state));
        let lists = peers_of(state, &self.settings, &self.left, &self.sources);
        if lists != self.lists && set_peers(&self.network, &lists) {
            self.lists = lists;
        }
    }
}

/// The members that have left when an epoch with these members begins after one with the members
/// `before`. `left` had left earlier.
fn left_after(left: &[PeerKey], before: &[PeerKey], members: &[PeerKey]) -> Vec<PeerKey> {
    let all = before.iter().chain(left).filter(|key| !members.contains(key));
    all.copied().take(LEFT_MAX).collect()
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
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use quorate_genesis::TestNetwork;
    use quorate_governance::{ExecutedBlock, GovernanceTransaction, Operation, Outcome};
    use quorate_ledger::{BlockHash, Height, ReplicaId, TransactionId};

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
        let left = [peer_key(&key(8)), peer_key(&key(9)), members[2]];
        let source = peer_key(&key(5));
        let lists = peers_of(&state, &settings, &left, &[source, members[0]]);
        assert_eq!(lists.members.len(), 5);
        assert!(lists.members.contains(&source));
        assert!(members.iter().all(|key| lists.members.contains(key)));
        let expected: BTreeSet<PeerKey> = [7, 8, 9].map(|seed| peer_key(&key(seed))).into();
        assert_eq!(lists.observers, expected.into_iter().collect::<Vec<_>>());
    }

    /// A proposal of this member, which gives these keys to the first members.
    type Proposed = (u16, std::ops::Range<u64>);

    /// The state after blocks with these proposals, one in each.
    fn proposed(network: &TestNetwork, proposals: &[Proposed]) -> State {
        let mut state = network.genesis().governance_state();
        for (number, (member, seeds)) in (1..).zip(proposals.iter().cloned()) {
            let members = state.next_config().members().to_vec();
            let change = |(member, seed): (&Member, u64)| Change::ReplaceKeys {
                name: member.name.clone(),
                consensus_key: Some(key(seed)),
                governance_key: None,
            };
            let changes = members.iter().zip(seeds).map(change).collect();
            let payload = Operation::Propose { changes }.to_bytes();
            let sender = network.governance_key(ReplicaId(member)).public();
            let id = TransactionId::from_bytes([number; 32]);
            let transactions = [GovernanceTransaction { id, sender, payload: &payload }];
            let (height, hash) = (Height(number.into()), BlockHash::from_bytes([number; 32]));
            let block = ExecutedBlock { height, hash, transactions: &transactions };
            let outcomes = state.apply(&block, &BTreeMap::<Height, BlockHash>::new()).unwrap();
            assert_eq!(outcomes, [Outcome::Executed]);
        }
        state
    }

    /// Proposals of three members, each with as many candidates as a committee of 22 permits: twice f.
    const MANY: [Proposed; 6] =
        [(0, 100..107), (0, 200..207), (1, 300..307), (1, 400..407), (2, 500..507), (2, 600..607)];

    #[test]
    fn the_candidates_of_one_member_do_not_keep_out_those_of_another() {
        let network = TestNetwork::seeded(22, 1);
        let count = |chosen: &BTreeSet<PeerKey>, seeds: std::ops::Range<u64>| {
            seeds.filter(|seed| chosen.contains(&peer_key(&key(*seed)))).count()
        };
        let chosen = candidates(&proposed(&network, &MANY), |_| false);
        let counts = [100, 200, 300, 400, 500, 600].map(|first| count(&chosen, first..first + 7));
        assert_eq!(counts, [7, 4, 7, 4, 7, 3], "in turns, and each with its oldest proposal first");

        let others = [(3, 700..702), (4, 100..101)];
        let chosen = candidates(&proposed(&network, &[&MANY[..], &others].concat()), |_| false);
        let counts = [100, 200, 300, 400, 500, 600].map(|first| count(&chosen, first..first + 7));
        assert_eq!(counts, [7, 3, 7, 3, 7, 3], "a key that two members propose counts once");
        assert_eq!((count(&chosen, 700..702), chosen.len()), (2, CANDIDATES_MAX));
    }

    #[test]
    fn each_kind_of_observer_has_its_own_limit() {
        let network = TestNetwork::seeded(22, 1);
        let state = proposed(&network, &MANY);
        let settings: Vec<PublicKey> = (1000..1040).map(key).collect();
        let left: Vec<PeerKey> = (2000..2040).map(|seed| peer_key(&key(seed))).collect();
        let lists = peers_of(&state, &settings, &left, &[]);
        assert_eq!(lists.observers.len(), LISTED_OBSERVERS_MAX + LEFT_MAX + CANDIDATES_MAX);
        let listed = |key: &PeerKey| lists.observers.contains(key);
        assert!(settings[..LISTED_OBSERVERS_MAX].iter().map(peer_key).all(|key| listed(&key)));
        assert!(left[..LEFT_MAX].iter().all(listed));
        assert!([100, 300, 500].iter().all(|seed| listed(&peer_key(&key(*seed)))));
    }

    #[test]
    fn the_members_that_left_last_are_kept() {
        let keys: Vec<PeerKey> = (0..60).map(|number| PeerKey([number; 33])).collect();
        let left = left_after(&[], &keys[..31], &keys[25..31]);
        assert_eq!(left, keys[..25]);
        let left = left_after(&left, &keys[25..56], &keys[..4]);
        let expected: Vec<PeerKey> = keys[25..56].iter().chain(&keys[4..5]).copied().collect();
        assert_eq!(left, expected, "a member that returned has not left");
    }
}
