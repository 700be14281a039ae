//! The load: all transactions are signed before the first one is sent.

use std::collections::HashMap;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use quorate_genesis::Genesis;
use quorate_ledger::{
    Domain, Payload, SecretKey, TRANSACTION_OVERHEAD_BYTES, Timestamp, Transaction, TransactionId,
    tagged_hash, to_hex,
};

/// Upper limit of the memory for signed transactions, in bytes of their encoded form. The table of
/// their ids comes on top.
const MAX_LOAD_BYTES: usize = 512 << 20;

/// Minimum time between the end of a run and the expiry of its transactions. It keeps transactions
/// from expiring because the run was slow.
const VALIDITY_MARGIN: Duration = Duration::from_secs(30);

/// Signed transactions in the order in which they are sent.
pub(super) struct Load {
    /// Each in the form that `tx_submit` accepts: hex with the prefix 0x.
    encoded: Vec<Box<str>>,
    positions: HashMap<TransactionId, u32>,
}

impl Load {
    /// Signs `count` transactions of `payload_bytes` each with `senders` new keys in turn.
    ///
    /// # Errors
    /// A payload that is too large for this network, or a run that outlasts the longest lifetime of
    /// a transaction.
    pub(super) fn sign(
        genesis: &Genesis,
        count: usize,
        payload_bytes: usize,
        senders: usize,
        duration: Duration,
    ) -> anyhow::Result<Self> {
        let limits = genesis.block_limits().transaction;
        let bytes = payload_bytes.saturating_add(TRANSACTION_OVERHEAD_BYTES as usize);
        if bytes > limits.max_bytes as usize {
            bail!(
                "a payload of {payload_bytes} bytes makes a transaction of {bytes}, the network takes {}: choose a \
                 smaller --payload",
                limits.max_bytes
            );
        }
        let lifetime = Duration::from_millis(limits.max_lifetime_ms);
        let longest = lifetime.saturating_sub(VALIDITY_MARGIN);
        if duration > longest {
            bail!(
                "--duration {} is too long: transactions are signed before the run and are valid for {} \
                 on this network, so a run can last at most {}",
                humantime::format_duration(duration),
                humantime::format_duration(lifetime),
                humantime::format_duration(longest)
            );
        }
        let batch = Batch {
            genesis,
            payload_bytes,
            keys: (0..senders).map(|_| SecretKey::generate()).collect(),
            // Stay below the longest lifetime: this machine's clock may be ahead of the validators'
            // clocks.
            valid_until: crate::commands::now().plus_ms(limits.max_lifetime_ms.saturating_sub(1000)),
        };
        Ok(batch.sign(count))
    }

    /// The largest number of transactions of this size that fit into the memory limit.
    pub(super) fn capacity(payload_bytes: usize) -> usize {
        let encoded = 2 * (payload_bytes + TRANSACTION_OVERHEAD_BYTES as usize);
        // Positions are 32-bit numbers.
        (MAX_LOAD_BYTES / encoded).min(u32::MAX as usize)
    }

    /// Number of transactions.
    pub(super) fn len(&self) -> usize {
        self.encoded.len()
    }

    /// A transaction in the form that `tx_submit` accepts.
    pub(super) fn encoded(&self, position: u32) -> &str {
        &self.encoded[position as usize]
    }

    /// The position of a transaction in the load; `None` if it is not part of the load.
    pub(super) fn position(&self, id: &TransactionId) -> Option<u32> {
        self.positions.get(id).copied()
    }
}

/// The values that all transactions of a load share.
struct Batch<'a> {
    genesis: &'a Genesis,
    payload_bytes: usize,
    keys: Vec<SecretKey>,
    valid_until: Timestamp,
}

