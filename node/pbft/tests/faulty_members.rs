//! Byzantine members: false proposals and votes, and why they have no effect.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{Ballot, BlockHash, BlockSkeleton, Header, Height, Timestamp};
use quorate_pbft::{Input, Phase, Request};

use net::{Envelope, Net, ballot, block, id};

mod net;

/// Two blocks at height 1 of the Byzantine member 0.
fn two_blocks(net: &mut Net) -> (BlockSkeleton, BlockSkeleton) {
    let root = net::root(&net.config);
    let time = net.now(0).wall;
    let (a, b) = (block(&root, "A", time, id(0)), block(&root, "B", time, id(0)));
    net.name(&a, "A");
    net.name(&b, "B");
    (a, b)
}

/// A ballot for a block that no member proposed.
fn unknown_ballot(height: u64) -> Ballot {
    let at = Net::of(1).config;
    let skeleton = block(&net::root(&at), "nonsense", Timestamp(0), id(0));
    Ballot { height: Height(height), ..ballot(&skeleton, 0) }
}

fn send_to(net: &mut Net, from: usize, to: &[usize], message: &quorate_pbft::Message) {
    for to in to {
        net.inject(from, *to, message.clone());
    }
}

/// R4, R22a: a second proposal is evidence even while the first one waits for its parent.
#[test]
fn two_proposals_that_wait_for_their_parent_are_evidence() {
    let mut net = Net::of(4);
    let (a, _) = two_blocks(&mut net);
    net.corrupt(0);
    let time = net.now(0).wall;
    for name in ["C", "D"] {
        let child = block(a.header(), name, time, id(0));
        net.name(&child, name);
        let proposal = net.proposal(0, &child, 0);
        net.inject(0, 3, proposal);
    }
    net.deliver_all();
    assert_eq!(net.nodes[3].replica().counters().contradictions, 1);
}

/// R4, R8: if a primary proposes two blocks for one height, at most one of them is committed,
/// whatever it votes for.
#[test]
fn an_equivocating_primary_commits_at_most_one_block() {
    let mut net = Net::of(4);
    let (a, b) = two_blocks(&mut net);
    net.corrupt(0);
    let (proposal_a, proposal_b) = (net.proposal(0, &a, 0), net.proposal(0, &b, 0));
    send_to(&mut net, 0, &[1], &proposal_a);
    send_to(&mut net, 0, &[2, 3], &proposal_b);
    let (commit_a, commit_b) = (net.commit(0, ballot(&a, 0)), net.commit(0, ballot(&b, 0)));
    send_to(&mut net, 0, &[1], &commit_a);
    send_to(&mut net, 0, &[2], &commit_b);
    net.deliver_all();
    assert_eq!(net.heights(), [0, 0, 1, 0], "replica 2 has COMMITs for B from 0, 2 and 3");
    net.pass(2 * net::STATUS);
    for node in 1..4 {
        assert_eq!(net.chain(node), ["B"], "the others fetch B, also replica 1, which accepted A");
    }
}

/// R4: if every backup receives another proposal, nothing is committed, and nothing is undone.
#[test]
fn a_different_proposal_for_each_backup_commits_nothing() {
    let mut net = Net::of(4);
    net.corrupt(0);
    for (node, name) in [(1, "A"), (2, "B"), (3, "C")] {
        let skeleton = block(&net::root(&net.config), name, net.now(0).wall, id(0));
        let (proposal, commit) = (net.proposal(0, &skeleton, 0), net.commit(0, ballot(&skeleton, 0)));
        net.inject(0, node, proposal);
        net.inject(0, node, commit);
    }
    net.deliver_all();
    assert_eq!(net.heights(), [0; 4]);
    assert_eq!(net.links.sent[2], 3, "no COMMITs except those of the faulty member");
}

