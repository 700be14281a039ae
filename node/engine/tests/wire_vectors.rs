//! The vectors and limits of `WIRE.md` that this crate owns: the messages of nodes around those of
//! the protocol.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_engine::{
    Engine, EngineConfig, Event, FetchRequest, FetchResponse, HeadStatus, MemberMessage, RangeBlock,
    ReadyRequest, WireLimits,
};
use quorate_genesis::{Genesis, TestNetwork};
use quorate_governance::Operation;
use quorate_ledger::{
    Ballot, Block, BlockHash, Body, ChainId, Commit, CommitCertificate, Committee, Epoch, Header, Height,
    MAX_BODY_BYTES, MAX_TRANSACTIONS, PROTOCOL_VERSION, Payload, ReplicaId, SecretKey, Signable, Signed,
    Timestamp, Transaction, Verified, VerifiedTransaction, View, decode, encode,
};
use quorate_pbft::{
    Message, Moment, NewView, NewViewMessage, Now, PrePrepare, Proposal, Seen, ViewChange, ViewChangeMessage,
    ViewChangePayload,
};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger, RowKey};

use vectors::{DOCUMENT, Vectors};

#[path = "../../../ledger/tests/vectors/mod.rs"]
mod vectors;

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const BLOCK_TIME: Timestamp = Timestamp(1_700_000_000_000);

/// The four members of the document in committee order.
fn members() -> (Vec<SecretKey>, Committee) {
    let mut keys: Vec<SecretKey> = (1..=4).map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    (keys, committee)
}

/// The three transactions of the document.
fn transactions() -> Vec<VerifiedTransaction> {
    let client = SecretKey::from_bytes(&[0x11; 32]).unwrap();
    let sign = |(nonce, text): (u64, &str)| {
        let payload = Payload::Data(text.into());
        Transaction::sign(&CHAIN, &client, nonce, Timestamp(1_700_000_060_000), payload)
            .verify(&CHAIN)
            .unwrap()
    };
    [(7, "hello"), (8, ""), (9, "quorate")].map(sign).into()
}

/// The block at height 7 and the empty one at height 8.
fn blocks() -> [Block; 2] {
    let committee = members().1.hash();
    let body = Body::of(&transactions());
    let header = Header {
        version: PROTOCOL_VERSION,
        chain_id: CHAIN,
        epoch: Epoch(0),
        height: Height(7),
        parent: BlockHash::from_bytes([0xbb; 32]),
        transactions_root: body.root(),
        transaction_count: body.count(),
        body_bytes: body.transaction_bytes(),
        timestamp: BLOCK_TIME,
        committee,
        next_committee: committee,
        proposer: ReplicaId(1),
    };
    let empty = Body::of(&[]);
    let next = Header::after(&header, &empty, Timestamp(BLOCK_TIME.0 + 1000), ReplicaId(2));
    [Block::new(header, body).unwrap(), Block::new(next, empty).unwrap()]
}

/// The COMMITs of view 2 for the block at height 8.
fn commits() -> Vec<Verified<Signed<Commit>>> {
    let block = blocks()[1].hash();
    let ballot = Ballot { epoch: Epoch(0), view: View(2), height: Height(8), block };
    let sign = |(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot));
    (0..).zip(&members().0).map(sign).collect()
}

fn certificate() -> CommitCertificate {
    let commits = commits();
    CommitCertificate::assemble(&members().1, commits[0].body.0, &commits).unwrap().into_inner()
}

/// Both blocks, of which the second finalises the first.
fn run() -> Vec<RangeBlock> {
    let passed_on = |(block, certificate): (Block, Option<CommitCertificate>)| RangeBlock {
        header: block.header().clone(),
        body: block.body().as_bytes().to_vec(),
        certificate,
    };
    blocks().into_iter().zip([None, Some(certificate())]).map(passed_on).collect()
}

