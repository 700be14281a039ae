//! CHECKPOINTs, stable checkpoints, and how far above them replicas order blocks (R23).

use quorate_ledger::{Hash, Header, Height};
use quorate_pbft::{Checkpoint, Evidence, Input, Message, Pair, Rejected, Request};

use crate::net::{self, Boundary, CHAIN, Envelope, Net, STATUS, id};

/// K and L of these tests.
const INTERVAL: u64 = 4;
const LOG: u64 = 8;

fn of(size: usize) -> Net {
    Net::with(size, |config| (config.checkpoint_interval, config.log_window) = (INTERVAL, LOG))
}

fn checkpoint(header: &Header) -> Checkpoint {
    Checkpoint::of(header, net::state_root(header))
}

/// Orders blocks up to this height.
fn order(net: &mut Net, height: u64) {
    while net.height(0) < height {
        let name = format!("block {}", net.height(0) + 1);
        net.propose(&name);
        net.deliver_all();
    }
}

fn stable(net: &Net) -> Vec<u64> {
    let height = |node: usize| net.nodes[node].replica().overview(net.now(node)).stable.0;
    (0..net.size()).filter(|node| net.nodes[*node].runs()).map(height).collect()
}

fn requested_heights(net: &Net, node: usize) -> Vec<u64> {
    let heights = net.requests(node).iter().filter_map(|request| match request {
        Request::CatchUp { height } => Some(height.0),
        _ => None,
    });
    heights.collect()
}

/// R23: all members sign every K-th block, and it becomes stable. The certificate proves this to
/// third parties.
#[test]
fn every_kth_block_becomes_stable() {
    for size in [1, 4, 6] {
        let mut net = of(size);
        order(&mut net, 3);
        assert!(stable(&net).iter().all(|height| *height == 0));
        order(&mut net, 10);
        assert!(stable(&net).iter().all(|height| *height == 8), "{:?}", stable(&net));
        let certificate = net.nodes[0].replica().stable_checkpoint().unwrap();
        assert_eq!(certificate.checkpoint(), &checkpoint(&net.nodes[0].chain[8]));
        let claim = (**certificate).clone();
        assert!(claim.verify(&CHAIN, &net.config.context.committee).is_ok());
        let reports = net.requests(0).iter().filter(|request| matches!(request, Request::Stable(_)));
        assert_eq!(reports.count(), 2);
    }
}

/// R23: f + 1 members do not make a checkpoint stable, since only one of them may be correct and
/// have the state.
#[test]
fn one_vote_less_than_a_quorum_is_not_stable() {
    let mut net = of(4);
    net.links.lose(|envelope| envelope.is_checkpoint() && envelope.from.0 >= 2);
    order(&mut net, 4);
    assert_eq!(stable(&net), [0, 0, 4, 4], "replicas 2 and 3 have their own CHECKPOINTs, too");
}

/// R23: replicas resend lost CHECKPOINTs in answer to STATUS, also when nothing new is ordered.
#[test]
fn checkpoints_are_resent_on_an_idle_network() {
    let mut net = of(4);
    net.links.lose(Envelope::is_checkpoint);
    order(&mut net, 4);
    net.pass(5 * STATUS);
    assert_eq!(stable(&net), [0; 4]);
    net.links.heal();
    net.pass(STATUS);
    assert_eq!(stable(&net), [4; 4]);
    let before = net.links.sent[6];
    net.pass(5 * STATUS);
    assert_eq!(net.links.sent[6], before, "no CHECKPOINT is sent once it is stable at all members");
}

/// R23: upon a checkpoint of others above its chain, the replica fetches blocks up to there. It
/// adopts the checkpoint once its own chain has reached it.
#[test]
fn a_checkpoint_ahead_is_fetched_before_it_is_stable() {
    let mut net = of(4);
    net.catching_up = false;
    net.links.lose(|envelope| envelope.to == id(3) && !envelope.is_checkpoint());
    order(&mut net, 4);
    assert_eq!((net.height(3), stable(&net)), (0, vec![4, 4, 4, 0]));
    assert_eq!(requested_heights(&net, 3), [4]);
    net.links.heal();
    net.catching_up = true;
    net.pass(2 * STATUS);
    assert_eq!((net.height(3), stable(&net)), (4, vec![4; 4]));
}

/// R23: CHECKPOINTs of one member at far heights cause no request for blocks, and take no room from
/// other members.
#[test]
fn a_checkpoint_of_one_member_has_no_effect() {
    let mut net = of(4);
    net.corrupt(3);
    let header = net::root(&net.config);
    for height in (1..500).map(|index| index * INTERVAL).chain([u64::MAX - 3]) {
        let vote = net.sign(3, Checkpoint { height: Height(height), ..checkpoint(&header) });
        let message = Message::Checkpoint(vote);
        net.inject(3, 0, message);
    }
    order(&mut net, 4);
    assert_eq!((requested_heights(&net, 0), stable(&net)), (vec![], vec![4, 4, 4]));
}

/// R23: a replica signs a CHECKPOINT only after its ledger is durable up to there, since members
/// that receive it may fetch those blocks.
#[test]
fn a_checkpoint_waits_for_the_ledger() {
    let mut net = of(4);
    net.nodes[1].ledger_lags = true;
    net.crash(3);
    order(&mut net, 5);
    assert_eq!(stable(&net), [0; 3], "replicas 0 and 2 are not a quorum");
    let due = |net: &Net| net.nodes[1].replica().overview(net.now(1)).checkpoint_due;
    assert_eq!(due(&net), Some(Height(4)));
    net.input(1, Input::Durable(Height(3)));
    assert_eq!(due(&net), Some(Height(4)));
    net.input(1, Input::Durable(Height(4)));
    net.deliver_all();
    assert_eq!((due(&net), stable(&net)), (None, vec![4; 3]));
}

