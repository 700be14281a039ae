//! The bytes that members exchange, and their limits.

use quorate_engine::{
    FetchRequest, FetchResponse, HeadStatus, MAX_ASKED, MemberMessage, RangeBlock, ReadyRequest, WireLimits,
    serve_range,
};
use quorate_governance::Operation;
use quorate_ledger::Signed;
use quorate_ledger::{
    Block, BlockHash, BlockLimits, Body, CommitCertificate, Epoch, Height, MAX_MEMBERS, Payload, ReplicaId,
    SignatureSet, Signers, Timestamp, Transaction, TransactionLimits, VerifiedTransaction, View, decode,
    encode, to_hex,
};
use quorate_pbft::{HighWaterMark, Message, PrePrepare, Proposal};
use quorate_store::{ForgetfulDisk, Ledger};

use crate::net::Net;

fn hex(bytes: &[u8]) -> String {
    to_hex(bytes)
}

fn transaction(payload: usize, nonce: u64, net: &Net) -> VerifiedTransaction {
    let data = Payload::Data(vec![0xab; payload]);
    VerifiedTransaction::sign(&net.genesis.chain_id(), &net.client, nonce, Timestamp(9), data)
}

/// The kinds have fixed numbers, and each content is the canonical encoding of its own type.
#[test]
fn the_bytes_of_every_kind_of_message() {
    let net = Net::of(1);
    let status = net.check(ReplicaId(0), status());
    assert!(matches!(status.content(), quorate_pbft::CheckedContent::Status(_)));
    let bytes = MemberMessage::consensus(self::status());
    let expected: [&str; 7] =
        ["0003", &"00".repeat(16), "01", "0500000000000000", &"11".repeat(32), &"00".repeat(58), "00000000"];
    let expected = expected.concat();
    assert_eq!(hex(&bytes), format!("0x{expected}"));

    let batch = [transaction(2, 1, &net), transaction(0, 2, &net)];
    let bytes = MemberMessage::transactions(&batch);
    let inner: Vec<String> =
        batch.iter().map(|one| hex(&one.transaction().to_bytes())[2..].to_owned()).collect();
    assert_eq!(hex(&bytes), format!("0x0102000000{}{}", inner[0], inner[1]));
    let claims: Vec<Transaction> = batch.iter().map(|one| one.transaction().clone()).collect();
    assert_eq!(encode(&MemberMessage::Transactions(claims.clone())), bytes, "both ways to encode agree");

    let ask = FetchRequest::Transactions { block: BlockHash::from_bytes([0x22; 32]), indices: vec![1, 258] };
    assert_eq!(hex(&encode(&ask)), format!("0x00{}020000000100000002010000", "22".repeat(32)));
    assert_eq!(hex(&encode(&FetchRequest::Blocks { from: Height(7) })), "0x010700000000000000");

    assert_eq!(hex(&encode(&FetchResponse::Nothing)), "0x02");
    assert_eq!(
        hex(&encode(&FetchResponse::Transactions(claims))),
        format!("0x0002000000{}{}", inner[0], inner[1])
    );
    let block = net.block_on(net.genesis.header(), &[]);
    let run = |certificate| RangeBlock {
        header: block.header().clone(),
        body: block.body().as_bytes().to_vec(),
        certificate,
    };
    let header = hex(&encode(block.header()))[2..].to_owned();
    assert_eq!(
        hex(&encode(&FetchResponse::Blocks(vec![run(None)]))),
        format!("0x0101000000{header}040000000000000000")
    );
    let certificate = hex(&encode(&net.certificate(&block)))[2..].to_owned();
    assert_eq!(
        hex(&encode(&FetchResponse::Blocks(vec![run(Some(net.certificate(&block)))]))),
        format!("0x0101000000{header}040000000000000001{certificate}")
    );
}

fn status() -> Message {
    Message::Status(quorate_pbft::Status {
        epoch: Epoch(0),
        view: View(0),
        active: true,
        committed: Height(5),
        committed_hash: BlockHash::from_bytes([0x11; 32]),
        stable: Height(0),
        mark: HighWaterMark::default(),
        probing: false,
        superseded: None,
        slots: Vec::new(),
    })
}

/// A new member that still follows the epoch before receives no head statuses any more.
#[test]
fn an_observer_reads_the_head_in_a_status() {
    let message = status();
    let bytes = MemberMessage::consensus(message);
    let (committed, stable, view) = (Height(5), Height(0), View(0));
    let expected = HeadStatus { epoch: Epoch(0), committed, stable, view, active: true };
    assert_eq!(HeadStatus::read(&bytes), Ok(Some(expected)));
    assert!(HeadStatus::read(&bytes[..bytes.len() - 1]).is_err());
}

