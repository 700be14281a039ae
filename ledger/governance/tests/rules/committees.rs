//! Members join, leave and are replaced, and who decides it.

use quorate_governance::{
    Change, InitialState, InitialStateError, Member, Obstacle, Operation, ParameterName, PreviewWarning,
    Reason, State,
};
use quorate_ledger::{BlockHash, Epoch, Height, PublicKey};

use crate::network::{
    CHAIN, EXECUTED, K, Network, W, add, failed, gov, key, member, name, remove, set, settings, vote,
};

#[test]
fn a_fifth_member_joins_in_a_new_epoch_once_it_is_ready() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![add(4)]);
    assert_eq!(network.state.next_config().candidates().len(), 0, "not yet a candidate");
    network.run(W);
    assert!(network.state.next_config().candidates().contains(&vote(4)));
    assert_eq!(network.approve(1, id), EXECUTED);
    assert_eq!(network.approve(2, id), failed(Reason::NotReady));
    assert_eq!(network.ready(vote(4)), EXECUTED);
    assert_eq!(network.approve(2, id), EXECUTED);
    let decided = network.height();
    assert_eq!(network.state.next_epoch_start(), Some(Height(decided + W + 1)));
    let after = network.state.config(Height(decided + W + 1)).unwrap();
    assert_eq!((after.epoch(), after.epoch_start()), (Epoch(1), Height(decided + W + 1)));
    assert_eq!((after.committee().size(), after.committee().quorum()), (5, 4));
    assert!(after.candidates().is_empty(), "a member is no candidate");
    assert_eq!(network.state.config(Height(decided + W)).unwrap().committee().size(), 4);
    network.run(W);
    assert_eq!(network.epoch(), Epoch(1));
    assert_eq!(network.state.head().epoch_start, Height(decided + W + 1));
    assert!(network.state.proposals().is_empty() && network.state.scheduled().is_empty());
    assert!(network.state.ready().is_empty());
}

#[test]
fn a_ready_counts_for_2k_heights_and_only_the_newest_one_is_kept() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![add(4)]);
    network.run(W);
    let (height, block) = (network.state.height(), network.hashes[&network.state.height()]);
    assert_eq!(network.approve(1, id), EXECUTED);
    assert_eq!(network.one(vote(4), Operation::Ready { height, block }), EXECUTED);
    let (older, other) = (Height(height.0 - 1), network.hashes[&Height(height.0 - 1)]);
    assert_eq!(network.one(vote(4), Operation::Ready { height: older, block: other }), EXECUTED);
    assert_eq!(network.state.ready()[&vote(4)], height);
    // The deciding block may be 2 K above the block of the READY, and no more.
    while network.height() + 1 < height.0 + 2 * K {
        network.run(1);
    }
    let mut late = network.clone();
    assert_eq!(network.approve(2, id), EXECUTED);
    late.run(1);
    assert_eq!(late.approve(2, id), failed(Reason::NotReady));
}

#[test]
fn a_ready_about_this_block_or_a_later_one_is_refused() {
    let mut network = Network::of(4);
    network.propose(0, vec![add(4)]);
    network.run(W);
    let block = BlockHash::from_bytes([1; 32]);
    for height in [network.height() + 1, network.height() + 3, u64::MAX].map(Height) {
        let outcome = network.one(vote(4), Operation::Ready { height, block });
        assert_eq!(outcome, failed(Reason::ReadyUnknownBlock));
    }
}

#[test]
fn a_quorum_removes_a_member_without_its_vote_but_not_one_of_two() {
    let mut five = Network::of(5);
    let id = five.propose(0, vec![remove(4)]);
    for index in 1..3 {
        assert_eq!(five.approve(index, id), EXECUTED);
    }
    assert!(five.state.next_epoch_start().is_none(), "3 of 4 approvals");
    assert_eq!(five.approve(3, id), EXECUTED);
    five.settle();
    assert_eq!(five.member_names(), ["m0", "m1", "m2", "m3"]);
    assert_eq!(five.one(gov(4), Operation::Renew), failed(Reason::NotAMember));

    // Both of two members are needed (parity-ethereum#10293). The preview says so beforehand.
    let mut two = Network::of(2);
    let id = two.propose(0, vec![remove(1)]);
    two.run(3);
    assert!(two.state.proposals().contains_key(&id) && two.state.scheduled().is_empty());
    assert_eq!(two.state.preview(&[remove(1)]).approvals_needed, 2);
}

#[test]
fn approving_twice_is_once_and_withdrawing_twice_too() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![set(ParameterName::MaxClients, 5)]);
    for _ in 0..3 {
        assert_eq!(network.approve(0, id), EXECUTED);
    }
    assert_eq!(network.approve(1, id), EXECUTED);
    for _ in 0..2 {
        assert_eq!(network.one(gov(1), Operation::Withdraw(id)), EXECUTED);
    }
    assert_eq!(network.state.proposals()[&id].approvals.len(), 1);
    assert_eq!(network.one(gov(0), Operation::Withdraw(id)), EXECUTED);
    assert!(network.state.proposals().is_empty(), "its proposer closes it");
    assert_eq!(network.approve(1, id), failed(Reason::UnknownProposal));
}

