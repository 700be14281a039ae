//! The addresses of the nodes of a new network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use anyhow::bail;
use clap::Args as ClapArgs;

/// Default of the first peer-to-peer port.
pub(crate) const BASE_P2P_PORT: u16 = 9000;

/// Default of the first JSON-RPC port.
pub(crate) const BASE_RPC_PORT: u16 = 8545;

/// Where the nodes listen: all on one host, each at ports of its own, or each on a host of its own.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Addresses {
    /// The address at which all nodes listen and find each other.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// Host names or IPv4 addresses of the validators, in committee order, if each has a host of
    /// its own. Each node listens on all IPv4 addresses of its host at the base ports, and others
    /// find it by this name.
    #[arg(long, value_name = "HOST,…", value_delimiter = ',', conflicts_with = "host")]
    hosts: Vec<String>,

    /// Peer-to-peer port of the first validator. Other validators on the same host get the next
    /// ports, then observers.
    #[arg(long, value_name = "PORT", default_value_t = BASE_P2P_PORT)]
    base_p2p_port: u16,

    /// JSON-RPC port of the first validator. Other validators on the same host get the next ports,
    /// then observers.
    #[arg(long, value_name = "PORT", default_value_t = BASE_RPC_PORT)]
    base_rpc_port: u16,
}

impl Addresses {
    #[cfg(test)]
    pub(super) fn on_hosts(hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Addresses { hosts, ..Addresses::loopback(9000, 8545) }
    }

    /// On this machine only.
    pub(crate) fn loopback(base_p2p_port: u16, base_rpc_port: u16) -> Self {
        Addresses { host: IpAddr::V4(Ipv4Addr::LOCALHOST), hosts: Vec::new(), base_p2p_port, base_rpc_port }
    }

    /// Adds observers after the validators: at the next ports, or on hosts named like them.
    pub(super) fn with_observers(&self, observers: usize) -> Self {
        let mut all = self.clone();
        if !self.hosts.is_empty() {
            all.hosts.extend((0..observers).map(|number| format!("observer-{number}")));
        }
        all
    }

    pub(super) fn check(&self, validators: usize, observers: usize) -> anyhow::Result<()> {
        if !self.hosts.is_empty() && self.hosts.len() != validators {
            bail!("--hosts names {} hosts for {validators} validators: name one for each", self.hosts.len());
        }
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            bail!(
                "--hosts {host:?} is neither a host name nor an IPv4 address that other nodes can connect to"
            );
        }
        if let Some((_, host)) =
            self.hosts.iter().enumerate().find(|(at, host)| self.hosts[..*at].contains(host))
        {
            bail!("--hosts names {host:?} twice: to run several validators on one host, use --host");
        }
        if self.host.is_unspecified() {
            bail!(
                "--host {} is not an address that other nodes can connect to: give one of this machine's addresses",
                self.host
            );
        }
        let each = if self.hosts.is_empty() { validators + observers } else { 1 };
        let p2p = ports("--base-p2p-port", self.base_p2p_port, each)?;
        let rpc = ports("--base-rpc-port", self.base_rpc_port, each)?;
        if p2p.start < rpc.end && rpc.start < p2p.end {
            bail!(
                "the peer-to-peer ports {} to {} and the RPC ports {} to {} overlap: choose base ports at least \
                 {each} apart",
                p2p.start,
                p2p.end - 1,
                rpc.start,
                rpc.end - 1
            );
        }
        Ok(())
    }

    /// Where clients find the JSON-RPC of a node.
    pub(super) fn rpc(&self, index: u16) -> String {
        match self.hosts.get(usize::from(index)) {
            None => SocketAddr::from((self.host, self.base_rpc_port + index)).to_string(),
            Some(host) => match host.parse::<IpAddr>() {
                Ok(address) => SocketAddr::from((address, self.base_rpc_port)).to_string(),
                Err(_) => format!("{host}:{}", self.base_rpc_port),
            },
        }
    }

    /// Where the node listens for clients.
    pub(super) fn rpc_listen(&self, index: u16) -> String {
        if self.hosts.is_empty() { self.rpc(index) } else { format!("0.0.0.0:{}", self.base_rpc_port) }
    }

    /// Where other validators find the node.
    pub(super) fn p2p(&self, index: u16) -> String {
        match self.hosts.get(usize::from(index)) {
            None => multiaddress(self.host, self.base_p2p_port + index),
            Some(host) => match host.parse() {
                Ok(address) => multiaddress(address, self.base_p2p_port),
                Err(_) => format!("/dns/{host}/tcp/{}", self.base_p2p_port),
            },
        }
    }

    /// The addresses that the node advertises, in the syntax of the config; empty if they are those
    /// that it listens on.
    pub(super) fn advertised(&self, index: u16) -> String {
        if self.hosts.is_empty() { "[]".to_owned() } else { format!("[\"{}\"]", self.p2p(index)) }
    }

    /// Where the node listens for other validators.
    pub(super) fn p2p_listen(&self, index: u16) -> String {
        if self.hosts.is_empty() {
            self.p2p(index)
        } else {
            multiaddress(Ipv4Addr::UNSPECIFIED.into(), self.base_p2p_port)
        }
    }
}