/// A member verifies nothing of a request that is no READY of the node that sent it.
#[test]
fn only_a_ready_of_its_sender_is_a_ready_request() {
    let net = Net::of(1);
    let sign = |payload| Transaction::sign(&net.genesis.chain_id(), &net.client, 7, Timestamp(9), payload);
    let ready = Operation::Ready { height: Height(7), block: BlockHash::from_bytes([0x22; 32]) };
    let request = ReadyRequest { transaction: sign(Payload::Governance(ready.to_bytes())) };
    let (bytes, sender) = (request.to_bytes(), net.client.public());
    assert_eq!(bytes.len(), ReadyRequest::BYTES);
    assert_eq!(ReadyRequest::read(&bytes, &sender), Some(request));
    let other = net.keys[0].public();
    assert_eq!(ReadyRequest::read(&bytes, &other), None, "the READY of another node");
    assert_eq!(ReadyRequest::read(&bytes[..bytes.len() - 1], &sender), None);
    assert_eq!(ReadyRequest::read(&[&[1], &bytes[1..]].concat(), &sender), None, "another request");
    for payload in [
        Payload::Data(ready.to_bytes()),
        Payload::Governance(vec![0xab; ready.to_bytes().len()]),
        Payload::Governance(Operation::Renew.to_bytes()),
    ] {
        let request = ReadyRequest { transaction: sign(payload) };
        assert_eq!(ReadyRequest::read(&request.to_bytes(), &sender), None);
    }
    assert!(ReadyRequest::is_admitted(&ReadyRequest::answer(true)));
    for answer in [&ReadyRequest::answer(false)[..], &[], &[2], &[1, 0]] {
        assert!(!ReadyRequest::is_admitted(answer), "{answer:?}");
    }
}

#[test]
fn other_bytes_are_no_message() {
    let mut trailing = MemberMessage::consensus(status());
    trailing.push(0);
    for bytes in [&[][..], &[2], &[0, 9], &[1, 255, 255, 255, 255], &[1, 1, 0, 0, 0], &trailing] {
        assert!(MemberMessage::from_bytes(bytes).is_err(), "{bytes:?}");
    }
    assert!(decode::<FetchRequest>(&[3]).is_err(), "members do not send READY to each other");
    assert!(decode::<FetchResponse>(&[4]).is_err());
}

/// A length is refused before memory is allocated for it.
#[test]
fn longer_lists_than_any_honest_message_has_do_not_decode() {
    let ask = |count: u32| {
        encode(&FetchRequest::Transactions {
            block: BlockHash::from_bytes([0; 32]),
            indices: (0..count).collect(),
        })
    };
    assert!(decode::<FetchRequest>(&ask(MAX_ASKED)).is_ok());
    assert!(decode::<FetchRequest>(&ask(MAX_ASKED + 1)).is_err());

    let net = Net::of(1);
    let block = net.block_on(net.genesis.header(), &[]);
    let run = |count| {
        let one = RangeBlock { header: block.header().clone(), body: vec![0; 4], certificate: None };
        encode(&FetchResponse::Blocks(vec![one; count]))
    };
    assert!(decode::<FetchResponse>(&run(256)).is_ok());
    assert!(decode::<FetchResponse>(&run(257)).is_err());

    let batch = vec![transaction(0, 0, &net).transaction().clone(); 10_001];
    assert!(decode::<MemberMessage>(&encode(&MemberMessage::Transactions(batch[1..].to_vec()))).is_ok());
    assert!(decode::<MemberMessage>(&encode(&MemberMessage::Transactions(batch.clone()))).is_err());
    assert!(decode::<FetchResponse>(&encode(&FetchResponse::Transactions(batch))).is_err());
}

fn limits(max_transactions: u32, max_body_bytes: u32, max_bytes: u32) -> BlockLimits {
    BlockLimits {
        max_transactions,
        max_body_bytes,
        transaction: TransactionLimits { max_bytes, max_lifetime_ms: 1000 },
        empty_block_gap_ms: 1000,
    }
}

/// The extreme block limits that a genesis may have.
fn corners() -> Vec<BlockLimits> {
    vec![
        limits(1, 256, 256),
        limits(1000, 1 << 20, 256 << 10),
        limits(10_000, 4 << 20, 1 << 20),
        limits(10_000, 4 << 20, 256),
        limits(1, 4 << 20, 1 << 20),
    ]
}

