//! Messages that any member may send: refused with a reason, or kept within bounds.

use quorate_ledger::{
    Ballot, BlockError, BlockHash, ChainId, Commit, Epoch, Height, Signed, SignedError, Signers,
    TransactionId, View,
};
use quorate_pbft::{
    HighWaterMark, MAX_STATUS_SLOTS, MAX_WINDOW, Message, PrePrepare, Prepare, Rejected, SlotStatus, Status,
};

use crate::net::{self, CHAIN, Envelope, Net, WINDOW, ballot, block, id};

fn at(height: u64, view: u64) -> Ballot {
    Ballot {
        epoch: Epoch(0),
        view: View(view),
        height: Height(height),
        block: BlockHash::from_bytes([height.to_le_bytes()[0]; 32]),
    }
}

/// Why replica 2 refuses a message from member 1.
fn refusal(net: &mut Net, message: Message) -> Rejected {
    net.refusal(1, message)
}

/// R2: only the primary of a view proposes in it.
#[test]
fn only_the_primary_of_a_view_proposes_in_it() {
    let mut net = Net::of(4);
    let skeleton = net.first_block("A", 0);
    for (signer, view) in [(1, 0), (2, 0), (0, 1), (3, 4)] {
        let message = net.proposal(signer, &skeleton, view);
        let expected = Rejected::NotPrimary { signer: id(signer), view: View(view) };
        assert_eq!(refusal(&mut net, message), expected);
    }
}

/// R2: header, ids and signature of a proposal must belong together and be the primary's.
#[test]
fn proposals_with_parts_of_others_are_refused() {
    let mut net = Net::of(4);
    let skeleton = net.first_block("A", 0);
    let other = block(&net::root(&net.config), "B", net.now(0).wall, id(0));
    let Message::PrePrepare(good) = net.proposal(0, &skeleton, 0) else { unreachable!() };

    let mut header = good.clone();
    header.header = other.header().clone();
    assert_eq!(refusal(&mut net, Message::PrePrepare(header)), Rejected::OtherHeader);

    let mut height = good.clone();
    height.vote = net.sign(0, PrePrepare(Ballot { height: Height(2), ..ballot(&skeleton, 0) }));
    assert_eq!(refusal(&mut net, Message::PrePrepare(height)), Rejected::OtherHeader);

    let mut ids = good.clone();
    ids.ids = other.ids().to_vec();
    let expected = BlockError::Body { field: "transactions_root" };
    assert_eq!(refusal(&mut net, Message::PrePrepare(ids)), Rejected::Block(expected));

    let mut more = good.clone();
    more.ids.push(TransactionId::from_bytes([1; 32]));
    let expected = BlockError::Body { field: "transaction_count" };
    assert_eq!(refusal(&mut net, Message::PrePrepare(more)), Rejected::Block(expected));

    let mut signature = good;
    signature.vote = Signed { signature: net.sign(1, signature.vote.body).signature, ..signature.vote };
    let expected = Rejected::Signature(SignedError::BadSignature(id(0)));
    assert_eq!(refusal(&mut net, Message::PrePrepare(signature)), expected);
}

/// The check refuses votes of another kind, chain or epoch, and votes of signers that are no
/// members.
#[test]
fn votes_made_for_something_else_are_refused() {
    let mut net = Net::of(4);
    let body = at(1, 0);
    let Message::Commit(commit) = net.commit(1, body) else { unreachable!() };
    let as_prepare =
        Message::Prepare(Signed { body: Prepare(body), signer: id(1), signature: commit.signature });
    assert_eq!(refusal(&mut net, as_prepare), Rejected::Signature(SignedError::BadSignature(id(1))));

    let Message::Prepare(prepare) = net.prepare(1, body) else { unreachable!() };
    let as_commit =
        Message::Commit(Signed { body: Commit(body), signer: id(1), signature: prepare.signature });
    assert_eq!(refusal(&mut net, as_commit), Rejected::Signature(SignedError::BadSignature(id(1))));

    let elsewhere = Signed::sign(&ChainId::from_bytes([1; 32]), &net.keys[1], id(1), Prepare(body));
    let expected = Rejected::Signature(SignedError::BadSignature(id(1)));
    assert_eq!(refusal(&mut net, Message::Prepare(elsewhere.into_inner())), expected);

    let later = net.prepare(1, Ballot { epoch: Epoch(1), ..body });
    assert_eq!(refusal(&mut net, later), Rejected::Epoch(Epoch(1)));
    let later = net.commit(1, Ballot { epoch: Epoch(1), ..body });
    assert_eq!(refusal(&mut net, later), Rejected::Epoch(Epoch(1)));

    let stranger = Signed::sign(&CHAIN, &net.keys[1], id(9), Prepare(body)).into_inner();
    let envelope = Envelope { from: id(9), to: id(2), message: Message::Prepare(stranger) };
    assert_eq!(net.receive(envelope), Err(Rejected::Signature(SignedError::UnknownSigner(id(9)))));
}