impl Batch<'_> {
    fn sign(&self, count: usize) -> Load {
        let threads = cores();
        let share = count.div_ceil(threads).max(1);
        let signed: Vec<(TransactionId, Box<str>)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..count)
                .step_by(share)
                .map(|start| {
                    scope.spawn(move || {
                        (start..count.min(start + share))
                            .map(|position| self.one(position))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("signing does not panic")).collect()
        });
        let positions = (0..).zip(&signed).map(|(position, (id, _))| (*id, position)).collect();
        Load { encoded: signed.into_iter().map(|(_, encoded)| encoded).collect(), positions }
    }

    fn one(&self, position: usize) -> (TransactionId, Box<str>) {
        let key = &self.keys[position % self.keys.len()];
        let payload = Payload::Data(payload(position as u64, self.payload_bytes));
        let chain = self.genesis.chain_id();
        let bytes = Transaction::sign(&chain, key, position as u64, self.valid_until, payload).to_bytes();
        (Transaction::id_of(&bytes), to_hex(&bytes).into())
    }
}

/// Bytes that disks and networks cannot compress: a fixed pseudo-random sequence (SplitMix64) for
/// each number.
fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut payload = Vec::with_capacity(bytes + 8);
    while payload.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        payload.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    payload.truncate(bytes);
    payload
}

/// Number of processor cores that this process may use.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Measures the time of one signature verification in seconds: the median of several rounds on one
/// core. The sender's key is parsed each time, as validators do for every transaction.
pub(super) fn verification_seconds() -> f64 {
    const ROUNDS: usize = 9;
    const VERIFICATIONS: u32 = 500;
    let key = SecretKey::generate();
    let hash = tagged_hash(Domain::Transaction, &[b"bench"]);
    let (signature, public) = (key.sign(&hash), key.public());
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..VERIFICATIONS {
                let public = std::hint::black_box(&public);
                let verified = public.parse().is_ok_and(|key| key.verify(&hash, &signature));
                assert!(std::hint::black_box(verified), "an own signature verifies");
            }
            start.elapsed()
        })
        .collect();
    rounds.sort();
    rounds[ROUNDS / 2].as_secs_f64() / f64::from(VERIFICATIONS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;
    use quorate_ledger::from_hex;

    use super::*;

    const RUN: Duration = Duration::from_secs(20);

    #[test]
    fn every_transaction_is_valid_different_and_found_by_its_id() {
        let network = TestNetwork::seeded(4, 1);
        let genesis = network.genesis();
        let load = Load::sign(genesis, 50, 256, 7, RUN).unwrap();
        assert_eq!(load.len(), 50);
        let now = crate::commands::now();
        let limits = genesis.block_limits().transaction;
        let mut senders = std::collections::BTreeSet::new();
        for position in 0..50 {
            let bytes = from_hex(load.encoded(position)).unwrap();
            let transaction = Transaction::from_bytes(&bytes).unwrap();
            assert!(matches!(&transaction.payload, Payload::Data(data) if data.len() == 256));
            assert!(transaction.valid_until > now.plus_ms(20_000));
            assert!(transaction.valid_until < now.plus_ms(limits.max_lifetime_ms));
            senders.insert(transaction.sender);
            let verified = transaction.verify(&genesis.chain_id()).unwrap();
            assert_eq!(load.position(&verified.id()), Some(position));
        }
        assert_eq!(senders.len(), 7);
        assert_eq!(load.position(&TransactionId::from_bytes([0; 32])), None);
    }

    #[test]
    fn what_the_network_would_refuse_is_not_signed() {
        let network = TestNetwork::seeded(4, 1);
        let sign = |payload, duration| {
            Load::sign(network.genesis(), 1, payload, 1, duration)
                .map(|load| load.len())
                .map_err(|e| e.to_string())
        };
        assert_eq!(sign((256 << 10) - 118, RUN), Ok(1), "the largest one");
        assert!(sign((256 << 10) - 117, RUN).unwrap_err().contains("--payload"));
        assert!(sign(usize::MAX, RUN).unwrap_err().contains("--payload"));
        assert_eq!(sign(0, Duration::from_secs(90)), Ok(1));
        assert!(sign(0, Duration::from_secs(91)).unwrap_err().contains("--duration"));
    }

    #[test]
    fn payloads_have_their_size_and_differ() {
        for bytes in [0, 1, 8, 9, 256] {
            assert_eq!(payload(3, bytes).len(), bytes);
        }
        assert_ne!(payload(1, 256), payload(2, 256));
        assert!(Load::capacity(256) > 300_000);
    }
}
