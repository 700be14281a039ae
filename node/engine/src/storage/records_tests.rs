#![allow(clippy::unwrap_used)]
//! Records through rows of a real journal and back (R13).

use quorate_genesis::{Genesis, TestNetwork};
use quorate_ledger::{
    Ballot, BlockHash, Commit, CommitCertificate, Epoch, Header, Payload, SecretKey, Signable, SignatureSet,
    Signed, VerifiedTransaction, encode,
};
use quorate_pbft::{
    CheckedContent, Checkpoint, Evidence, HighWaterMark, Message, NewView, NewViewMessage, Pair, PrePrepare,
    Prepare, Proposal, Seen, ViewChange, ViewChangeMessage, ViewChangePayload,
};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity};

use super::*;
use crate::EngineConfig;

const INTERVAL: u64 = 8;

struct Maker {
    genesis: Genesis,
    keys: Vec<SecretKey>,
    flight: Flight,
}

impl Maker {
    fn new() -> Self {
        let (genesis, keys) = TestNetwork::seeded(4, 1).into_parts();
        Maker { genesis, keys, flight: Flight::default() }
    }

    fn sign<S: Signable + Clone>(&self, member: u16, body: S) -> Signed<S> {
        let key = &self.keys[usize::from(member)];
        Signed::sign(&self.genesis.chain_id(), key, ReplicaId(member), body).into_inner()
    }

    fn check(&self, from: u16, message: Message) -> CheckedContent {
        let context = EngineConfig::of(&self.genesis).pbft.context;
        message.check(ReplicaId(from), &context).unwrap().into_content()
    }

    /// A block with one transaction, kept in flight.
    fn block(&mut self, parent: &Header, nonce: u64) -> Block {
        let until = self.genesis.time().plus_ms(9000);
        let signed = VerifiedTransaction::sign(
            &self.genesis.chain_id(),
            &self.keys[0],
            nonce,
            until,
            Payload::Data(vec![1; 5]),
        );
        let body = Body::of(&[signed]);
        let block = Block::after(parent, body, self.genesis.time().plus_ms(5), ReplicaId(0)).unwrap();
        self.flight.insert(block.clone(), true);
        block
    }

    fn ballot(block: &Block, view: u64) -> Ballot {
        Ballot { epoch: Epoch(0), view: View(view), height: block.height(), block: block.hash() }
    }

    fn accepted(&self, block: &Block, view: u16) -> Record {
        let proposal = Proposal {
            vote: self.sign(view, PrePrepare(Maker::ballot(block, view.into()))),
            header: block.header().clone(),
            ids: block.body().ids().to_vec(),
        };
        match self.check(view, Message::PrePrepare(proposal)) {
            CheckedContent::PrePrepare(proposal) => Record::Accepted(proposal),
            other => panic!("{other:?}"),
        }
    }

    fn votes<S: Signable + Clone>(&self, body: &S) -> SignatureSet {
        let votes = (1..4).map(|member| (ReplicaId(member), self.sign(member, body.clone()).signature));
        SignatureSet::first(3, &votes.collect()).unwrap()
    }

    fn prepared(&self, block: &Block, view: u16) -> Record {
        let ballot = Maker::ballot(block, view.into());
        let primary = self.sign(view, PrePrepare(ballot)).signature;
        let claim = (block.header(), ballot.view, primary, self.votes(&Prepare(ballot)));
        Record::read_prepared(&encode(&claim)).unwrap()
    }

    fn finalised(&self, block: &Block) -> Record {
        let ballot = Maker::ballot(block, 0);
        let commits: Vec<_> = (0..3)
            .map(|member| {
                self.sign(member, Commit(ballot)).verify(&self.genesis.chain_id(), self.genesis.committee())
            })
            .map(Result::unwrap)
            .collect();
        Record::Finalised(CommitCertificate::assemble(self.genesis.committee(), ballot, &commits).unwrap())
    }

    fn departure(&self, member: u16, view: u64) -> ViewChangeMessage {
        let payload = ViewChangePayload::default();
        let vote = ViewChange { epoch: Epoch(0), view: View(view), content: payload.hash() };
        ViewChangeMessage { vote: self.sign(member, vote), payload }
    }

    fn view_change(&self, view: u64) -> Record {
        match self.check(2, Message::ViewChange(self.departure(2, view))) {
            CheckedContent::ViewChange(change) => Record::ViewChange(change),
            other => panic!("{other:?}"),
        }
    }

