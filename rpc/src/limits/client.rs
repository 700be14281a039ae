//! The client of a request, for limits.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, because a host that
/// has one address of such a network usually has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    network: IpAddr,
    local: bool,
}

impl Client {
    /// The client of a request, if the server provides axum's `ConnectInfo<SocketAddr>`. Headers of
    /// proxies are ignored, because any client can set them.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().into())
    }

    /// Whether it is on the node's own machine.
    pub(crate) fn is_local(self) -> bool {
        self.local
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        };
        Client { network, local: address.is_loopback() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn client(address: &str) -> Client {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        for (address, again) in [("2001:db8::1", "2001:db8::ffff:2"), ("10.0.0.1", "::ffff:10.0.0.1")] {
            assert_eq!(client(address), client(again));
        }
        for (address, other) in [
            ("2001:db8::1", "2001:db8:0:1::1"),
            ("10.0.0.1", "10.0.0.2"),
            ("::1", "::2"),
            ("::1", "127.0.0.1"),
        ] {
            assert_ne!(client(address), client(other));
        }
    }

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for local in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(client(local).is_local(), "{local}");
        }
        for other in ["10.0.0.1", "::2", "2001:db8::1"] {
            assert!(!client(other).is_local(), "{other}");
        }
    }
}
