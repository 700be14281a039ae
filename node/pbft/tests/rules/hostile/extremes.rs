//! Numbers at the limits of their types, in every message and in all its parts, with all signatures
//! that it needs. The check must not panic. Messages of one faulty member that pass the check must
//! change nothing.

use std::time::Duration;

use quorate_ledger::{
    Ballot, BlockHash, BlockSkeleton, Commit, CommitCertificate, Epoch, Hash, Header, Height, Signers,
    Timestamp, View, decode, encode,
};
use quorate_pbft::{
    Checkpoint, Crossed, Evidence, HiddenCertificate, HighWaterMark, Message, NewView, NewViewMessage, Pair,
    PrePrepare, Prepare, PreparedCertificate, Seen, SlotStatus, Status, ViewChange, ViewChangeMessage,
    ViewChangePayload,
};

use crate::net::{self, Net, STATUS, TIMEOUT, ballot, block, id};

const EDGES: [u64; 6] = [0, 1, i64::MAX as u64, u64::MAX - 64, u64::MAX - 1, u64::MAX];

fn pairs() -> impl Iterator<Item = (u64, u64)> {
    EDGES.into_iter().flat_map(|first| EDGES.into_iter().map(move |second| (first, second)))
}

fn at(height: u64, view: u64) -> Ballot {
    Ballot {
        epoch: Epoch(0),
        view: View(view),
        height: Height(height),
        block: BlockHash::from_bytes([height.to_le_bytes()[0]; 32]),
    }
}

/// A block at any height and time.
fn block_at(net: &Net, height: u64, time: u64) -> BlockSkeleton {
    let first = block(&net::root(&net.config), "A", net.now(0).wall, id(0));
    let header = Header { height: Height(height), timestamp: Timestamp(time), ..first.header().clone() };
    BlockSkeleton::new(header, first.ids().to_vec()).unwrap()
}

/// Two backups of a view, whose PREPAREs count.
fn backups(net: &Net, view: u64) -> Vec<usize> {
    (0..4).filter(|member| *member != net.primary_of(view)).take(2).collect()
}

fn prepared(net: &Net, height: u64, view: u64) -> PreparedCertificate {
    net.prepared(&block_at(net, height, 1_000_000), view, &backups(net, view))
}

fn anchor(net: &Net, height: u64, view: u64) -> CommitCertificate {
    net.certificate(ballot(&block_at(net, height, 1_000_000), view), &[0, 1, 2])
}

/// Proposals and votes of every kind at these numbers. Member 0, which is Byzantine, signs the
/// votes.
fn votes(net: &Net, height: u64, view: u64) -> Vec<Message> {
    let proposal = |time| net.proposal(net.primary_of(view), &block_at(net, height, time), view);
    let checkpoint = |height| Checkpoint {
        epoch: Epoch(0),
        height: Height(height),
        block: BlockHash::from_bytes([1; 32]),
        state_root: Hash::from_bytes([2; 32]),
    };
    vec![
        proposal(0),
        proposal(u64::MAX),
        net.prepare(0, at(height, view)),
        net.commit(0, at(height, view)),
        Message::Checkpoint(net.sign(0, checkpoint(height))),
        Message::Checkpoint(net.sign(0, checkpoint(height - height % net.config.checkpoint_interval))),
    ]
}

/// STATUS, SEEN and evidence with these numbers.
fn claims(net: &Net, height: u64, view: u64) -> Vec<Message> {
    let mark = HighWaterMark {
        accepted: (View(view), Height(height)),
        committed: (View(height), Height(view)),
        left: View(view),
        opened: View(height),
    };
    let status = |probing| Status {
        epoch: Epoch(0),
        view: View(view),
        active: probing,
        committed: Height(height),
        committed_hash: BlockHash::from_bytes([3; 32]),
        stable: Height(view),
        mark,
        probing,
        superseded: Some(net.sign(0, PrePrepare(at(height, view)))),
        slots: vec![SlotStatus {
            height: Height(height),
            proposal: Some(BlockHash::from_bytes([5; 32])),
            prepares: Signers::of((0..32).map(id)),
            commits: Signers::of([]),
        }],
    };
    let left = ViewChange { epoch: Epoch(0), view: View(view), content: Hash::from_bytes([4; 32]) };
    let opened = NewView { epoch: Epoch(0), view: View(view), content: Hash::from_bytes([4; 32]) };
    let seen = Seen {
        epoch: Epoch(0),
        pre_prepare: Some(net.sign(0, PrePrepare(at(height, view)))),
        prepare: Some(net.sign(0, Prepare(at(height, view)))),
        commit: Some(net.sign(0, Commit(at(height, view)))),
        view_change: Some(net.sign(0, left)),
        new_view: Some(net.sign(0, opened)),
    };
    let vote = |block: u8| {
        net.sign(0, Commit(Ballot { block: BlockHash::from_bytes([block; 32]), ..at(height, view) }))
    };
    let hidden = HiddenCertificate {
        commit: net.sign(0, Commit(at(height, view))),
        view_change: net.view_change(0, view.saturating_add(1), ViewChangePayload::default()),
    };
    vec![
        Message::Status(status(true)),
        Message::Status(status(false)),
        Message::Seen(seen),
        Message::Evidence(Evidence::Commit(Pair { first: vote(1), second: vote(2) })),
        Message::Evidence(Evidence::Hidden(hidden)),
        Message::Evidence(Evidence::PrepareCommit(Crossed {
            accepted: net.sign(0, Prepare(at(height, view))),
            commit: vote(1),
        })),
    ]
}

