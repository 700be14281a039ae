//! Makes transactions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_ledger::{ChainId, MAX_TRANSACTION_BYTES, Payload, SecretKey, Timestamp, Transaction};

/// The default lifetime of a transaction: half of what networks allow by default, so that clocks
/// may differ.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// Random nonces are below this, so that JSON readers of every language read them exactly.
const NONCES: u64 = 1 << 53;

/// The transaction is larger than any network accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transaction would have {bytes} bytes, but no network accepts more than {MAX_TRANSACTION_BYTES}")]
pub struct TransactionTooLarge {
    /// Bytes of its encoding.
    pub bytes: u64,
}

/// Makes signed transactions.
///
/// ```
/// use std::time::Duration;
///
/// use quorate_client::TransactionBuilder;
/// use quorate_ledger::{ChainId, SecretKey};
///
/// let chain = ChainId::from_bytes([7; 32]);
/// let transaction = TransactionBuilder::new(chain, b"hello".to_vec())
///     .lifetime(Duration::from_secs(30))
///     .sign(&SecretKey::generate())?;
/// assert!(transaction.verify(&chain).is_ok());
/// # Ok::<(), quorate_client::TransactionTooLarge>(())
/// ```
#[derive(Debug, Clone)]
pub struct TransactionBuilder {
    chain: ChainId,
    payload: Payload,
    nonce: Option<u64>,
    valid_until: Option<Timestamp>,
    lifetime: Duration,
}

impl TransactionBuilder {
    /// A transaction for one chain that carries these bytes.
    pub fn new(chain: ChainId, data: Vec<u8>) -> Self {
        TransactionBuilder::with_payload(chain, Payload::Data(data))
    }

    /// A transaction for one chain with any payload, for example a governance operation.
    pub fn with_payload(chain: ChainId, payload: Payload) -> Self {
        TransactionBuilder { chain, payload, nonce: None, valid_until: None, lifetime: DEFAULT_LIFETIME }
    }

    /// How long it is valid from its signing on, by this machine's clock.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Until when it is valid, instead of a lifetime.
    #[must_use]
    pub fn valid_until(mut self, time: Timestamp) -> Self {
        self.valid_until = Some(time);
        self
    }

    /// The nonce, instead of a random one. It makes the id unique: two transactions of one key with
    /// equal data, times and nonces are the same transaction.
    #[must_use]
    pub fn nonce(mut self, nonce: u64) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Signs it. Panics if the system provides no randomness.
    ///
    /// # Errors
    /// [`TransactionTooLarge`]. A network may have a lower limit, which its nodes check.
    pub fn sign(self, key: &SecretKey) -> Result<Transaction, TransactionTooLarge> {
        let valid_until = self.valid_until.unwrap_or_else(|| now().plus_ms(millis(self.lifetime)));
        let nonce = self.nonce.unwrap_or_else(random_nonce);
        let transaction = Transaction::sign(&self.chain, key, nonce, valid_until, self.payload);
        let bytes = transaction.encoded_len();
        if bytes > u64::from(MAX_TRANSACTION_BYTES) {
            return Err(TransactionTooLarge { bytes });
        }
        Ok(transaction)
    }
}

fn now() -> Timestamp {
    // With a clock before 1970 the transaction has expired, and every node refuses it as expired.
    Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn random_nonce() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    u64::from_le_bytes(bytes) % NONCES
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[1; 32]).unwrap()
    }

    #[test]
    fn all_given_fields_are_signed() {
        let transaction =
            TransactionBuilder::new(CHAIN, vec![5]).nonce(7).valid_until(Timestamp(9)).sign(&key()).unwrap();
        let expected = Transaction::sign(&CHAIN, &key(), 7, Timestamp(9), Payload::Data(vec![5]));
        assert_eq!(transaction, expected);
    }

    #[test]
    fn the_same_data_twice_is_two_transactions_with_short_nonces() {
        let sign = || TransactionBuilder::new(CHAIN, vec![5]).sign(&key()).unwrap();
        let (one, other) = (sign(), sign());
        assert_ne!(one.id(), other.id());
        assert!(one.nonce < NONCES && other.nonce < NONCES);
    }

    #[test]
    fn a_lifetime_begins_now() {
        let before = now();
        let transaction =
            TransactionBuilder::new(CHAIN, Vec::new()).lifetime(Duration::from_secs(5)).sign(&key()).unwrap();
        assert!((before.plus_ms(5000)..=now().plus_ms(5000)).contains(&transaction.valid_until));
    }

    #[test]
    fn a_transaction_that_no_network_accepts_is_refused() {
        let largest = MAX_TRANSACTION_BYTES as usize - 118;
        assert!(TransactionBuilder::new(CHAIN, vec![0; largest]).sign(&key()).is_ok());
        let error = TransactionBuilder::new(CHAIN, vec![0; largest + 1]).sign(&key()).unwrap_err();
        assert_eq!(error.bytes, u64::from(MAX_TRANSACTION_BYTES) + 1);
    }
}