#[test]
fn every_vector_is_what_the_code_computes() {
    let mut vectors = Vectors::parse(DOCUMENT, "engine");

    let commit = Message::Commit(commits()[3].clone().into_inner());
    let message = MemberMessage::consensus(commit.clone());
    vectors.check("member_message_commit", &message);
    assert_eq!(MemberMessage::from_bytes(&message), Ok(MemberMessage::Consensus(commit)));

    let batch = &transactions()[..2];
    let message = MemberMessage::transactions(batch);
    vectors.check("member_message_transactions", &message);
    let inner: Vec<Transaction> = batch.iter().map(|transaction| transaction.transaction().clone()).collect();
    let batch = MemberMessage::Transactions(inner.clone());
    assert_eq!(encode(&batch), message, "both encoders of a batch give the same bytes");
    assert_eq!(MemberMessage::from_bytes(&message), Ok(batch));

    let claim =
        HeadStatus { epoch: Epoch(0), committed: Height(8), stable: Height(0), view: View(2), active: true };
    vectors.check("member_message_head", &claim.to_message());
    assert_eq!(claim.to_message().len(), HeadStatus::MESSAGE_BYTES);
    assert_eq!(HeadStatus::read(&claim.to_message()), Ok(Some(claim)));
    assert_eq!(HeadStatus::read(&message), Ok(None), "an observer takes no other message");
    let mut lie = claim.to_message();
    lie[33] = 2;
    assert!(HeadStatus::read(&lie).is_err(), "a flag is 0 or 1");

    let asks = [
        ("ask_transactions", FetchRequest::Transactions { block: blocks()[0].hash(), indices: vec![0, 1] }),
        ("ask_blocks", FetchRequest::Blocks { from: Height(7) }),
        ("ask_ids", FetchRequest::Ids { block: blocks()[0].hash() }),
    ];
    for (name, ask) in asks {
        vectors.check(name, &encode(&ask));
        assert_eq!(decode(&encode(&ask)), Ok(ask), "{name} reads back");
    }

    let ready = Operation::Ready { height: Height(7), block: blocks()[0].hash() };
    let key = SecretKey::from_bytes(&[0x12; 32]).unwrap();
    let payload = Payload::Governance(ready.to_bytes());
    let transaction = Transaction::sign(&CHAIN, &key, 7, Timestamp(1_700_000_060_000), payload);
    let request = ReadyRequest { transaction };
    vectors.check("ask_ready", &request.to_bytes());
    assert_eq!(ReadyRequest::read(&request.to_bytes(), &key.public()), Some(request));

    let answers = [
        ("answer_transactions", FetchResponse::Transactions(inner)),
        ("answer_blocks", FetchResponse::Blocks(run())),
        ("answer_nothing", FetchResponse::Nothing),
        ("answer_ids", FetchResponse::Ids(blocks()[0].body().ids().to_vec())),
    ];
    for (name, answer) in answers {
        vectors.check(name, &encode(&answer));
        assert_eq!(decode(&encode(&answer)), Ok(answer), "{name} reads back");
    }
    for (name, key) in journal_keys() {
        vectors.check(name, &key);
    }
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));
}

/// A key as the document lays it out.
fn key_bytes(key: &RowKey) -> Vec<u8> {
    [&key.height.0.to_be_bytes()[..], &[key.kind], &key.detail].concat()
}

struct Member {
    genesis: Genesis,
    keys: Vec<SecretKey>,
    journal: ForgetfulDisk,
    engine: Engine,
    now: Now,
}

