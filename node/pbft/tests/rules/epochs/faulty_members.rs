//! Byzantine members at the end and at the begin of an epoch.

use quorate_ledger::{BlockHash, BlockSkeleton, Epoch, Hash, Header, Height, TransactionId};
use quorate_pbft::{Dropped, EpochRoot, Message, Prepare, Rejected, Screen, Seen, ViewChangePayload};

use crate::net::{Epochs, Net, Next, Plan, STATUS, ballot, block_of, id};

/// Epoch 0 decides at height 1 that it ends at height 5. This many blocks are final.
fn deciding(blocks: usize) -> Epochs {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    for name in ["a", "b", "c", "d", "e"].into_iter().take(blocks) {
        epochs.nets[0].propose(name);
        epochs.nets[0].deliver_all();
    }
    epochs
}

/// Epoch 1 has begun on the block at height 5.
fn in_second_epoch() -> Epochs {
    let mut epochs = deciding(5);
    epochs.pass(STATUS);
    epochs.assert_heights(5);
    assert_eq!(epochs.nets.len(), 2);
    epochs
}

/// A block of member 0 with one transaction.
fn of_primary(net: &Net, parent: &Header, name: u8, next_committee: Hash) -> BlockSkeleton {
    let ids = vec![TransactionId::from_bytes([name; 32])];
    block_of(parent, ids, net.now(0).wall, id(0), next_committee)
}

fn next_hash(net: &Net) -> Hash {
    net.nodes[1].executor.plan.unwrap().next_committee.unwrap()
}

/// R26b: a correct primary proposes nothing above the last block of its epoch, also while the last
/// block is in flight.
#[test]
fn nothing_is_proposed_beyond_the_end() {
    let mut epochs = deciding(2);
    let net = &mut epochs.nets[0];
    let mut proposed = 0;
    while proposed < 10 && net.try_propose("x").is_some() {
        proposed += 1;
    }
    net.deliver_all();
    assert_eq!((proposed, net.heights()), (3, vec![5; 4]));
}

/// R26b: backups keep no slot above the end, also one that they made before they knew the end.
#[test]
fn a_proposal_beyond_the_end_is_dropped() {
    let mut epochs = deciding(0);
    let net = &mut epochs.nets[0];
    net.corrupt(0);
    let own = net.config.context.committee.hash();
    let mut parent = net.root.clone();
    let mut blocks = Vec::new();
    for name in 1..=7 {
        let block = of_primary(net, &parent, name, if name == 5 { next_hash(net) } else { own });
        // Above the end, it claims to be of the same epoch.
        let header = Header {
            epoch: Epoch(0),
            committee: own,
            next_committee: block.header().next_committee,
            ..block.header().clone()
        };
        let block = BlockSkeleton::new(header, block.ids().to_vec()).unwrap();
        parent = block.header().clone();
        blocks.push(block);
    }
    for block in blocks.iter().rev() {
        net.inject_to_all(0, &[1, 2, 3], &net.proposal(0, block, 0));
    }
    net.deliver_all();
    assert_eq!(net.heights()[1..], [5; 3]);
    assert_eq!(net.slots(1), []);
    let before = net.counters(1).outside_window;
    net.inject(0, 1, net.proposal(0, &blocks[6], 0));
    net.deliver_all();
    assert!(net.slots(1).is_empty());
    assert!(net.counters(1).outside_window >= before);
    assert_eq!(net.bad_proposals(1).len(), 0);
}

/// R26b: only the last block of an epoch names the next committee, and it must.
#[test]
fn a_wrong_next_committee_is_refused() {
    for wrong in 2..=5 {
        let mut epochs = deciding(1);
        let net = &mut epochs.nets[0];
        net.corrupt(0);
        let (own, next) = (net.config.context.committee.hash(), next_hash(net));
        let mut parent = net.nodes[1].tip().clone();
        for name in 2..=wrong {
            let named = if (u64::from(name) == 5) == (name == wrong) { own } else { next };
            let named = if name < wrong { own } else { named };
            let block = of_primary(net, &parent, name, named);
            net.inject_to_all(0, &[1, 2, 3], &net.proposal(0, &block, 0));
            parent = block.header().clone();
        }
        net.deliver_all();
        assert_eq!(net.heights()[1..], [u64::from(wrong) - 1; 3]);
        for node in 1..4 {
            let refused = net.bad_proposals(node);
            assert!(matches!(refused[..], [reason] if reason.contains("next_committee")), "{refused:?}");
        }
    }
}

