//! The system's limit of open files. Every connection is an open file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and sockets in addition to those of RPC clients: other validators, the node's own files,
/// and connections that are being refused.
const OTHERS: u64 = 512;

/// Raises the limit of this process to what this many RPC connections need, as far as the system
/// allows.
///
/// Warns if the limit is too low. Clients that hold connections open could then use up all files
/// before the node's own limit refuses them, and block other clients and validators.
pub(crate) fn make_room(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = raised(limit, needed) else { return };
    let granted = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => wanted.current,
        Err(_) => limit.current,
    };
    if granted.is_some_and(|granted| granted < needed) {
        tracing::warn!(
            granted,
            needed,
            "the system allows fewer open files than rpc.max_connections and other validators may need: raise \
             the hard limit (LimitNOFILE in a systemd unit, ulimit -Hn in a shell) or lower rpc.max_connections"
        );
    }
}

/// The limit to request; `None` if the present one is enough.
fn raised(limit: Rlimit, needed: u64) -> Option<Rlimit> {
    // No number means no limit.
    let current = limit.current?;
    let most = limit.maximum.map_or(needed, |maximum| needed.min(maximum));
    (current < needed).then(|| Rlimit { current: Some(current.max(most)), ..limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_allowed() {
        let ask = |current, maximum| raised(Rlimit { current, maximum }, 1500).map(|asked| asked.current);
        assert_eq!(ask(Some(1024), Some(4096)), Some(Some(1500)));
        assert_eq!(ask(Some(1024), None), Some(Some(1500)));
        assert_eq!(ask(Some(1024), Some(1200)), Some(Some(1200)));
        assert_eq!(ask(Some(1024), Some(1024)), Some(Some(1024)), "the warning follows");
        assert_eq!(ask(Some(1500), Some(4096)), None);
        assert_eq!(ask(None, None), None);
    }
}
