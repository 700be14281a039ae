//! A genesis file, and the file beside it with the clients that the network takes over.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use quorate_genesis::{Genesis, MAX_FILE_BYTES, max_clients_file_bytes, parse_clients};
use quorate_governance::State;

use crate::files;
use crate::layout::CLIENTS_ENDING;

/// Reads a genesis file; `-` is standard input.
///
/// # Errors
/// An unreadable file, and all errors of the genesis, one per line.
pub(crate) fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let text = files::read_text(path, MAX_FILE_BYTES)?;
    Genesis::parse(&text).map_err(|errors| {
        let lines = errors.to_string().replace('\n', "\n  - ");
        anyhow!("{} is not a valid genesis:\n  - {lines}", path.display())
    })
}

/// The file with the clients that the network of a genesis takes over: beside the genesis, under
/// the same name with another ending.
pub(crate) fn clients_file(genesis: &Path) -> PathBuf {
    genesis.with_extension(CLIENTS_ENDING)
}

/// The governance state before block 1 of the genesis that was read from `path`. Reads the file
/// with the clients if the network takes over any.
///
/// # Errors
/// This file is missing, or does not have exactly these clients.
pub(crate) fn initial_state(genesis: &Genesis, path: &Path) -> anyhow::Result<State> {
    let count = genesis.inherited_clients();
    if count == 0 {
        return Ok(genesis.initial_state(Vec::new())?);
    }
    if path == Path::new("-") {
        bail!(
            "the genesis on standard input takes over clients ({count}), which are listed in a file beside it: give the \
             genesis as a file"
        );
    }
    let file = clients_file(path);
    let text = files::read_text(&file, max_clients_file_bytes(count)).with_context(|| {
        format!(
            "{} takes over clients of the chain that it continues ({count}), and their list is missing: copy {} from \
             another operator",
            path.display(),
            file.display()
        )
    })?;
    let state = parse_clients(&text).and_then(|clients| genesis.initial_state(clients));
    state.with_context(|| format!("{} does not fit {}", file.display(), path.display()))
}

/// Reads a genesis file, and the clients that its network takes over. Returns also the governance
/// state before block 1.
///
/// # Errors
/// As [`read_genesis`] and [`initial_state`].
pub(crate) fn read_beginning(path: &Path) -> anyhow::Result<(Genesis, State)> {
    let genesis = read_genesis(path)?;
    let state = initial_state(&genesis, path)?;
    Ok((genesis, state))
}