/// R26c: heights are filled up to the last one below the change, and no further.
#[test]
fn an_early_empty_block_without_reason_is_refused() {
    let mut net = Net::governed(4, |_| {});
    for node in &mut net.nodes {
        node.executor.plan = Some(Plan { decided: Height(1), next_committee: None });
    }
    net.propose("a");
    net.deliver_all();
    for _ in 2..=5 {
        net.fill();
        net.deliver_all();
    }
    assert_eq!(net.heights(), [5; 4]);
    assert!(net.nodes[0].replica().proposal_parent().is_some() && !net.nodes[0].replica().may_fill());
    net.corrupt(0);
    let own = net.config.context.committee.hash();
    let empty = block_of(net.nodes[1].tip(), Vec::new(), net.now(0).wall, id(0), own);
    net.inject_to_all(0, &[1, 2, 3], &net.proposal(0, &empty, 0));
    net.deliver_all();
    assert_eq!(net.heights()[1..], [5; 3]);
    assert!(net.bad_proposals(1)[0].contains("empty block"));
}

/// R19b, R26: the root is the lowest committed anchor of an epoch. A certificate for it, or for a
/// block below it, proves nothing in this epoch.
#[test]
fn an_anchor_at_or_below_the_root_is_refused() {
    let mut epochs = in_second_epoch();
    let net = epochs.last();
    let root = EpochRoot::of(&net.root);
    let at = |height: u64, epoch: u64| {
        let first = of_primary(net, &net.root, 1, net.config.context.committee.hash());
        let block = BlockHash::from_bytes([7; 32]);
        quorate_ledger::Ballot { epoch: Epoch(epoch), height: Height(height), block, ..ballot(&first, 0) }
    };
    let anchors =
        [(at(5, 1), "root of the epoch"), (at(3, 1), "root of the epoch"), (at(5, 0), "another epoch")];
    for (ballot, reason) in anchors {
        let anchor = Some(net.certificate(ballot, &[0, 1, 2]));
        let change = net.view_change(3, 1, ViewChangePayload { anchor, prepared: Vec::new() });
        let refused = net.refusal(3, Message::ViewChange(change));
        assert!(matches!(refused, Rejected::ViewChange(text) if text.contains(reason)), "{refused:?}");
    }
    let stranger = Header { timestamp: net.root.timestamp.plus_ms(1), ..net.root.clone() };
    let first = of_primary(net, &stranger, 1, net.config.context.committee.hash());
    let prepared = vec![net.prepared(&first, 0, &[2, 3])];
    let change = net.view_change(3, 1, ViewChangePayload { anchor: None, prepared });
    let refused = net.refusal(3, Message::ViewChange(change));
    assert!(matches!(refused, Rejected::ViewChange(text) if text.contains("extend the root")), "{refused:?}");
    assert_eq!(EpochRoot::of(&net.root), root);
}

/// R23, R26: the epoch before certifies heights up to the root.
#[test]
fn a_checkpoint_at_the_root_is_refused() {
    let mut epochs = in_second_epoch();
    let net = epochs.last();
    let mut checkpoint = quorate_pbft::Checkpoint::of(&net.root, Hash::ZERO);
    checkpoint.epoch = Epoch(1);
    let message = Message::Checkpoint(net.sign(3, checkpoint));
    assert_eq!(net.refusal(3, message), Rejected::Checkpoint(Height(5)));
}

/// R26f: messages of another epoch are dropped before any other comparison, and refused by the
/// check.
#[test]
fn a_message_of_another_epoch_is_dropped() {
    let mut epochs = in_second_epoch();
    let old = &epochs.nets[0];
    let new = &epochs.nets[1];
    let ballot = ballot(&of_primary(old, &old.root, 1, Hash::ZERO), 9);
    let messages = [
        old.prepare(3, ballot),
        old.commit(3, ballot),
        Message::ViewChange(old.view_change(3, 9, ViewChangePayload::default())),
        Message::Seen(Seen::nothing(Epoch(0))),
    ];
    let position = new.nodes[2].replica().position();
    for message in messages {
        assert_eq!(message.epoch(), Epoch(0));
        let mut screen = Screen::new(new.config.clone(), id(2), id(3));
        let dropped = screen.admit(new.moment, &position, &mut message.clone());
        assert_eq!(dropped, Err(Dropped::Useless), "{message:?}");
        let refused = message.check(id(3), &new.config.context);
        assert_eq!(refused, Err(Rejected::Epoch(Epoch(0))));
    }
    // And the other way: a member that is already in the next epoch.
    let ahead = Message::Prepare(new.sign(3, Prepare(quorate_ledger::Ballot { epoch: Epoch(1), ..ballot })));
    let refused = ahead.check(id(3), &old.config.context);
    assert_eq!(refused, Err(Rejected::Epoch(Epoch(1))));
    epochs.order("f", 2);
    epochs.pass(STATUS);
    epochs.assert_heights(7);
}
