//! Host names to IP addresses, by the system's resolver and afresh for every attempt: a container that
//! was recreated has another address at once, and a cache would hide that.

use std::net::IpAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// IP addresses taken from one name.
const ADDRESSES_PER_NAME_MAX: usize = 8;

/// Whether [`resolve`] would have to ask for this address.
pub(crate) fn is_name(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)))
}

/// Replaces names by the addresses behind them; what cannot be resolved within `patience` is left out.
pub(crate) async fn resolve(addresses: Vec<Multiaddr>, patience: Duration) -> Vec<Multiaddr> {
    let each = addresses.into_iter().map(|address| async move {
        if is_name(&address) {
            timeout(patience, resolve_one(&address)).await.unwrap_or_default()
        } else {
            vec![address]
        }
    });
    let mut resolved: Vec<Multiaddr> = Vec::new();
    for address in futures::future::join_all(each).await.into_iter().flatten() {
        if !resolved.contains(&address) {
            resolved.push(address);
        }
    }
    resolved
}

async fn resolve_one(address: &Multiaddr) -> Vec<Multiaddr> {
    let mut parts = address.iter();
    let (name, v4, v6) = match parts.next() {
        Some(Protocol::Dns(name)) => (name, true, true),
        Some(Protocol::Dns4(name)) => (name, true, false),
        Some(Protocol::Dns6(name)) => (name, false, true),
        _ => return Vec::new(),
    };
    let Some(Protocol::Tcp(port)) = parts.next() else { return Vec::new() };
    match lookup_host((name.as_ref(), port)).await {
        Ok(found) => found
            .map(|socket| socket.ip())
            .filter(|ip| if ip.is_ipv4() { v4 } else { v6 })
            .take(ADDRESSES_PER_NAME_MAX)
            .map(|ip| Multiaddr::empty().with(host(ip)).with(Protocol::Tcp(port)))
            .collect(),
        Err(error) => {
            tracing::debug!(%address, %error, "name not resolved");
            Vec::new()
        }
    }
}

fn host(ip: IpAddr) -> Protocol<'static> {
    match ip {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn names_become_addresses_and_addresses_stay() {
        let given = ["/dns4/localhost/tcp/9000", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/9000"];
        let given = given.map(|text| text.parse::<Multiaddr>().unwrap()).to_vec();
        let expected: Vec<Multiaddr> =
            ["/ip4/127.0.0.1/tcp/9000", "/ip4/10.0.0.1/tcp/1"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(resolve(given, Duration::from_secs(5)).await, expected);
    }

    #[tokio::test]
    async fn a_literal_is_a_name_too() {
        let given = vec!["/dns/10.1.2.3/tcp/7".parse().unwrap()];
        let resolved = resolve(given, Duration::from_secs(5)).await;
        assert_eq!(resolved, ["/ip4/10.1.2.3/tcp/7".parse::<Multiaddr>().unwrap()]);
    }
}
