//! Addresses from the configuration at which no member was reached, and why.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;

use crate::identity::PeerKey;
use crate::status::FailedAddress;

/// How long an address fails before it is worth a warning: nodes that start together need as long to find each other.
const PATIENCE: Duration = Duration::from_secs(3);

/// The shortest time between two warnings about one address.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// What failed, of the addresses that the operator wrote: at most one entry for each.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    entries: BTreeMap<Entry, Failure>,
}

/// An address, and the member that it belongs to if the operator said so.
type Entry = (Option<PeerKey>, Multiaddr);

#[derive(Debug)]
struct Failure {
    reason: String,
    since: Instant,
    /// The reason of the last warning, and when it was given.
    warned: Option<(String, Instant)>,
}

impl Failures {
    /// An attempt at this address failed. Whether that is worth a warning now: once, and again when the reason is another.
    pub(crate) fn failed(
        &mut self,
        member: Option<PeerKey>,
        address: &Multiaddr,
        reason: &str,
        now: Instant,
    ) -> bool {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let fresh = || Failure { reason: String::new(), since: now, warned: None };
        let failure = self.entries.entry((member, address.clone())).or_insert_with(fresh);
        reason.clone_into(&mut failure.reason);
        let due = match &failure.warned {
            None => now >= failure.since + PATIENCE,
            Some((known, at)) => known != reason && now >= *at + WARNING_INTERVAL,
        };
        if due {
            failure.warned = Some((failure.reason.clone(), now));
        }
        due
    }

    /// A member was reached at this address. Whether it had failed before.
    pub(crate) fn worked(&mut self, member: Option<PeerKey>, address: &Multiaddr) -> bool {
        self.entries.remove(&(member, address.clone())).is_some()
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<FailedAddress> {
        let failed = |((member, address), failure): (&Entry, &Failure)| FailedAddress {
            member: *member,
            address: address.to_string(),
            reason: failure.reason.clone(),
        };
        self.entries.iter().map(failed).collect()
    }
}

/// Why a connection could not be made, in words that say what to look for.
pub(crate) fn reason_of(error: &TransportError<std::io::Error>) -> String {
    let TransportError::Other(error) = error else { return "only TCP is spoken here".to_owned() };
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused: no process listens there".to_owned(),
        ErrorKind::TimedOut => {
            "no answer in time: a firewall drops the packets, or the host is down".to_owned()
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no route to the host".to_owned()
        }
        _ => {
            let deepest = deepest(error);
            // What comes from the system speaks for itself. All else happens once there is a connection.
            if error.raw_os_error().is_some() {
                deepest
            } else if deepest.to_lowercase().contains("refused") {
                "the connection is refused: no process listens there".to_owned()
            } else if deepest.to_lowercase().contains("timeout") {
                "no answer in time: a firewall drops the packets, or the host is down".to_owned()
            } else {
                format!("what answers there is no node of this program ({deepest})")
            }
        }
    }
}

/// What is behind an error of libp2p, which wraps those of its layers in each other.
fn deepest(error: &std::io::Error) -> String {
    let mut current: &dyn Error = error;
    loop {
        let inner = current.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let inner = inner.map(|inner| inner as &dyn Error).or_else(|| current.source());
        match inner {
            Some(inner) => current = inner,
            None => return current.to_string(),
        }
    }
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
    fn one_warning_for_each_address_and_reason() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let mut failed = |seconds, port, reason| {
            failures.failed(Some(KEY), &address(port), reason, start + Duration::from_secs(seconds))
        };
        assert!(!failed(0, 1, "refused"), "it may be starting");
        assert!(failed(3, 1, "refused"));
        assert!(!failed(4, 1, "refused") && !failed(100_000, 1, "refused"), "once");
        assert!(!failed(100_001, 2, "refused") && failed(100_004, 2, "refused"), "another address");
        assert!(failed(100_005, 1, "no answer"), "another reason");
        assert!(!failed(100_006, 1, "refused"), "reasons that alternate do not fill the log");
        assert!(!failed(100_007, 1, "no answer"));
        let list = failures.list();
        assert_eq!((list.len(), list[0].reason.as_str(), list[0].member), (2, "no answer", Some(KEY)));
    }

    #[test]
    fn what_works_again_is_forgotten() {
        let start = Instant::now();
        let mut failures = Failures::default();
        failures.failed(None, &address(1), "refused", start);
        assert!(!failures.worked(Some(KEY), &address(1)));
        assert!(failures.worked(None, &address(1)));
        assert!(!failures.worked(None, &address(1)));
        assert_eq!(failures.list(), []);
        assert!(!failures.failed(None, &address(1), "refused", start + PATIENCE), "patience begins anew");
    }

    #[test]
    fn reasons_say_what_to_look_for() {
        let other = |error: std::io::Error| reason_of(&TransportError::Other(error));
        assert!(other(ErrorKind::ConnectionRefused.into()).contains("no process listens"));
        assert!(other(ErrorKind::TimedOut.into()).contains("firewall"));
        let wrapped = std::io::Error::other(std::io::Error::other("handshake failed"));
        assert!(other(wrapped).ends_with("no node of this program (handshake failed)"));
        assert!(other(std::io::Error::other("Timeout has been reached")).contains("firewall"));
    }
}