/// Otherwise one member could approve every proposal, and so keep those open that their proposer gave up.
#[test]
fn a_proposer_closes_its_proposal_although_others_have_approved_it() {
    let mut network = Network::of(4);
    let id = network.propose(0, vec![set(ParameterName::MaxClients, 5)]);
    assert_eq!(network.approve(3, id), EXECUTED);
    assert_eq!(network.one(gov(0), Operation::Withdraw(id)), EXECUTED);
    assert!(network.state.proposals().is_empty());
    let ids = [6, 7].map(|value| network.propose(0, vec![set(ParameterName::MaxClients, value)]));
    assert_eq!(network.state.proposals().len(), ids.len(), "both places are free again");
}

#[test]
fn the_proposals_of_a_removed_member_are_closed() {
    let mut network = Network::of(5);
    let id = network.propose(4, vec![set(ParameterName::MaxClients, 5)]);
    assert_eq!(network.approve(0, id), EXECUTED);
    let removal = network.propose(0, vec![remove(4)]);
    for member in [1, 2, 3] {
        network.approve(member, removal);
    }
    assert!(network.state.proposals().contains_key(&id), "it is a member until the next epoch");
    network.run(20);
    assert!(network.state.proposals().is_empty());
}

#[test]
fn a_proposal_expires_and_its_candidate_with_it() {
    let mut settings = settings();
    settings.governance.proposal_lifetime = 5;
    let mut network = Network::with(4, settings);
    let id = network.propose(0, vec![add(4)]);
    network.run(4);
    let mut late = network.clone();
    assert_eq!(network.approve(1, id), EXECUTED, "the last height");
    late.run(1);
    assert_eq!(late.approve(1, id), failed(Reason::UnknownProposal));
    late.settle();
    assert!(late.state.next_config().candidates().is_empty());
}

/// M78: the approvals of a removed member are gone before the first block of the new epoch.
#[test]
fn approvals_of_removed_members_stop_counting() {
    let mut network = Network::of(5);
    let id = network.propose(3, vec![set(ParameterName::MaxClients, 5)]);
    let own = network.propose(4, vec![set(ParameterName::MaxClients, 6)]);
    for index in [0, 4] {
        assert_eq!(network.approve(index, id), EXECUTED);
    }
    assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
    assert_eq!(network.state.proposals()[&id].approvals.len(), 3, "the member is still in force");
    network.settle();
    assert_eq!(network.state.proposals()[&id].approvals.len(), 2);
    assert!(!network.state.proposals().contains_key(&own), "only the removed member approved it");
    assert_eq!(network.approve(0, id), EXECUTED);
    assert!(network.state.scheduled().is_empty(), "2 of 3 approvals");
    assert_eq!(network.approve(2, id), EXECUTED);
    assert_eq!(network.state.scheduled().len(), 1);
}

#[test]
fn a_smaller_quorum_decides_at_the_next_approval() {
    let mut network = Network::of(5);
    let id = network.propose(0, vec![set(ParameterName::MaxClients, 5)]);
    assert_eq!(network.approve(1, id), EXECUTED);
    assert_eq!(network.approve(2, id), EXECUTED);
    assert_eq!(network.decide(vec![remove(4)]), EXECUTED);
    network.settle();
    assert!(network.state.proposals().contains_key(&id), "3 approvals are a quorum now");
    assert_eq!(network.approve(1, id), EXECUTED);
    assert!(!network.state.proposals().contains_key(&id));
}

/// sawtooth-pbft#110: the order of members must not depend on the order of joining.
#[test]
fn members_are_in_the_order_of_their_keys() {
    let mut network = Network::of(4);
    for index in 4..7 {
        assert_eq!(network.decide(vec![add(index)]), EXECUTED);
        network.settle();
    }
    let keys: Vec<PublicKey> =
        network.state.next_config().members().iter().map(|member| member.consensus_key).collect();
    assert!(keys.is_sorted());
    assert_eq!(keys, network.state.next_config().committee().members());
    let mut initial: Vec<Member> = (0..7).map(member).collect();
    initial.reverse();
    let block = BlockHash::from_bytes([0; 32]);
    let (settings, clients) = (settings(), Vec::new());
    let at_once =
        State::initial(InitialState { chain: CHAIN, block, members: initial, settings, clients }).unwrap();
    assert_eq!(at_once.next_config().members(), network.state.next_config().members());
}