#[test]
fn the_largest_proposal_request_and_batch_fit() {
    let net = Net::of(1);
    for limits in corners() {
        let wire = WireLimits::of(&limits, 8, 4);
        let count = limits.max_transactions;
        let block = net.block_on(net.genesis.header(), &[]);
        let vote = Signed::sign(
            &net.genesis.chain_id(),
            &net.keys[0],
            ReplicaId(0),
            PrePrepare(Net::ballot(&block)),
        );
        let proposal = Proposal {
            vote: vote.into_inner(),
            header: block.header().clone(),
            ids: vec![quorate_ledger::TransactionId::from_bytes([0; 32]); count as usize],
        };
        assert!(MemberMessage::consensus(Message::PrePrepare(proposal)).len() <= wire.message, "{limits:?}");
        let ask = FetchRequest::Transactions { block: block.hash(), indices: (0..count).collect() };
        assert!(encode(&ask).len() <= wire.ask, "{limits:?}");

        // A batch: a full one, or one transaction of the largest size.
        let largest = limits.transaction.max_bytes as usize - 118;
        let single = MemberMessage::transactions(&[transaction(largest, 0, &net)]);
        let full: Vec<_> = (0..(64 << 10) / 118).map(|nonce| transaction(0, nonce, &net)).collect();
        for bytes in [single, MemberMessage::transactions(&full)] {
            assert!(bytes.len() <= wire.gossip && bytes.len() <= wire.message, "{limits:?}");
        }
    }
}

/// A certificate of the largest committee. Its signatures need not be valid here.
fn largest_certificate(net: &Net, block: &Block) -> CommitCertificate {
    let signature = net.certificate(block).votes().signatures()[0];
    let members = u16::try_from(MAX_MEMBERS).unwrap();
    let signers = Signers::of((0..members).map(ReplicaId));
    CommitCertificate::claimed(
        Net::ballot(block),
        SignatureSet::claimed(signers, vec![signature; MAX_MEMBERS]),
    )
}

/// Blocks of the largest size on the genesis; `own` selects those with a certificate of their own.
fn largest_run(net: &Net, limits: &BlockLimits, length: u64, own: impl Fn(u64) -> bool) -> FetchResponse {
    let mut ledger = Ledger::create_on(
        ForgetfulDisk::new().attach(),
        net.genesis.header(),
        &net.genesis.governance_state(),
    )
    .unwrap();
    let mut parent = net.genesis.header().clone();
    let mut group = Vec::new();
    for height in 1..=length {
        let (mut room, mut nonce, mut transactions) =
            (limits.max_body_bytes as usize, height << 32, Vec::new());
        while room >= 118 && transactions.len() < limits.max_transactions as usize {
            let bytes = room.min(limits.transaction.max_bytes as usize);
            transactions.push(transaction(bytes - 118, nonce, net));
            (room, nonce) = (room - bytes, nonce + 1);
        }
        let block = Block::after(&parent, Body::of(&transactions), Timestamp(0), ReplicaId(0)).unwrap();
        parent = block.header().clone();
        group.push(block);
        if own(height) {
            let certificate = largest_certificate(net, group.last().unwrap());
            ledger.append(&std::mem::take(&mut group), &certificate).unwrap();
        }
    }
    serve_range(&ledger.reader(), Height(1)).unwrap()
}

#[test]
fn the_largest_block_range_fits() {
    let net = Net::of(1);
    for window in [1, 2] {
        for limits in [limits(1000, 1 << 20, 256 << 10), limits(4, 4 << 20, 1 << 20), limits(1, 256, 256)] {
            let wire = WireLimits::of(&limits, window, 4);
            let open = 2 * window + 1;
            // Each block with a certificate; the longest stretches without; a short stretch before
            // a long one.
            let spread: [&dyn Fn(u64) -> bool; 3] =
                [&|_| true, &|height| height % open == 0, &|height| height == 1 || height == 1 + open];
            let lengths = [if limits.max_body_bytes == 256 { 300 } else { 10 }, 2 * open, 1 + open];
            for (own, length) in spread.into_iter().zip(lengths) {
                let answer = largest_run(&net, &limits, length, own);
                assert!(matches!(answer, FetchResponse::Blocks(_)));
                let bytes = encode(&answer).len();
                assert!(
                    bytes <= wire.answer,
                    "{bytes} of {} bytes: {limits:?}, window {window}",
                    wire.answer
                );
            }
        }
    }
}