    fn new_view(&self, view: u16) -> Record {
        let view_changes: Vec<_> = (0..3).map(|member| self.departure(member, view.into())).collect();
        let content = NewViewMessage::content(&view_changes, &[]);
        let vote = self.sign(view, NewView { epoch: Epoch(0), view: View(view.into()), content });
        match self
            .check(view, Message::NewView(NewViewMessage { vote, view_changes, pre_prepares: Vec::new() }))
        {
            CheckedContent::NewView(new_view) => Record::NewView(new_view),
            other => panic!("{other:?}"),
        }
    }

    fn statement(height: u64) -> Checkpoint {
        Checkpoint {
            epoch: Epoch(0),
            height: Height(height),
            block: BlockHash::from_bytes([1; 32]),
            state_root: quorate_ledger::Hash::from_bytes([2; 32]),
        }
    }

    fn checkpoint(&self, height: u64) -> Record {
        match self.check(2, Message::Checkpoint(self.sign(2, Maker::statement(height)))) {
            CheckedContent::Checkpoint(vote) => Record::Checkpoint(vote),
            other => panic!("{other:?}"),
        }
    }

    fn stable(&self, height: u64) -> Record {
        let statement = Maker::statement(height);
        Record::read_stable(&encode(&(statement, self.votes(&statement)))).unwrap()
    }

    fn heard(&self, member: u16, height: u64) -> Record {
        let ballot = Ballot {
            epoch: Epoch(0),
            view: View(0),
            height: Height(height),
            block: BlockHash::from_bytes([3; 32]),
        };
        let seen = Seen { commit: Some(self.sign(member, Commit(ballot))), ..Seen::default() };
        Record::Heard(ReplicaId(member), Box::new(seen))
    }

    fn evidence(&self, culprit: u16, height: u64) -> Record {
        let [first, second] = [1, 2].map(|block| {
            let block = BlockHash::from_bytes([block; 32]);
            self.sign(
                culprit,
                Prepare(Ballot { epoch: Epoch(0), view: View(0), height: Height(height), block }),
            )
        });
        match self.check(1, Message::Evidence(Evidence::Prepare(Pair { first, second }))) {
            CheckedContent::Evidence(evidence) => Record::Evidence(evidence),
            other => panic!("{other:?}"),
        }
    }
}

fn dropped(block: &Block, view: u64, with_body: bool) -> Record {
    Record::Dropped { view: View(view), height: block.height(), block: block.hash(), with_body }
}

fn journal() -> Journal {
    let (genesis, keys) = TestNetwork::seeded(4, 1).into_parts();
    let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: keys[2].public() };
    Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap()
}

fn write(journal: &mut Journal, maker: &Maker, group: &[Record]) {
    let mut changes = changes(group.iter(), &maker.flight, INTERVAL);
    let gone: Vec<_> = std::mem::take(&mut changes.gone).into_iter().collect();
    journal.replace(&gone, &changes.into_rows(), None).unwrap();
}

fn root() -> EpochRoot {
    EpochRoot::of(Maker::new().genesis.header())
}

fn remembered(journal: &Journal) -> Remembered {
    read(journal.rows().unwrap(), root()).unwrap()
}

/// The records in the order of rows, accepted proposals last.
fn records(journal: &Journal) -> Vec<Record> {
    remembered(journal).records
}

#[test]
fn every_kind_of_record_is_read_back_as_it_was_written() {
    let mut maker = Maker::new();
    let genesis = maker.genesis.header().clone();
    let first = maker.block(&genesis, 1);
    let second = maker.block(first.header(), 2);
    let standing = [
        maker.view_change(1),
        maker.new_view(1),
        maker.checkpoint(8),
        maker.stable(8),
        Record::Mark(Epoch(0), HighWaterMark { accepted: (View(1), Height(2)), ..HighWaterMark::default() }),
        maker.heard(0, 7),
        maker.heard(3, 9),
        maker.evidence(0, 1),
        maker.evidence(0, 2),
        maker.evidence(3, 1),
        Record::Recovering(Epoch(0), HighWaterMark { left: View(3), ..HighWaterMark::default() }),
        Record::EpochStart(Epoch(0)),
    ];
    let open = [maker.prepared(&first, 0), maker.accepted(&first, 0), maker.accepted(&second, 1)];
    let final_one = maker.finalised(&first);
    let all = [&standing[..], &open[..], std::slice::from_ref(&final_one)].concat();
    let expected = [&standing[..], &open[..]].concat();
    let (mut at_once, mut one_by_one) = (journal(), journal());
    write(&mut at_once, &maker, &all);
    for record in &all {
        write(&mut one_by_one, &maker, std::slice::from_ref(record));
    }
    assert_eq!(at_once.rows().unwrap(), one_by_one.rows().unwrap(), "groups make no difference");
    let back = remembered(&at_once);
    assert_eq!(back.records, expected);
    assert_eq!(back.blocks.len(), 2);
    assert_eq!(back.blocks[&first.hash()], first);
    let [(Height(1), certificate)] = &back.finalised[..] else { panic!("{:?}", back.finalised) };
    assert_eq!(Record::Finalised(certificate.clone()), final_one);
    assert_eq!(back.evidence.len(), 3);
}