fn multiaddress(host: IpAddr, port: u16) -> String {
    let family = if host.is_ipv4() { "ip4" } else { "ip6" };
    format!("/{family}/{host}/tcp/{port}")
}

/// Whether other nodes can connect to this: an IPv4 address, or a name of letters, digits, hyphens
/// and dots.
fn is_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        // Listening on all addresses of both families fails on hosts with only one family. IPv6
        // needs configs edited by hand.
        return address.is_ipv4() && !address.is_unspecified();
    }
    let label = |label: &str| {
        let plain = label.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn ports(option: &str, base: u16, nodes: usize) -> anyhow::Result<Range<u32>> {
    let last = u32::from(u16::MAX);
    let count = u32::try_from(nodes).unwrap_or(u32::MAX);
    let range = u32::from(base)..u32::from(base).saturating_add(count);
    if base == 0 || range.end > last + 1 {
        bail!("{option} {base} does not leave {nodes} ports between 1 and {last}: choose another");
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(p2p: u16, rpc: u16, validators: usize) -> String {
        Addresses::loopback(p2p, rpc).check(validators, 0).unwrap_err().to_string()
    }

    #[test]
    fn ports_must_exist_and_differ() {
        assert!(Addresses::loopback(9000, 8545).check(31, 0).is_ok());
        assert!(Addresses::loopback(9000, 9004).check(4, 0).is_ok());
        assert!(Addresses::loopback(9004, 9000).check(4, 0).is_ok());
        assert!(Addresses::loopback(u16::MAX - 3, 8545).check(4, 0).is_ok(), "the last port can be used");
        assert!(Addresses::loopback(9000, 9004).check(4, 1).is_err(), "an observer has ports, too");
        assert!(refusal(9000, 9003, 4).contains("overlap"));
        assert!(refusal(9003, 9000, 4).contains("overlap"));
        assert!(refusal(9000, 9000, 1).contains("overlap"));
        assert!(refusal(u16::MAX - 2, 8545, 4).contains("--base-p2p-port"));
        assert!(refusal(9000, 0, 4).contains("--base-rpc-port"));
        let anywhere = Addresses { host: "0.0.0.0".parse().unwrap(), ..Addresses::loopback(9000, 8545) };
        assert!(
            anywhere
                .check(4, 0)
                .unwrap_err()
                .to_string()
                .contains("not an address that other nodes can connect to")
        );
    }

    #[test]
    fn addresses_are_written_as_each_family_wants_them() {
        let four = Addresses::loopback(9000, 8545);
        assert_eq!(four.p2p(1), "/ip4/127.0.0.1/tcp/9001");
        assert_eq!(four.rpc(1), "127.0.0.1:8546");
        let six = Addresses { host: "::1".parse().unwrap(), ..four };
        assert_eq!(six.p2p(2), "/ip6/::1/tcp/9002");
        assert_eq!(format!("http://{}", six.rpc(2)), "http://[::1]:8547");
    }

    #[test]
    fn validators_on_hosts_of_their_own_have_the_same_ports_and_are_found_by_name() {
        let addresses = Addresses::on_hosts(&["alpha", "b-1.example.org", "10.0.0.3", "delta"]);
        assert!(addresses.check(4, 0).is_ok());
        let p2p: Vec<String> = (0..4).map(|index| addresses.p2p(index)).collect();
        let names = ["/dns/alpha", "/dns/b-1.example.org", "/ip4/10.0.0.3", "/dns/delta"];
        assert_eq!(p2p, names.map(|name| format!("{name}/tcp/9000")));
        let rpc: Vec<String> = (0..4).map(|index| addresses.rpc(index)).collect();
        assert_eq!(rpc, ["alpha:8545", "b-1.example.org:8545", "10.0.0.3:8545", "delta:8545"]);

        let with_observer = addresses.with_observers(1);
        assert_eq!(
            (with_observer.p2p(4), with_observer.rpc(4)),
            ("/dns/observer-0/tcp/9000".into(), "observer-0:8545".into())
        );

        let refusal = |hosts: &[&str]| Addresses::on_hosts(hosts).check(2, 0).unwrap_err().to_string();
        assert!(refusal(&["one"]).contains("1 hosts for 2 validators"));
        assert!(refusal(&["one", "one"]).contains("twice"));
        for host in ["", "a b", "-a", "a/tcp/1", "0.0.0.0", "a..b", "::", "fd00::4"] {
            assert!(refusal(&["one", host]).contains("neither a host name nor an IPv4 address"), "{host:?}");
        }
    }
}
