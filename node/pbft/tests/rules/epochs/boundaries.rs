//! Epochs that end and begin, without faulty members.

use quorate_ledger::{Epoch, Height};
use quorate_pbft::SigningStatus;

use crate::net::{Epochs, Next, STATUS, TIMEOUT};

/// R26b, R26e: for every window, the epoch ends W heights above the deciding block, under load. The
/// next one orders at once: no member probes.
#[test]
fn an_epoch_ends_and_the_next_one_begins_under_load() {
    for window in [1, 8, 32] {
        let mut epochs = Epochs::of(4, |config| config.context.window = window);
        epochs.plan(Next::renewed(2, &epochs.nets[0]));
        epochs.order("a", 2 + usize::try_from(window).unwrap());
        epochs.pass(STATUS);
        assert_eq!(epochs.nets.len(), 2);
        epochs.assert_heights(2 + window);
        assert_eq!(epochs.last().signing(0), SigningStatus::Voting);
        let root = epochs.last().root.clone();
        assert_eq!((root.height, root.epoch, root.ends_epoch()), (Height(2 + window), Epoch(0), true));
        epochs.order("b", 3);
        epochs.pass(STATUS);
        epochs.assert_heights(5 + window);
        let net = epochs.last();
        net.assert_view(0);
        assert_eq!(net.nodes[0].tip().epoch, Epoch(1));
        // Views begin at 0 in every epoch, and another member is the first primary.
        assert_eq!(net.primary_of(0), 1);
    }
}

/// R26c: if nothing is submitted, the primary fills the heights up to the end with empty blocks,
/// and no view ends.
#[test]
fn an_idle_network_fills_the_heights_up_to_the_end() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    epochs.order("a", 1);
    epochs.pass(4 * STATUS);
    epochs.assert_heights(5);
    assert_eq!(epochs.nets[0].chain(0), ["a0", "empty", "empty", "empty", "empty"]);
    assert_eq!(epochs.nets[0].departures(1), []);
    assert_eq!(epochs.nets[0].bad_proposals(1).len(), 0);
    // Nothing is filled in the new epoch.
    epochs.pass(4 * STATUS);
    epochs.assert_heights(5);
}

/// R26c: a height that must be filled is pending work. A primary that does not fill it is replaced.
#[test]
fn a_primary_that_does_not_fill_is_replaced() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    epochs.order("a", 1);
    epochs.nets[0].corrupt(0);
    epochs.pass(2 * TIMEOUT + 4 * STATUS);
    assert_eq!(epochs.nets[0].height(1), 5);
    assert_eq!(epochs.nets.len(), 2);
    assert_eq!(epochs.last().height(1), 5);
}

/// R26: with loss in both epochs, every member gets over the boundary, by votes or by certified
/// blocks.
#[test]
fn an_epoch_ends_although_messages_are_lost() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(2, &epochs.nets[0]));
    // Member 3 receives no COMMIT, and member 2 no proposal.
    epochs.nets[0].links.lose(|envelope| {
        envelope.to.0 == 3 && envelope.is_commit() || envelope.to.0 == 2 && envelope.is_proposal()
    });
    epochs.order("a", 6);
    epochs.pass(4 * STATUS);
    epochs.assert_heights(6);
    epochs.order("b", 2);
    epochs.pass(4 * STATUS);
    epochs.assert_heights(8);
}

/// R20, R26: the primary fails while the last blocks are in flight. The next view of the same epoch
/// orders them, and the epoch ends.
#[test]
fn a_view_change_completes_the_last_block_of_an_epoch() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    epochs.order("a", 1);
    let net = &mut epochs.nets[0];
    net.links.lose(|envelope| envelope.is_commit() && envelope.is_in_view(0));
    while net.try_propose("b").is_some() {}
    net.deliver_all();
    net.corrupt(0);
    epochs.pass(3 * TIMEOUT);
    assert_eq!(epochs.nets[0].height(1), 5, "the last block was proposed again");
    assert_eq!(epochs.nets.len(), 2);
    let tip = epochs.nets[1].nodes[1].tip().clone();
    assert_eq!((tip.height, tip.ends_epoch()), (Height(5), true));
    epochs.last().assert_view(0);
}

/// R26e: 4 members become 5 with other keys in another order, and then 4 again.
#[test]
fn committees_change_between_epochs() {
    let mut epochs = Epochs::of(4, |_| {});
    let seeds = [(11, Some(2)), (1, Some(0)), (31, None), (24, Some(3)), (15, Some(1))];
    epochs.plan(Next::of(1, &seeds));
    epochs.order("a", 5);
    epochs.pass(4 * STATUS);
    epochs.assert_heights(5);
    assert_eq!(epochs.last().size(), 5);
    epochs.order("b", 2);
    let seeds = [(41, Some(4)), (42, Some(2)), (43, Some(1)), (44, Some(0))];
    epochs.plan(Next::of(8, &seeds));
    epochs.order("c", 5);
    epochs.pass(4 * STATUS);
    assert_eq!(epochs.nets.len(), 3);
    epochs.assert_heights(12);
    assert_eq!(epochs.last().size(), 4);
    epochs.order("d", 2);
    epochs.pass(STATUS);
    epochs.assert_heights(14);
    assert_eq!(epochs.last().nodes[0].tip().epoch, Epoch(2));
}

/// R26d: a replica whose epoch is over signs nothing and leaves no view, but still sends STATUS.
#[test]
fn a_replica_whose_epoch_is_over_only_answers() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    let net = &mut epochs.nets[0];
    for name in ["a", "b", "c", "d", "e"] {
        net.propose(name);
        net.deliver_all();
    }
    assert_eq!(net.heights(), [5; 4]);
    assert!((0..4).all(|node| net.nodes[node].replica().epoch_is_over()));
    net.all_have_work(quorate_pbft::Work::Timely);
    let records: Vec<usize> = net.nodes.iter().map(|node| node.journal.len()).collect();
    let status = net.links.sent[3];
    net.pass(4 * TIMEOUT);
    net.all_report_censorship();
    net.deliver_all();
    assert!(net.links.sent[3] > status);
    assert_eq!(net.nodes.iter().map(|node| node.journal.len()).collect::<Vec<_>>(), records);
    net.assert_view(0);
}