/// R23: a replica signs a CHECKPOINT only when its engine has executed the block, since the state root
/// is that of the state after it.
#[test]
fn a_checkpoint_waits_for_the_state() {
    let mut net = of(4);
    net.nodes[1].executor.late = true;
    net.crash(3);
    order(&mut net, 5);
    assert_eq!(stable(&net), [0; 3], "replicas 0 and 2 are not a quorum");
    let now = net.now(1);
    net.nodes[1].execute(now, Height(3));
    net.pass(STATUS);
    assert_eq!(stable(&net), [0; 3]);
    let now = net.now(1);
    net.nodes[1].execute(now, Height(5));
    net.pass(STATUS);
    assert_eq!(stable(&net), [4; 3]);
    let signed = net.nodes[1].replica().stable_checkpoint().unwrap().checkpoint().state_root;
    assert_eq!(signed, net::state_root(&net.nodes[1].chain[4]));
}

/// R7, R23: without a new stable checkpoint, proposals stop L above the last one, at the primary
/// and at backups. They continue when a checkpoint becomes stable.
#[test]
fn nothing_is_ordered_beyond_the_log_window() {
    let mut net = of(4);
    net.links.lose(Envelope::is_checkpoint);
    order(&mut net, LOG);
    assert!(net.try_propose("too far").is_none());
    let parent = net.nodes[1].tip().clone();
    let skeleton = net::block(&parent, "too far", net.now(0).wall, id(0));
    let proposal = net.proposal(0, &skeleton, 0);
    net.inject(0, 1, proposal);
    net.deliver_all();
    assert!(net.slots(1).is_empty());
    net.links.heal();
    net.pass(STATUS);
    assert_eq!(stable(&net), [8; 4]);
    net.propose("the next");
    net.deliver_all();
    assert_eq!(net.heights(), [9; 4]);
}

/// R23: the highest checkpoint of a quorum counts, so the next one replaces one that was lost.
#[test]
fn a_later_checkpoint_makes_up_for_an_earlier_one() {
    let mut net = of(4);
    net.links.lose(Envelope::is_checkpoint);
    order(&mut net, 7);
    net.links.heal();
    order(&mut net, 8);
    assert_eq!(stable(&net), [8; 4]);
}

/// R4, R22a, R23: two states of one member at one height are evidence. A CHECKPOINT with another
/// state does not count towards the quorum of the others.
#[test]
fn a_member_with_two_states_is_accused() {
    let mut net = of(4);
    net.corrupt(3);
    order(&mut net, 3);
    let header = net.nodes[0].tip().clone();
    let one = Checkpoint { height: Height(4), ..checkpoint(&header) };
    let other = Checkpoint { state_root: Hash::ZERO, ..one };
    let (first, second) = (net.sign(3, one), net.sign(3, other));
    for vote in [&first, &second, &first] {
        net.inject(3, 0, Message::Checkpoint(vote.clone()));
    }
    net.links.lose(|envelope| envelope.is_checkpoint() && envelope.from == id(2));
    order(&mut net, 4);
    assert_eq!(stable(&net)[0], 0, "only two of four have sent the same CHECKPOINT");
    let proof = Evidence::Checkpoint(Pair { first, second }).check(&net.config.context).unwrap();
    let proof = Request::Evidence(proof);
    assert!((0..3).all(|node| net.requests(node).contains(&proof)));
    net.assert_view(0);
}

/// R23: replicas keep CHECKPOINTs only at multiples of K. The genesis needs none.
#[test]
fn checkpoints_at_other_heights_are_not_kept() {
    let mut net = of(4);
    let root = net::root(&net.config);
    for height in [0, 3] {
        let vote = net.sign(1, Checkpoint { height: Height(height), ..checkpoint(&root) });
        let result = net.receive(Envelope { from: id(1), to: id(2), message: Message::Checkpoint(vote) });
        let expected = if height == 0 { Err(Rejected::Checkpoint(Height(0))) } else { Ok(()) };
        assert_eq!(result, expected);
    }
    assert_eq!(net.counters(2).outside_window, 1);
}

/// R23: a quorum has another state at a height than this node. The node computes something else
/// than the others, so it stops.
#[test]
#[should_panic(expected = "FORK")]
fn another_state_than_the_quorums_stops_the_node() {
    let mut net = of(4);
    net.links.lose(Envelope::is_checkpoint);
    order(&mut net, 4);
    let other = Checkpoint { state_root: Hash::ZERO, ..checkpoint(net.nodes[0].tip()) };
    for from in [1, 2, 3] {
        let message = Message::Checkpoint(net.sign(from, other));
        let _ = net.receive(Envelope { from: id(from), to: id(0), message });
    }
}

/// R13, R23: replica 1 crashes at every group of records around a checkpoint. It signs the
/// checkpoint once, with the same content.
#[test]
fn a_crash_at_every_boundary_of_a_checkpoint() {
    let groups = {
        let mut net = of(4);
        order(&mut net, 8);
        net.nodes[1].groups
    };
    for group in 0..groups {
        for boundary in [Boundary::BeforePersist, Boundary::AfterPersist] {
            let mut net = of(4);
            net.nodes[1].crash_at = Some((group, boundary));
            order(&mut net, 8);
            if !net.nodes[1].runs() {
                net.restart(1);
            }
            net.pass(3 * STATUS);
            assert_eq!(stable(&net), [8; 4], "{group} {boundary:?}");
            net.crash(0);
            net.restart(0);
            assert_eq!(stable(&net)[0], 8, "the stable checkpoint survives a restart");
        }
    }
}