/// VIEW-CHANGEs of member 0 with these numbers. Their certificates need signatures of other
/// members.
fn view_changes(net: &Net, height: u64, view: u64) -> Vec<ViewChangeMessage> {
    let known = |anchor_height: Option<u64>, heights: &[u64]| ViewChangePayload {
        anchor: anchor_height.map(|height| anchor(net, height, view)),
        prepared: heights.iter().map(|height| prepared(net, *height, view)).collect(),
    };
    let payload = [
        known(None, &[height]),
        known(None, &[1, height]),
        known(Some(height), &[]),
        known(Some(height), &[height]),
        known(Some(height), &[height.saturating_add(1)]),
        known(Some(height.saturating_sub(1)), &[height, height.saturating_add(1)]),
    ];
    let change = |payload: ViewChangePayload, to: u64| net.view_change(0, to, payload);
    payload
        .into_iter()
        .flat_map(|payload| [view, view.saturating_add(1), u64::MAX].map(|to| change(payload.clone(), to)))
        .collect()
}

/// Encodes, decodes and checks the message; whether it passes.
fn check(net: &Net, message: &Message) -> bool {
    let read: Message = decode(&encode(message)).unwrap();
    read.check(id(0), &net.config.context).is_ok()
}

/// The check must not panic on any number, even if the whole committee signed it.
#[test]
fn checking_does_not_panic_at_extreme_numbers() {
    let net = Net::of(4);
    let mut passed = 0;
    for (height, view) in pairs() {
        let mut messages = votes(&net, height, view);
        messages.extend(claims(&net, height, view));
        for change in view_changes(&net, height, view) {
            let mut changes: Vec<_> = (1..3)
                .map(|signer| net.view_change(signer, change.vote.body.view.0, ViewChangePayload::default()))
                .collect();
            changes.insert(0, change.clone());
            let to = change.vote.body.view.0;
            let again = |ballot: Ballot| net.sign(net.primary_of(to), PrePrepare(ballot));
            let chosen = change
                .payload
                .prepared
                .iter()
                .map(|certificate| again(Ballot { view: View(to), ..certificate.ballot() }));
            let chosen = chosen.collect();
            messages.push(Message::ViewChange(change));
            messages.push(Message::NewView(net.new_view_of(to, changes.clone(), Vec::new())));
            messages.push(Message::NewView(NewViewMessage { ..net.new_view_of(to, changes, chosen) }));
        }
        passed += messages.iter().filter(|message| check(&net, message)).count();
    }
    assert!(passed > 100, "{passed} messages passed the check");
}

/// One faulty member sends all these messages to a network at work. The other replicas keep
/// running, stay in their view, and order blocks.
#[test]
fn extreme_numbers_of_a_faulty_member_change_nothing() {
    let mut net = Net::of(4);
    net.corrupt(0);
    // Replica 1 begins view 1. So the faulty member is a backup now, and the primary of views 4, 8,
    // and so on.
    net.all_report_censorship();
    net.deliver_all();
    net.assert_view(1);
    net.propose("A");
    net.deliver_all();
    for (height, view) in pairs() {
        let mut messages = votes(&net, height, view);
        messages.extend(claims(&net, height, view));
        messages.extend(view_changes(&net, height, view).into_iter().map(Message::ViewChange));
        // The faulty member cannot sign proposals of views of other primaries.
        messages.retain(|message| match message {
            Message::PrePrepare(proposal) => proposal.vote.signer == id(0),
            _ => true,
        });
        for message in messages {
            for to in 1..4 {
                if check(&net, &message) {
                    net.inject(0, to, message.clone());
                }
            }
        }
        net.deliver_all();
    }
    net.pass(2 * STATUS);
    net.assert_view(1);
    net.propose("B");
    net.deliver_all();
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert!((1..4).all(|node| net.chain(node) == ["A", "B"]));
}

/// R6: replicas hold a proposal with the largest timestamp as long as their clock requires. The
/// view ends by its timeout, and no deadline overflows.
#[test]
fn a_proposal_with_the_largest_timestamp_is_held() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let skeleton = block_at(&net, 1, u64::MAX);
    let proposal = net.proposal(0, &skeleton, 0);
    for to in 1..4 {
        net.inject(0, to, proposal.clone());
    }
    net.deliver_all();
    net.pass(Duration::from_secs(1));
    net.assert_view(0);
    assert_eq!(net.heights(), [0; 4]);
    net.all_have_work(quorate_pbft::Work::Timely);
    net.pass(2 * TIMEOUT);
    assert!((1..4).all(|node| net.view(node).0 >= 1));
}