/// R2, R4: any member may relay a proposal, so the second proposal of an equivocating primary
/// arrives. The replica keeps the first one. It reports the equivocation once, however often the
/// second one comes.
#[test]
fn a_second_proposal_accuses_the_primary_once() {
    let mut net = Net::of(4);
    let (a, b) = two_blocks(&mut net);
    net.corrupt(0);
    let (proposal_a, proposal_b) = (net.proposal(0, &a, 0), net.proposal(0, &b, 0));
    net.inject(0, 1, proposal_a.clone());
    send_to(&mut net, 2, &[1, 1, 1], &proposal_b);
    net.inject(3, 1, proposal_a);
    net.deliver_all();
    assert_eq!(net.accused(1), [0]);
    assert_eq!(net.nodes[1].replica().counters().contradictions, 1);
    assert_eq!(net.slots(1)[0].block, Some(a.hash()));
}

/// R4: if a backup votes twice, the replica keeps the first vote. It reports one equivocation for
/// each kind and height.
#[test]
fn a_backup_that_votes_twice_is_accused_once() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let a = net.propose("A");
    let honest = net.prepare(3, ballot(&a, 0));
    let other = net.prepare(3, unknown_ballot(1));
    for message in [other.clone(), honest.clone(), other, honest] {
        net.inject(3, 1, message);
    }
    let (commit, other) = (net.commit(3, ballot(&a, 0)), net.commit(3, unknown_ballot(1)));
    net.inject(3, 2, commit.clone());
    net.inject(3, 2, other);
    net.inject(3, 2, commit);
    net.links.hold(|envelope| envelope.is_commit() && envelope.from != id(3));
    net.deliver_all();
    let expected = "one proof of two PREPAREs and one of two COMMITs, found here or received";
    assert_eq!((net.accused(1), net.accused(2)), (vec![3, 3], vec![3, 3]), "{expected}");
    let slot = &net.slots(1)[0];
    assert_eq!((slot.phase, slot.prepares.len()), (Phase::Prepared, 3), "A is prepared by 1 and 2 alone");
    net.links.release();
    net.deliver_all();
    for node in 0..3 {
        assert_eq!(net.chain(node), ["A"]);
    }
}

/// R4: the replica keeps the first vote. A member cannot replace its vote when it learns which
/// block was proposed.
#[test]
fn a_second_vote_does_not_replace_the_first() {
    let mut net = Net::of(4);
    net.crash(2);
    net.corrupt(3);
    let other = net.prepare(3, unknown_ballot(1));
    net.inject(3, 1, other);
    net.deliver_all();
    let a = net.propose("A");
    let second = net.prepare(3, ballot(&a, 0));
    net.inject(3, 1, second);
    net.deliver_all();
    assert_eq!(net.slots(1)[0].phase, Phase::PrePrepared);
    assert_eq!(net.accused(1), [3]);
}

/// R8: votes count only for the block that they name. A PREPARE for A and one for another block
/// make no prepared certificate.
#[test]
fn prepares_for_different_blocks_do_not_add_up() {
    let mut net = Net::of(4);
    net.crash(2);
    net.corrupt(3);
    net.propose("A");
    let prepare = net.prepare(3, unknown_ballot(1));
    send_to(&mut net, 3, &[0, 1], &prepare);
    net.deliver_all();
    for node in [0, 1] {
        let slot = &net.slots(node)[0];
        assert_eq!((slot.phase, slot.prepares.len()), (Phase::PrePrepared, 2), "member {node}");
    }
}