#[test]
fn a_network_of_one_grows_to_four_and_shrinks_again_one_member_at_a_time() {
    let mut network = Network::of(1);
    for index in 1..4 {
        // One member is a quorum, but its proposal waits for the candidate.
        assert_eq!(network.decide(vec![add(index)]), EXECUTED);
        network.settle();
        assert_eq!(network.member_names().len(), usize::from(index) + 1);
    }
    let swap = network.state.preview(&[add(9), remove(3)]);
    assert_eq!(swap.obstacles[0], Obstacle::Reason(Reason::TooManyMembersChange));
    for index in (1..4).rev() {
        assert_eq!(network.decide(vec![remove(index)]), EXECUTED);
        network.settle();
    }
    assert_eq!(network.member_names(), ["m0"]);
    assert_eq!(network.decide(vec![remove(0)]), failed(Reason::CommitteeTooSmall));
}

#[test]
fn a_network_that_began_with_four_keeps_four() {
    let network = Network::of(4);
    let preview = network.state.preview(&[remove(3)]);
    assert_eq!(preview.obstacles, [Obstacle::Reason(Reason::CommitteeTooSmall)]);
    assert!(!preview.can_be_decided());
}

#[test]
fn the_preview_shows_the_arithmetic_and_what_breaks() {
    let network = Network::of(5);
    let preview = network.state.preview(&[remove(4)]);
    let after = preview.after.unwrap();
    assert_eq!((preview.before.members, preview.before.quorum, preview.before.may_be_down), (5, 4, 1));
    assert_eq!((after.members, after.faults, after.quorum, after.may_be_down), (4, 1, 3, 1));
    assert_eq!((preview.approvals_needed, preview.starts_epoch), (4, true));
    assert_eq!(preview.effective_from, Height(W + 2), "decided in block 1");
    assert!(preview.can_be_decided() && preview.warnings().is_empty());

    let joins = network.state.preview(&[add(5)]);
    assert_eq!(joins.obstacles, [Obstacle::NotReady(vote(5))]);
    assert!(joins.obstacles[0].to_string().contains(&vote(5).to_string()));

    let three = Network::of(3);
    let warnings = three.state.preview(&[remove(2)]).warnings();
    assert_eq!(
        warnings,
        [
            PreviewWarning::FewerMayBeDown { before: 1, after: 0 },
            PreviewWarning::NoFaultTolerated { members: 2 },
            PreviewWarning::NoneMayBeDown { members: 2 },
        ]
    );
    let seven = Network::of(7);
    assert_eq!(
        seven.state.preview(&[remove(6)]).warnings(),
        [PreviewWarning::FewerFaults { before: 2, after: 1 }]
    );
    let range =
        network.state.preview(&[set(ParameterName::Window, 99), set(ParameterName::BatchDelay, 9999)]);
    assert!(range.obstacles.iter().all(|obstacle| matches!(obstacle, Obstacle::Parameter(_))));
    assert!(range.obstacles.len() >= 2 && range.after.is_none(), "all errors at once");
}

#[test]
fn at_most_f_members_change_at_once() {
    // Quorums of seven of ten and of six of eight share three members, of which two may be faulty.
    // Those of five of seven would share two.
    let ten = Network::of(10);
    assert!(ten.state.preview(&[remove(9), remove(8)]).can_be_decided());
    let three = ten.state.preview(&[remove(9), remove(8), remove(7)]);
    assert_eq!(three.obstacles, [Obstacle::Reason(Reason::TooManyMembersChange)]);
    // Two of seven may be faulty, but two added members would leave quorums of five and six of nine
    // with two members in common.
    let seven = Network::of(7);
    let two = seven.state.preview(&[add(7), add(8)]);
    assert_eq!(two.obstacles[0], Obstacle::Reason(Reason::TooManyMembersChange));
    let keys = |index| Change::ReplaceKeys {
        name: name(index),
        consensus_key: None,
        governance_key: Some(key(300 + index)),
    };
    assert!(seven.state.preview(&[keys(0), keys(1)]).can_be_decided());
    assert!(!seven.state.preview(&[keys(0), keys(1), keys(2)]).can_be_decided());
}

#[test]
fn impossible_initial_states_are_refused() {
    let initial = |members: Vec<Member>, settings| {
        State::initial(InitialState {
            chain: CHAIN,
            block: BlockHash::from_bytes([0; 32]),
            members,
            settings,
            clients: Vec::new(),
        })
    };
    assert_eq!(
        initial(Vec::new(), settings()).unwrap_err(),
        InitialStateError::Members(Reason::CommitteeTooSmall)
    );
    let mut twice: Vec<Member> = (0..4).map(member).collect();
    twice[1].governance_key = vote(2);
    assert_eq!(initial(twice, settings()).unwrap_err(), InitialStateError::Members(Reason::KeyInUse));
    let mut settings = settings();
    settings.governance.max_bytes_per_member = 300;
    let error = initial((0..4).map(member).collect(), settings).unwrap_err();
    assert!(error.to_string().contains("governance.max_bytes_per_member"), "{error}");
}
