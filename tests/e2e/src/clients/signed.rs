//! Signing transactions.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_genesis::Genesis;
use quorate_ledger::{ChainId, Payload, SecretKey, Timestamp, Transaction, TransactionId, to_hex};

/// Lifetime of transactions. The network accepts 120 s, measured by clocks that may differ.
const LIFETIME_MS: u64 = 110_000;

/// The current time in the unit of transactions.
///
/// # Panics
/// If the clock is before 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("the time fits into 64 bits"))
}

/// A transaction in the form in which it is submitted.
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

/// Signs transactions of one size with the keys of several senders, in turn. All of them differ.
#[derive(Debug)]
pub struct Signer {
    chain: ChainId,
    senders: Vec<SecretKey>,
    payload_bytes: usize,
    next: u64,
}

impl Signer {
    /// A signer with new keys.
    pub fn new(genesis: &Genesis, senders: usize, payload_bytes: usize) -> Self {
        let senders = (0..senders.max(1)).map(|_| SecretKey::generate()).collect();
        Signer { chain: genesis.chain_id(), senders, payload_bytes, next: 0 }
    }

    /// The next transaction, valid from now on for almost the longest lifetime that a network
    /// allows.
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