/// R8: three COMMITs of four members are a quorum only if they name one block.
#[test]
fn commits_for_different_blocks_do_not_add_up() {
    let mut net = Net::of(4);
    net.corrupt(3);
    net.links.hold(|envelope| envelope.is_commit() && envelope.from == id(2));
    net.propose("A");
    let commit = net.commit(3, unknown_ballot(1));
    send_to(&mut net, 3, &[0, 1, 2], &commit);
    net.deliver_all();
    for node in [0, 1] {
        let slot = &net.slots(node)[0];
        assert_eq!((slot.phase, slot.commits.len()), (Phase::Prepared, 3), "member {node}");
        assert_eq!(net.height(node), 0);
    }
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R8: a vote that arrives twice counts once.
#[test]
fn a_repeated_vote_counts_once() {
    let mut net = Net::of(4);
    net.crash(2);
    net.crash(3);
    net.propose("A");
    net.deliver_all();
    let skeleton = net.nodes[0].bodies.values().next().unwrap().clone();
    let again = net.prepare(1, ballot(&skeleton, 0));
    send_to(&mut net, 1, &[0, 0], &again);
    net.deliver_all();
    assert_eq!(net.links.sent[2], 0, "member 0 has one PREPARE, of member 1");
    assert_eq!(net.accused(0), [] as [u16; 0], "a repeated vote is no equivocation");
}

/// R1: with five or six members, 2f + 1 = 3 votes are no quorum. Two sets of three votes may share
/// no correct member.
#[test]
fn three_votes_are_no_quorum_of_five_or_six() {
    for size in [5, 6] {
        let mut net = Net::of(size);
        for silent in 3..size {
            net.crash(silent);
        }
        net.propose("A");
        net.deliver_all();
        assert_eq!(net.links.sent[2], 0, "a proposal and two PREPAREs of {size} prepare nothing");
    }
}

/// R9: the PRE-PREPARE of the primary counts as its PREPARE. With a PREPARE besides, the primary
/// would count twice.
#[test]
fn a_primary_does_not_vote_twice_by_sending_prepare() {
    let mut net = Net::of(4);
    net.crash(2);
    net.crash(3);
    let a = net.propose("A");
    let prepare = net.prepare(0, ballot(&a, 0));
    net.inject(0, 1, prepare);
    net.deliver_all();
    assert_eq!(net.links.sent[2], 0, "only two of four members voted for A");
    assert_eq!(net.counters(1).primary_prepares, 1);
    assert_eq!(net.slots(1)[0].prepares, [id(1)]);
    assert!(net.requests(1).is_empty(), "no evidence: some implementations send this PREPARE");
}

/// R9: a primary does not take its own proposals from others, for example after it lost its memory.
/// If it voted for one as a backup, it would count twice.
#[test]
fn a_primary_does_not_learn_its_own_proposals_from_others() {
    let mut net = Net::of(4);
    let (a, _) = two_blocks(&mut net);
    let proposal = net.proposal(0, &a, 0);
    net.inject(2, 0, proposal);
    net.deliver_all();
    assert!(net.nodes[0].journal.is_empty());
    assert_eq!(net.links.sent[1], 0, "no PREPARE");
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["B"]);
}

/// R3, R5: header faults that a backup refuses without the transactions. It neither votes nor waits
/// for the body.
#[test]
fn proposals_that_break_a_rule_are_refused_and_reported() {
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 9] = [
        ("version", |header| header.version += 1),
        ("chain_id", |header| header.chain_id = quorate_ledger::ChainId::from_bytes([9; 32])),
        ("epoch", |header| header.epoch = quorate_ledger::Epoch(1)),
        ("parent", |header| header.parent = BlockHash::from_bytes([9; 32])),
        ("committee", |header| header.committee = quorate_ledger::Hash::from_bytes([9; 32])),
        ("next_committee", |header| header.next_committee = quorate_ledger::Hash::from_bytes([9; 32])),
        ("timestamp", |header| header.timestamp = Timestamp(1)),
        ("body_bytes", |header| header.body_bytes = 10_001),
        ("proposer", |header| header.proposer = id(2)),
    ];
    for (field, change) in changes {
        let mut net = Net::of(4);
        net.corrupt(0);
        let mut header = two_blocks(&mut net).0.header().clone();
        change(&mut header);
        let ids = two_blocks(&mut net).0.ids().clone();
        let proposal = net.proposal(0, &BlockSkeleton::new(header, ids).unwrap(), 0);
        net.inject(0, 1, proposal);
        net.deliver_all();
        let reasons = net.bad_proposals(1);
        assert_eq!(reasons.len(), 1, "{field}");
        assert!(reasons[0].contains(field), "{field}: {}", reasons[0]);
        assert_eq!(net.slots(1)[0].phase, Phase::Refused);
        assert!(net.nodes[1].journal.is_empty() && net.links.sent[1] == 0, "no record, no vote for {field}");
    }
}

