//! The processor time that the validators use, read from `/proc`. Linux only: elsewhere it is
//! unknown.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::http::Endpoint;

/// Clock ticks per second in `/proc`. The kernel uses this fixed rate in the times it reports to
/// programs, on every architecture and whatever its internal tick rate is.
const TICKS_PER_SECOND: f64 = 100.0;

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The processes that serve these endpoints on this machine. `None` unless a process is found for
/// every endpoint: the time of only some validators would be misleading.
pub(super) fn processes_serving(endpoints: &[Endpoint]) -> Option<BTreeSet<u32>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inodes: Option<Vec<BTreeSet<u64>>> = endpoints
        .iter()
        .map(|endpoint| {
            let (_, port) = endpoint.host_and_port()?;
            Some(tables.iter().flat_map(|table| listening_inodes(table, port)).collect())
        })
        .collect();
    let inodes = inodes?;
    let mut processes = BTreeSet::new();
    let mut found = vec![false; endpoints.len()];
    for (process, socket) in sockets_of_processes() {
        for (inodes, found) in inodes.iter().zip(&mut found) {
            if inodes.contains(&socket) {
                processes.insert(process);
                *found = true;
            }
        }
    }
    found.iter().all(|found| *found).then_some(processes)
}

/// Inodes of the sockets that listen on a port.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, local_port) = columns.nth(1)?.rsplit_once(':')?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?.parse().ok()?;
        (u16::from_str_radix(local_port, 16) == Ok(port) && state == LISTENING).then_some(inode)
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// Every open socket of every process that this user may inspect.
fn sockets_of_processes() -> impl Iterator<Item = (u32, u64)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).flat_map(|process| {
        let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files.filter_map(move |file| {
            let target = fs::read_link(file.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((process, inode))
        })
    })
}

/// Processor time in seconds that these processes have used since they started, user and system
/// time together. `None` if one of them cannot be read.
pub(super) fn seconds_used(processes: &BTreeSet<u32>) -> Option<f64> {
    processes.iter().map(|process| seconds_of(Path::new(&format!("/proc/{process}/stat")))).sum()
}

fn seconds_of(stat: &Path) -> Option<f64> {
    let text = fs::read_to_string(stat).ok()?;
    ticks_in(&text).map(|ticks| ticks as f64 / TICKS_PER_SECOND)
}

/// Parses utime and stime from the text of `/proc/*/stat`. The process name in it may contain
/// spaces and parentheses.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut columns = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = columns.next()?.parse().ok()?;
    let system: u64 = columns.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 9 8 7 6 150 50 3 2 20 0 1 0 100 1000 10";
        assert_eq!(ticks_in(stat), Some(200));
        assert_eq!(ticks_in("42 (short) S 1"), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2161 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0
   1: 0100007F:2161 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0
   2: 0100007F:2162 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0
";
        assert_eq!(listening_inodes(table, 8545), [11]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint: Endpoint = url.parse().unwrap();
        let found = processes_serving(&[endpoint.clone(), endpoint.clone()]).unwrap();
        assert_eq!(found, BTreeSet::from([std::process::id()]));
        assert!(seconds_used(&found).unwrap() >= 0.0);
        drop(listener);
        assert_eq!(processes_serving(&[endpoint]), None, "the listener is closed");
    }
}
