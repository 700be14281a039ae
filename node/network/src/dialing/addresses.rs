//! A bounded address book: the addresses of each member, grouped by source.
//!
//! The sources are kept apart so that no source can displace another. Addresses that the operator
//! configured stay. The addresses that a member announces (over its own authenticated connection)
//! replace its previous announcement. Addresses that other members report are unverified: the book
//! keeps only a few, newest first.
//!
//! Addresses that were known at the start, from the configuration or from the last run, may be
//! those of nodes that are not members, and become members later.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::config::KEPT_LIMITS_MAX;
use crate::dialing::names::is_name;
use crate::identity::PeerKey;

/// How long the node avoids an address for a member after a different peer answered there.
const AVOID_TIME: Duration = Duration::from_secs(30);

/// Nodes of which addresses from the last run are kept. More are never members at the same time.
const REMEMBERED_MAX: usize = KEPT_LIMITS_MAX;

/// The addresses of all members.
pub(crate) struct AddressBook {
    pages: BTreeMap<PeerKey, Page>,
    per_source_max: usize,
}

#[derive(Default)]
struct Page {
    /// The last address at which this node reached the member.
    proven: Option<Multiaddr>,
    configured: Vec<Multiaddr>,
    announced: Vec<Multiaddr>,
    found: VecDeque<Multiaddr>,
    /// Addresses from before this node started, see [`AddressBook::remember`].
    remembered: Vec<Multiaddr>,
    /// Addresses where a different peer answered, each with the time until which to avoid it.
    avoided: VecDeque<(Multiaddr, Instant)>,
}

impl Page {
    /// All addresses, the most promising first.
    fn sources(&self) -> impl Iterator<Item = &Multiaddr> {
        let own = self.proven.iter().chain(&self.configured).chain(&self.announced);
        own.chain(&self.found).chain(&self.remembered)
    }
}

impl AddressBook {
    /// An empty book that keeps `per_source_max` addresses of each member from each source.
    pub(crate) fn new(per_source_max: usize) -> Self {
        Self { pages: BTreeMap::new(), per_source_max }
    }

    fn page(&mut self, key: PeerKey) -> &mut Page {
        self.pages.entry(key).or_default()
    }

    /// Adds an address from the configuration. The number of these is not limited.
    pub(crate) fn configure(&mut self, key: PeerKey, address: Multiaddr) {
        let page = self.page(key);
        if !page.configured.contains(&address) {
            page.configured.push(address);
        }
    }

    /// Removes a configured address, because a different peer answered there.
    pub(crate) fn unconfigure(&mut self, key: PeerKey, address: &Multiaddr) {
        self.page(key).configured.retain(|known| known != address);
    }

    /// Whether this address of the member comes from the configuration.
    pub(crate) fn is_configured(&self, key: &PeerKey, address: &Multiaddr) -> bool {
        self.pages.get(key).is_some_and(|page| page.configured.contains(address))
    }

    /// Records that this node reached the member at this address.
    pub(crate) fn prove(&mut self, key: PeerKey, address: Multiaddr) {
        self.page(key).proven = Some(address);
    }

    /// Records the addresses that the member announces for itself. Returns those that are kept.
    pub(crate) fn announce(&mut self, key: PeerKey, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let mut announced: Vec<Multiaddr> = Vec::new();
        for address in addresses.iter().filter_map(|address| without_peer(address).ok()) {
            if announced.len() < self.per_source_max && !announced.contains(&address.0) {
                announced.push(address.0);
            }
        }
        self.page(key).announced.clone_from(&announced);
        announced
    }

    /// Records addresses that others report for the member. Returns whether one of them is new.
    pub(crate) fn found(&mut self, key: PeerKey, addresses: &[Multiaddr]) -> bool {
        let limit = self.per_source_max;
        let page = self.page(key);
        let mut news = false;
        for (address, _) in addresses.iter().take(limit).filter_map(|address| without_peer(address).ok()) {
            if page.announced.contains(&address) || page.found.contains(&address) {
                continue;
            }
            page.found.push_front(address);
            page.found.truncate(limit);
            news = true;
        }
        news
    }

    /// Adds an address of the member from before this node started. Host names are ignored: they
    /// come from the configuration. Ignored if there are too many of other nodes.
    pub(crate) fn remember(&mut self, key: PeerKey, text: &str) {
        let limit = 2 * self.per_source_max;
        let Some((address, _)) = text.parse().ok().and_then(|address| without_peer(&address).ok()) else {
            return;
        };
        if is_name(&address) || (self.pages.len() >= REMEMBERED_MAX && !self.pages.contains_key(&key)) {
            return;
        }
        let page = self.page(key);
        if page.remembered.len() < limit && !page.remembered.contains(&address) {
            page.remembered.push(address);
        }
    }