/// R5, R17: a backup does not vote for an empty block before the gap has passed.
#[test]
fn an_empty_block_without_need_is_refused() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let root = net::root(&net.config);
    let empty = |time| {
        let header = Header {
            transactions_root: quorate_ledger::merkle_root(&[]),
            transaction_count: 0,
            body_bytes: 0,
            ..block(&root, "", Timestamp(time), id(0)).header().clone()
        };
        BlockSkeleton::new(header, Vec::new()).unwrap()
    };
    let gap = root.timestamp.0 + net.config.limits.empty_block_gap_ms;
    let (early, late) = (net.proposal(0, &empty(gap - 1), 0), net.proposal(0, &empty(gap), 0));
    net.inject(0, 1, early);
    net.inject(0, 2, late);
    net.deliver_all();
    assert_eq!(net.bad_proposals(1).len(), 1);
    assert_eq!(net.bad_proposals(2).len(), 0);
}

/// R5: a backup does not vote for a block whose transactions its engine refuses. If transactions
/// are missing, the backup waits for them.
#[test]
fn a_backup_votes_only_for_bodies_it_holds_and_finds_good() {
    let mut net = Net::of(4);
    let (a, _) = two_blocks(&mut net);
    net.nodes[1].faults.insert(a.hash(), "a repeated transaction".to_owned());
    net.nodes[2].withheld.insert(a.hash());
    net.propose("A");
    net.deliver_all();
    assert_eq!(net.bad_proposals(1), ["a repeated transaction"]);
    assert_eq!(net.slots(2)[0].phase, Phase::Examining);
    assert!(net.nodes[1].journal.is_empty() && net.nodes[2].journal.is_empty());
    assert_eq!(net.links.sent[1], 3, "only replica 3 sends PREPARE");
    assert_eq!(net.links.sent[2], 0);
    net.supply(2);
    net.deliver_all();
    net.pass(2 * net::STATUS);
    net.assert_chain(&["A"]);
    assert_eq!(
        net.nodes[1].finalised.len(),
        0,
        "replica 1 fetched A: a certified block is final although it refused it"
    );
}

/// R3, R12: another block than the accepted one was certified. The replica votes for no descendant
/// of the accepted one any more.
#[test]
fn a_branch_that_lost_is_not_continued() {
    let mut net = Net::of(4);
    let (a, b) = two_blocks(&mut net);
    net.corrupt(0);
    let on_a = block(a.header(), "on A", net.now(0).wall, id(0));
    net.nodes[1].withheld.insert(on_a.hash());
    for skeleton in [&a, &on_a] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    assert_eq!(net.height_records(1).len(), 1, "A is accepted, the block on it waits for its body");
    let chain = [net::root(&net.config), b.header().clone()];
    let certificate = net.certificate(ballot(&b, 0), &[0, 2, 3]);
    let (now, certificate) = (net.now(1), certificate.verify(&net::CHAIN, &net.config.context).unwrap());
    net.nodes[1].catch_up_from(now, &chain, certificate);
    net.supply(1);
    assert_eq!(net.height_records(1).len(), 1, "no record for the superseded branch");
    assert_eq!(net.bad_proposals(1).len(), 1);
    assert_eq!(net.nodes[1].replica().in_flight(), 0);
}

/// R1: blocks are ordered while a quorum runs. With one member less, nothing is committed until it
/// returns.
#[test]
fn the_network_orders_blocks_exactly_while_a_quorum_runs() {
    for (size, quorum) in [(4, 3), (5, 4), (6, 4), (7, 5), (10, 7)] {
        let mut net = Net::of(size);
        for node in quorum..size {
            net.crash(node);
        }
        net.propose("A");
        net.deliver_all();
        net.assert_chain(&["A"]);
        net.crash(1);
        net.propose("B");
        net.deliver_all();
        net.pass(2 * net::STATUS);
        net.assert_chain(&["A"]);
        net.restart(1);
        net.pass(3 * net::STATUS);
        net.assert_chain(&["A", "B"]);
    }
}

