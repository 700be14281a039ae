//! Looking up members and dialing them.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures::FutureExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::Driver;
use super::work::{Attempt, Dialed};
use crate::dialing::failures;
use crate::dialing::names::{self, Resolution};
use crate::direct::behaviour::AlreadyConnected;
use crate::identity::PeerKey;

/// Members looked up in one round; the next round continues with the others.
const LOOKUPS_PER_ROUND: usize = 8;

/// Timeout for resolving host names if there are also addresses that need no resolving.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

impl Driver {
    /// Looks up members that are not connected, at increasing intervals.
    pub(super) fn look_up(&mut self, now: Instant) {
        let lookup = &mut self.work.lookup;
        if lookup.due() > now {
            return;
        }
        lookup.last = now;
        lookup.delay = (2 * lookup.delay).min(self.timing.lookup_max);
        if self.work.connections.is_empty() {
            return; // no peer to query
        }
        let missing: Vec<PeerKey> = self.dialing.missing().copied().collect();
        let round = missing.len().min(LOOKUPS_PER_ROUND);
        // Continue where the last round ended, so that every missing member is looked up.
        let start = lookup.next_index.checked_rem(missing.len()).unwrap_or(0);
        lookup.next_index = start + round;
        for key in missing.iter().cycle().skip(start).take(round) {
            if let Some(peer) = self.peers.by_key(key) {
                self.counters.lookups.one();
                self.swarm.behaviour_mut().discovery.look_up(peer.id);
            }
        }
    }

    /// Resets the lookup interval, because a newly connected peer may know missing members. The
    /// minimum interval still applies, so other peers cannot control the rate.
    pub(super) fn look_up_soon(&mut self) {
        self.work.lookup.delay = self.timing.lookup_min;
    }

    /// Begins an attempt: takes the addresses from the address book, and resolves host names.
    pub(super) fn begin(&mut self, attempt: Attempt, now: Instant) {
        let addresses = match attempt {
            Attempt::Member(key) => self.book.candidates(&key, now),
            Attempt::Bootstrap(number) => self.bootstrap.address(number).into_iter().collect(),
        };
        if addresses.iter().any(names::is_name) {
            // A name service that does not answer must not delay addresses that need none.
            let needs_names = addresses.iter().all(names::is_name);
            let dial_timeout = self.timing.dial_timeout;
            let timeout_after = if needs_names { dial_timeout } else { dial_timeout.min(NAME_TIMEOUT) };
            let resolving = async move { (attempt, names::resolve(addresses, timeout_after).await) };
            self.work.resolving.push(resolving.boxed());
        } else {
            self.dial(attempt, Resolution::of_addresses(addresses));
        }
    }

    /// Dials the addresses found for an attempt.
    pub(super) fn dial(&mut self, attempt: Attempt, resolution: Resolution) {
        let now = Instant::now();
        let Resolution { found: mut addresses, failed } = resolution;
        for (written, reason) in &failed {
            self.on_address_failed(attempt, written, reason, now);
        }
        // Dial from a separate port. From the listening port, two members that dial each other at
        // the same moment would open one TCP connection from both ends, which then fails.
        let options = match attempt {
            Attempt::Member(key) => {
                let member = self.peers.by_key(&key).filter(|peer| peer.is_member());
                let Some(peer) = member.cloned() else { return };
                if !self.book.knows(&key) {
                    peer.failed(&"no address of this member is known yet: add one to p2p.bootstrap, or wait until another member reports it");
                    return self.dialing.lost(&key);
                }
                // Check again, because host names were resolved since.
                addresses.retain(|(address, _)| !self.book.is_avoided(&key, address, now));
                if addresses.is_empty() {
                    peer.failed(&"none of the known addresses can be used: their host names have no address, or another node answers there");
                    return self.dialing.failed(&key, now);
                }
                peer.dial_attempts.one();
                let dialed = addresses.iter().map(|(address, _)| address.clone()).collect();
                DialOpts::peer_id(peer.id).addresses(dialed).allocate_new_port().build()
            }
            Attempt::Bootstrap(number) => {
                if addresses.is_empty() {
                    return self.bootstrap.failed(number, now);
                }
                // Dial one address at a time, so that it is clear which peer answered where.
                let chosen = addresses.swap_remove(self.bootstrap.failures(number) % addresses.len());
                let address = chosen.0.clone();
                addresses = vec![chosen];
                DialOpts::unknown_peer_id().address(address).allocate_new_port().build()
            }
        };
        self.counters.dials.one();
        let id = options.connection_id();
        self.work.attempts.insert(id, Dialed { attempt, addresses });
        if let Err(error) = self.swarm.dial(options) {
            self.on_dial_failed(id, None, &error);
        }
    }

