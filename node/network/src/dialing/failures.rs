//! The configured addresses at which no member was reached, with the reasons.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;

use crate::identity::PeerKey;
use crate::status::FailedAddress;

/// An address is worth a warning after it failed for this long. Nodes that start together need up
/// to this long to find each other.
const WARN_AFTER: Duration = Duration::from_secs(3);

/// The shortest time between two warnings about one address.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// The configured addresses that failed: at most one entry for each.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    entries: BTreeMap<Entry, Failure>,
}

/// An address, and the member that the operator expects there, if the configuration names one.
type Entry = (Option<PeerKey>, Multiaddr);

#[derive(Debug)]
struct Failure {
    reason: String,
    since: Instant,
    /// The reason and the time of the last warning.
    warned: Option<(String, Instant)>,
}

impl Failures {
    /// Records a failed attempt at this address. Returns whether to log a warning now: once, and
    /// again when the reason changes.
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
            None => now >= failure.since + WARN_AFTER,
            Some((known, at)) => known != reason && now >= *at + WARNING_INTERVAL,
        };
        if due {
            failure.warned = Some((failure.reason.clone(), now));
        }
        due
    }

    /// Records that a member was reached at this address. Returns whether it had failed before.
    pub(crate) fn worked(&mut self, member: Option<PeerKey>, address: &Multiaddr) -> bool {
        self.entries.remove(&(member, address.clone())).is_some()
    }

    /// Removes the addresses at which only this member is expected, because it is no member any
    /// more.
    pub(crate) fn forget(&mut self, key: &PeerKey) {
        self.entries.retain(|(member, _), _| member.as_ref() != Some(key));
    }

    /// All addresses that failed.
    pub(crate) fn list(&self) -> Vec<FailedAddress> {
        let failed = |((member, address), failure): (&Entry, &Failure)| FailedAddress {
            member: *member,
            address: address.to_string(),
            reason: failure.reason.clone(),
        };
        self.entries.iter().map(failed).collect()
    }
}

/// Explains to an operator why a connection failed.
pub(crate) fn describe_transport_error(error: &TransportError<std::io::Error>) -> String {
    let TransportError::Other(error) = error else { return "this node supports only TCP".to_owned() };
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused: no process listens there".to_owned(),
        ErrorKind::TimedOut => {
            "no answer in time: a firewall drops the packets, or the host is down".to_owned()
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no route to the host".to_owned()
        }
        _ => {
            let innermost = innermost(error);
            // An error of the operating system explains itself. All other errors occur after the
            // connection was established.
            if error.raw_os_error().is_some() {
                innermost
            } else if innermost.to_lowercase().contains("refused") {
                "the connection is refused: no process listens there".to_owned()
            } else if innermost.to_lowercase().contains("timeout") {
                "no answer in time: a firewall drops the packets, or the host is down".to_owned()
            } else {
                format!("another program answers there, no node of this program ({innermost})")
            }
        }
    }
}

/// The innermost cause of a libp2p error, which wraps the errors of its layers in each other.
fn innermost(error: &std::io::Error) -> String {
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
        assert!(!failed(0, 1, "refused"), "the node may be starting");
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
    fn an_address_that_works_again_is_removed() {
        let start = Instant::now();
        let mut failures = Failures::default();
        failures.failed(None, &address(1), "refused", start);
        assert!(!failures.worked(Some(KEY), &address(1)));
        assert!(failures.worked(None, &address(1)));
        assert!(!failures.worked(None, &address(1)));
        assert_eq!(failures.list(), []);
        failures.failed(Some(KEY), &address(2), "refused", start);
        failures.forget(&KEY);
        assert_eq!(failures.list(), [], "it is not dialed any more");
        assert!(
            !failures.failed(None, &address(1), "refused", start + WARN_AFTER),
            "the time before a warning starts again"
        );
    }

    #[test]
    fn reasons_say_what_to_look_for() {
        let other = |error: std::io::Error| describe_transport_error(&TransportError::Other(error));
        assert!(other(ErrorKind::ConnectionRefused.into()).contains("no process listens"));
        assert!(other(ErrorKind::TimedOut.into()).contains("firewall"));
        let wrapped = std::io::Error::other(std::io::Error::other("handshake failed"));
        assert!(other(wrapped).ends_with("no node of this program (handshake failed)"));
        assert!(other(std::io::Error::other("Timeout has been reached")).contains("firewall"));
    }
}
