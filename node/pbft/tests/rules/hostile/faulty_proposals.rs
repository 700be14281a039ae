//! Proposals of Byzantine members, and why they have no effect (R2 to R5, R9).

use quorate_ledger::{BlockHash, BlockSkeleton, Header, Timestamp};
use quorate_pbft::{Input, Phase};

use crate::net::{self, Net, ballot, block, id};

/// R4, R22a: a second proposal is evidence even while the first one waits for its parent.
#[test]
fn two_proposals_that_wait_for_their_parent_are_evidence() {
    let mut net = Net::of(4);
    let (a, _) = net.two_blocks();
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
    let (a, b) = net.two_blocks();
    net.corrupt(0);
    let (proposal_a, proposal_b) = (net.proposal(0, &a, 0), net.proposal(0, &b, 0));
    net.inject_to_all(0, &[1], &proposal_a);
    net.inject_to_all(0, &[2, 3], &proposal_b);
    let (commit_a, commit_b) = (net.commit(0, ballot(&a, 0)), net.commit(0, ballot(&b, 0)));
    net.inject_to_all(0, &[1], &commit_a);
    net.inject_to_all(0, &[2], &commit_b);
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
    let (a, b) = net.two_blocks();
    net.corrupt(0);
    let (proposal_a, proposal_b) = (net.proposal(0, &a, 0), net.proposal(0, &b, 0));
    net.inject(0, 1, proposal_a.clone());
    net.inject_to_all(2, &[1, 1, 1], &proposal_b);
    net.inject(3, 1, proposal_a);
    net.deliver_all();
    assert_eq!(net.accused(1), [0]);
    assert_eq!(net.nodes[1].replica().counters().contradictions, 1);
    assert_eq!(net.slots(1)[0].block, Some(a.hash()));
}

/// R9: a primary does not take its own proposals from others, for example after it lost its memory.
/// If it voted for one as a backup, it would count twice.
#[test]
fn a_primary_does_not_learn_its_own_proposals_from_others() {
    let mut net = Net::of(4);
    let (a, _) = net.two_blocks();
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
        let mut header = net.two_blocks().0.header().clone();
        change(&mut header);
        let ids = net.two_blocks().0.ids().clone();
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
    let (a, _) = net.two_blocks();
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
