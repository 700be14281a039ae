//! The limit of requests per second: a token bucket for each client address, in a table of limited
//! size.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use crate::config::RpcConfig;

/// Most addresses in the table, which then has some three megabytes. Further addresses share one
/// bucket.
const MAX_ADDRESSES: usize = 1 << 16;

/// Shortest time between two searches of a full table for addresses that can be removed.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Counts the requests of every address.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// Time in which one token is added. Zero: no limit.
    per_request: Duration,
    /// Time in which an empty bucket becomes full.
    whole_bucket: Duration,
    limit_loopback: bool,
    buckets: Mutex<Buckets>,
}

/// A bucket is represented by the time at which it is full again: it lacks the tokens that are
/// added until then. An address without an entry, or with a time in the past, has a full bucket, so
/// removing such an entry changes nothing.
#[derive(Debug)]
struct Buckets {
    full_at: HashMap<Client, Instant>,
    /// The bucket of all addresses for which the table has no space.
    shared: Instant,
    searched: Option<Instant>,
    max_addresses: usize,
}

impl RateLimiter {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        let per_request = match u32::try_from(config.max_requests_per_second) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(rate) => Duration::from_secs(1) / rate,
        };
        let burst = u32::try_from(config.max_request_burst).unwrap_or(u32::MAX);
        RateLimiter {
            per_request,
            whole_bucket: per_request * burst,
            limit_loopback: config.limit_loopback,
            buckets: Mutex::new(Buckets {
                full_at: HashMap::new(),
                shared: Instant::now(),
                searched: None,
                max_addresses: MAX_ADDRESSES,
            }),
        }
    }

    /// Takes this many tokens from a client's bucket, all or none. A request without a known client
    /// is not limited.
    ///
    /// # Errors
    /// The time until the bucket has enough tokens.
    pub(crate) fn admit(&self, client: Option<Client>, requests: usize) -> Result<(), Duration> {
        let Some(client) = client else {
            return Ok(());
        };
        if self.per_request.is_zero() || (client.is_local() && !self.limit_loopback) {
            return Ok(());
        }
        // A whole batch fits into the bucket: the configuration was checked for that.
        let price = self.per_request * u32::try_from(requests).unwrap_or(u32::MAX);
        let now = Instant::now();
        // Nothing that can panic runs while the lock is held.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.of(client, now);
        let charged = (*full_at).max(now) + price;
        let late = (charged - now).saturating_sub(self.whole_bucket);
        if !late.is_zero() {
            return Err(late);
        }
        *full_at = charged;
        Ok(())
    }

    /// The time until a client's bucket has this many tokens. Takes none.
    pub(crate) fn wait(&self, client: Option<Client>, requests: usize) -> Duration {
        let Some(client) = client else {
            return Duration::ZERO;
        };
        let price = self.per_request * u32::try_from(requests).unwrap_or(u32::MAX);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = (*buckets.of(client, now)).max(now) + price - now;
        missing.saturating_sub(self.whole_bucket)
    }

    /// Takes the remaining tokens of a message that was admitted as one request.
    ///
    /// # Errors
    /// The time until there are enough tokens for the whole message. The token that was taken
    /// before is not returned, because reading the message was work.
    pub(crate) fn admit_rest(&self, client: Option<Client>, requests: usize) -> Result<(), Duration> {
        self.admit(client, requests.saturating_sub(1)).map_err(|late| late + self.per_request)
    }
}

impl Buckets {
    fn of(&mut self, client: Client, now: Instant) -> &mut Instant {
        let full = self.full_at.len() >= self.max_addresses;
        if full && !self.full_at.contains_key(&client) && !self.make_room(now) {
            return &mut self.shared;
        }
        self.full_at.entry(client).or_insert(now)
    }

    /// Removes the addresses whose buckets are full.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.searched.is_some_and(|last| now - last < SEARCH_EVERY) {
            return false;
        }
        self.searched = Some(now);
        self.full_at.retain(|_, full_at| *full_at > now);
        self.full_at.len() < self.max_addresses
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::IpAddr;

    use tokio::time::advance;

    use super::*;

    /// Ten requests a second, twenty at once.
    fn limiter() -> RateLimiter {
        let config = RpcConfig { max_requests_per_second: 10, max_request_burst: 20, ..RpcConfig::default() };
        RateLimiter::new(&config)
    }

    fn address(text: &str) -> Option<Client> {
        Some(text.parse::<IpAddr>().unwrap().into())
    }

    const TENTH: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn a_bucket_empties_at_once_and_fills_up_in_time() {
        let (limiter, client) = (limiter(), address("192.0.2.1"));
        assert_eq!(limiter.admit(client, 15), Ok(()));
        assert_eq!(limiter.admit(client, 6), Err(TENTH), "five are left: one is missing");
        assert_eq!(limiter.admit(client, 5), Ok(()), "a refusal takes nothing");
        assert_eq!(limiter.admit(client, 1), Err(TENTH));
        assert_eq!(limiter.admit(address("192.0.2.2"), 20), Ok(()), "other addresses have their own bucket");
        advance(TENTH).await;
        assert_eq!(limiter.admit(client, 1), Ok(()));
        advance(Duration::from_secs(3600)).await;
        assert_eq!(limiter.admit(client, 20), Ok(()));
        assert_eq!(limiter.admit(client, 1), Err(TENTH), "a bucket never exceeds the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_sent_again_at_the_given_time_is_admitted() {
        let (limiter, client) = (limiter(), address("192.0.2.1"));
        assert_eq!(limiter.admit(client, 15), Ok(()));
        let send = || limiter.admit(client, 1).and_then(|()| limiter.admit_rest(client, 20));
        let late = send().unwrap_err();
        assert_eq!(late, TENTH * 16, "five are left, and the attempt costs one");
        advance(late).await;
        assert_eq!(send(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn loopback_and_unknown_clients_are_free_unless_configured() {
        let mut limiter = limiter();
        for free in [address("127.0.0.1"), address("::1"), address("::ffff:127.9.9.9"), None] {
            assert_eq!(limiter.admit(free, 1000), Ok(()));
        }
        limiter.limit_loopback = true;
        assert!(limiter.admit(address("::1"), 1000).is_err());
        let off = RpcConfig { max_requests_per_second: 0, ..RpcConfig::default() };
        assert_eq!(RateLimiter::new(&off).admit(address("192.0.2.1"), usize::MAX), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_full_table_new_addresses_share_a_bucket_until_others_are_removed() {
        let limiter = limiter();
        limiter.buckets.lock().unwrap().max_addresses = 2;
        assert_eq!(limiter.admit(address("192.0.2.1"), 20), Ok(()));
        assert_eq!(limiter.admit(address("192.0.2.2"), 1), Ok(()));
        assert_eq!(limiter.admit(address("192.0.2.3"), 19), Ok(()));
        assert_eq!(limiter.admit(address("192.0.2.4"), 2), Err(TENTH), "the third has left one");
        assert_eq!(limiter.admit(address("192.0.2.2"), 19), Ok(()), "a known address keeps its own bucket");
        // The two buckets are full again after two seconds, and a search may run again.
        advance(Duration::from_secs(3)).await;
        assert_eq!(limiter.admit(address("192.0.2.5"), 20), Ok(()));
        assert_eq!(limiter.admit(address("192.0.2.6"), 20), Ok(()), "both have their own bucket");
        assert_eq!(limiter.buckets.lock().unwrap().full_at.len(), 2);
    }
}
