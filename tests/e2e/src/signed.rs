//! Signing transactions.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_genesis::Genesis;
use quorate_ledger::{ChainId, Payload, SecretKey, Timestamp, Transaction, TransactionId, to_hex};

/// How long transactions are valid. The network takes 120 s, counted by clocks that may differ.
const LIFETIME_MS: u64 = 110_000;

/// The time, as transactions count it.
///
/// # Panics
/// If the clock stands before 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("the clock stands in our era"))
}

/// A transaction as it is handed in.
#[derive(Debug, Clone)]
pub struct SignedTransaction {
    /// Its id.
    pub id: TransactionId,
    /// Its encoding as hex.
    pub hex: String,
}

impl SignedTransaction {
    /// The encoded form of a transaction.
    pub fn of(transaction: &Transaction) -> Self {
        let bytes = transaction.to_bytes();
        SignedTransaction { id: Transaction::id_of(&bytes), hex: to_hex(&bytes) }
    }
}

/// Signs transactions of one size in the name of several senders, in turn. No two are the same.
#[derive(Debug)]
pub struct Signer {
    chain: ChainId,
    senders: Vec<SecretKey>,
    payload_bytes: usize,
    next: u64,
}

impl Signer {
    /// Fresh senders.
    pub fn new(genesis: &Genesis, senders: usize, payload_bytes: usize) -> Self {
        let senders = (0..senders.max(1)).map(|_| SecretKey::generate()).collect();
        Signer { chain: genesis.chain_id(), senders, payload_bytes, next: 0 }
    }

    /// The next transaction, valid for almost as long as a network allows, from now on.
    pub fn sign(&mut self) -> SignedTransaction {
        let nonce = self.next;
        self.next += 1;
        let sender = usize::try_from(nonce).unwrap_or(0) % self.senders.len();
        let payload = nonce.to_le_bytes().into_iter().cycle().take(self.payload_bytes).collect();
        let transaction = Transaction::sign(
            &self.chain,
            &self.senders[sender],
            nonce,
            now().plus_ms(LIFETIME_MS),
            Payload::Data(payload),
        );
        SignedTransaction::of(&transaction)
    }

    /// The next transactions.
    pub fn sign_many(&mut self, count: usize) -> Vec<SignedTransaction> {
        (0..count).map(|_| self.sign()).collect()
    }
}