/// R7, R11: two members vote for all heights and views that exist. Their votes fill 2 W heights of
/// three views, once.
#[test]
fn a_flood_of_votes_fills_the_window_and_no_more() {
    let mut net = Net::of(4);
    for round in 0..2 {
        for height in (0..4 * WINDOW).chain([u64::MAX - 1, u64::MAX]) {
            for view in [0, 1, 2, 3, 4, u64::MAX] {
                for from in [1, 2] {
                    let (prepare, commit) =
                        (net.prepare(from, at(height, view)), net.commit(from, at(height, view)));
                    net.inject(from, 3, prepare);
                    net.inject(from, 3, commit);
                }
            }
        }
        net.deliver_all();
        let slots = net.slots(3);
        assert_eq!(slots.len() as u64, 2 * WINDOW * 3, "in round {round}");
        assert_eq!(slots.last().unwrap().height, Height(2 * WINDOW));
        let votes: usize = slots.iter().map(|slot| slot.prepares.len() + slot.commits.len()).sum();
        // Each slot has PREPARE and COMMIT of both members. The exception is the PREPARE of member
        // 1 or 2 in views of which it is the primary (R9).
        assert_eq!(votes, slots.len() * 4 - 2 * usize::try_from(2 * WINDOW).unwrap(), "in round {round}");
    }
    assert!(net.nodes[3].replica().counters().outside_window > 0);
    assert!(net.nodes[3].journal.is_empty());
}

/// R7: the window of a backup is twice the primary's, counted from the backup's own last committed
/// block.
#[test]
fn a_backup_takes_proposals_up_to_twice_the_window() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let mut parent = net::root(&net.config);
    for height in 1..=2 * WINDOW + 1 {
        let skeleton = block(&parent, &format!("block {height}"), net.now(0).wall, id(0));
        let proposal = net.proposal(0, &skeleton, 0);
        net.inject(0, 1, proposal);
        parent = skeleton.header().clone();
    }
    net.deliver_all();
    assert_eq!(net.nodes[1].replica().in_flight(), 2 * WINDOW);
    assert_eq!(net.nodes[1].replica().counters().outside_window, 1);
    assert!(net.nodes[1].replica().proposal_parent().is_none(), "a backup proposes nothing");
}

/// R11: the replica keeps proposals and votes of the next views, and does not act on them in this
/// view.
#[test]
fn proposals_of_other_views_wait() {
    let mut net = Net::of(4);
    let skeleton = block(&net::root(&net.config), "A", net.now(1).wall, id(1));
    let proposal = net.proposal(1, &skeleton, 1);
    net.inject(1, 2, proposal);
    for from in [0, 3] {
        let prepare = net.prepare(from, ballot(&skeleton, 1));
        net.inject(from, 2, prepare);
    }
    net.deliver_all();
    assert!(net.nodes[2].journal.is_empty());
    let slots = net.slots(2);
    assert_eq!((slots.len(), slots[0].view, slots[0].prepares.len()), (1, View(1), 2));
    assert_eq!(slots[0].phase, quorate_pbft::Phase::WaitingForParent);
    assert!(net.requests(2).is_empty(), "the proposal is not validated by the rules of this view");
    net.propose("in this view");
    net.deliver_all();
    net.assert_chain(&["in this view"]);
}

/// R14a: a replica uses STATUS only to see what to send or fetch. False content does no harm.
#[test]
fn a_nonsensical_status_does_no_harm() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.links.hold(|envelope| envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    // A proposal that would prove an equivocation of the primary if its signature were valid.
    let forged = Signed { signer: id(0), ..net.sign(1, PrePrepare(at(1, 0))) };
    let slot = |height| SlotStatus {
        height: Height(height),
        proposal: (height % 2 == 0).then_some(BlockHash::from_bytes([8; 32])),
        prepares: Signers::of([id(31)]),
        commits: Signers::of([id(0)]),
    };
    for (view, committed) in [(0, u64::MAX), (u64::MAX, 0), (7, 7), (0, 0)] {
        let status = Status {
            epoch: Epoch(0),
            view: View(view),
            active: view % 2 == 0,
            committed: Height(committed),
            committed_hash: BlockHash::from_bytes([7; 32]),
            stable: Height(committed),
            mark: HighWaterMark::default(),
            probing: view == 7,
            superseded: (view == 0).then_some(forged.clone()),
            slots: (0..u64::from(MAX_STATUS_SLOTS)).rev().chain([u64::MAX]).map(slot).take(64).collect(),
        };
        net.inject(1, 2, Message::Status(status));
        net.pass(net::STATUS);
    }
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
    net.pass(net::STATUS / 2);
    let status = Status { superseded: Some(forged), ..net.nodes[1].replica().status() };
    assert!(matches!(refusal(&mut net, Message::Status(status)), Rejected::Signature(_)));
    assert!(net.accused(2).is_empty());
    let foreign = Status { epoch: Epoch(3), ..net.nodes[1].replica().status() };
    assert_eq!(refusal(&mut net, Message::Status(foreign)), Rejected::Epoch(Epoch(3)));
}

/// A STATUS has room for all open heights of the largest window. A longer list is refused before it
/// is read.
#[test]
fn a_status_has_room_for_the_largest_window() {
    let mut net = Net::with(4, |config| config.context.window = MAX_WINDOW);
    for height in 1..=2 * MAX_WINDOW {
        let prepare = net.prepare(2, at(height, 0));
        net.inject(2, 1, prepare);
    }
    net.deliver_all();
    let status = net.nodes[1].replica().status();
    assert_eq!(status.slots.len(), MAX_STATUS_SLOTS as usize);
    let mut bytes = quorate_ledger::encode(&Message::Status(status.clone()));
    assert_eq!(quorate_ledger::decode::<Message>(&bytes), Ok(Message::Status(status)));
    let count = 1 + 8 + 8 + 1 + 8 + 32 + 8 + 48 + 1 + 1;
    bytes[count] += 1;
    let error = quorate_ledger::decode::<Message>(&bytes).unwrap_err();
    assert!(error.reason.contains("65 elements"), "{error}");
}

/// R7: a window above 32 does not fit into STATUS and proofs. `Replica::new` panics.
#[test]
#[should_panic(expected = "window")]
fn a_window_above_the_maximum_is_refused() {
    let _ = Net::with(4, |config| config.context.window = MAX_WINDOW + 1);
}