    /// The peer is no member any more: keeps only the configured addresses.
    pub(crate) fn forget(&mut self, key: &PeerKey) {
        let Some(page) = self.pages.remove(key) else { return };
        if !page.configured.is_empty() {
            let configured = page.configured;
            self.pages.insert(*key, Page { configured, ..Page::default() });
        }
    }

    /// The addresses to persist for the next start: IP addresses at which members were reached, or
    /// which they announce. Addresses from the last start are kept until there are newer ones.
    pub(crate) fn addresses_to_persist(&self) -> Vec<(PeerKey, String)> {
        let of_page = |(key, page): (&PeerKey, &Page)| {
            let fresh: Vec<&Multiaddr> = page.proven.iter().chain(&page.announced).collect();
            let old = page.remembered.iter().filter(|_| fresh.is_empty());
            let mut kept: Vec<(PeerKey, String)> = Vec::new();
            for address in fresh.iter().copied().chain(old).filter(|address| !is_name(address)) {
                let entry = (*key, address.to_string());
                if !kept.contains(&entry) {
                    kept.push(entry);
                }
            }
            kept
        };
        self.pages.iter().flat_map(of_page).collect()
    }

    /// A different peer answered at this address: avoids it for [`AVOID_TIME`].
    pub(crate) fn avoid(&mut self, key: PeerKey, address: &Multiaddr, now: Instant) {
        let Ok((address, _)) = without_peer(address) else { return };
        let limit = 4 * self.per_source_max;
        let page = self.page(key);
        page.proven.take_if(|proven| *proven == address);
        page.found.retain(|found| *found != address);
        page.remembered.retain(|remembered| *remembered != address);
        page.avoided.retain(|(known, until)| *known != address && *until > now);
        page.avoided.push_front((address, now + AVOID_TIME));
        page.avoided.truncate(limit);
    }

    /// Whether this address of the member is to be avoided now.
    pub(crate) fn is_avoided(&self, key: &PeerKey, address: &Multiaddr, now: Instant) -> bool {
        self.pages
            .get(key)
            .is_some_and(|page| page.avoided.iter().any(|(known, until)| known == address && *until > now))
    }

    /// Whether any address of the member is known, including those that are to be avoided now.
    pub(crate) fn knows(&self, key: &PeerKey) -> bool {
        self.pages.get(key).is_some_and(|page| page.sources().next().is_some())
    }

    /// The addresses to dial for the member, the most promising first, each once.
    pub(crate) fn candidates(&self, key: &PeerKey, now: Instant) -> Vec<Multiaddr> {
        let Some(page) = self.pages.get(key) else { return Vec::new() };
        let mut candidates: Vec<Multiaddr> = Vec::new();
        for address in page.sources() {
            if !candidates.contains(address) && !self.is_avoided(key, address, now) {
                candidates.push(address.clone());
            }
        }
        candidates
    }
}

