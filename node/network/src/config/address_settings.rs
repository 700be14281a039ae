//! Checks the addresses of a configuration, without opening a socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::dialing::addresses::without_peer;
use crate::identity::{PeerKey, peer_id};

/// How to write a listen address, for error messages.
const LISTENABLE: &str = "write /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT, without a host name";

/// The addresses of a configuration. [`start`](crate::start()) makes the same check, without the
/// members: an address of a node that is not a member is used once the node becomes one.
#[derive(Debug, Clone, Copy)]
pub struct AddressSettings<'a> {
    /// As [`NetworkConfig::listen`](crate::NetworkConfig::listen).
    pub listen: &'a [String],
    /// As [`NetworkConfig::advertise`](crate::NetworkConfig::advertise).
    pub advertise: &'a [String],
    /// As [`NetworkConfig::bootstrap`](crate::NetworkConfig::bootstrap).
    pub bootstrap: &'a [String],
}

/// An address that cannot be used. Its text begins with the name of the list, so that the caller
/// can add a prefix for the configuration section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// No listen address is given.
    #[error("listen is empty: give an address such as /ip4/0.0.0.0/tcp/9000")]
    NothingToListenOn,
    /// The address does not fit its purpose.
    #[error("{setting} contains {address:?}: {reason}")]
    Unusable {
        /// `listen`, `advertise` or `bootstrap`.
        setting: &'static str,
        /// The address as given.
        address: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
}

/// The parsed addresses.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) advertise: Vec<Multiaddr>,
    /// Each with its peer id, if one was given.
    pub(crate) bootstrap: Vec<(Multiaddr, Option<PeerId>)>,
}

impl AddressSettings<'_> {
    /// Every problem of the addresses, in the order of the lists; empty if all can be used. If
    /// `members` is given, a peer id that is not a member's is a problem, too.
    pub fn problems(&self, members: Option<&[PeerKey]>) -> Vec<AddressProblem> {
        self.check(members).err().unwrap_or_default()
    }

    pub(crate) fn check(&self, members: Option<&[PeerKey]>) -> Result<Addresses, Vec<AddressProblem>> {
        let mut problems = Vec::new();
        let mut read = |setting: &'static str, texts: &[String], usable: &Usable<'_>| {
            let mut seen = BTreeSet::new();
            let mut found = Vec::new();
            for text in texts {
                let fresh = seen
                    .insert(text)
                    .then_some(())
                    .ok_or_else(|| "it is listed twice: remove one".to_owned());
                match fresh.and_then(|()| parse(text)).and_then(usable) {
                    Ok(address) => found.push(address),
                    Err(reason) => {
                        problems.push(AddressProblem::Unusable { setting, address: text.clone(), reason });
                    }
                }
            }
            found
        };
        let listen = read("listen", self.listen, &listenable);
        let advertise = read("advertise", self.advertise, &|address| dialable(&address));
        let ids = members.map(|members| -> Vec<PeerId> {
            // An invalid key has no peer id; it is reported with the members.
            members.iter().filter_map(|member| peer_id(member).ok()).collect()
        });
        let of_member = |address: Multiaddr| {
            let (address, id) = dialable(&address)?;
            match id.filter(|id| ids.as_ref().is_some_and(|ids| !ids.contains(id))) {
                None => Ok((address, id)),
                Some(_) => Err("its peer id is not that of a validator of this network: check the peer id and the genesis".to_owned()),
            }
        };
        let bootstrap = read("bootstrap", self.bootstrap, &of_member);
        if self.listen.is_empty() {
            problems.insert(0, AddressProblem::NothingToListenOn);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let addresses =
            |read: Vec<(Multiaddr, Option<PeerId>)>| read.into_iter().map(|(address, _)| address).collect();
        Ok(Addresses { listen: addresses(listen), advertise: addresses(advertise), bootstrap })
    }
}

