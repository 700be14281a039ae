//! Resolves host names with the system's resolver, anew for every attempt. A recreated container
//! has a new address at once, which a cache would hide.

use std::net::IpAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Maximum IP addresses taken from one name.
const ADDRESSES_PER_NAME_MAX: usize = 8;

/// Whether [`resolve`] has to look up this address.
pub(crate) fn is_name(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)))
}

/// The result of resolving addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// The addresses to dial, each once, with the address as it was written.
    pub(crate) found: Vec<(Multiaddr, Multiaddr)>,
    /// The names without an address, with the reason.
    pub(crate) failed: Vec<(Multiaddr, String)>,
}

impl Resolution {
    /// The result for addresses without host names.
    pub(crate) fn of_addresses(addresses: Vec<Multiaddr>) -> Self {
        let found = addresses.into_iter().map(|address| (address.clone(), address)).collect();
        Resolution { found, failed: Vec::new() }
    }
}

/// Replaces host names by their IP addresses. A name that has none within `timeout_after` has
/// failed.
pub(crate) async fn resolve(addresses: Vec<Multiaddr>, timeout_after: Duration) -> Resolution {
    let each = addresses.into_iter().map(|address| async move {
        if !is_name(&address) {
            return (address.clone(), Ok(vec![address]));
        }
        let resolved = timeout(timeout_after, resolve_one(&address)).await;
        let late = |_| Err("the name service does not answer in time".to_owned());
        (address, resolved.unwrap_or_else(late))
    });
    let mut resolution = Resolution::default();
    for (written, resolved) in futures::future::join_all(each).await {
        match resolved {
            Ok(addresses) => {
                for address in addresses {
                    if !resolution.found.iter().any(|(known, _)| *known == address) {
                        resolution.found.push((address, written.clone()));
                    }
                }
            }
            Err(reason) => resolution.failed.push((written, reason)),
        }
    }
    resolution
}

async fn resolve_one(address: &Multiaddr) -> Result<Vec<Multiaddr>, String> {
    let mut parts = address.iter();
    let (name, v4, v6) = match parts.next() {
        Some(Protocol::Dns(name)) => (name, true, true),
        Some(Protocol::Dns4(name)) => (name, true, false),
        Some(Protocol::Dns6(name)) => (name, false, true),
        _ => return Err("it does not begin with a host name".to_owned()),
    };
    let Some(Protocol::Tcp(port)) = parts.next() else {
        return Err("it has no /tcp/ port after the host name".to_owned());
    };
    let found = lookup_host((name.as_ref(), port)).await.map_err(|error| {
        tracing::debug!(%address, %error, "name not resolved");
        format!("the name cannot be resolved: {error}")
    })?;
    let found: Vec<Multiaddr> = found
        .map(|socket| socket.ip())
        .filter(|ip| if ip.is_ipv4() { v4 } else { v6 })
        .take(ADDRESSES_PER_NAME_MAX)
        .map(|ip| Multiaddr::empty().with(host(ip)).with(Protocol::Tcp(port)))
        .collect();
    if found.is_empty() { Err("the name has no address of this kind".to_owned()) } else { Ok(found) }
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

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn names_become_addresses_and_addresses_stay() {
        let given = ["/dns4/localhost/tcp/9000", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/9000"];
        let resolved = resolve(given.map(address).to_vec(), Duration::from_secs(5)).await;
        let expected = [
            ("/ip4/127.0.0.1/tcp/9000", "/dns4/localhost/tcp/9000"),
            ("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1"),
        ];
        assert_eq!(resolved.found, expected.map(|(found, written)| (address(found), address(written))));
        assert_eq!(resolved.failed, []);
    }

    #[tokio::test]
    async fn an_ip_address_written_as_a_name_is_resolved() {
        let resolved = resolve(vec![address("/dns/10.1.2.3/tcp/7")], Duration::from_secs(5)).await;
        assert_eq!(resolved.found, [(address("/ip4/10.1.2.3/tcp/7"), address("/dns/10.1.2.3/tcp/7"))]);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_reported_with_the_reason() {
        let given = vec![address("/dns6/10.1.2.3/tcp/7"), address("/ip4/10.0.0.1/tcp/1")];
        let resolved = resolve(given, Duration::from_secs(5)).await;
        assert_eq!(resolved.found.len(), 1, "the other one is used");
        assert_eq!(resolved.failed.len(), 1);
        assert_eq!(resolved.failed[0].0, address("/dns6/10.1.2.3/tcp/7"));
    }
}
