//! Refused transactions: each refusal has a machine-readable reason and leaves no trace.

use std::collections::HashSet;

use quorate_api::{ErrorKind, TransactionStatus, Wait};
use quorate_e2e::{CallError, Network, SignedTransaction, Signer, now, wait_until};
use quorate_ledger::{ChainId, Payload, SecretKey, Signature, Timestamp, Transaction, to_hex};
use serde_json::{Value, json};

const ALL: [usize; 4] = [0, 1, 2, 3];

const MINUTE_MS: u64 = 60_000;

struct Maker {
    chain: ChainId,
    key: SecretKey,
}

impl Maker {
    fn make(&self, chain: &ChainId, valid_until: Timestamp, payload: Payload) -> Transaction {
        Transaction::sign(chain, &self.key, valid_until.0, valid_until, payload)
    }

    fn valid(&self) -> Transaction {
        self.make(&self.chain, now().plus_ms(MINUTE_MS), Payload::Data(b"good".to_vec()))
    }

    /// Transactions that decode but are invalid, with the expected error kind.
    fn refused(&self, lifetime_ms: u64, max_bytes: u32) -> Vec<(ErrorKind, Transaction)> {
        let data = || Payload::Data(b"data".to_vec());
        let soon = now().plus_ms(MINUTE_MS);
        let elsewhere = self.make(&ChainId::from_bytes([9; 32]), soon, data());
        let mut forged = self.valid();
        let mut digits = *forged.signature.as_bytes();
        digits[10] ^= 1;
        forged.signature = Signature::from_bytes(digits).unwrap();
        let mut in_anothers_name = self.valid();
        in_anothers_name.sender = SecretKey::generate().public();
        let mut changed = self.valid();
        changed.payload = Payload::Data(b"evil".to_vec());
        let huge = vec![0; max_bytes as usize];
        vec![
            (ErrorKind::BadSignature, elsewhere),
            (ErrorKind::BadSignature, forged),
            (ErrorKind::BadSignature, in_anothers_name),
            (ErrorKind::BadSignature, changed),
            (ErrorKind::TransactionExpired, self.make(&self.chain, now().minus_ms(1), data())),
            (ErrorKind::TransactionExpired, self.make(&self.chain, Timestamp(0), data())),
            (
                ErrorKind::LifetimeTooLong,
                self.make(&self.chain, now().plus_ms(lifetime_ms + MINUTE_MS), data()),
            ),
            (ErrorKind::LifetimeTooLong, self.make(&self.chain, Timestamp(u64::MAX), data())),
            (ErrorKind::TransactionTooLarge, self.make(&self.chain, soon, Payload::Data(huge))),
            (ErrorKind::OperationMalformed, self.make(&self.chain, soon, Payload::Governance(vec![1]))),
        ]
    }
}

fn kind_of(answer: Result<quorate_api::SubmitResult, CallError>) -> ErrorKind {
    match answer {
        Err(CallError::Refused(error)) => {
            assert!(!error.data.retryable, "{error}");
            assert!(!error.message.is_empty());
            error.kind()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn invalid_transactions_are_refused_by_every_node_and_leave_no_trace() {
    let network = Network::running(4);
    let limits = network.genesis().block_limits().transaction;
    let maker = Maker { chain: network.genesis().chain_id(), key: SecretKey::generate() };
    let mut allowed = HashSet::from([network.order_one(0)]);
    let height = network.common_height(&ALL);

    let refused = maker.refused(limits.max_lifetime_ms, limits.max_bytes);
    for node in ALL {
        let rpc = network.rpc(node);
        for (kind, transaction) in &refused {
            let signed = SignedTransaction::of(transaction);
            for wait in [Wait::Accepted, Wait::Committed] {
                assert_eq!(kind_of(rpc.submit(&signed.hex, wait, 10_000)), *kind, "{transaction:?}");
            }
        }
        let good = maker.valid().to_bytes();
        let mut long = good.clone();
        long.push(0);
        for bytes in [&good[..good.len() - 1], &long, &good[..1], &[]] {
            let answer = rpc.submit(&to_hex(bytes), Wait::Accepted, 10_000);
            assert_eq!(kind_of(answer), ErrorKind::TransactionMalformed, "{} bytes", bytes.len());
        }
        for text in [to_hex(&good).to_uppercase(), to_hex(&good)[2..].to_owned(), "0x0".into(), "0xzz".into()]
        {
            assert_eq!(
                kind_of(rpc.submit(&text, Wait::Accepted, 10_000)),
                ErrorKind::InvalidParams,
                "{text}"
            );
        }
    }

    for node in ALL {
        let rpc = network.rpc(node);
        assert_eq!(rpc.head().height, height, "nothing was ordered");
        wait_until("nothing waits to be ordered", || rpc.mempool().transactions == 0);
        for (_, transaction) in &refused {
            assert_eq!(rpc.transaction(&transaction.id()), TransactionStatus::Unknown);
        }
    }
    allowed.extend(ALL.map(|node| network.order_one(node)));
    let ordered: HashSet<_> = network.equal_chains(&ALL).places().into_keys().collect();
    assert_eq!(ordered, allowed, "the valid ones and no other");
}

#[test]
fn a_repeated_transaction_is_answered_every_time_and_ordered_once() {
    let network = Network::running(4);
    let signed = Signer::new(network.genesis(), 1, 256).sign();
    // The same bytes four times in a batch, to every node, repeatedly: before, while and after they
    // are ordered.
    for _ in 0..3 {
        for node in ALL {
            let call = json!({ "transaction": signed.hex, "wait": "committed", "timeout_ms": 30_000 });
            let answers = network.rpc(node).batch::<Value>("tx_submit", &vec![call; 4]).unwrap();
            for answer in answers {
                let answer = answer.unwrap();
                assert_eq!((&answer["status"], &answer["height"]), (&json!("committed"), &json!(1)));
            }
        }
    }
    for node in ALL {
        network.order_one(node);
    }
    let chain = network.equal_chains(&ALL);
    assert_eq!(chain.places()[&signed.id], (1, 0));
    assert_eq!(chain.places().len(), 5, "once, and the four others");
}

#[test]
fn a_transaction_is_ordered_even_if_the_client_does_not_wait() {
    let network = Network::running(4);
    let signed = Signer::new(network.genesis(), 1, 256).sign();
    network.rpc(3).submit(&signed.hex, Wait::None, 0).unwrap();
    for node in ALL {
        let rpc = network.rpc(node);
        wait_until("it is committed", || {
            matches!(rpc.transaction(&signed.id), TransactionStatus::Committed { .. })
        });
    }
}
