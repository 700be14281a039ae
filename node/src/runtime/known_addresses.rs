//! Keeps the last known addresses of the other validators for the next start, in a file next to the
//! ledger.
//!
//! After a restart, a node whose configuration contains host names finds no validator while the
//! name service is down, although all of them still have their addresses. The addresses in the file
//! are only tried: every connection proves the identity of its peer. A lost or wrong file has
//! therefore no other effect, and no error here stops a node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_ledger::PublicKey;
use quorate_network::{Network, PeerKey};

use crate::files;

/// The name of the file, in the directory of the ledger.
const FILE: &str = "addresses.json";

/// Upper limit of the size in bytes: 256 members with 16 addresses of 60 bytes each, times two.
const MAX_BYTES: usize = 512 << 10;

/// How often the file is compared with the known addresses. A node that is killed loses at most the
/// changes since then.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keys and addresses, as in the file.
type Known = Vec<(PeerKey, String)>;

/// The path of the file for this ledger.
pub(super) fn beside(ledger: &Path) -> PathBuf {
    ledger.with_file_name(FILE)
}

/// The addresses of the last run; empty if there was none.
pub(super) fn read(path: &Path) -> Known {
    if !path.exists() {
        return Vec::new();
    }
    let read = files::read_text(path, MAX_BYTES).and_then(|text| Ok(parse(&text)?));
    read.unwrap_or_else(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            "cannot read the addresses of the last run; the node discovers them again"
        );
        Vec::new()
    })
}

fn parse(text: &str) -> serde_json::Result<Known> {
    let by_key: BTreeMap<String, Vec<String>> = serde_json::from_str(text)?;
    let of_key = |(key, addresses): (String, Vec<String>)| {
        // An invalid key belongs to no member.
        let key = key.parse::<PublicKey>().ok().map(|key| PeerKey(*key.as_bytes()));
        key.into_iter().flat_map(move |key| addresses.clone().into_iter().map(move |address| (key, address)))
    };
    Ok(by_key.into_iter().flat_map(of_key).collect())
}

fn text(known: &Known) -> String {
    let mut by_key: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (key, address) in known {
        by_key.entry(key.to_string()).or_default().push(address);
    }
    serde_json::to_string_pretty(&by_key).unwrap_or_default()
}

fn write(path: &Path, known: &Known) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text(known))?;
    std::fs::rename(&unfinished, path)
}

/// Writes the file when addresses have changed, until the network has ended, and then once more.
pub(super) async fn keep(network: Network, path: PathBuf, stopping: impl Future<Output = ()>) {
    let mut written = Vec::new();
    tokio::pin!(stopping);
    loop {
        let stops = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => false,
            () = &mut stopping => true,
        };
        let known = network.known_addresses();
        if known != written && !known.is_empty() {
            let (path, fresh) = (path.clone(), known.clone());
            let outcome = tokio::task::spawn_blocking(move || write(&path, &fresh)).await;
            if let Ok(Err(error)) = outcome {
                tracing::debug!(%error, "cannot write the addresses of the other validators");
            }
            written = known;
        }
        if stops {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_ledger::SecretKey;

    use super::*;

    fn key(seed: u8) -> PeerKey {
        PeerKey(*SecretKey::from_bytes(&[seed; 32]).unwrap().public().as_bytes())
    }

    #[test]
    fn written_addresses_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = beside(&directory.path().join("ledger.redb"));
        assert_eq!(read(&path), []);
        let mut known =
            vec![(key(1), "/ip4/10.0.0.1/tcp/1".to_owned()), (key(1), "/ip4/10.0.0.2/tcp/1".to_owned())];
        known.push((key(2), "/ip6/::1/tcp/1".to_owned()));
        write(&path, &known).unwrap();
        let mut found = read(&path);
        found.sort();
        known.sort();
        assert_eq!(found, known);
        write(&path, &known[..1].to_vec()).unwrap();
        assert_eq!(read(&path), known[..1]);
    }

    #[test]
    fn an_invalid_file_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = beside(&directory.path().join("ledger.redb"));
        for text in ["", "[]", "{\"0x12\":3}", "{\"0x12\":[\"/ip4/10.0.0.1/tcp/1\"]}"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path), [], "{text}");
        }
    }
}
