//! Finding members and dialing them.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures::FutureExt;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::{Attempt, Dialed, Driver};
use crate::direct::AlreadyConnected;
use crate::failures;
use crate::identity::PeerKey;
use crate::names::{self, Resolution};

/// Members looked up in one round; the next ones follow in the next round.
const LOOKUPS_PER_ROUND: usize = 8;

/// How long names are looked up while there are addresses that could be dialed without them.
const NAME_PATIENCE: Duration = Duration::from_secs(1);

impl Driver {
    /// Asks around for members that are not connected, less and less often.
    pub(super) fn look_up(&mut self, now: Instant) {
        let lookup = &mut self.work.lookup;
        if lookup.due() > now {
            return;
        }
        lookup.last = now;
        lookup.delay = (2 * lookup.delay).min(self.timing.lookup_max);
        if self.work.connections.is_empty() {
            return; // nobody to ask
        }
        let missing: Vec<PeerKey> = self.dialing.missing().copied().collect();
        let round = missing.len().min(LOOKUPS_PER_ROUND);
        // Everyone has a turn, however many are missing.
        let start = lookup.turn.checked_rem(missing.len()).unwrap_or(0);
        lookup.turn = start + round;
        for key in missing.iter().cycle().skip(start).take(round) {
            if let Some(peer) = self.peers.by_key(key) {
                self.counters.lookups.one();
                self.swarm.behaviour_mut().discovery.look_up(peer.id);
            }
        }
    }

    /// Somebody new may know somebody else: look up soon, though not at any rate that others choose.
    pub(super) fn look_up_soon(&mut self) {
        self.work.lookup.delay = self.timing.lookup_min;
    }

    /// Begins an attempt: looks into the book, and asks the resolver where the book has names.
    pub(super) fn begin(&mut self, attempt: Attempt, now: Instant) {
        let addresses = match attempt {
            Attempt::Member(key) => self.book.candidates(&key, now),
            Attempt::Bootstrap(number) => self.bootstrap.address(number).into_iter().collect(),
        };
        if addresses.iter().any(names::is_name) {
            // A name service that does not answer must not hold up addresses that need none.
            let needs_names = addresses.iter().all(names::is_name);
            let patience = self.timing.dial_timeout;
            let patience = if needs_names { patience } else { patience.min(NAME_PATIENCE) };
            let resolving = async move { (attempt, names::resolve(addresses, patience).await) };
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
        // Connections leave from a port of their own: from the listening port, two members that dial each
        // other at the same moment would open one TCP connection from both ends, which then fails.
        let options = match attempt {
            Attempt::Member(key) => {
                let Some(peer) = self.peers.by_key(&key).cloned() else { return };
                if !self.book.knows(&key) {
                    peer.failed(&"no address of this member is known yet");
                    return self.dialing.lost(&key);
                }
                // Again, because names have become addresses since.
                addresses.retain(|(address, _)| !self.book.is_avoided(&key, address, now));
                if addresses.is_empty() {
                    peer.failed(&"all known addresses are names without address, or belong to somebody else");
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
                // One at a time: only then is it clear who was reached where.
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

    /// An attempt led nowhere. `reached`: who answered, if somebody did.
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
                if let (DialError::Denied { .. }, None, Some(stranger)) = (error, owner, reached) {
                    self.on_stranger(&stranger, "answered at a bootstrap address");
                }
            }
        }
    }

    /// Finds out which of the addresses of an attempt are to blame, and why.
    fn on_addresses_failed(&mut self, dialed: &Dialed, error: &DialError, now: Instant) {
        let blamed: Vec<(&Multiaddr, String)> = match error {
            DialError::Transport(errors) => {
                errors.iter().map(|(address, error)| (address, failures::reason_of(error))).collect()
            }
            DialError::WrongPeerId { obtained, address } => {
                vec![(address, format!("another node answers there, {obtained}"))]
            }
            DialError::LocalPeerId { address } if dialed.attempt.member().is_some() => {
                vec![(address, "this node itself answers there".to_owned())]
            }
            DialError::Denied { .. } => {
                let reason = || "a node that is no validator of this network answers there".to_owned();
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

    /// No member was reached at an address. It leaves a trace if the operator wrote it: others could name any number.
    pub(super) fn on_address_failed(
        &mut self,
        attempt: Attempt,
        written: &Multiaddr,
        reason: &str,
        now: Instant,
    ) {
        let member = attempt.member();
        if member.is_some_and(|key| !self.book.is_configured(&key, written)) {
            return;
        }
        if self.failures.failed(member, written, reason, now) {
            let expected = member.map(|key| key.to_string());
            tracing::warn!(address = %written, expected, reason, "an address of p2p.bootstrap leads to no validator");
        }
        self.publish_failures();
    }

    /// A member was reached, or this node itself, at the only address of an attempt.
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
            // One wrong address spoils an attempt with several: the first to answer counts.
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

    /// That member answered at the bootstrap address of that number.
    pub(super) fn on_bootstrap_known(&mut self, number: usize, key: PeerKey) {
        if let Some(address) = self.bootstrap.known(number, key) {
            self.book.configure(key, address);
        }
    }

    /// Others say where a peer is.
    pub(super) fn on_found(&mut self, id: &PeerId, addresses: &[Multiaddr]) {
        let Some(peer) = self.peers.by_id(id) else { return };
        if self.book.found(peer.key, addresses) {
            self.dialing.found(&peer.key, Instant::now());
        }
    }
}

/// Whether we gave up a dial ourselves, because we are connected with that peer.
fn is_needless(error: &DialError) -> bool {
    match error {
        DialError::DialPeerConditionFalse(_) => true,
        DialError::Denied { cause } => cause.downcast_ref::<AlreadyConnected>().is_some(),
        _ => false,
    }
}