/// Splits `/p2p/…` off the end of an address to dial.
///
/// # Errors
/// Why this node cannot dial the address: it dials only TCP, over IP addresses or DNS names.
pub(crate) fn without_peer(address: &Multiaddr) -> Result<(Multiaddr, Option<PeerId>), &'static str> {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) if IpAddr::V4(ip).is_unspecified() => {
            return Err("0.0.0.0 cannot be dialed: write an address of the host");
        }
        Some(Protocol::Ip6(ip)) if IpAddr::V6(ip).is_unspecified() => {
            return Err(":: cannot be dialed: write an address of the host");
        }
        Some(host @ (Protocol::Ip4(_) | Protocol::Ip6(_))) => host,
        Some(host @ (Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_))) => host,
        _ => return Err("it must begin with /ip4/, /ip6/, /dns/, /dns4/ or /dns6/"),
    };
    let Some(Protocol::Tcp(port)) = parts.next() else { return Err("a /tcp/ port must follow the host") };
    if port == 0 {
        return Err("port 0 cannot be dialed: write the port of the node");
    }
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return Err("only /p2p/ may follow the port"),
    };
    if parts.next().is_some() {
        return Err("nothing may follow the peer id");
    }
    Ok((Multiaddr::empty().with(host).with(Protocol::Tcp(port)), peer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KEY: PeerKey = PeerKey([2; 33]);

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn reported_addresses_are_bounded_and_cannot_displace_better_sources() {
        let now = Instant::now();
        let mut book = AddressBook::new(2);
        book.configure(KEY, address(1));
        book.announce(KEY, &[address(2), address(3), address(4)]);
        for port in 100..200 {
            assert!(book.found(KEY, &[address(port)]));
        }
        assert!(!book.found(KEY, &[address(199), address(2)]), "both are known");
        let ports = [1, 2, 3, 199, 198].map(address);
        assert_eq!(book.candidates(&KEY, now), ports);
    }

    #[test]
    fn an_announcement_replaces_the_one_before() {
        let mut book = AddressBook::new(8);
        book.announce(KEY, &[address(1)]);
        book.announce(KEY, &[address(2)]);
        assert_eq!(book.candidates(&KEY, Instant::now()), [address(2)]);
    }

    #[test]
    fn the_address_that_worked_comes_first_and_no_address_twice() {
        let mut book = AddressBook::new(8);
        book.configure(KEY, address(1));
        book.announce(KEY, &[address(1), address(2)]);
        book.prove(KEY, address(2));
        assert_eq!(book.candidates(&KEY, Instant::now()), [address(2), address(1)]);
    }

    #[test]
    fn an_address_where_another_peer_answered_is_avoided_for_a_while() {
        let now = Instant::now();
        let mut book = AddressBook::new(8);
        book.announce(KEY, &[address(1), address(2)]);
        book.avoid(KEY, &address(1), now);
        assert_eq!(book.candidates(&KEY, now), [address(2)]);
        book.avoid(KEY, &address(2), now);
        assert_eq!(book.candidates(&KEY, now), []);
        assert!(book.knows(&KEY), "they will be tried again");
        assert_eq!(book.candidates(&KEY, now + AVOID_TIME).len(), 2);
    }

    /// A restart while the name service is down: an address that worked before is still dialed.
    #[test]
    fn addresses_of_the_last_start_come_last_and_are_kept_until_there_are_newer_ones() {
        let now = Instant::now();
        let name: Multiaddr = "/dns/bank-b.example/tcp/9000".parse().unwrap();
        let mut book = AddressBook::new(2);
        book.configure(KEY, name.clone());
        for text in ["/ip4/10.0.0.1/tcp/7", "/dns/bank-b.example/tcp/7", "nonsense", "/ip4/0.0.0.0/tcp/7"] {
            book.remember(KEY, text);
        }
        assert_eq!(book.candidates(&KEY, now), [name.clone(), address(7)]);
        let kept = |port| vec![(KEY, address(port).to_string())];
        assert_eq!(book.addresses_to_persist(), kept(7));
        book.announce(KEY, std::slice::from_ref(&name));
        book.prove(KEY, address(8));
        assert_eq!(book.addresses_to_persist(), kept(8), "names are written in the configuration");
        book.avoid(KEY, &address(7), now);
        assert_eq!(book.candidates(&KEY, now + 2 * AVOID_TIME), [address(8), name]);
        for port in 100..200 {
            book.remember(KEY, &address(port).to_string());
        }
        assert!(book.candidates(&KEY, now).len() <= 2 + 2 * 2, "no file makes it grow");
        let other = |number: u16| {
            PeerKey([number.to_be_bytes(), [0; 2]].concat().repeat(9)[..33].try_into().unwrap())
        };
        for number in 0..2000 {
            book.remember(other(number), &address(7).to_string());
        }
        assert_eq!(book.pages.len(), REMEMBERED_MAX);
    }

    #[test]
    fn of_a_removed_member_only_configured_addresses_are_kept() {
        let now = Instant::now();
        let mut book = AddressBook::new(2);
        book.configure(KEY, address(1));
        book.announce(KEY, &[address(2)]);
        book.prove(KEY, address(3));
        book.found(KEY, &[address(4)]);
        book.remember(KEY, &address(5).to_string());
        book.avoid(KEY, &address(1), now);
        book.forget(&KEY);
        assert_eq!(book.candidates(&KEY, now), [address(1)]);
        book.unconfigure(KEY, &address(1));
        book.forget(&KEY);
        assert!(book.pages.is_empty());
    }

    #[test]
    fn only_tcp_addresses_can_be_dialed() {
        let peer = "16Uiu2HAmPLe7Mzm8TsYUubgCAW1aJoeFScxrLj8ppHFivPo97bUZ";
        let (plain, id) = without_peer(&format!("/dns4/node/tcp/9000/p2p/{peer}").parse().unwrap()).unwrap();
        assert_eq!(
            (plain, id.map(|id| id.to_base58())),
            ("/dns4/node/tcp/9000".parse().unwrap(), Some(peer.into()))
        );
        for bad in [
            "/ip4/0.0.0.0/tcp/9000",
            "/ip6/::/tcp/9000",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/udp/9000",
            "/ip4/10.0.0.1/tcp/9000/ws",
            "/ip4/10.0.0.1",
            "/memory/7",
        ] {
            assert!(without_peer(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