    /// An attempt failed. `reached` is the peer that answered, if one did.
    pub(super) fn on_dial_failed(&mut self, id: ConnectionId, reached: Option<PeerId>, error: &DialError) {
        let Some(dialed) = self.work.attempts.remove(&id) else { return };
        let attempt = dialed.attempt;
        let now = Instant::now();
        let needless = is_needless(error);
        if !needless {
            self.counters.dials_failed.one();
            tracing::debug!(?attempt, %error, "not connected");
            self.on_addresses_failed(&dialed, error, now);
        }
        match attempt {
            // Removed meanwhile.
            Attempt::Member(key) if !self.peers.is_member(&key) => {}
            Attempt::Member(key) => self.on_member_not_reached(key, error, needless, now),
            Attempt::Bootstrap(number) => {
                let owner = reached.and_then(|id| self.peers.by_id(&id));
                let owner = owner.filter(|peer| peer.is_member()).map(|peer| peer.key);
                match (error, owner) {
                    (DialError::LocalPeerId { .. }, _) => {
                        self.on_address_worked(&dialed);
                        self.bootstrap.own(number);
                    }
                    (_, Some(key)) if needless => {
                        self.on_address_worked(&dialed);
                        self.on_bootstrap_known(number, key);
                    }
                    _ => self.bootstrap.failed(number, now),
                }
                // A peer that is connected already is admitted, as an observer if it is no member.
                if let (DialError::Denied { .. }, None, Some(stranger), false) =
                    (error, owner, reached, needless)
                {
                    self.on_stranger(&stranger, "answered at a bootstrap address");
                }
            }
        }
    }

    /// Records which addresses of an attempt failed, and why.
    fn on_addresses_failed(&mut self, dialed: &Dialed, error: &DialError, now: Instant) {
        let blamed: Vec<(&Multiaddr, String)> = match error {
            DialError::Transport(errors) => errors
                .iter()
                .map(|(address, error)| (address, failures::describe_transport_error(error)))
                .collect(),
            DialError::WrongPeerId { obtained, address } => {
                vec![(address, format!("another node answers there, {obtained}"))]
            }
            DialError::LocalPeerId { address } if dialed.attempt.member().is_some() => {
                vec![(address, "this node itself answers there".to_owned())]
            }
            DialError::Denied { .. } => {
                let reason = || {
                    "no validator that this node knows answers there: it is another node, or a validator with a new key".to_owned()
                };
                dialed.addresses.iter().map(|(address, _)| (address, reason())).collect()
            }
            _ => Vec::new(),
        };
        for (address, reason) in blamed {
            if let Some(written) = dialed.written(address) {
                self.on_address_failed(dialed.attempt, written, &reason, now);
            }
        }
    }

    /// Records that no member was reached at an address, if the operator configured it. Addresses
    /// from other sources are not recorded, because peers could report any number of them.
    pub(super) fn on_address_failed(
        &mut self,
        attempt: Attempt,
        written: &Multiaddr,
        reason: &str,
        now: Instant,
    ) {
        let member = attempt.member();
        let is_configured =
            |key: &PeerKey| self.peers.is_member(key) && self.book.is_configured(key, written);
        if member.is_some_and(|key| !is_configured(&key)) {
            return;
        }
        if self.failures.failed(member, written, reason, now) {
            let expected = member.map(|key| key.to_string());
            tracing::warn!(address = %written, expected, reason, "no validator was reached at an address of p2p.bootstrap: check the address, or remove it");
        }
        self.publish_failures();
    }

    /// A member or this node itself was reached at the only address of an attempt.
    fn on_address_worked(&mut self, dialed: &Dialed) {
        for (_, written) in &dialed.addresses {
            self.failures.worked(dialed.attempt.member(), written);
        }
        self.publish_failures();
    }

    pub(super) fn publish_failures(&mut self) {
        *self.failed.write().unwrap_or_else(PoisonError::into_inner) = self.failures.list();
    }

    fn on_member_not_reached(&mut self, key: PeerKey, error: &DialError, needless: bool, now: Instant) {
        if let DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } = error {
            // One wrong address makes an attempt with several addresses fail, because the first
            // answer counts.
            self.book.avoid(key, address, now);
            for address in self.bootstrap.forget(&key, now) {
                self.book.unconfigure(key, &address);
                self.failures.worked(Some(key), &address);
            }
            self.publish_failures();
        }
        if let (false, Some(peer)) = (needless, self.peers.by_key(&key)) {
            peer.failed(error);
        }
        self.dialing.failed(&key, now);
    }

    /// The member answered at the bootstrap address with this index.
    pub(super) fn on_bootstrap_known(&mut self, number: usize, key: PeerKey) {
        if let Some(address) = self.bootstrap.known(number, key) {
            self.book.configure(key, address);
        }
    }

    /// Other peers reported addresses of a peer.
    pub(super) fn on_found(&mut self, id: &PeerId, addresses: &[Multiaddr]) {
        let Some(peer) = self.peers.by_id(id).filter(|peer| peer.is_member()) else { return };
        if self.book.found(peer.key, addresses) {
            self.dialing.found(&peer.key, Instant::now());
        }
    }
}

/// Whether this node cancelled the dial itself, because it is already connected with the peer.
fn is_needless(error: &DialError) -> bool {
    match error {
        DialError::DialPeerConditionFalse(_) => true,
        DialError::Denied { cause } => cause.downcast_ref::<AlreadyConnected>().is_some(),
        _ => false,
    }
}
