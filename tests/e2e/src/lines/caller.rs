//! Finds the process that owns a connection.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Which of these processes holds the end of a connection at `from`, with the other end at `to`.
/// `None` if it is none of them, or has already closed the connection.
pub(crate) fn process_of(from: SocketAddr, to: SocketAddr, candidates: &[u32]) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let ends = [in_table(from)?, in_table(to)?];
    let socket = table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(1..3)? == ends).then(|| columns.get(9).copied()).flatten()
    })?;
    let file = PathBuf::from(format!("socket:[{socket}]"));
    candidates.iter().copied().find(|process| holds(*process, &file))
}

/// An address in the format of the table.
fn in_table(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

fn holds(process: u32, file: &PathBuf) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|held| held == *file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_known_to_be_ours_as_long_as_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let caller = TcpStream::connect(to).unwrap();
        let from = caller.local_addr().unwrap();
        let own = std::process::id();
        assert_eq!(process_of(from, to, &[1, own]), Some(own));
        assert_eq!(process_of(from, to, &[]), None);
        assert_eq!(process_of(to, from, &[own]), None, "it is not accepted yet");
        drop(caller);
        assert_eq!(process_of(from, to, &[own]), None);
    }
}
