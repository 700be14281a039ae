//! The validators of a devnet, all in this process.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use futures::future::{join_all, select_all};
use quorate_client::{Client, ClientConfig};

use super::directory::NetworkDirectory;
use crate::commands::status;
use crate::config::Overrides;
use crate::files::{self, Access};
use crate::home::Home;
use crate::keyfile::PassphraseSource;
use crate::network_file::{KnownNetwork, ValidatorEntry};
use crate::output;
use crate::runtime::{self, Running, Setup};

/// The file with the addresses of a running devnet, if they differ from `network.json`.
const LIVE_FILE: &str = "devnet.json";

/// Which ports the validators listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// The ports of their configs; fail if one is in use.
    Exactly,
    /// The ports of their configs; let the system choose all ports if one is in use.
    IfFree,
    /// Ports that the system chooses.
    Any,
}

/// The running validators, in committee order.
pub(super) struct Members {
    running: Vec<Running>,
    /// The network file with the actual addresses; removed when the validators stop.
    live_file: Option<PathBuf>,
    entries: Vec<ValidatorEntry>,
}

/// A running devnet with its actual addresses.
pub(super) struct LiveNetwork {
    /// The network as its files describe it, with the addresses that the nodes listen on.
    pub(super) known: KnownNetwork,
    /// The network file with these addresses.
    pub(super) file: PathBuf,
}

impl LiveNetwork {
    /// A client for each node, in committee order, that contacts only this node.
    pub(super) fn clients(&self) -> anyhow::Result<Vec<Client>> {
        let anchor = self.known.genesis.anchor();
        let client =
            |entry: &ValidatorEntry| Ok(Client::new([&entry.rpc], anchor.clone(), ClientConfig::default())?);
        self.known.validators.iter().map(client).collect()
    }

    /// The status of each node.
    pub(super) async fn conditions(&self) -> Vec<status::Condition> {
        join_all(self.known.validators.iter().map(|entry| status::ask(entry.rpc.clone()))).await
    }
}

impl Members {
    /// Starts every validator of the directory.
    pub(super) async fn start(directory: &NetworkDirectory, ports: Ports) -> anyhow::Result<Self> {
        let mut setups = Vec::new();
        for entry in &directory.network().validators {
            let home = Home::open(&entry.home, &Overrides::default(), &PassphraseSource::default())?;
            home.check_data()?;
            setups.push(Setup::of(home, None));
        }
        let any = match ports {
            Ports::Any => true,
            Ports::Exactly => false,
            Ports::IfFree => any_busy(&setups),
        };
        let mut members = Members { running: Vec::new(), live_file: None, entries: Vec::new() };
        for (mut setup, entry) in setups.into_iter().zip(&directory.network().validators) {
            if any {
                members.take_any_ports(&mut setup);
            }
            let name = setup.name.clone();
            let running = runtime::start(setup).await.with_context(|| format!("{name} cannot start"));
            match running {
                Ok(running) => members.running.push(running),
                Err(error) => {
                    // The error of the start is returned. Errors of stopping the others matter
                    // less.
                    let _ = members.stop().await;
                    return Err(error);
                }
            }
            members.entries.push(entry.clone());
        }
        Ok(members)
    }

    /// Lets the system choose all ports, and the others find the first validator: its address is
    /// known by now.
    fn take_any_ports(&self, setup: &mut Setup) {
        setup.config.rpc.listen.set_port(0);
        setup.config.p2p_listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        setup.config.p2p_advertise.clear();
        setup.config.p2p_bootstrap = self.running.first().map(Running::p2p_addresses).unwrap_or_default();
    }

    /// Determines the actual addresses. Writes them to a file if they differ from the network file.
    pub(super) fn publish(&mut self, directory: &NetworkDirectory) -> anyhow::Result<LiveNetwork> {
        for (entry, running) in self.entries.iter_mut().zip(&self.running) {
            entry.rpc = format!("http://{}", running.rpc_address());
            if let Some(address) = running.p2p_addresses().into_iter().next() {
                entry.p2p = address;
            }
        }
        let known = KnownNetwork { validators: self.entries.clone(), ..directory.network().clone() };
        let planned = directory.network().validators.iter().map(|entry| &entry.rpc);
        if planned.eq(self.entries.iter().map(|entry| &entry.rpc)) {
            return Ok(LiveNetwork { known, file: directory.network_file() });
        }
        let file = directory.path().join(LIVE_FILE);
        // A devnet that was killed leaves this file behind.
        let _ = std::fs::remove_file(&file);
        files::write_new(&file, &directory.relative(&self.entries).to_json(), Access::Shared)?;
        self.live_file = Some(file.clone());
        Ok(LiveNetwork { known, file })
    }

    /// Resolves when one of the validators has failed.
    pub(super) async fn failed(&self) -> anyhow::Error {
        let failures = self.running.iter().map(|running| Box::pin(running.failed()));
        let (error, index, _) = select_all(failures).await;
        let name = self.entries.get(index).map_or("a validator", |entry| &entry.name);
        error.context(format!("{name} failed"))
    }

    /// Stops all validators.
    ///
    /// # Errors
    /// The first failure, after all validators were stopped.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        if let Some(file) = &self.live_file {
            let _ = std::fs::remove_file(file);
        }
        let stopped = join_all(self.running.into_iter().map(Running::stop)).await;
        stopped
            .into_iter()
            .collect::<anyhow::Result<Vec<()>>>()
            .context("a validator did not stop cleanly")?;
        Ok(())
    }
}

/// Whether one of the ports is in use; prints which.
fn any_busy(setups: &[Setup]) -> bool {
    let p2p = |setup: &Setup| {
        setup.config.p2p_listen.iter().filter_map(|text| tcp_address(text)).collect::<Vec<_>>()
    };
    let all = setups.iter().flat_map(|setup| p2p(setup).into_iter().chain([setup.config.rpc.listen]));
    let busy = all.into_iter().find(|address| TcpListener::bind(address).is_err());
    if let Some(address) = busy {
        output::note(format_args!(
            "{address} is in use (another network?): the system chooses all ports this time"
        ));
    }
    busy.is_some()
}

/// The socket address of a multiaddress such as `/ip4/127.0.0.1/tcp/9000`.
fn tcp_address(multiaddress: &str) -> Option<SocketAddr> {
    let mut parts = multiaddress.split('/').skip(1);
    let (family, host, protocol, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = matches!(family, "ip4" | "ip6") && protocol == "tcp";
    known.then_some(())?;
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_are_found_in_multiaddresses() {
        let parse = |text: &str| tcp_address(text).map(|address| address.to_string());
        assert_eq!(parse("/ip4/127.0.0.1/tcp/9000").as_deref(), Some("127.0.0.1:9000"));
        assert_eq!(parse("/ip6/::1/tcp/9000/p2p/16Uiu2HA").as_deref(), Some("[::1]:9000"));
        assert_eq!(parse("/dns4/localhost/tcp/9000"), None);
        assert_eq!(parse("/ip4/127.0.0.1/udp/9000"), None);
        assert_eq!(parse(""), None);
    }
}