impl Member {
    /// A member of a new committee.
    fn new(size: usize, index: usize) -> Self {
        let network = TestNetwork::seeded(size, 1).with_parameters(|parameters| {
            parameters.consensus.checkpoint_interval = 1;
            parameters.consensus.window = 1;
        });
        let (genesis, keys) = network.unwrap().into_parts();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: keys[index].public() };
        let (ledger, journal) = (ForgetfulDisk::new(), ForgetfulDisk::new());
        let now = Now { moment: Moment(Duration::from_secs(10)), wall: genesis.time().plus_ms(10_000) };
        let ledger =
            Ledger::create_on(ledger.attach(), genesis.header(), &genesis.governance_state()).unwrap();
        let rows = Journal::create_on(journal.attach(), &identity).unwrap();
        let opened = Engine::open(&keys[index..=index], ledger, rows, None, now).unwrap();
        let engine = opened.into_member().unwrap();
        Member { genesis, keys, journal, engine, now }
    }

    fn sign<S: Signable + Clone>(&self, member: usize, body: S) -> Signed<S> {
        let signer = ReplicaId(u16::try_from(member).unwrap());
        Signed::sign(&self.genesis.chain_id(), &self.keys[member], signer, body).into_inner()
    }

    fn hear(&mut self, from: usize, message: Message) {
        let from = ReplicaId(u16::try_from(from).unwrap());
        let message = message.check(from, &EngineConfig::of(&self.genesis).pbft.context).unwrap();
        drop(self.engine.handle(self.now, [Event::Consensus { from, message }]).unwrap());
    }

    /// The one key of a kind and beginning of the detail.
    fn key(&self, identity: &JournalIdentity, kind: u8, detail: &[u8]) -> Vec<u8> {
        let journal = ForgetfulDisk::with_contents(self.journal.contents());
        let rows = Journal::open_on(journal.attach(), identity).unwrap().rows().unwrap();
        let mut found =
            rows.iter().map(|(key, _)| key).filter(|key| key.kind == kind && key.detail.starts_with(detail));
        let key = key_bytes(found.next().unwrap_or_else(|| panic!("no row of kind {kind}")));
        assert!(found.next().is_none(), "one row of kind {kind}");
        key
    }

    fn identity(&self, index: usize) -> JournalIdentity {
        JournalIdentity { chain_id: self.genesis.chain_id(), validator: self.keys[index].public() }
    }
}

/// The only member of a network, after a block whose checkpoint is stable.
fn member_with_checkpoint() -> Member {
    let mut alone = Member::new(1, 0);
    let payload = Payload::Data(Vec::new());
    let until = alone.now.wall.plus_ms(1000);
    let transaction = VerifiedTransaction::sign(&alone.genesis.chain_id(), &alone.keys[0], 0, until, payload);
    let gossiped = Event::Gossiped(vec![transaction]);
    drop(alone.engine.handle(alone.now, [gossiped]).unwrap());
    // The ledger is synced a second after the engine saw it grow.
    for _ in 0..2 {
        alone.now.moment = alone.now.moment.after(Duration::from_secs(1));
        drop(alone.engine.handle(alone.now, []).unwrap());
    }
    alone
}

/// The row keys of real journals: of a member that left view 0 because its primary was proven
/// faulty, and entered view 1; and of a committee of one.
fn journal_keys() -> Vec<(&'static str, Vec<u8>)> {
    let mut member = Member::new(4, 3);
    for from in [1, 2] {
        member.hear(from, Message::Seen(Seen::default()));
    }
    for text in ["one", "other"] {
        let payload = Payload::Data(text.into());
        let until = member.now.wall.plus_ms(1000);
        let chain = member.genesis.chain_id();
        let transaction = VerifiedTransaction::sign(&chain, &member.keys[0], 0, until, payload);
        let body = Body::of(&[transaction]);
        let block = Block::after(member.genesis.header(), body, member.now.wall, ReplicaId(0)).unwrap();
        let ballot = Ballot { epoch: Epoch(0), view: View(0), height: Height(1), block: block.hash() };
        let proposal = Proposal {
            vote: member.sign(0, PrePrepare(ballot)),
            header: block.header().clone(),
            ids: block.body().ids().to_vec(),
        };
        member.hear(0, Message::PrePrepare(proposal));
    }
    let payload = ViewChangePayload::default();
    let leave = ViewChange { epoch: Epoch(0), view: View(1), content: payload.hash() };
    let view_changes: Vec<_> = [0, 1, 2]
        .map(|index| ViewChangeMessage { vote: member.sign(index, leave), payload: payload.clone() })
        .into();
    member.hear(2, Message::ViewChange(view_changes[2].clone()));
    let content = NewViewMessage::content(&view_changes, &[]);
    let vote = member.sign(1, NewView { epoch: Epoch(0), view: View(1), content });
    member.hear(1, Message::NewView(NewViewMessage { vote, view_changes, pre_prepares: Vec::new() }));

    let alone = member_with_checkpoint();
    let mut old = Member::new(4, 3);
    let ballot =
        Ballot { epoch: Epoch(0), view: View(0), height: Height(1), block: BlockHash::from_bytes([1; 32]) };
    let commit = Some(old.sign(3, Commit(ballot)));
    old.hear(1, Message::Seen(Seen { commit, ..Seen::default() }));

    let (three, zero) = (member.identity(3), alone.identity(0));
    vec![
        ("journal_key_view_change", member.key(&three, 5, &[])),
        ("journal_key_new_view", member.key(&three, 6, &[])),
        ("journal_key_checkpoint", alone.key(&zero, 7, &[])),
        ("journal_key_stable", alone.key(&zero, 8, &[])),
        ("journal_key_mark", member.key(&three, 9, &[])),
        ("journal_key_heard", member.key(&three, 10, &[0, 2])),
        ("journal_key_evidence", member.key(&three, 11, &[])),
        ("journal_key_collected", alone.key(&zero, 12, &[])),
        ("journal_key_recovering", old.key(&three, 13, &[])),
    ]
}