/// R4, R7: others may have ordered blocks in another view without this primary. It proposes no
/// second block at heights where it has proposed. Above them, it proposes on the certified chain.
#[test]
fn a_primary_that_was_overtaken_does_not_propose_twice() {
    let mut net = Net::of(4);
    net.links.lose(|_| true);
    net.propose("A");
    net.propose("on A");
    let root = net::root(&net.config);
    let x = block(&root, "X", net.now(0).wall, id(1));
    let y = block(x.header(), "Y", net.now(0).wall, id(1));
    let fetched = net.fetched(&[&x]);
    net.input(0, fetched);
    let replica = net.nodes[0].replica();
    assert_eq!(replica.in_flight(), 0, "A and its child were superseded");
    assert_eq!(replica.proposal_parent(), None, "it has proposed at height 2");
    let fetched = net.fetched(&[&y]);
    net.input(0, fetched);
    assert_eq!(net.nodes[0].replica().proposal_parent(), Some(y.header()));
}

/// R5: a primary stops the process rather than propose a block that its backups must refuse.
#[test]
#[should_panic(expected = "R5: the engine must propose a valid block")]
fn a_primary_does_not_propose_what_breaks_a_rule() {
    let mut net = Net::of(4);
    let root = net::root(&net.config);
    let header = Header { body_bytes: 10_001, ..block(&root, "A", net.now(0).wall, id(0)).header().clone() };
    let ids = block(&root, "A", net.now(0).wall, id(0)).ids().clone();
    net.input(0, Input::Proposed(BlockSkeleton::new(header, ids).unwrap()));
}

/// R12d: more than f Byzantine members can make two blocks final at one height. A node that sees
/// both stops, since it must not choose.
#[test]
#[should_panic(expected = "FORK")]
fn a_certificate_for_a_branch_that_lost_stops_the_node() {
    let mut net = Net::of(4);
    let (a, b) = two_blocks(&mut net);
    let on_a = block(a.header(), "on A", net.now(0).wall, id(0));
    for member in [0, 2, 3] {
        net.corrupt(member);
    }
    for skeleton in [&a, &on_a] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    let fetched = net.fetched(&[&b]);
    net.input(1, fetched);
    for member in [0, 2, 3] {
        let commit = net.commit(member, ballot(&on_a, 0));
        net.inject(member, 1, commit);
    }
    net.deliver_all();
}

/// R12d: the node also stops if its engine fetched both blocks.
#[test]
#[should_panic(expected = "FORK")]
fn two_certified_blocks_at_one_height_stop_the_node() {
    let mut net = Net::of(4);
    let (a, b) = two_blocks(&mut net);
    for block in [&a, &b] {
        let fetched = net.fetched(&[block]);
        net.input(1, fetched);
    }
}

/// R2: a vote counts only on the channel of its signer. A member that could relay votes could hold
/// them back for later.
#[test]
fn a_relayed_vote_is_refused() {
    let mut net = Net::of(4);
    net.links.hold(|envelope| envelope.is_prepare() && envelope.is_between(1, 2));
    let a = net.propose("A");
    net.deliver_all();
    for message in [net.prepare(1, ballot(&a, 0)), net.commit(1, ballot(&a, 0))] {
        let refused = net.receive(Envelope { from: id(3), to: id(2), message }).unwrap_err();
        assert_eq!(refused, quorate_pbft::Rejected::Relayed { from: id(3), signer: id(1) });
    }
    let slots = net.slots(2);
    assert!(slots.iter().all(|slot| !slot.prepares.contains(&id(1))));
    assert!(!net.requests(2).iter().any(|request| matches!(request, Request::Evidence(_))));
}
