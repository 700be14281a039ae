//! Checks the values of settings and reports every error.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use quorate_ledger::PublicKey;
use quorate_network::{AddressSettings, PeerKey, peer_id_text};

use super::raw::RawConfig;
use super::{Config, ConfigErrors, LISTED_OBSERVERS_MAX, Role};

/// Upper limit of addresses in one list.
pub(super) const MAX_ADDRESSES: usize = 64;

/// Upper limit of threads that check signatures: more than the largest machine can use.
pub(super) const MAX_VERIFY_THREADS: usize = 256;

impl RawConfig {
    /// # Errors
    /// Every error, not only the first.
    pub(super) fn check(self, home: &Path) -> Result<Config, ConfigErrors> {
        let mut problems = Vec::new();
        let addresses = [
            ("p2p.listen", &self.p2p.listen),
            ("p2p.advertise", &self.p2p.advertise),
            ("p2p.bootstrap", &self.p2p.bootstrap),
        ];
        for (setting, list) in addresses.iter().filter(|(_, list)| list.len() > MAX_ADDRESSES) {
            problems.push(format!("{setting} has {} addresses: at most {MAX_ADDRESSES}", list.len()));
        }
        // Whose peer ids the addresses contain is checked later, when the genesis is known.
        let read = AddressSettings {
            listen: &self.p2p.listen,
            advertise: &self.p2p.advertise,
            bootstrap: &self.p2p.bootstrap,
        };
        problems
            .extend(read.problems(None).iter().take(MAX_ADDRESSES).map(|problem| format!("p2p.{problem}")));
        let listen = self.rpc.listen.parse().unwrap_or_else(|_| {
            let given = &self.rpc.listen;
            problems.push(format!(
                "rpc.listen is {given:?}: write an IP address and a port, such as 127.0.0.1:8545"
            ));
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        });
        let mut rpc = self.rpc.settings(listen);
        problems.extend(rpc.problems().iter().map(|problem| format!("rpc.{problem}")));
        let observers = observers(self.node.role, &self.p2p.observers, &mut problems);
        let threads = self.verification.threads;
        if !(1..=MAX_VERIFY_THREADS).contains(&threads) {
            problems.push(format!("verification.threads is {threads}: choose 1 to {MAX_VERIFY_THREADS}"));
        }
        if !problems.is_empty() {
            return Err(ConfigErrors(problems));
        }
        rpc.allowed_hosts.extend(self.p2p.advertise.iter().filter_map(|address| host_name(address)));
        Ok(Config {
            role: self.node.role,
            p2p_observers: observers,
            genesis: home.join(self.files.genesis),
            key: home.join(self.files.key),
            ledger: home.join(self.files.ledger),
            journal: home.join(self.files.journal),
            p2p_listen: self.p2p.listen,
            p2p_advertise: self.p2p.advertise,
            p2p_bootstrap: self.p2p.bootstrap,
            rpc,
            admin_socket: (!self.admin.socket.as_os_str().is_empty()).then(|| home.join(self.admin.socket)),
            verify_threads: threads,
        })
    }
}

/// The keys of observers. One may be the key of a member: it is admitted as a member, and as an
/// observer after the members have removed it.
fn observers(role: Role, listed: &[String], problems: &mut Vec<String>) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    if role == Role::Observer && !listed.is_empty() {
        problems.push(
            "p2p.observers is for validators: an observer admits no observers, so remove this setting"
                .to_owned(),
        );
    }
    if listed.len() > LISTED_OBSERVERS_MAX {
        problems.push(format!("p2p.observers has {} keys: at most {LISTED_OBSERVERS_MAX}", listed.len()));
    }
    for text in listed.iter().take(LISTED_OBSERVERS_MAX) {
        match text.parse::<PublicKey>().ok().filter(|key| peer_id_text(&PeerKey(*key.as_bytes())).is_ok()) {
            None => problems.push(format!(
                "p2p.observers contains {text:?}: write a public key of 33 bytes as `quorate key show` prints it"
            )),
            Some(key) if keys.contains(&key) => problems.push(format!("p2p.observers contains {key} twice")),
            Some(key) => keys.push(key),
        }
    }
    keys
}

/// The host name in a multiaddress; `None` if it contains an IP address.
fn host_name(address: &str) -> Option<String> {
    let mut parts = address.split('/').skip(1);
    let protocol = parts.next().filter(|protocol| ["dns", "dns4", "dns6"].contains(protocol));
    protocol.and(parts.next()).map(|name| name.trim_end_matches('.').to_ascii_lowercase())
}