#[test]
fn the_last_record_of_each_row_is_kept() {
    let mut maker = Maker::new();
    let genesis = maker.genesis.header().clone();
    let block = maker.block(&genesis, 1);
    let mut journal = journal();
    for view in 1..4 {
        write(&mut journal, &maker, &[maker.view_change(u64::from(view)), maker.new_view(view)]);
        write(&mut journal, &maker, &[maker.accepted(&block, view), maker.prepared(&block, view)]);
        write(&mut journal, &maker, &[maker.heard(0, u64::from(view)), maker.heard(1, 1)]);
    }
    for number in 1..6 {
        write(&mut journal, &maker, &[maker.checkpoint(number * INTERVAL), maker.stable(number * INTERVAL)]);
    }
    let expected = [
        maker.view_change(3),
        maker.new_view(3),
        maker.checkpoint(4 * INTERVAL),
        maker.checkpoint(5 * INTERVAL),
        maker.stable(5 * INTERVAL),
        maker.heard(0, 3),
        maker.heard(1, 1),
        maker.prepared(&block, 3),
        maker.accepted(&block, 1),
        maker.accepted(&block, 2),
        maker.accepted(&block, 3),
    ];
    assert_eq!(records(&journal), expected);
    assert_eq!(journal.row_count(), expected.len() as u64 + 1, "and one body");
}

#[test]
fn dropped_proposals_are_deleted_and_the_body_with_the_last_one() {
    let mut maker = Maker::new();
    let genesis = maker.genesis.header().clone();
    let (block, sibling) = (maker.block(&genesis, 1), maker.block(&genesis, 2));
    let mut journal = journal();
    write(&mut journal, &maker, &[maker.accepted(&block, 0), maker.accepted(&sibling, 1)]);
    // Proposed again: the row of the old view goes with the group that adds the new one.
    write(&mut journal, &maker, &[maker.accepted(&block, 2), dropped(&block, 0, false)]);
    assert_eq!(records(&journal), [maker.accepted(&sibling, 1), maker.accepted(&block, 2)]);
    write(&mut journal, &maker, &[dropped(&sibling, 1, true)]);
    assert_eq!(journal.row_count(), 2, "a proposal and its body");
    write(&mut journal, &maker, &[dropped(&block, 2, true)]);
    assert_eq!((journal.row_count(), journal.bytes()), (0, 0));
    // Dropping a block that is not in the journal changes nothing.
    write(&mut journal, &maker, &[dropped(&block, 2, true)]);
    assert_eq!(records(&journal), []);
}

#[test]
fn in_one_group_the_order_of_records_decides() {
    let mut maker = Maker::new();
    let genesis = maker.genesis.header().clone();
    let block = maker.block(&genesis, 1);
    let mut journal = journal();
    write(&mut journal, &maker, &[maker.accepted(&block, 0), dropped(&block, 0, true)]);
    assert_eq!(journal.row_count(), 0, "accepted, then dropped");
    write(&mut journal, &maker, &[maker.accepted(&block, 0)]);
    write(&mut journal, &maker, &[dropped(&block, 0, true), maker.accepted(&block, 1)]);
    assert_eq!(records(&journal), [maker.accepted(&block, 1)], "dropped, then accepted again with its body");
}

/// R24d: this height shows after a start whether the ledger is an old copy.
#[test]
fn how_far_rows_were_collected_is_read_back() {
    let mut journal = journal();
    for through in [3, 700] {
        let mut changes = Changes::default();
        changes.collected(Height(through));
        journal.replace(&[], &changes.into_rows(), Some(Height(through))).unwrap();
        assert_eq!((remembered(&journal).collected, journal.row_count()), (Height(through), 1));
    }
}

#[test]
fn rows_that_this_version_does_not_write_are_refused() {
    let row = |kind, value: &[u8]| (RowKey { height: Height(0), kind, detail: [0; 32] }, value.to_vec());
    for kind in VIEW_CHANGE..=EPOCH_START {
        assert!(read(vec![row(kind, b"?")], root()).is_err(), "kind {kind}");
    }
    assert!(read(vec![row(EPOCH_START + 1, b"")], root()).unwrap_err().contains("unknown kind 15"));
}