type Usable<'a> = dyn Fn(Multiaddr) -> Result<(Multiaddr, Option<PeerId>), String> + 'a;

fn parse(text: &str) -> Result<Multiaddr, String> {
    if !text.starts_with('/') {
        return Err("write a multiaddress such as /ip4/10.0.0.5/tcp/9000".to_owned());
    }
    text.parse().map_err(|error: libp2p::multiaddr::Error| {
        format!("it is not a multiaddress ({error}): write one such as /ip4/10.0.0.5/tcp/9000")
    })
}

fn listenable(address: Multiaddr) -> Result<(Multiaddr, Option<PeerId>), String> {
    match socket_address(&address) {
        Some(_) => Ok((address, None)),
        None => Err(LISTENABLE.to_owned()),
    }
}

/// The socket address that a listener on this address binds; `None` if it cannot be listened on.
pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    parts.next().is_none().then_some(SocketAddr::new(ip, port))
}

fn dialable(address: &Multiaddr) -> Result<(Multiaddr, Option<PeerId>), String> {
    without_peer(address).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::identity::peer_id_text;

    fn key(seed: u8) -> PeerKey {
        crate::identity::keypair(&zeroize::Zeroizing::new([seed; 32])).unwrap().1
    }

    fn problems(listen: &[&str], advertise: &[&str], bootstrap: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (listen, advertise, bootstrap) = (owned(listen), owned(advertise), owned(bootstrap));
        let settings = AddressSettings { listen: &listen, advertise: &advertise, bootstrap: &bootstrap };
        settings.problems(Some(&[key(1), key(2)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn usable_addresses_have_no_problems() {
        let member = format!("/dns/bank-b.example/tcp/9000/p2p/{}", peer_id_text(&key(2)).unwrap());
        let none = problems(
            &["/ip4/0.0.0.0/tcp/9000", "/ip6/::/tcp/9000", "/ip4/127.0.0.1/tcp/0"],
            &["/dns4/bank-a.example/tcp/9000"],
            &["/dns/bank-b.example/tcp/9000", &member],
        );
        assert_eq!(none, Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_list() {
        let stranger = format!("/ip4/10.0.0.1/tcp/9000/p2p/{}", peer_id_text(&key(3)).unwrap());
        let cases = [
            ("listen", "/dns/localhost/tcp/9000", "without a host name"),
            ("listen", "/ip4/127.0.0.1/udp/9000/quic-v1", "without a host name"),
            ("listen", "127.0.0.1:9000", "write a multiaddress"),
            ("listen", "/ip4/127.0.0.300/tcp/9000", "not a multiaddress"),
            ("advertise", "/ip4/0.0.0.0/tcp/9000", "cannot be dialed"),
            ("advertise", "/ip4/10.0.0.1/udp/9000/quic-v1", "/tcp/"),
            ("bootstrap", "/ip4/10.0.0.1/tcp/0", "port 0"),
            ("bootstrap", "/ip4/10.0.0.1/tcp/9000/carrier-pigeon", "not a multiaddress"),
            ("bootstrap", &stranger, "not that of a validator"),
        ];
        let of = |list: &str| -> Vec<&str> {
            cases.iter().filter(|(setting, ..)| *setting == list).map(|(_, address, _)| *address).collect()
        };
        let found = problems(&of("listen"), &of("advertise"), &of("bootstrap"));
        assert_eq!(found.len(), cases.len(), "{found:#?}");
        for ((setting, address, words), problem) in cases.iter().zip(&found) {
            assert!(problem.starts_with(&format!("{setting} contains {address:?}: ")), "{problem}");
            assert!(problem.contains(words), "{words:?} is not in {problem}");
        }
        assert!(problems(&[], &[], &[])[0].starts_with("listen is empty"));
        let twice = problems(&["/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/tcp/9000"], &[], &[]);
        assert!(twice[0].contains("twice"), "{twice:?}");
    }
}
