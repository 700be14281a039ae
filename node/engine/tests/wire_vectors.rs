//! The vectors and limits of `WIRE.md` that this crate owns: what members send each other, around the messages
//! of the protocol.
#![allow(clippy::unwrap_used)]

use quorate_engine::{Answer, Ask, MemberMessage, RunBlock, WireLimits};
use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, Block, BlockHash, Body, ChainId, Commit, CommitCertificate, Committee, Epoch, Header, Height,
    MAX_BODY_BYTES, MAX_TRANSACTIONS, PROTOCOL_VERSION, Payload, ReplicaId, SecretKey, Signed, Timestamp,
    Transaction, Verified, VerifiedTransaction, View, decode, encode,
};
use quorate_pbft::Message;

use vectors::{DOCUMENT, Vectors};

#[path = "../../../ledger/tests/vectors/mod.rs"]
mod vectors;

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const BLOCK_TIME: Timestamp = Timestamp(1_700_000_000_000);

/// The four members of the document in committee order.
fn members() -> (Vec<SecretKey>, Committee) {
    let mut keys: Vec<SecretKey> = (1..=4).map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    let committee = Committee::new(keys.iter().map(SecretKey::public).collect()).unwrap();
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
fn run() -> Vec<RunBlock> {
    let passed_on = |(block, certificate): (Block, Option<CommitCertificate>)| RunBlock {
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
    assert_eq!(encode(&batch), message, "both ways to write a batch give the same bytes");
    assert_eq!(MemberMessage::from_bytes(&message), Ok(batch));

    let asks = [
        ("ask_transactions", Ask::Transactions { block: blocks()[0].hash(), indices: vec![0, 1] }),
        ("ask_blocks", Ask::Blocks { from: Height(7) }),
    ];
    for (name, ask) in asks {
        vectors.check(name, &encode(&ask));
        assert_eq!(decode(&encode(&ask)), Ok(ask), "{name} reads back");
    }

    let answers = [
        ("answer_transactions", Answer::Transactions(inner)),
        ("answer_blocks", Answer::Blocks(run())),
        ("answer_nothing", Answer::Nothing),
    ];
    for (name, answer) in answers {
        vectors.check(name, &encode(&answer));
        assert_eq!(decode(&encode(&answer)), Ok(answer), "{name} reads back");
    }
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));
}

fn number(value: u32) -> [u8; 4] {
    value.to_le_bytes()
}

/// A list one element too long is told by its number alone, before any element: the error says so.
#[test]
fn what_the_document_forbids_is_refused() {
    let refusal = |result: Result<(), quorate_ledger::DecodeError>| result.unwrap_err().to_string();
    let message = |bytes: &[u8]| refusal(MemberMessage::from_bytes(bytes).map(drop));
    let ask = |bytes: &[u8]| refusal(decode::<Ask>(bytes).map(drop));
    let answer = |bytes: &[u8]| refusal(decode::<Answer>(bytes).map(drop));
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

    assert!(MemberMessage::from_bytes(&[2]).is_err(), "a tag without a meaning");
    assert!(decode::<Ask>(&[2]).is_err());
    assert!(decode::<Answer>(&[3]).is_err());
    assert!(decode::<Answer>(&[2, 0]).is_err(), "a byte after the end");
    let option = |tag: u8| [&[1], &number(1)[..], &header, &number(0), &[tag]].concat();
    assert!(decode::<Answer>(&option(0)).is_ok());
    assert!(decode::<Answer>(&option(2)).is_err(), "an option is 00 or 01");
}

/// For the default genesis.
#[test]
fn the_limits_are_those_of_the_code() {
    let network = TestNetwork::seeded(4, 1);
    let genesis = network.genesis();
    let limits = WireLimits::of(&genesis.block_limits(), genesis.consensus().window);
    let rows = [
        ("message on a direct stream", limits.message),
        ("gossip message", limits.gossip),
        ("question", limits.ask),
        ("answer", limits.answer),
    ];
    for (what, limit) in rows {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {what} | 4,096 + ")));
        let row = row.unwrap_or_else(|| panic!("WIRE.md has no row for a {what}"));
        let last = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        assert_eq!(last.trim().replace(',', ""), limit.to_string(), "{what}");
    }
}