fn number(value: u32) -> [u8; 4] {
    value.to_le_bytes()
}

/// A list that is one element too long is refused by its length alone, before any element is read.
/// The error names the limit.
#[test]
fn what_the_document_forbids_is_refused() {
    let refusal = |result: Result<(), quorate_ledger::DecodeError>| result.unwrap_err().to_string();
    let message = |bytes: &[u8]| refusal(MemberMessage::from_bytes(bytes).map(drop));
    let ask = |bytes: &[u8]| refusal(decode::<FetchRequest>(bytes).map(drop));
    let answer = |bytes: &[u8]| refusal(decode::<FetchResponse>(bytes).map(drop));
    let too_many = |most: u32| format!("{} elements where at most {most} fit", most + 1);

    let transactions = [&[1], &number(MAX_TRANSACTIONS + 1)[..]].concat();
    assert!(message(&transactions).contains(&too_many(MAX_TRANSACTIONS)));
    let indices = [&[0; 33], &number(MAX_TRANSACTIONS + 1)[..]].concat();
    assert!(ask(&indices).contains(&too_many(MAX_TRANSACTIONS)));
    let transactions = [&[0], &number(MAX_TRANSACTIONS + 1)[..]].concat();
    assert!(answer(&transactions).contains(&too_many(MAX_TRANSACTIONS)));
    let run = [&[1], &number(257)[..]].concat();
    assert!(answer(&run).contains(&too_many(256)));

    let header = encode(blocks()[0].header());
    let body = [&[1], &number(1)[..], &header, &number(MAX_BODY_BYTES + 5)].concat();
    let reason = answer(&body);
    assert!(reason.contains(&format!("at most {} fit", MAX_BODY_BYTES + 4)), "{reason}");

    assert!(MemberMessage::from_bytes(&[3]).is_err(), "an unknown tag");
    assert!(decode::<FetchRequest>(&[3]).is_err());
    assert!(decode::<FetchResponse>(&[4]).is_err());
    assert!(decode::<FetchResponse>(&[2, 0]).is_err(), "a byte after the end");
    let option = |tag: u8| [&[1], &number(1)[..], &header, &number(0), &[tag]].concat();
    assert!(decode::<FetchResponse>(&option(0)).is_ok());
    assert!(decode::<FetchResponse>(&option(2)).is_err(), "an option is 00 or 01");
}

/// For the default genesis.
#[test]
fn the_limits_are_those_of_the_code() {
    let network = TestNetwork::seeded(4, 1);
    let genesis = network.genesis();
    let limits =
        WireLimits::of(&genesis.block_limits(), genesis.consensus().window, genesis.committee().size());
    let rows = [
        ("message on a direct stream", limits.message),
        ("gossip message", limits.gossip),
        ("request", limits.ask),
        ("answer", limits.answer),
    ];
    for (what, limit) in rows {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {what} | 4,096 + ")));
        let row = row.unwrap_or_else(|| panic!("WIRE.md has no row for a {what}"));
        let last = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        assert_eq!(last.trim().replace(',', ""), limit.to_string(), "{what}");
    }
}
